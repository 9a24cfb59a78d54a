"""The envelope: every check in its order, and nothing but coded refusals from any bytes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskferry_protocol.cbor import decode, encode
from taskferry_protocol.crypto import Kind
from taskferry_protocol.envelope import (
    Parcel,
    Wrap,
    check_clock,
    encode_parcel,
    is_channel,
    parse_envelope,
    read_envelope,
    read_envelope_by_known_key,
    read_parcel,
    verify_envelope,
    verify_envelope_by_known_key,
)
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.header import (
    Header,
    _read_carefully,
    _read_quickly,
    _write_carefully,
    encode_header,
    read_header,
)
from taskferry_protocol.ids import AgentRef, DeviceId, Hash, Instant, LogPosition
from taskferry_protocol.messages import MessageClass

from .contents import ALICE, BOB, DAY, MINUTE, NOW, key_of, sealed_message

SEALED = sealed_message()
GOOD = SEALED.envelope
HEADER = decode(GOOD.h)
assert isinstance(HEADER, dict)
MEMBERS: Mapping[str, object] = HEADER


#: A device as a recipient.
DEVICE = "~" + "0a" * 32


def signed(h: bytes, ct: bytes = GOOD.ct, *, kind: Kind = Kind.ENVELOPE) -> bytes:
    """An envelope by Alice's device around any header bytes."""
    return key_of(1).sign(kind, encode([h, ct]))


def changed(**members: object) -> bytes:
    """A signed envelope with header members changed; `...` leaves one out."""
    header = {key: value for key, value in {**MEMBERS, **members}.items() if value is not ...}
    return signed(encode(header))


def refusal(raw: bytes, *, now: Instant | None = NOW) -> tuple[str, str]:
    """Code and field of what is refused."""
    with pytest.raises(RemoteProtocolError) as caught:
        read_envelope(raw, now=now)
    return caught.value.code.value, caught.value.field


def test_a_good_envelope_is_read_as_it_was_written() -> None:
    """Header, hash and device come back from the bytes alone."""
    assert read_envelope(GOOD.raw, now=NOW) == GOOD
    assert read_envelope_by_known_key(GOOD.raw, GOOD.device, now=None) == GOOD
    assert GOOD.device == key_of(1).public
    assert (GOOD.header.from_, GOOD.header.to, GOOD.header.seq) == (ALICE, BOB, 1)


