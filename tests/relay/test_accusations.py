"""How much evidence one account can have a relay keep."""

from __future__ import annotations

from taskferry_apps.relay.accusations import ACCUSED_OF_ONE, Accusations
from taskferry_protocol.ids import AccountId, AgentRef, DeviceId, Hash, Instant, MessageId
from taskferry_protocol.records import StoreEnvelope

MALLORY, BOB = AccountId(b"m" * 32), AccountId(b"b" * 32)


def change(device: int) -> StoreEnvelope:
    """An envelope of a device that contradicts another."""
    to, at = AgentRef(BOB, "agent"), Instant(1)
    id, hash = MessageId(bytes(16)), Hash(bytes(32))
    return StoreEnvelope(DeviceId(bytes([device]) * 32), id, to, 1, hash, at, at, at, b"second", ())


def test_a_device_is_accused_once():
    """The first pair proves it."""
    accusations = Accusations()
    accusation = accusations.against(MALLORY, change(1), b"first")
    assert accusation is not None
    assert (accusation.evidence.first, accusation.evidence.second) == (b"first", b"second")
    assert accusations.against(MALLORY, change(1), b"first") is None


def test_what_has_lost_its_other_half_proves_nothing():
    """And does not use the device's one accusation up."""
    accusations = Accusations()
    assert accusations.against(MALLORY, change(1), b"") is None
    assert accusations.against(MALLORY, change(1), b"first") is not None


def test_an_account_with_ever_new_devices_fills_no_disk():
    """Few of its devices are accused, and others' are all the same."""
    accusations = Accusations()
    made = [accusations.against(MALLORY, change(n), b"first") for n in range(ACCUSED_OF_ONE + 5)]
    assert sum(one is not None for one in made) == ACCUSED_OF_ONE
    assert accusations.against(BOB, change(200), b"first") is not None
