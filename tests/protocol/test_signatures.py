"""COSE_Sign1 structures and the acceptance rules for keys (spec/taskferry.md section 3)."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from nacl import bindings as sodium

from taskferry_protocol.cbor import encode
from taskferry_protocol.crypto import (
    EncryptionKey,
    Kind,
    SigningKey,
    check_encryption_key,
    check_signing_key,
    parse_signed,
    verify,
    verify_by_known_key,
    verify_signed,
)
from taskferry_protocol.errors import LocalProtocolError, RemoteProtocolError
from taskferry_protocol.ids import sha256

from .owners import Refused, encryption_key, signing_key

KEY = signing_key("signer")
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493


def little(number: int) -> bytes:
    """32 bytes, the least significant first."""
    return number.to_bytes(32, "little")


@given(st.sampled_from(Kind), st.binary(max_size=300) | st.integers(0, 70_000).map(bytes))
def test_signed_is_what_is_verified(kind, payload):
    """The structure is as RFC 9052 says, byte for byte, and comes apart into what went in."""
    raw = KEY.sign(kind, payload)
    signed = verify(raw, kind)
    assert (signed.key, signed.payload, signed.hash, signed.raw) == (KEY.public, payload, sha256(raw), raw)
    protected = b"\xa2\x01\x32\x04\x58\x20" + KEY.public
    members = [protected, {}, payload, signed.signature]
    assert raw == b"\xd2" + encode(members)
    to_be_signed = encode(["Signature1", protected, f"taskferry/1/{kind.value}".encode(), payload])
    assert sodium.crypto_sign_open(signed.signature + to_be_signed, KEY.public) == to_be_signed


@given(st.sampled_from(Kind), st.sampled_from(Kind))
def test_signature_is_good_for_one_kind(signed_as, read_as):
    """No signature can be lifted from one use to another."""
    raw = KEY.sign(signed_as, b"payload")
    if signed_as is read_as:
        verify(raw, read_as)
    else:
        with Refused("bad-signature"):
            verify(raw, read_as)


RAW = KEY.sign(Kind.CARD, b"some payload that is a little longer than 24")


@pytest.mark.parametrize("payload", [b"", b"some payload that is a little longer than 24", bytes(300)])
def test_any_changed_bit_is_refused(payload):
    """Head, key, payload, signature, and what stands between them, in any form of the payload."""
    raw = KEY.sign(Kind.CARD, payload)
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RemoteProtocolError):
            verify(bytes(changed), Kind.CARD)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_the_ordinary_way(raw):
    """Whatever comes, behind the right beginning too."""
    for data in (raw, RAW[:10] + raw, RAW[:43] + raw, RAW + raw[:1] + b"x"):
        with pytest.raises(RemoteProtocolError):
            verify(data, Kind.CARD)


def _structure(
    *,
    tag: bytes = b"\xd2",
    array: bytes = b"\x84",
    protected: bytes = b"\x58\x26\xa2\x01\x32\x04\x58\x20" + KEY.public,
    unprotected: bytes = b"\xa0",
    payload: bytes = b"\x41x",
    signature: bytes = b"\x58\x40" + bytes(64),
    more: bytes = b"",
) -> bytes:
    return tag + array + protected + unprotected + payload + signature + more


@pytest.mark.parametrize(
    "changes",
    [
        {"tag": b""},
        {"tag": b"\xd1"},
        {"tag": b"\xd8\x12"},
        {"array": b"\x85", "more": b"\x00"},
        {"array": b"\x98\x04"},
        {"array": b"\x9f", "more": b"\xff"},
        {"protected": b"\x58\x26\xa2\x04\x58\x20" + KEY.public + b"\x01\x32"},
        {"protected": b"\x58\x26\xa2\x01\x27\x04\x58\x20" + KEY.public},
        {"protected": b"\x58\x25\xa2\x01\x32\x04\x58\x1f" + KEY.public[:31]},
        {"protected": b"\x58\x27\xa2\x01\x32\x04\x58\x21" + KEY.public + b"x"},
        {"protected": b"\x43\xa1\x01\x32"},
        {"protected": b"\x40"},
        {"protected": b"\xa2\x01\x32\x04\x58\x20" + KEY.public},
        {"unprotected": b"\xa1\x04\x41x"},
        {"unprotected": b"\xf6"},
        {"unprotected": b"\xb8\x00"},
        {"unprotected": b"\x40"},
        {"payload": b"\x58\x01x"},
        {"payload": b"\x59\x00\x01x"},
        {"payload": b"\x5a\x00\x00\x00\x01x"},
        {"payload": b"\x61x"},
        {"payload": b"\xf6"},
        {"payload": b"\x42x"},
        {"payload": b"\x5f\x41x\xff"},
        {"signature": b"\x58\x3f" + bytes(63)},
        {"signature": b"\x58\x41" + bytes(65)},
        {"signature": b"\x59\x00\x40" + bytes(64)},
        {"signature": b"\x40"},
        {"more": b"\x00"},
    ],
)
def test_any_other_structure_is_refused(changes):
    """Other tags, headers, orders, lengths and trailing bytes."""
    parse_signed(_structure())
    with Refused("bad-cose"):
        parse_signed(_structure(**changes))


def test_order_of_checks():
    """Size, structure, key, signature."""
    with Refused("too-large"):
        verify(bytes(11), Kind.CARD, limit=10)
    small = b"\x58\x26\xa2\x01\x32\x04\x58\x20" + bytes(32)
    with Refused("bad-cose"):
        verify(_structure(protected=small, unprotected=b"\xf6"), Kind.CARD)
    with Refused("bad-key"):
        verify(_structure(protected=small), Kind.CARD)
    with Refused("bad-signature"):
        verify(_structure(), Kind.CARD)


def test_known_key_is_not_judged_again_but_its_signature_is():
    """The quick way checks the signature all the same."""
    signed = parse_signed(RAW)
    verify_by_known_key(signed, Kind.CARD)
    verify_signed(signed, Kind.CARD)
    with Refused("bad-signature"):
        verify_by_known_key(signed, Kind.GRANT)


def test_signature_is_not_malleable():
    """S plus the group order satisfies the equation, and is refused; so is an R of small order."""
    signed = parse_signed(RAW)
    s = int.from_bytes(signed.signature[32:], "little")
    with Refused("bad-signature"):
        verify(RAW[:-32] + little(s + ORDER), Kind.CARD)
    with Refused("bad-signature"):
        verify(RAW[:-64] + little(1) + RAW[-32:], Kind.CARD)


# --- Keys ---

#: Points of order 1, 2, 4, 4, 8, 8, 8, 8.
SMALL_ORDER = [
    little(1),
    little(P - 1),
    little(0),
    little(2**255),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
]
#: The same points and others, with y not reduced or a sign that zero does not have.
NOT_CANONICAL = [
    little(P),
    little(P + 1),
    little(P + 2**255),
    little(P + 1 + 2**255),
    little(1 + 2**255),
    little(P - 1 + 2**255),
    little(2**255 - 1),
    little(2**256 - 1),
]


@pytest.mark.parametrize("key", [*SMALL_ORDER, *NOT_CANONICAL], ids=bytes.hex)
def test_degenerate_signing_keys_are_refused(key):
    """Points of small order, encodings that are not canonical, and what is no point."""
    with Refused("bad-key", "where"):
        check_signing_key(key, "where")


@pytest.mark.parametrize("torsion", SMALL_ORDER[1:], ids=bytes.hex)
def test_mixed_order_signing_keys_are_refused(torsion):
    """An honest point plus one of small order is outside the prime-order subgroup."""
    with Refused("bad-key"):
        check_signing_key(sodium.crypto_core_ed25519_add(KEY.public, torsion))


@given(st.binary(max_size=40))
def test_any_bytes_are_a_key_or_an_ordinary_refusal(data):
    """Wrong lengths included, for both sorts of key."""
    for check in (check_signing_key, check_encryption_key):
        try:
            assert check(data) == data
        except RemoteProtocolError:
            continue
        assert len(data) == 32


@given(st.binary(min_size=32, max_size=32))
def test_honest_keys_are_accepted(seed):
    """Every key that libsodium makes passes."""
    assert check_signing_key(SigningKey.from_seed(seed).public)
    assert check_encryption_key(EncryptionKey.from_secret(seed).public)


#: X25519 u-coordinates of small order on the curve and its twist (RFC 7748 section 6.1).
SMALL_U = [
    little(0),
    little(1),
    little(P - 1),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
]


@pytest.mark.parametrize(
    "key",
    [
        *SMALL_U,
        *(little(P + extra) for extra in range(19)),
        *(little(int.from_bytes(key, "little") | 1 << 255) for key in SMALL_U),
        little(9 + 2**255),
        little(2**256 - 1),
        b"",
        bytes(31),
        little(9) + b"\x00",
    ],
    ids=bytes.hex,
)
def test_degenerate_encryption_keys_are_refused(key):
    """Products of zero, numbers not below 2^255 - 19, the unused high bit, wrong lengths."""
    with Refused("bad-key", "where"):
        check_encryption_key(key, "where")


def test_secrets_are_kept_out_of_representations():
    """A key that is printed by mistake gives nothing away."""
    pair = encryption_key("x")
    assert repr(pair.secret) not in repr(pair)
    assert "_secret" not in repr(KEY)


@pytest.mark.parametrize("make", [SigningKey.from_seed, EncryptionKey.from_secret])
def test_seeds_are_thirty_two_bytes(make):
    """Anything else is our own bug."""
    with pytest.raises(LocalProtocolError):
        make(bytes(31))