ABSENT: list[tuple[dict[str, object], str, str]] = [
    ({key: ...}, "missing-field", f"h.{key}") for key in MEMBERS
]
FALSE_TYPES: list[tuple[dict[str, object], str, str]] = [({key: True}, "wrong-type", key) for key in MEMBERS]
HEADER_FAULTS: list[tuple[dict[str, object], str, str]] = [
    ({"x": 1}, "unknown-field", "h.x"),
    ({"v": 2}, "unknown-version", "v"),
    ({"id": bytes(15)}, "bad-value", "id"),
    ({"id": bytes(16)}, "bad-value", "id"),
    ({"id": bytes.fromhex("0190000000004000800000000000000a")}, "bad-value", "id"),
    ({"id": bytes.fromhex("019000000000700000000000000000aa")}, "bad-value", "id"),
    ({"class": "gossip"}, "bad-value", "class"),
    ({"from": [ALICE.account, ""]}, "bad-value", "from"),
    ({"from": [ALICE.account, "Alice"]}, "bad-value", "from"),
    ({"from": [ALICE.account, "alice\n"]}, "bad-value", "from"),
    ({"from": [ALICE.account, "#alice"]}, "bad-value", "from"),
    ({"from": [ALICE.account, "a" * 34]}, "bad-value", "from"),
    ({"from": [ALICE.account[:31], "alice"]}, "bad-value", "from"),
    ({"from": [ALICE.account]}, "bad-value", "from"),
    ({"from": [ALICE.account, 1]}, "wrong-type", "from"),
    ({"to": [BOB.account, ""]}, "bad-value", "to"),
    ({"to": [BOB.account, "##bob"]}, "bad-value", "to"),
    ({"to": [BOB.account, "bob", 1]}, "bad-value", "to"),
    ({"class": "account"}, "bad-value", "to"),
    ({"class": "account", "from": [ALICE.account, ""], "to": [BOB.account, "#all"]}, "bad-value", "to"),
    ({"class": "account", "to": [BOB.account, ""]}, "bad-value", "from"),
    ({"class": "account", "from": [ALICE.account, ""], "to": [BOB.account, DEVICE]}, "bad-value", "to"),
    ({"class": "account", "from": [ALICE.account, ""], "to": [ALICE.account, "~"]}, "bad-value", "to"),
    (
        {"class": "account", "from": [ALICE.account, ""], "to": [ALICE.account, DEVICE[:-1]]},
        "bad-value",
        "to",
    ),
    (
        {"class": "account", "from": [ALICE.account, ""], "to": [ALICE.account, DEVICE + "0"]},
        "bad-value",
        "to",
    ),
    (
        {"class": "account", "from": [ALICE.account, ""], "to": [ALICE.account, "~" + "A" * 64]},
        "bad-value",
        "to",
    ),
    ({"class": "account", "from": [ALICE.account, DEVICE], "to": [ALICE.account, ""]}, "bad-value", "from"),
    ({"to": [BOB.account, DEVICE]}, "bad-value", "to"),
    ({"seq": 0}, "bad-value", "seq"),
    ({"seq": -1}, "bad-value", "seq"),
    ({"log": [0, bytes(32)]}, "bad-value", "log"),
    ({"log": [1, bytes(31)]}, "bad-value", "log"),
    ({"log": [1]}, "bad-value", "log"),
    ({"to_log": [1, bytes(33)]}, "bad-value", "to_log"),
    ({"created_at": 2**53}, "bad-value", "created_at"),
    ({"expires_at": 2**53}, "bad-value", "expires_at"),
    ({"suite": 2}, "unknown-suite", "suite"),
    ({"nonce": bytes(23)}, "bad-value", "nonce"),
    ({"commit": bytes(31)}, "bad-value", "commit"),
    ({"expires_at": NOW}, "bad-time", "expires_at"),
    ({"expires_at": NOW - 1}, "bad-time", "expires_at"),
    ({"expires_at": NOW + 30 * DAY + 1}, "bad-time", "expires_at"),
    ({"created_at": NOW + 5 * MINUTE + 1}, "bad-time", "created_at"),
    ({"created_at": NOW - DAY, "expires_at": NOW}, "expired", "expires_at"),
]


@pytest.mark.parametrize(("members", "code", "field"), ABSENT + FALSE_TYPES + HEADER_FAULTS)
def test_every_fault_of_the_header_has_its_code(members: dict[str, object], code: str, field: str) -> None:
    """Signed or not, a header says what the text allows and nothing else."""
    if members.get("class") == "account" and "to" not in members:
        members = {**members, "from": [ALICE.account, ""]}
    if members == {"class": "account", "to": [BOB.account, ""]}:
        members = {**members, "from": [ALICE.account, "alice"]}
    assert refusal(changed(**members)) == (code, field)


@pytest.mark.parametrize(
    "members",
    [
        {"expires_at": NOW + 30 * DAY},
        {"created_at": NOW + 5 * MINUTE},
        {"expires_at": NOW + 1},
        {"seq": 2**64 - 1},
        {"to": [BOB.account, "#general"]},
        {"class": "account", "from": [ALICE.account, ""], "to": [BOB.account, ""]},
        {"class": "account", "from": [ALICE.account, ""], "to": [ALICE.account, DEVICE]},
    ],
)
def test_the_bounds_themselves_are_allowed(members: dict[str, object]) -> None:
    """The last lifetime, the last skew, the last millisecond, and each shape of address."""
    read_envelope(changed(**members), now=NOW)


def test_a_channel_is_told_from_an_agent() -> None:
    """A relay of this version can say that it carries none."""
    assert is_channel(parse_envelope(changed(to=[BOB.account, "#general"])).header.to)
    assert not is_channel(GOOD.header.to)


