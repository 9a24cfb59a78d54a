"""Deterministic CBOR: one encoding for each value, and a code for everything else (spec/taskferry.md 2)."""

import struct

import hypothesis.strategies as st
import pytest
from hypothesis import given

from taskferry_protocol.cbor import Value, decode, encode
from taskferry_protocol.errors import LocalProtocolError, RemoteProtocolError

from .owners import Refused

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.binary(max_size=300)
    | st.text(st.characters(codec="utf-8"), max_size=60),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=30), inner, max_size=5)
    ),
    max_leaves=25,
)


def _depth(value: Value) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def write_head(major: int, number: int) -> bytes:
    """The shortest head (RFC 8949 section 3), written independently of the code under test."""
    first = major << 5
    if number < 24:
        return bytes([first | number])
    for info, form in ((24, ">B"), (25, ">H"), (26, ">I")):
        if number < 1 << (8 * struct.calcsize(form)):
            return bytes([first | info]) + struct.pack(form, number)
    return bytes([first | 27]) + struct.pack(">Q", number)


def write(value: Value) -> bytes:
    """An encoder of the core deterministic form in the words of RFC 8949 section 4.2.1."""
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return write_head(0, value) if value >= 0 else write_head(1, -1 - value)
    if isinstance(value, bytes):
        return write_head(2, len(value)) + value
    if isinstance(value, str):
        return write_head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return write_head(4, len(value)) + b"".join(map(write, value))
    pairs = sorted((write(key), write(member)) for key, member in value.items())
    return write_head(5, len(value)) + b"".join(key + member for key, member in pairs)


@given(VALUES)
def test_encoding_is_the_one_of_the_standard(value):
    """An independent writer comes to the same bytes, whatever the order of insertion."""
    assert encode(value) == write(value)


@given(VALUES.filter(lambda value: _depth(value) <= 12))
def test_decoding_undoes_encoding(value):
    """The value comes back with its exact types."""
    back = decode(encode(value))
    assert back == value
    assert repr(sorted_keys(back)) == repr(sorted_keys(value))


def sorted_keys(value: Value) -> object:
    """The value with its maps in one order, so that their representations compare."""
    if isinstance(value, dict):
        return sorted((key, sorted_keys(member)) for key, member in value.items())
    return [sorted_keys(item) for item in value] if isinstance(value, list) else value


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_an_ordinary_refusal(data):
    """And what is a value has no other encoding."""
    try:
        value = decode(data)
    except RemoteProtocolError:
        return
    assert encode(value) == data


