"""Folding: each kind of statement, its effect and its faults (spec/identity.md sections 1 and 2)."""

import pytest

from taskferry_protocol import accounts
from taskferry_protocol.accounts import (
    AccountLog,
    DeviceKeys,
    DeviceStatus,
    fold,
)
from taskferry_protocol.cbor import encode
from taskferry_protocol.crypto import Kind, SigningKey
from taskferry_protocol.errors import LocalProtocolError, RemoteProtocolError
from taskferry_protocol.ids import Hash, LogPosition, sha256
from taskferry_protocol.limits import AGENTS, DEVICES, LIFETIME_MS, STATEMENTS

from .owners import (
    NOW,
    Owner,
    Refused,
    encryption_key,
    manage_key,
    managing_device,
    members,
    plain_device,
    resigned,
    signing_key,
)


def test_create_certifies_itself(ann):
    """The account id is the hash of the first statement, and the first device manages."""
    state = ann.log.state
    assert state.account == sha256(ann.log.statements[0]) == state.head
    assert (state.name, state.length, state.recovery) == ("ann", 1, ann.recovery.public)
    assert state.manage_keys() == {ann.manage.public}
    assert [device.record for device in state.active_devices()] == [ann.laptop.record]


def test_an_empty_list_is_no_log():
    """A fold of nothing is refused."""
    with Refused("empty-log"):
        fold([])


def test_added_device_stands_beside_the_first(ann):
    """A device joins with its own consent, with or without the power to manage."""
    phone, server = managing_device("phone"), plain_device("server")
    ann.add(phone)
    ann.add(server, by=manage_key(phone))
    state = ann.log.state
    assert [device.id for device in state.active_devices()] == sorted([ann.laptop.id, phone.id, server.id])
    assert state.manage_keys() == {ann.manage.public, manage_key(phone).public}
    assert state.devices[server.id].since == 2


def test_revoked_device_leaves_its_agents(ann):
    """An agent keeps the devices that are left, and goes with its last one."""
    phone = plain_device("phone")
    ann.add(phone)
    ann.serve("both", phone, ann.laptop)
    ann.serve("mobile", phone)
    ann.revoke(phone)
    state = ann.log.state
    assert state.agents == {"both": (ann.laptop.id,)}
    assert state.serving("mobile") == ()
    gone = state.devices[phone.id]
    assert (gone.status, gone.since, gone.ended) == (DeviceStatus.REVOKED, 1, 4)


def test_retired_manager_manages_no_more(ann):
    """A device that left signs nothing for the account, though its record stays."""
    phone = managing_device("phone")
    ann.add(phone)
    ann.retire(phone)
    assert ann.log.state.devices[phone.id].status is DeviceStatus.RETIRED
    with Refused("not-authorized"):
        ann.rename("bea", by=manage_key(phone))


def test_account_may_lose_its_last_manager_and_recover(ann):
    """Nothing forbids it; the recovery key brings the account back."""
    ann.retire(ann.laptop)
    assert ann.log.state.manage_keys() == frozenset()
    new = managing_device("new")
    ann.add(new, by=ann.recovery)
    assert ann.log.state.manage_keys() == {manage_key(new).public}


def test_two_devices_may_share_a_manage_key(ann):
    """The key counts as long as one of them is active."""
    twin = DeviceKeys(signing_key("twin"), encryption_key("twin"), ann.manage, "twin")
    ann.add(twin)
    ann.retire(ann.laptop)
    ann.rename("bea")
    assert ann.log.state.name == "bea"


def test_rotated_key_is_kept_for_thirty_days(ann):
    """The former key names its device until 30 days after its replacement, and no device after that."""
    first, second = ann.laptop.encryption.public, encryption_key("second").public
    ann.rotate(ann.laptop, second)
    state = ann.log.state
    assert state.devices[ann.laptop.id].former == ((first, NOW),)
    found = state.device_for_encryption_key(first, NOW + LIFETIME_MS - 1)
    assert found is not None
    assert found.id == ann.laptop.id
    assert state.device_for_encryption_key(first, NOW + LIFETIME_MS) is None
    assert state.device_for_encryption_key(second, NOW + 10 * LIFETIME_MS) is not None
    assert state.device_for_encryption_key(bytes(32), NOW) is None