def test_a_device_is_told_from_an_agent() -> None:
    """What is for one device of the own account says so in its signed header."""
    raw = changed(**{"class": "account", "from": [ALICE.account, ""], "to": [ALICE.account, DEVICE]})
    assert parse_envelope(raw).header.to.device == bytes.fromhex("0a" * 32)
    assert AgentRef.to_device(ALICE.account, DeviceId(bytes.fromhex("0a" * 32))).name == DEVICE
    for name in ("", "alice", "#all", DEVICE + "\n"):
        assert AgentRef(ALICE.account, name).device is None


def test_faults_are_reported_in_the_order_of_the_text() -> None:
    """Two faults at a time: the earlier check names the refusal."""
    broken = bytearray(changed(v=2, suite=9, expires_at=NOW))
    assert refusal(bytes(broken))[0] == "unknown-version"
    broken[-1] ^= 1
    assert refusal(bytes(broken))[0] == "bad-signature"
    broken[0] = 0xD1
    assert refusal(bytes(broken))[0] == "bad-cose"
    assert refusal(bytes(broken) + bytes(262_144))[0] == "too-large"
    assert refusal(changed(id=bytes(16), suite=9))[0] == "bad-value"
    assert refusal(changed(suite=9, expires_at=NOW))[0] == "unknown-suite"
    assert refusal(changed(seq=0, v=2))[0] == "bad-value"
    assert refusal(changed(x=1, v=...))[0] == "unknown-field"
    assert refusal(signed(encode({**MEMBERS, "expires_at": NOW}), b"short"))[0] == "bad-time"


def test_a_signature_of_another_kind_is_no_envelope() -> None:
    """A signed statement cannot be replayed as an envelope."""
    for kind in Kind:
        if kind is not Kind.ENVELOPE:
            assert refusal(signed(GOOD.h, kind=kind))[0] == "bad-signature"


def test_a_header_or_ciphertext_changed_after_signing_is_noticed() -> None:
    """Whoever carries the envelope can change no bit of it."""
    for index in (80, 120, 300, len(GOOD.raw) - 100, len(GOOD.raw) - 1):
        raw = bytearray(GOOD.raw)
        raw[index] ^= 1
        assert refusal(bytes(raw))[0] == "bad-signature"


def test_another_devices_name_on_an_envelope_is_noticed() -> None:
    """Exchanging the key leaves a signature that does not verify; a key that is none is bad-key."""
    other = key_of(2).public
    assert refusal(GOOD.raw.replace(GOOD.device, other, 1))[0] == "bad-signature"
    assert refusal(GOOD.raw.replace(GOOD.device, bytes(32), 1))[0] == "bad-key"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\x00", "wrong-type"),
        (encode([GOOD.h]), "bad-value"),
        (encode(["text", GOOD.ct]), "wrong-type"),
        (encode([GOOD.h, None]), "wrong-type"),
        (encode([b"\x80", GOOD.ct]), "wrong-type"),
        (encode([b"\xff", GOOD.ct]), "malformed"),
        (encode([GOOD.h + b"\x00", GOOD.ct]), "malformed"),
        (encode([GOOD.h, bytes(271)]), "bad-value"),
        (encode([GOOD.h, GOOD.ct]) + b"\x00", "malformed"),
    ],
)
def test_a_payload_of_another_form_is_refused(payload: bytes, code: str) -> None:
    """The payload is two byte strings, the first of them one map, the second long enough."""
    assert refusal(key_of(1).sign(Kind.ENVELOPE, payload))[0] == code


def test_header_keys_out_of_order_are_refused() -> None:
    """The header has one encoding."""
    h = b"\xad" + b"".join(encode(key) + encode(value) for key, value in reversed(list(MEMBERS.items())))
    assert refusal(signed(h))[0] == "not-canonical"


def test_a_key_seen_before_spares_only_the_check_of_the_point() -> None:
    """With the device known, a wrong signature or another device's key is found all the same."""
    raw = bytearray(GOOD.raw)
    raw[-1] ^= 1
    for device in (GOOD.device, DeviceId(key_of(2).public)):
        with pytest.raises(RemoteProtocolError, match="bad-signature"):
            read_envelope_by_known_key(bytes(raw), device, now=NOW)
    assert read_envelope_by_known_key(GOOD.raw, DeviceId(key_of(2).public), now=NOW) == GOOD


