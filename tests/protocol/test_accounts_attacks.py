"""What an attacker tries against an account log, and that each try is refused."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from taskferry_protocol import accounts
from taskferry_protocol.accounts import DeviceKeys, consent_to_stand, fold
from taskferry_protocol.cbor import encode
from taskferry_protocol.crypto import Kind, SigningKey, parse_signed
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.ids import sha256
from taskferry_protocol.limits import MANAGED_STATEMENTS, RECOVERY_STATEMENTS, STATEMENTS

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


@pytest.fixture
def ann() -> Owner:
    """An owner with a phone that manages and a server that does not."""
    owner = Owner("ann")
    owner.add(managing_device("phone"))
    owner.add(plain_device("server"))
    owner.serve("coder", owner.laptop)
    return owner


PHONE, SERVER = managing_device("phone"), plain_device("server")


def test_consent_given_elsewhere_does_not_count(ann):
    """A consent lifted to another log, place, key set or powers is none."""
    new = plain_device("new")
    account, place = ann.log.account, ann.log.state.length
    rekeyed = DeviceKeys(new.signing, encryption_key("mallory"), None, new.label)
    promoted = DeviceKeys(new.signing, new.encryption, signing_key("mallory"), new.label)
    renamed = DeviceKeys(new.signing, new.encryption, None, "newer")
    for consent in (
        b"",
        bytes(200),
        consent_to_stand(new, Owner("bob").log.account, place),
        consent_to_stand(new, None, place),
        consent_to_stand(new, account, place + 1),
        consent_to_stand(rekeyed, account, place),
        consent_to_stand(promoted, account, place),
        consent_to_stand(renamed, account, place),
        consent_to_stand(plain_device("mallory"), account, place),
        new.signing.sign(Kind.AUTH, parse_signed(consent_to_stand(new, account, place)).payload),
    ):
        raw = accounts.add_device(ann.log.state, new.record, consent, at=NOW, by=ann.manage)
        with Refused("bad-consent", f"statements[{place}].consent"):
            ann.take(raw)
    ann.add(new)


def test_consent_of_another_device_under_its_own_record(ann):
    """A consent whose signature belongs to other bytes is none."""
    new = plain_device("new")
    consent = bytearray(consent_to_stand(new, ann.log.account, ann.log.state.length))
    consent[-1] ^= 1
    with Refused("bad-consent"):
        ann.take(accounts.add_device(ann.log.state, new.record, bytes(consent), at=NOW, by=ann.manage))


@pytest.mark.parametrize(
    "signer",
    [signing_key("stranger"), PHONE.signing, SERVER.signing, manage_key(managing_device("new"))],
)
def test_statement_under_a_key_without_authority(ann, signer):
    """Neither a stranger, a device key nor a device that is only to be added signs for the account."""
    for raw in (
        accounts.rename(ann.log.state, "bea", at=NOW, by=signer),
        accounts.revoke_device(ann.log.state, SERVER.id, "", at=NOW, by=signer),
        accounts.set_agent(ann.log.state, "coder", [SERVER.id], at=NOW, by=signer),
        ann.adding(managing_device("new"), by=signer),
        accounts.set_recovery(ann.log.state, signer, at=NOW, by=signer),
        accounts.recover(ann.log.state, [(ann.laptop.record, b"")], {}, at=NOW, by=signer),
    ):
        with Refused("not-authorized"):
            ann.take(raw)


def test_managers_do_not_touch_recovery(ann):
    """Recovery is the recovery key's alone: whoever steals a managing device cannot take the account."""
    with Refused("not-authorized"):
        ann.take(accounts.set_recovery(ann.log.state, signing_key("new"), at=NOW, by=ann.manage))
    raw = accounts.recover(ann.log.state, [(ann.laptop.record, b"")], {}, at=NOW, by=ann.recovery)
    with Refused("not-authorized"):
        ann.take(resigned(raw, Kind.STATEMENT, ann.manage, {}))