def test_key_taken_up_again_counts_as_current(ann):
    """A key that a device came back to is in use, and of two replacements the later one counts."""
    first, second = ann.laptop.encryption.public, encryption_key("second").public
    for turn, key in enumerate((second, first, second)):
        ann.rotate(ann.laptop, key, at=NOW + turn)
    state = ann.log.state
    assert state.device_for_encryption_key(second, NOW + 10 * LIFETIME_MS) is not None
    assert state.device_for_encryption_key(first, NOW + LIFETIME_MS + 1) is not None
    assert state.device_for_encryption_key(first, NOW + LIFETIME_MS + 2) is None


def test_keys_of_a_revoked_device_name_nobody(ann):
    """Nothing may be sealed for a device that is gone."""
    phone = plain_device("phone")
    ann.add(phone)
    ann.revoke(phone)
    assert ann.log.state.device_for_encryption_key(phone.encryption.public, NOW) is None


def test_serving_nobody_in_particular_is_every_active_device(ann):
    """The empty agent name stands for the account, an unknown one for no device."""
    phone = plain_device("phone")
    ann.add(phone)
    ann.serve("coder", phone)
    state = ann.log.state
    assert {device.id for device in state.serving("")} == {phone.id, ann.laptop.id}
    assert [device.id for device in state.serving("coder")] == [phone.id]
    assert state.serving("poet") == ()


def test_agent_is_withdrawn_by_an_empty_list(ann):
    """An agent served by nobody is no agent, and withdrawing twice does no harm."""
    ann.serve("coder", ann.laptop)
    ann.serve("coder")
    ann.serve("coder")
    assert ann.log.state.agents == {}


def test_rename_changes_the_name_and_nothing_else(ann):
    """The account id stays."""
    account = ann.log.account
    ann.rename("bea")
    assert (ann.log.state.name, ann.log.account) == ("bea", account)


def test_create_needs_a_managing_device():
    """Our own caller cannot begin an account with a device that does not manage."""
    with pytest.raises(LocalProtocolError):
        accounts.create("ann", plain_device("x"), signing_key("r"), at=NOW)


# --- Faults, one each ---


def _next(ann: Owner, changes: dict[str, object], key: SigningKey | None = None) -> AccountLog:
    """Offer a renaming with changed members."""
    raw = accounts.rename(ann.log.state, "bea", at=NOW, by=ann.manage)
    return ann.take(resigned(raw, Kind.STATEMENT, key or ann.manage, changes))


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"v": 2}, "unknown-version", "v"),
        ({"v": ...}, "missing-field", "v"),
        ({"v": "1"}, "wrong-type", "v"),
        ({"v": 2, "type": "x", "more": 1}, "unknown-version", "v"),
        ({"type": "renamed", "more": 1}, "unknown-type", "type"),
        ({"type": ...}, "missing-field", "type"),
        ({"type": 7}, "wrong-type", "type"),
        ({"type": ["rename"]}, "wrong-type", "type"),
        ({"more": 1, "at": ...}, "unknown-field", "more"),
        ({"at": ..., "name": 1}, "missing-field", "at"),
        ({"seq": "1", "name": 1}, "wrong-type", "seq"),
        ({"seq": -1}, "bad-value", "seq"),
        ({"at": 2**53}, "bad-value", "at"),
        ({"account": b"short"}, "bad-value", "account"),
        ({"prev": None}, "wrong-type", "prev"),
        ({"name": "Bea"}, "bad-value", "name"),
        ({"name": "bea\n"}, "bad-value", "name"),
        ({"account": bytes(32), "seq": 5}, "wrong-account", "account"),
        ({"seq": 5, "prev": bytes(32)}, "bad-sequence", "seq"),
        ({"prev": bytes(32)}, "broken-chain", "prev"),
    ],
)
def test_faulty_statement_is_refused_in_the_order_of_the_text(ann, changes, code, field):
    """Version, type, unknown keys, missing ones, fields, account, place, chain: the first fault is told."""
    with Refused(code, f"statements[1].{field}"):
        _next(ann, changes)