def test_parsing_and_verifying_come_apart() -> None:
    """A relay may look at the bytes first, and at the signature when all else is well."""
    raw = bytearray(GOOD.raw)
    raw[-1] ^= 1
    envelope = parse_envelope(bytes(raw))
    for verify in (verify_envelope, verify_envelope_by_known_key):
        with pytest.raises(RemoteProtocolError, match="bad-signature"):
            verify(envelope)
        verify(GOOD)


def test_the_clock_is_asked_apart() -> None:
    """What was good when it was written expires, and nothing else about it changes."""
    check_clock(GOOD.header, NOW)
    with pytest.raises(RemoteProtocolError, match="expired"):
        check_clock(GOOD.header, Instant(NOW + DAY))
    assert read_envelope(GOOD.raw, now=None) == GOOD


@given(st.binary(max_size=400))
def test_any_bytes_are_an_envelope_or_a_refusal(raw: bytes) -> None:
    """No bytes make anything but a coded refusal."""
    for read in (parse_envelope, lambda data: read_envelope(data, now=NOW)):
        with pytest.raises(RemoteProtocolError):
            read(raw)


@given(st.data())
def test_any_signed_payload_is_an_envelope_or_a_refusal(data: st.DataObject) -> None:
    """A device that lies about everything but its own key is refused with a code."""
    h = bytearray(GOOD.h)
    for _ in range(data.draw(st.integers(1, 3))):
        h[data.draw(st.integers(0, len(h) - 1))] = data.draw(st.integers(0, 255))
    try:
        envelope = parse_envelope(signed(bytes(h)))
    except RemoteProtocolError:
        return
    assert envelope.h == h


# --- Parcels ------------------------------------------------------------------------------------------------

WRAPS = tuple(Wrap(bytes([n]) * 32, bytes([n]) * 80) for n in range(1, 4))


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=64, unique=True))
def test_parcels_survive_the_way_there_and_back(keys: list[bytes]) -> None:
    """Up to 64 wraps, sorted by key."""
    parcel = Parcel(b"envelope", tuple(Wrap(key, bytes(80)) for key in sorted(keys)))
    assert read_parcel(decode(encode_parcel(parcel))) == parcel


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"", "wrong-type"),
        ([b""], "bad-value"),
        ([b"", [], 1], "bad-value"),
        (["", []], "wrong-type"),
        ([b"", {}], "wrong-type"),
        ([b"", []], "bad-value"),
        ([b"", [1]], "wrong-type"),
        ([b"", [[bytes(32)]]], "bad-value"),
        ([b"", [[bytes(31), bytes(80)]]], "bad-value"),
        ([b"", [[bytes(32), bytes(79)]]], "bad-value"),
        ([b"", [["", bytes(80)]]], "wrong-type"),
        ([b"", [[bytes(32), None]]], "wrong-type"),
        ([b"", [wrap.to_cbor() for wrap in reversed(WRAPS)]], "not-canonical"),
        ([b"", [WRAPS[0].to_cbor()] * 2], "not-canonical"),
        ([b"", [[bytes([n]) * 32, bytes(80)] for n in range(65)]], "too-many"),
    ],
)
def test_faulty_parcels_are_refused(value: object, code: str) -> None:
    """One parcel's fault has a code of its own, so that it need not cost its batch."""
    with pytest.raises(RemoteProtocolError) as caught:
        read_parcel(decode(encode(value)))
    assert caught.value.code.value == code


# --- The quick reader and the careful one -------------------------------------------------------------------

_NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True) | st.sampled_from(
    ["cclog", "e-class", "eclass", "aclogclog", "x" * 23, "x" * 24]
)
_EDGES = st.sampled_from([1, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1])


