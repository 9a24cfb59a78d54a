"""How much evidence one account can have a relay keep."""

from __future__ import annotations

import pytest
import trio

from taskferry_apps.relay.accusations import ACCUSED_OF_ONE, AGAIN_S, HELD_BYTES, Accusations
from taskferry_apps.relay.core import Policy
from taskferry_protocol.ids import AccountId, AgentRef, DeviceId, Hash, Instant, MessageId
from taskferry_protocol.records import UNPLACED, PutEvidence, StoreEnvelope
from taskferry_stores.memory import MemoryRelayStore
from taskferry_stores.port import StoreFull

from .conftest import GENERATION, ORIGIN, codes, serving
from .people import seal

MALLORY, BOB = AccountId(b"m" * 32), AccountId(b"b" * 32)


def change(device: int) -> StoreEnvelope:
    """An envelope of a device that contradicts another."""
    to, at = AgentRef(BOB, "agent"), Instant(1)
    id, hash = MessageId(bytes(16)), Hash(bytes(32))
    return StoreEnvelope(DeviceId(bytes([device]) * 32), id, to, 1, hash, at, at, at, b"second", ())


def test_a_device_is_accused_once():
    """The first pair proves it."""
    accusations = Accusations()
    assert accusations.accuse(MALLORY, change(1), b"first")
    (accusation,) = accusations.take()
    assert (accusation.evidence.first, accusation.evidence.second) == (b"first", b"second")
    assert not accusations.accuse(MALLORY, change(1), b"first")
    assert not accusations.take()


def test_what_has_lost_its_other_half_proves_nothing():
    """And does not use the device's one accusation up."""
    accusations = Accusations()
    assert not accusations.accuse(MALLORY, change(1), b"")
    assert accusations.accuse(MALLORY, change(1), b"first")


def test_an_account_with_ever_new_devices_fills_no_disk():
    """Few of its devices are accused, and others' are all the same."""
    accusations = Accusations()
    made = [accusations.accuse(MALLORY, change(n), b"first") for n in range(ACCUSED_OF_ONE + 5)]
    assert made.count(True) == ACCUSED_OF_ONE
    assert accusations.accuse(BOB, change(200), b"first")


def test_what_finds_no_room_waits_and_is_offered_again_after_a_while():
    """Alone, so that nobody's mail is refused for it; at once where there is no later."""
    accusations = Accusations()
    assert accusations.accuse(MALLORY, change(1), b"first")
    refused = accusations.take()
    accusations.found_no_room(refused, 100.0)
    assert not accusations.take()
    assert not accusations.take_again(100.0 + AGAIN_S / 2)
    assert accusations.take_again(100.0 + AGAIN_S) == refused
    accusations.found_no_room(refused, 200.0)
    assert accusations.take_again(200.0, is_last=True) == refused
    assert not accusations.take_again(900.0)


def test_a_disk_that_stays_full_fills_no_memory():
    """Beyond the bound nobody is accused, and may be by what comes once there is room."""
    accusations = Accusations()
    big = bytes(HELD_BYTES // 2)
    assert accusations.accuse(MALLORY, change(1), big)
    assert not accusations.accuse(BOB, change(2), big)
    accusations.found_no_room(accusations.take(), 0.0)
    assert not accusations.accuse(BOB, change(2), big)
    assert accusations.take_again(AGAIN_S)
    assert accusations.accuse(BOB, change(2), big)


class Fillable(MemoryRelayStore):
    """A store whose disk may be full for evidence."""

    is_full = False
    refused = 0

    async def commit(self, changes):
        """Refuse what there is no room for."""
        if self.is_full and any(isinstance(change, PutEvidence) for change in changes):
            self.refused += 1
            raise StoreFull("no space")
        return await super().commit(changes)


@pytest.mark.parametrize("is_stopped", [False, True])
async def test_evidence_outlasts_a_full_disk(is_stopped, monkeypatch):
    """It is stored after other mail once there is room, or when the relay stops; mail goes on meanwhile."""
    store = Fillable(GENERATION)
    async with serving(store, Policy([ORIGIN])) as world:
        await world.introduce()

        async def send(text: str, seq: int | None = None) -> None:
            parcel = seal(world.alice, world.bob, text, world.now, seq=seq).parcel
            assert codes(await alice.send([parcel])) == ["equivocation" if text == "two" else "accepted"]

        async with world.open(world.alice) as alice:
            await send("one", 1_000)
            store.is_full = True
            await send("two", 1_000)
            with trio.fail_after(10):
                while not store.refused:
                    await trio.sleep(0.01)
            await send("more")
            assert not (await store.evidence(UNPLACED, 10)).items
            store.is_full = False
            if not is_stopped:
                monkeypatch.setattr(world.relay._engine._accusations, "_again_at", 0.0)
                await send("and more")
        if is_stopped:
            await world.relay.drain()
        with trio.fail_after(10):
            while not (kept := (await store.evidence(UNPLACED, 10)).items):
                await trio.sleep(0.01)
    assert [(one.kind, one.subject) for one in kept] == [("equivocation", world.alice.identity.device)]