def test_self_statements_are_the_devices_own(ann):
    """Nobody retires a device or changes its keys but itself, whatever kind of signature they use."""
    stolen = encryption_key("mallory").public
    rotation = accounts.rotate_keys(ann.log.state, SERVER.signing, stolen, at=NOW)
    retirement = accounts.retire(ann.log.state, SERVER.signing, at=NOW)
    for raw in (rotation, retirement):
        for key in (ann.manage, ann.recovery, PHONE.signing, manage_key(PHONE)):
            with Refused("not-authorized"):
                ann.take(resigned(raw, Kind.SELF_STATEMENT, key, {}))
            with Refused("bad-signature"):
                ann.take(resigned(raw, Kind.STATEMENT, key, {}))
        with Refused("bad-signature"):
            ann.take(resigned(raw, Kind.STATEMENT, SERVER.signing, {}))


def test_self_statement_kind_does_not_open_other_types(ann):
    """A device key's self-statement signature over any other type is a bad signature."""
    raw = accounts.rename(ann.log.state, "bea", at=NOW, by=ann.manage)
    with Refused("bad-signature"):
        ann.take(resigned(raw, Kind.SELF_STATEMENT, ann.manage, {}))


def test_revoked_manager_signs_nothing(ann):
    """From the revocation on its signature counts nowhere, even to bring it back."""
    ann.revoke(PHONE)
    key = manage_key(PHONE)
    with Refused("not-authorized"):
        ann.rename("bea", by=key)
    with Refused("not-authorized"):
        ann.add(managing_device("back door"), by=key)
    with Refused("not-authorized"):
        ann.take(accounts.revoke_device(ann.log.state, ann.laptop.id, "", at=NOW, by=key))


def test_device_does_not_come_twice(ann):
    """An active, a revoked and a retired device all exist already, with whatever keys they come."""
    with Refused("device-exists"):
        ann.add(SERVER)
    ann.retire(SERVER)
    ann.revoke(PHONE)
    for gone in (SERVER, PHONE):
        with Refused("device-exists"):
            ann.add(gone)
        with Refused("device-exists"):
            ann.add(DeviceKeys(gone.signing, encryption_key("fresh"), None, "fresh"))


def test_statement_is_not_replayed_at_another_place_or_log(ann):
    """Account, seq and prev tie a statement to its one place."""
    again = ann.log.statements[-1]
    with Refused("bad-sequence"):
        ann.take(again)
    bob = Owner("bob")
    bob.add(managing_device("phone"))
    bob.add(plain_device("server"))
    with Refused("wrong-account"):
        bob.take(again)


def test_dropped_and_swapped_statements_break_the_log(ann):
    """A relay that leaves out a revocation, or changes the order, is noticed."""
    ann.revoke(SERVER)
    ann.rename("bea")
    statements = list(ann.log.statements)
    for at in range(1, len(statements) - 1):
        with Refused("bad-sequence"):
            fold(statements[:at] + statements[at + 1 :])
        swapped = [*statements]
        swapped[at], swapped[at + 1] = swapped[at + 1], swapped[at]
        with Refused("bad-sequence"):
            fold(swapped)
    forged = resigned(statements[-1], Kind.STATEMENT, ann.manage, {"seq": len(statements) - 2})
    with Refused("broken-chain"):
        fold([*statements[:-2], forged])


def test_shortened_log_shows_by_its_position(ann):
    """A log that ends early folds, but does not contain the position that others quote."""
    ann.revoke(SERVER)
    assert not fold(ann.log.statements[:-1]).contains(ann.log.position)


def _every_kind() -> Owner:
    owner = Owner("zoe")
    owner.add(PHONE)
    owner.add(SERVER)
    owner.serve("coder", PHONE, SERVER)
    owner.rotate(SERVER, encryption_key("next").public)
    owner.rename("zora")
    owner.retire(SERVER)
    new = signing_key("zoe's next recovery")
    owner.take(accounts.set_recovery(owner.log.state, new, at=NOW, by=owner.recovery))
    state, tablet = owner.log.state, managing_device("tablet")
    consent = consent_to_stand(tablet, state.account, state.length)
    pairs = [(PHONE.record, b""), (tablet.record, consent)]
    owner.take(accounts.recover(state, pairs, {"coder": [tablet.id]}, at=NOW, by=new))
    owner.take(accounts.revoke_device(owner.log.state, tablet.id, "", at=NOW, by=manage_key(PHONE)))
    return owner


EVERY_KIND = _every_kind().log