@st.composite
def _headers(draw: st.DrawFn) -> Header:
    """Any good header."""
    cls = draw(st.sampled_from(MessageClass))
    created_at = draw(st.integers(0, 2**53 - 2) | st.just(NOW))
    account = cls is MessageClass.ACCOUNT
    to = draw(_NAMES)
    return Header(
        id=GOOD.header.id,
        cls=cls,
        from_=AgentRef(ALICE.account, "" if account else draw(_NAMES)),
        to=AgentRef(BOB.account, "" if account else draw(st.sampled_from([to, "#" + to]))),
        seq=draw(_EDGES | st.integers(1, 2**64 - 1)),
        log=LogPosition(draw(_EDGES), Hash(draw(st.binary(min_size=32, max_size=32)))),
        to_log=LogPosition(draw(_EDGES), Hash(b"\x63log" * 8)),
        created_at=Instant(created_at),
        expires_at=Instant(min(2**53 - 1, created_at + draw(st.integers(1, 30 * DAY)))),
        suite=1,
        nonce=draw(st.binary(min_size=24, max_size=24)),
        commit=draw(st.binary(min_size=32, max_size=32)),
    )


@given(_headers())
def test_every_good_header_is_read_back(header: Header) -> None:
    """Whichever reader takes it; the quick writer writes what the careful one does."""
    assert encode_header(header) == _write_carefully(header)
    assert read_header(encode_header(header)) == header


def test_the_usual_header_is_read_the_quick_way() -> None:
    """Otherwise the quick reader would be there for nothing."""
    assert _read_quickly(GOOD.h) == _read_carefully(GOOD.h) == GOOD.header


@given(_headers(), st.data())
def test_what_the_quick_reader_takes_the_careful_one_takes_alike(header: Header, data: st.DataObject) -> None:
    """Whatever is changed in the bytes, the quick reader never takes more, nor anything else."""
    h = bytearray(encode_header(header))
    for _ in range(data.draw(st.integers(0, 3))):
        h[data.draw(st.integers(0, len(h) - 1))] = data.draw(st.integers(0, 255))
    quick = _read_quickly(bytes(h))
    if quick is not None:
        assert quick == _read_carefully(bytes(h))


@pytest.mark.parametrize("claimed", range(0x60, 0x78))
@pytest.mark.parametrize("key", [b"\x62to\x82\x58\x20", b"\x64from\x82\x58\x20"])
def test_a_name_whose_head_counts_wrongly_is_refused_in_good_order(key: bytes, claimed: int) -> None:
    """Also where it takes bytes of the log position behind it for its own, which are no text."""
    at = GOOD.h.index(key) + len(key) + 32
    if claimed == GOOD.h[at]:
        assert _read_quickly(GOOD.h) == GOOD.header
        return
    h = GOOD.h[:at] + bytes([claimed]) + GOOD.h[at + 1 :]
    assert _read_quickly(h) is None
    with pytest.raises(RemoteProtocolError):
        read_header(h)


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": 0},
        {"log": [0, bytes(32)]},
        {"to_log": [0, bytes(32)]},
        {"id": bytes(16)},
        {"created_at": NOW - DAY, "expires_at": NOW - DAY},
        {"expires_at": NOW + 31 * DAY},
        {"expires_at": 2**53, "created_at": 2**53 - 1},
        {"created_at": 2**32, "expires_at": 2**32 - 1},
        {"class": "account"},
        {"from": [ALICE.account, "-a"]},
        {"from": [ALICE.account, "#a"]},
        {"to": [BOB.account, "##a"]},
    ],
)
def test_the_quick_reader_leaves_every_fault_to_the_careful_one(changes: dict[str, object]) -> None:
    """It names no codes."""
    assert _read_quickly(encode({**MEMBERS, **changes})) is None


def test_numbers_in_a_longer_form_are_not_taken_quickly() -> None:
    """One encoding for each number, in the quick reader too."""
    for usual, longer in (
        (b"\x63seq\x01", b"\x63seq\x18\x01"),
        (b"\x63seq\x01", b"\x63seq\x19\x00\x01"),
        (b"\x63seq\x01", b"\x63seq\x1a\x00\x00\x00\x01"),
        (b"\x63bob", b"\x64bob"),
        (b"\x63bob", b"\x62bob"),
    ):
        assert GOOD.h.count(usual) == 1
        h = GOOD.h.replace(usual, longer)
        assert _read_quickly(h) is None
        with pytest.raises(RemoteProtocolError):
            read_header(h)