def test_payload_that_is_no_map_is_refused(ann):
    """A signed list is the wrong type, signed rubbish is malformed, and both only once the signature held."""
    with Refused("wrong-type"):
        ann.take(ann.manage.sign(Kind.STATEMENT, b"\x80"))
    with Refused("malformed"):
        ann.take(ann.manage.sign(Kind.STATEMENT, b"\x81"))
    with Refused("bad-signature"):
        ann.take(ann.manage.sign(Kind.CARD, b"\x81"))


def test_log_begins_with_create_and_only_once(ann):
    """Another first statement, and another create, are out of sequence."""
    ann.rename("bea")
    with Refused("bad-sequence", "statements[0].type"):
        fold(ann.log.statements[1:])
    with Refused("bad-sequence", "statements[2].type"):
        ann.take(ann.log.statements[0])
    first = resigned(ann.log.statements[0], Kind.STATEMENT, ann.manage, {"seq": 1})
    with Refused("bad-sequence", "statements[0].seq"):
        fold([first])


def test_statement_over_the_limit_is_too_large(ann):
    """The size is looked at before anything else."""
    with Refused("too-large"):
        ann.take(bytes(8193))


def test_reason_is_bounded(ann):
    """200 bytes are allowed and 201 are not."""
    raw = accounts.revoke_device(ann.log.state, ann.laptop.id, "é" * 100, at=NOW, by=ann.recovery)
    ann.log.extend([raw])
    raw = accounts.revoke_device(ann.log.state, ann.laptop.id, "é" * 100 + "x", at=NOW, by=ann.recovery)
    with Refused("bad-value", "statements[1].reason"):
        ann.log.extend([raw])


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"id": b"short"}, "bad-value", "device.id"),
        ({"enc": bytes(32)}, "wrong-type", "device.enc"),
        ({"enc": [1]}, "bad-value", "device.enc"),
        ({"enc": [2, bytes(32)]}, "unknown-suite", "device.enc"),
        ({"enc": [1, bytes(31)]}, "bad-value", "device.enc"),
        ({"enc": [1, bytes(32)]}, "bad-key", "device.enc"),
        ({"id": bytes(32)}, "bad-key", "device.id"),
        ({"manage": bytes(32)}, "bad-key", "device.manage"),
        ({"label": ""}, "bad-value", "device.label"),
        ({"label": "x" * 65}, "bad-value", "device.label"),
        ({"label": "a\x85b"}, "bad-value", "device.label"),
        ({"label": ...}, "missing-field", "device.label"),
        ({"more": 1}, "unknown-field", "device.more"),
    ],
)
def test_faulty_device_record_is_refused(ann, changes, code, field):
    """A record is closed, its keys are judged when first seen."""
    phone = managing_device("phone")
    record = {**phone.record.to_cbor(), **changes}
    record = {name: value for name, value in record.items() if value is not ...}
    with Refused(code, f"statements[1].{field}"):
        ann.take(resigned(ann.adding(phone), Kind.STATEMENT, ann.manage, {"device": record}))


def test_device_key_does_not_manage(ann):
    """One key for chatter and authority is refused, consented or not."""
    both = signing_key("both")
    with Refused("bad-key", "statements[1].device.manage"):
        ann.add(DeviceKeys(both, encryption_key("both"), both, "both"))


def test_first_device_without_manage_key_is_refused(ann):
    """An account that nobody could manage does not begin."""
    device = plain_device("plain").record.to_cbor()
    raw = resigned(ann.log.statements[0], Kind.STATEMENT, ann.manage, {"device": device})
    with Refused("missing-field", "statements[0].device.manage"):
        fold([raw])