@given(VALUES, st.data())
def test_damaged_encodings_are_refused_or_other_values(value, data):
    """A flipped byte, a missing end and a trailing byte never pass for the same value."""
    raw = encode(value)
    for cut in {0, len(raw) // 2, len(raw) - 1}:
        with Refused("malformed"):
            decode(raw[:cut])
    with pytest.raises(RemoteProtocolError):
        decode(raw + b"\x00")
    place = data.draw(st.integers(0, len(raw) - 1))
    damaged = bytearray(raw)
    damaged[place] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(bytes(damaged))
    except RemoteProtocolError:
        return
    assert encode(other) == damaged != raw


def _wide_heads(raw_number: int, major: int) -> list[bytes]:
    """Every head of this number that is longer than it need be."""
    shortest = write_head(major, raw_number)
    forms = [
        bytes([major << 5 | info]) + struct.pack(form, raw_number)
        for info, form in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q"))
        if raw_number < 1 << (8 * struct.calcsize(form))
    ]
    return [form for form in forms if len(form) > len(shortest)]


@given(st.sampled_from([0, 1, 5, 23, 24, 255, 256, 65535, 65536, 2**32 - 1]), st.sampled_from([0, 1]))
def test_longer_integers_are_not_canonical(number, major):
    """Each width but the shortest is refused, for both signs."""
    for raw in _wide_heads(number, major):
        with Refused("not-canonical"):
            decode(raw)


@given(st.binary(max_size=30), st.sampled_from([2, 3, 4, 5]))
def test_longer_lengths_are_not_canonical(content, major):
    """Strings, arrays and maps as well."""
    size = len(content)
    body = {
        2: content,
        3: b"a" * size,
        4: b"\x00" * size,
        5: b"".join(write(f"{number:02}") + b"\x00" for number in range(size)),
    }[major]
    for head in _wide_heads(size, major):
        with Refused("not-canonical"):
            decode(head + body)


@given(st.lists(st.text("abc", max_size=3), min_size=2, max_size=5, unique=True), st.data())
def test_maps_in_another_order_are_not_canonical(keys, data):
    """Sorted by the bytes of their encoding, so shorter keys come first."""
    ordered = sorted(keys, key=write)
    order = data.draw(st.permutations(ordered))
    raw = write_head(5, len(keys)) + b"".join(write(key) + b"\xf6" for key in order)
    if order == ordered:
        assert decode(raw) == dict.fromkeys(keys)
    else:
        with Refused("not-canonical"):
            decode(raw)


def nested(depth: int) -> bytes:
    """So many arrays in each other."""
    return b"\x81" * (depth - 1) + b"\x80"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "malformed"),
        (b"\x18", "malformed"),
        (b"\x42a", "malformed"),
        (b"\x62\xc3\x28", "malformed"),
        (b"\x63\xed\xa0\x80", "malformed"),
        (b"\x7f\x62\xc3\x28\xff", "malformed"),
        (b"\x9b" + b"\xff" * 8, "malformed"),
        (b"\xbb" + b"\xff" * 8, "malformed"),
        (b"\x5b" + b"\xff" * 8, "malformed"),
        (b"\x1c", "malformed"),
        (b"\x3d", "malformed"),
        (b"\xfc", "malformed"),
        (b"\xff", "malformed"),
        (b"\x1f", "malformed"),
        (b"\xdf", "malformed"),
        (b"\x81\xff", "malformed"),
        (b"\xa1\x61a\xff", "malformed"),
        (b"\x9f\x00", "malformed"),
        (b"\xbf\x61a", "malformed"),
        (b"\x5f\x61a\xff", "malformed"),
        (b"\x5f\x5f\xff\xff", "malformed"),
        (b"\x5f", "malformed"),
        (b"\xf8\x14", "malformed"),
        (b"\xf8\x1f", "malformed"),
        (b"\x00\x00", "malformed"),
        (b"\xf9\x7e\x00\x00", "malformed"),
        (nested(13), "too-deep"),
        (b"\xa1\x61a" * 12 + b"\x80", "too-deep"),
        (nested(30), "too-deep"),
        (nested(5000), "too-deep"),
        (b"\xc1" * 5000 + b"\x00", "too-deep"),
        (b"\x9f" * 13 + b"\xff" * 13, "too-deep"),
        (b"\xf9\x00\x00", "forbidden-item"),
        (b"\xfa\x00\x00\x00\x00", "forbidden-item"),
        (b"\xfb" + bytes(8), "forbidden-item"),
        (b"\xf7", "forbidden-item"),
        (b"\xe0", "forbidden-item"),
        (b"\xf8\xff", "forbidden-item"),
        (b"\xc0\x60", "forbidden-item"),
        (b"\xc2\x41\x01", "forbidden-item"),
        (b"\xc4\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x01", "forbidden-item"),
        (b"\xd8\x23\x63(a+", "forbidden-item"),
        (b"\xd8\x23\x64(a+", "malformed"),
        (b"\xd8\x1c\x80", "forbidden-item"),
        (b"\xd8\x1d\x00", "forbidden-item"),
        (b"\xd2\x80", "forbidden-item"),
        (b"\xd9\xd9\xf7\x00", "forbidden-item"),
        (b"\xd9\x27\x10\x00", "forbidden-item"),
        (b"\x81\xf9\x00\x00", "forbidden-item"),
        (b"\xa1\x00\x00", "forbidden-item"),
        (b"\xa1\x41a\x00", "forbidden-item"),
        (b"\xa1\xf6\x00", "forbidden-item"),
        (b"\xa1\x80\x00", "forbidden-item"),
        (b"\xa1\xa0\x00", "forbidden-item"),
        (b"\x9f\xff", "not-canonical"),
        (b"\xbf\xff", "not-canonical"),
        (b"\xbf\x61a\x00\xff", "not-canonical"),
        (b"\x5f\x41a\x41b\xff", "not-canonical"),
        (b"\x7f\x61a\xff", "not-canonical"),
        (b"\xa2\x61a\x00\x61a\x00", "not-canonical"),
        (b"\xa2\x61b\x00\x61a\x00", "not-canonical"),
        (b"\xa2\x62aa\x00\x61b\x00", "not-canonical"),
        (b"\x81\xa2\x61b\x00\x61a\x00", "not-canonical"),
    ],
)
def test_every_fault_has_its_code(raw, code):
    """One input a rule."""
    with Refused(code):
        decode(raw)


def test_graver_faults_are_told_first():
    """Malformed before too deep before forbidden before not canonical."""
    for raw, code in (
        (nested(13) + b"\x00", "malformed"),
        (b"\x82\xf7" + nested(12), "too-deep"),
        (b"\x82\x18\x00\xf7", "forbidden-item"),
        (b"\x82\x18\x00\x42a", "malformed"),
    ):
        with Refused(code):
            decode(raw)


def test_depth_of_twelve_is_allowed():
    """Scalars do not count."""
    assert encode(decode(nested(12))) == nested(12)
    maps = b"\xa1\x61a" * 12 + b"\xf5"
    assert encode(decode(maps)) == maps


def test_limit_is_looked_at_first():
    """What is too long is not even read."""
    assert decode(b"\x43abc", limit=4) == b"abc"
    with Refused("too-large"):
        decode(b"\xff" * 5, limit=4)


@pytest.mark.parametrize("number", [2**64 - 1, -(2**64)])
def test_whole_range_of_integers(number):
    """64 bits and a sign, and nothing beyond."""
    assert decode(encode(number)) == number


@pytest.mark.parametrize("value", [object(), "\ud800", {1, 2}.__class__])
def test_what_cannot_be_encoded_is_our_own_bug(value):
    """A value that is none is refused before it becomes bytes."""
    with pytest.raises(LocalProtocolError):
        encode(value)
