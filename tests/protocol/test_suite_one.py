"""Suite 1: derived keys, padding, the cipher, and wraps (spec/envelope.md section 4)."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from nacl import bindings as sodium
from nacl.public import PrivateKey, SealedBox

from taskferry_protocol.crypto import (
    LEAST_CIPHERTEXT,
    NONCE_BYTES,
    SEALED_KEY_BYTES,
    blake2b_256,
    content_keys,
    open_sealed,
    padded_length,
    seal,
    unwrap_key,
    wrap_key,
)
from taskferry_protocol.errors import RemoteProtocolError

from .owners import Refused, encryption_key, entropy_of

K = bytes(range(32))
NONCE = bytes(NONCE_BYTES)
CONTENT_KEY, COMMIT = content_keys(K)
MINE = encryption_key("mine")


def sealed(content: bytes, associated: bytes = b"h") -> bytes:
    """Content under the fixed key."""
    return seal(content, content_key=CONTENT_KEY, nonce=NONCE, associated=associated)


def opened(ct: bytes, associated: bytes = b"h", key: bytes = CONTENT_KEY) -> bytes:
    """The content of a ciphertext under the fixed key."""
    return open_sealed(ct, content_key=key, nonce=NONCE, associated=associated)


def encrypted(plain: bytes) -> bytes:
    """A ciphertext whose padding the sender made up."""
    return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, b"h", NONCE, CONTENT_KEY)


def test_content_key_and_commitment_are_apart():
    """Both come from K, by different persons."""
    assert blake2b_256(key=K, person="tf1 content") == CONTENT_KEY
    assert blake2b_256(key=K, person="tf1 commit") == COMMIT
    assert len({K, CONTENT_KEY, COMMIT}) == 3


@given(st.binary(max_size=3000), st.binary(max_size=50))
def test_opening_undoes_sealing(content, associated):
    """Under the same key, nonce and associated data."""
    ct = sealed(content, associated)
    assert opened(ct, associated) == content
    assert len(ct) == padded_length(len(content)) + 16 >= LEAST_CIPHERTEXT


@given(st.binary(max_size=300), st.integers(0, 600), st.integers(1, 255))
def test_any_change_is_refused(content, place, flip):
    """In the ciphertext, the associated data or the key."""
    ct = bytearray(sealed(content))
    ct[place % len(ct)] ^= flip
    for data, associated, key in (
        (bytes(ct), b"h", CONTENT_KEY),
        (sealed(content), b"H", CONTENT_KEY),
        (sealed(content), b"h", COMMIT),
    ):
        with Refused("bad-ciphertext"):
            opened(data, associated, key)


@given(st.binary(max_size=400))
def test_any_bytes_are_no_ciphertext(data):
    """Whatever comes, too short included."""
    with Refused("bad-ciphertext"):
        opened(data)
    with Refused("bad-wrap"):
        unwrap_key(data[:200], MINE)


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        b"\x00\x00\x00",
        bytes(255),
        bytes(257),
        b"\x00\x00\x00\x01a" + bytes(250) + b"\x01",
        b"\x00\x00\x00\x01a" + b"\x01" + bytes(250),
        b"\x00\x00\x00\xfd" + bytes(252),
        b"\xff\xff\xff\xff" + bytes(252),
        b"\x00\x00\x00\x01a" + bytes(267),
        bytes(272),
    ],
)
def test_other_padding_is_refused(plain):
    """The length fits, the total is as prescribed, the rest is zero."""
    with Refused("bad-padding"):
        opened(encrypted(plain))


@given(st.integers(0, 2**40))
def test_padding_grows_by_twelve_percent_at_most(length):
    """Padmé: room enough, a floor, and the size tells little (PURBs, PETS 2019)."""
    padded = padded_length(length)
    total = max(256, 4 + length)
    assert total <= padded <= total * 1.12
    exponent = total.bit_length() - 1
    low_bits = exponent - exponent.bit_length()
    assert padded % (1 << low_bits) == 0
    assert padded_length(length + 1) >= padded


@pytest.mark.parametrize(
    ("length", "padded"),
    [(0, 256), (252, 256), (253, 272), (268, 272), (508, 512), (509, 544), (1020, 1024), (65_536, 67_584)],
)
def test_padded_lengths_by_hand(length, padded):
    """Computed from the paper's formula."""
    assert padded_length(length) == padded


# --- Wraps ---


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_wrap_opens_as_a_sealed_box(key, ephemeral):
    """Byte-compatible with libsodium in the one direction and the other."""
    wrap = wrap_key(key, MINE.public, ephemeral=ephemeral)
    assert len(wrap) == SEALED_KEY_BYTES
    assert SealedBox(PrivateKey(MINE.secret)).decrypt(wrap) == key
    assert unwrap_key(wrap, MINE) == key
    assert unwrap_key(SealedBox(PrivateKey(MINE.secret).public_key).encrypt(key), MINE) == key


def test_same_randomness_gives_the_same_wrap():
    """Nothing is drawn inside."""
    draw = entropy_of("wrap")(32)
    assert wrap_key(K, MINE.public, ephemeral=draw) == wrap_key(K, MINE.public, ephemeral=draw)


@given(st.integers(0, 79), st.integers(1, 255))
def test_damaged_wrap_does_not_open(place, flip):
    """Nor does another's."""
    wrap = bytearray(wrap_key(K, MINE.public, ephemeral=bytes(range(32))))
    with Refused("bad-wrap"):
        unwrap_key(bytes(wrap), encryption_key("another"))
    wrap[place] ^= flip
    if place == 31 and flip == 0x80:
        return  # X25519 ignores the highest bit of a public key, but the nonce does not: told apart below
    with Refused("bad-wrap"):
        unwrap_key(bytes(wrap), MINE)


def test_wrap_with_the_unused_bit_set_does_not_open():
    """The nonce covers the ephemeral key as sent."""
    wrap = bytearray(wrap_key(K, MINE.public, ephemeral=bytes(range(32))))
    wrap[31] ^= 0x80
    with Refused("bad-wrap"):
        unwrap_key(bytes(wrap), MINE)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_wrapped_keys_are_thirty_two_bytes(size):
    """A sealed box may hold anything; a K is 32 bytes."""
    box = SealedBox(PrivateKey(MINE.secret).public_key).encrypt(bytes(size))
    with Refused("bad-wrap"):
        unwrap_key(box, MINE)


def test_nothing_is_wrapped_for_a_degenerate_key():
    """A key that slipped through is refused here all the same."""
    for recipient in (bytes(32), bytes(31)):
        with Refused("bad-key"):
            wrap_key(K, recipient, ephemeral=bytes(range(32)))
    with pytest.raises(RemoteProtocolError):
        unwrap_key(bytes(80), MINE)
