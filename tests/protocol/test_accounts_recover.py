"""The recovery key: its replacement, and what `recover` restates (spec/identity.md sections 1 and 2)."""

import pytest

from taskferry_protocol import accounts
from taskferry_protocol.accounts import (
    AccountLog,
    DeviceKeys,
    DeviceStatus,
    consent_to_recovery,
    consent_to_stand,
    fold,
    withdrawn,
)
from taskferry_protocol.crypto import Kind
from taskferry_protocol.recovery import Base, log_before, restate

from .owners import (
    NOW,
    Owner,
    Refused,
    encryption_key,
    manage_key,
    managing_device,
    plain_device,
    resigned,
    signing_key,
)


def test_recovery_key_is_replaced_by_itself_alone(ann):
    """The new key consents, and the old one says nothing afterwards."""
    new = signing_key("new recovery")
    ann.take(accounts.set_recovery(ann.log.state, new, at=NOW, by=ann.recovery))
    assert ann.log.state.recovery == new.public
    with Refused("not-authorized"):
        ann.rename("bea", by=ann.recovery)
    ann.rename("bea", by=new)


def test_recover_restates_devices_and_agents(ann):
    """Exactly the listed devices are active and exactly the listed agents served."""
    phone, tablet = plain_device("phone"), managing_device("tablet")
    ann.add(phone)
    ann.serve("old", ann.laptop, phone)
    state = ann.log.state
    consent = consent_to_stand(tablet, state.account, state.length)
    ann.take(
        accounts.recover(
            state,
            [(phone.record, b""), (tablet.record, consent)],
            {"new": [tablet.id, phone.id]},
            at=NOW,
            by=ann.recovery,
        )
    )
    after = ann.log.state
    assert {device.id for device in after.active_devices()} == {phone.id, tablet.id}
    assert after.devices[ann.laptop.id].status is DeviceStatus.REVOKED
    assert after.devices[ann.laptop.id].ended == 3
    assert after.devices[phone.id].since == 1
    assert dict(after.agents) == {"new": tuple(sorted([phone.id, tablet.id]))}
    assert after.manage_keys() == {manage_key(tablet).public}


def _recover(
    ann: Owner, pairs: list[tuple[DeviceKeys, bytes]], changes: dict[str, object] | None = None
) -> AccountLog:
    raw = accounts.recover(
        ann.log.state, [(keys.record, consent) for keys, consent in pairs], {}, at=NOW, by=ann.recovery
    )
    return ann.log.extend([resigned(raw, Kind.STATEMENT, ann.recovery, changes or {})])


def test_recover_with_another_recovery_key_is_refused(ann):
    """A new recovery key is set by set_recovery, with its consent, and not in passing."""
    with Refused("bad-value", "statements[1].recovery"):
        _recover(ann, [(ann.laptop, b"")], {"recovery": signing_key("other").public})


def test_recover_needs_as_many_consents_as_devices(ann):
    """One too few and one too many are both refused."""
    for consents in ([], [b"", b""]):
        with Refused("bad-consent"):
            _recover(ann, [(ann.laptop, b"")], {"consents": consents})


def test_recover_needs_the_consent_of_new_devices(ann):
    """Only a device that is active with the same record may be silent."""
    phone = managing_device("phone")
    with Refused("bad-consent"):
        _recover(ann, [(phone, b"")])
    ann.add(phone)
    _recover(ann, [(phone, b"")])
    ann.retire(phone)
    with Refused("bad-consent"):
        _recover(ann, [(phone, b"")])


def test_recover_brings_no_device_back(ann):
    """A device that went, and one that stands with other keys, exist already, whatever they consent to."""
    phone = managing_device("phone")
    ann.add(phone)
    other = DeviceKeys(phone.signing, encryption_key("other"), phone.manage, phone.label)
    with Refused("device-exists"):
        _recover(ann, [(other, consent_to_stand(other, ann.log.account, 2))])
    ann.retire(phone)
    with Refused("device-exists"):
        _recover(ann, [(phone, consent_to_stand(phone, ann.log.account, 3))])


def test_recover_with_a_needless_but_false_consent_is_refused(ann):
    """What is there is checked, even where nothing had to be."""
    with Refused("bad-consent"):
        _recover(ann, [(ann.laptop, b"x")])
    _recover(ann, [(ann.laptop, consent_to_stand(ann.laptop, ann.log.account, 1))])


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"devices": [], "consents": []}, "bad-value", "devices"),
        ({"devices": [plain_device("p").record.to_cbor()]}, "bad-value", "devices"),
        ({"devices": [managing_device("p").record.to_cbor()] * 2}, "not-canonical", "devices"),
        ({"devices": [managing_device("p").record.to_cbor()] * 33}, "too-many", "devices"),
        ({"consents": [b"" for _ in range(33)]}, "too-many", "consents"),
        ({"consents": [""]}, "wrong-type", "consents"),
        ({"agents": []}, "wrong-type", "agents"),
        ({"agents": {"": []}}, "bad-value", "agents"),
        ({"agents": {"a": []}}, "bad-value", "agents"),
        ({"agents": {f"a{n}": [bytes(32)] for n in range(65)}}, "too-many", "agents"),
        ({"recovery": bytes(31)}, "bad-value", "recovery"),
    ],
)
def test_ill_shaped_recover_is_refused(ann, changes, code, field):
    """Recover is checked field by field before anything of it counts."""
    with Refused(code, f"statements[1].{field}"):
        _recover(ann, [(ann.laptop, b"")], changes)