def test_every_kind_of_statement_is_there():
    """The log that the mutations start from has each type once at least."""
    kinds = {members(raw)["type"] for raw in EVERY_KIND.statements}
    assert len(kinds) == 9


@given(
    st.integers(0, len(EVERY_KIND.statements) - 1),
    st.integers(0, 10_000),
    st.integers(1, 255),
)
def test_any_mutated_byte_is_refused(index, place, flip):
    """No bit of any statement can change without the fold refusing it."""
    statements = list(EVERY_KIND.statements)
    raw = bytearray(statements[index])
    raw[place % len(raw)] ^= flip
    statements[index] = bytes(raw)
    with pytest.raises(RemoteProtocolError):
        fold(statements)


@given(st.integers(0, len(EVERY_KIND.statements) - 1), st.binary(max_size=40), st.integers(0, 10_000))
def test_any_inserted_or_cut_bytes_are_refused(index, more, place):
    """Neither trailing bytes, nor bytes in between, nor a missing end pass."""
    statements = list(EVERY_KIND.statements)
    raw = statements[index]
    cut = place % len(raw)
    for other in (raw[:cut] + more + raw[cut:], raw + more, raw[:cut]):
        if other != raw:
            with pytest.raises(RemoteProtocolError):
                fold([*statements[:index], other, *statements[index + 1 :]])


@given(st.lists(st.binary(max_size=300), max_size=3))
def test_any_bytes_are_a_log_or_an_ordinary_refusal(statements):
    """Rubbish never raises anything but the peer's fault."""
    with pytest.raises(RemoteProtocolError):
        fold(statements)


@given(st.data())
def test_any_signed_map_is_taken_or_refused_with_a_code(data):
    """A manager that signs nonsense in every field is refused with a code, never with a crash."""
    index = data.draw(st.integers(0, len(EVERY_KIND.statements) - 1))
    raw = EVERY_KIND.statements[index]
    payload = members(raw)
    field = data.draw(st.sampled_from([*payload, "more"]))
    value = data.draw(_VALUES)
    own = payload["type"] in ("retire", "rotate_keys")
    key = SERVER.signing if own else manage_key(PHONE)
    forged = resigned(raw, Kind.SELF_STATEMENT if own else Kind.STATEMENT, key, {field: value})
    before = EVERY_KIND.statements[:index]
    try:
        log = fold([*before, forged])
    except RemoteProtocolError:
        return
    assert log.state.length == index + 1


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**53) | st.binary(max_size=33) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def filled(owner: Owner, raw: bytes, kind: Kind, key: SigningKey, upto: int) -> None:
    """Say the same again and again, until so many statements stand in the log."""
    template, more = members(raw), []
    length, head = owner.log.state.length, owner.log.state.head
    while length < upto:
        more.append(key.sign(kind, encode({**template, "seq": length, "prev": head})))
        length, head = length + 1, sha256(more[-1])
    owner.log = owner.log.extend(more)


def test_a_stolen_device_cannot_fill_the_log_against_its_being_put_out(ann):
    """Rotations end where the room begins in which owners put devices out and add new ones."""
    thief = SERVER.signing
    rotated = accounts.rotate_keys(ann.log.state, thief, SERVER.record.enc, at=NOW)
    filled(ann, rotated, Kind.SELF_STATEMENT, thief, STATEMENTS - MANAGED_STATEMENTS)
    with Refused("too-many"):
        ann.rotate(SERVER, SERVER.record.enc)
    ann.take(accounts.revoke_device(ann.log.state, SERVER.id, "stolen", at=NOW, by=ann.manage))
    ann.add(plain_device("another server"))


def test_a_stolen_manager_cannot_fill_the_log_against_its_being_put_out(ann):
    """Room is left in which the recovery key alone has its word."""
    thief = manage_key(PHONE)
    filled(
        ann,
        accounts.rename(ann.log.state, "eve", at=NOW, by=thief),
        Kind.STATEMENT,
        thief,
        STATEMENTS - RECOVERY_STATEMENTS,
    )
    with Refused("too-many"):
        ann.rename("eve", by=thief)
    with Refused("too-many"):
        ann.retire(SERVER)
    ann.revoke(PHONE)
    ann.rename("ann", by=ann.recovery)