def test_small_order_recovery_key_is_refused(ann):
    """The recovery key of a create is judged like any other."""
    raw = resigned(ann.log.statements[0], Kind.STATEMENT, ann.manage, {"recovery": b"\x01" + bytes(31)})
    with Refused("bad-key", "statements[0].recovery"):
        fold([raw])


def test_unknown_and_gone_devices_are_told_apart(ann):
    """Every statement about a device says whether it never came or went."""
    phone, stranger = plain_device("phone"), plain_device("stranger")
    ann.add(phone)
    ann.retire(phone)
    state = ann.log.state
    for keys, code in ((stranger, "unknown-device"), (phone, "device-gone")):
        with Refused(code):
            ann.revoke(keys)
        with Refused(code):
            ann.retire(keys)
        with Refused(code):
            ann.rotate(keys, encryption_key("x").public)
        with Refused(code):
            ann.serve("coder", ann.laptop, keys)
        with Refused(code):
            ann.take(
                accounts.recover(state, [(ann.laptop.record, b"")], {"a": [keys.id]}, at=NOW, by=ann.recovery)
            )


def test_rotation_to_a_bad_key_is_refused(ann):
    """A key of small order would let nothing be sealed for the device."""
    with Refused("bad-key", "statements[1].enc"):
        ann.rotate(ann.laptop, bytes(32))


@pytest.mark.parametrize("ids", [(1, 0), (0, 0)])
def test_agents_devices_are_sorted_and_unique(ann, ids):
    """The order of devices is no channel, and none serves twice."""
    phone = plain_device("phone")
    ann.add(phone)
    both = sorted([ann.laptop.id, phone.id])
    raw = accounts.set_agent(ann.log.state, "coder", [], at=NOW, by=ann.manage)
    with Refused("not-canonical"):
        ann.take(resigned(raw, Kind.STATEMENT, ann.manage, {"devices": [both[at] for at in ids]}))


def test_too_many_agents_are_refused(ann):
    """64 agents fit; one that is there may be set again; a 65th is refused until one is withdrawn."""
    for number in range(AGENTS):
        ann.serve(f"a{number}", ann.laptop)
    ann.serve("a0", ann.laptop)
    with Refused("too-many"):
        ann.serve("more", ann.laptop)
    ann.serve("a0")
    ann.serve("more", ann.laptop)


def test_too_many_active_devices_are_refused(ann):
    """32 devices are active at most; one that left makes room."""
    others = [plain_device(f"d{number}") for number in range(DEVICES)]
    for keys in others[:-1]:
        ann.add(keys)
    with Refused("too-many"):
        ann.add(others[-1])
    ann.retire(others[0])
    ann.add(others[-1])


def test_too_many_statements_are_refused(ann):
    """A log ends at 4,096 statements; the next is refused, whoever signs it."""
    state, statements = ann.log.state, list(ann.log.statements)
    length, head = state.length, state.head
    template = members(accounts.rename(state, "bea", at=NOW, by=ann.recovery))
    while length < STATEMENTS + 1:
        raw = ann.recovery.sign(Kind.STATEMENT, encode({**template, "seq": length, "prev": head}))
        statements.append(raw)
        length, head = length + 1, sha256(raw)
    assert fold(statements[:STATEMENTS]).position == LogPosition(STATEMENTS, sha256(statements[-2]))
    with Refused("too-many"):
        fold(statements)


def test_refused_extension_leaves_the_log_as_it_was(ann):
    """A log is a value: a failure in the middle of an extension changes nothing."""
    before = ann.log
    good = accounts.rename(ann.log.state, "bea", at=NOW, by=ann.manage)
    with pytest.raises(RemoteProtocolError):
        before.extend([good, b""])
    assert before.state.name == "ann"
    assert before.extend([good]).state.name == "bea"


def test_heads_are_the_hashes_of_the_statements(ann):
    """Over the bytes as sent, in order."""
    assert ann.log.heads == (Hash(sha256(ann.log.statements[0])),)