def test_recovered_agents_are_served_by_listed_devices(ann):
    """An active device that recover leaves out is gone by then."""
    phone = plain_device("phone")
    ann.add(phone)
    raw = accounts.recover(
        ann.log.state, [(ann.laptop.record, b"")], {"a": [phone.id]}, at=NOW, by=ann.recovery
    )
    with Refused("device-gone", "statements[2].agents"):
        ann.take(raw)


def test_recovery_consent_is_for_this_place(ann):
    """A new recovery key that agreed to another account or place has not agreed to this one."""
    new = signing_key("new")
    raw = accounts.set_recovery(ann.log.state, new, at=NOW, by=ann.recovery)
    for consent in (
        b"",
        consent_to_recovery(new, ann.log.account, 2),
        consent_to_recovery(new, Owner("bob").log.account, 1),
        consent_to_recovery(signing_key("third"), ann.log.account, 1),
    ):
        with Refused("bad-consent", "statements[1].consent"):
            ann.take(resigned(raw, Kind.STATEMENT, ann.recovery, {"consent": consent}))
    with Refused("bad-key", "statements[1].recovery"):
        ann.take(resigned(raw, Kind.STATEMENT, ann.recovery, {"recovery": bytes(32)}))


def test_the_log_before_a_recovery_is_found_again_however_often_it_was_tried(ann):
    """Recoveries at the end that name this device go; others stay, and so does a log without any."""
    tablet = managing_device("tablet")
    before = ann.log
    assert log_before(Base(before, 1), tablet.id).position == before.position
    whole = Base(before, before.state.length)
    first = restate(whole, tablet, (), ann.recovery, at=NOW)
    twice = restate(Base(first, first.state.length), tablet, (), ann.recovery, at=NOW)
    for log in (first, twice):
        base = Base(log, log.state.length)
        assert log_before(base, tablet.id).position == before.position
        assert log_before(base, ann.laptop.id).position == log.position
    ann.serve("scout", ann.laptop)
    assert log_before(Base(ann.log, ann.log.state.length), ann.laptop.id).position == ann.log.position


def _with_many(owner: Owner, devices: int, agents: int) -> list[DeviceKeys]:
    """Other devices of an owner, all of which serve all of as many agents."""
    others = [managing_device(f"machine number {n}") for n in range(devices)]
    for keys in others:
        owner.add(keys)
    for n in range(agents):
        owner.serve(f"an-agent-with-a-long-name-no-{n:02}", owner.laptop, *others)
    return others


@pytest.mark.parametrize("devices", [1, 2, 4, 12])
def test_many_agents_on_devices_that_stay_are_restated_whatever_room_one_statement_has(ann, devices):
    """All serve what they served; no agent is left without a device for one statement even."""
    others = _with_many(ann, devices, 64)
    before, tablet = ann.log, managing_device("tablet")
    base = Base(before, before.state.length)
    log = restate(base, tablet, [keys.id for keys in others], ann.recovery, at=NOW)
    serving = tuple(sorted([tablet.id, *(keys.id for keys in others)]))
    assert log.state.agents == dict.fromkeys(before.state.agents, serving)
    assert (log.state.length > before.state.length + 1) == (devices > 1)
    assert withdrawn(before, log) == frozenset()
    assert fold(log.statements).position == log.position
    tried = Base(log, log.state.length)
    assert log_before(tried, tablet.id).position == before.position
    again = restate(tried, tablet, [keys.id for keys in others], ann.recovery, at=NOW)
    assert log_before(Base(again, again.state.length), tablet.id).position == before.position


def test_devices_that_have_no_room_in_a_recovery_are_refused(ann):
    """Their records must be in the one statement; with fewer of them it is made."""
    others = _with_many(ann, 31, 64)
    base, tablet = Base(ann.log, ann.log.state.length), managing_device("tablet")
    with Refused("too-large"):
        restate(base, tablet, [keys.id for keys in others], ann.recovery, at=NOW)
    log = restate(base, tablet, [keys.id for keys in others[:8]], ann.recovery, at=NOW)
    assert len(log.state.active_devices()) == 9
