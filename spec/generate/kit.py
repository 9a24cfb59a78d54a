"""Bytes, keys and signatures for the vectors: a small CBOR writer, COSE_Sign1 and sealing over libsodium.

Everything comes from fixed labels, so the same vectors come out on every machine. What is to be wrong is
made wrong on purpose: `Raw` splices bytes into an encoding, `head` writes heads wider than they need be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nacl import bindings as sodium

NOW = 1_700_000_000_000
MINUTE = 60_000
DAY = 24 * 60 * MINUTE


# --- CBOR -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Raw:
    """Bytes to be spliced into an encoding as they are."""

    data: bytes


Value = int | bytes | str | bool | None | Raw | Sequence["Value"] | Mapping[str, "Value"]
Map = dict[str, Value]


def head(major: int, number: int, width: int | None = None) -> bytes:
    """The head of an item (RFC 8949 section 3), in the shortest form, or in `width` argument bytes."""
    if width is None:
        width = next(
            w for w, end in ((0, 24), (1, 1 << 8), (2, 1 << 16), (4, 1 << 32), (8, 1 << 64)) if number < end
        )
    if width == 0:
        return bytes((major << 5 | number,))
    return bytes((major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[width],)) + number.to_bytes(width, "big")


def enc(value: Value) -> bytes:
    """The deterministic encoding (RFC 8949 section 4.2.1): map keys sorted by the bytes of their encoding."""
    if isinstance(value, Raw):
        return value.data
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        raw = value.encode()
        return head(3, len(raw)) + raw
    if isinstance(value, Mapping):
        pairs = sorted((enc(key), enc(member)) for key, member in value.items())
        return head(5, len(pairs)) + b"".join(key + member for key, member in pairs)
    return head(4, len(value)) + b"".join(enc(member) for member in value)


def without(members: Mapping[str, Value], *keys: str) -> Map:
    """A copy of a map that lacks some keys."""
    return {key: member for key, member in members.items() if key not in keys}


# --- Hashes and keys --------------------------------------------------------------------------------------


def sha(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def fixed(label: str, size: int = 32) -> bytes:
    """`size` bytes that depend on the label alone."""
    return hashlib.shake_256(b"taskferry vector " + label.encode()).digest(size)


def blake(key: bytes, person: str, message: bytes = b"", size: int = 32) -> bytes:
    """Keyed BLAKE2b with a personalization padded with zero bytes."""
    return hashlib.blake2b(
        message, digest_size=size, key=key, person=person.encode().ljust(16, b"\0")
    ).digest()


class Signer:
    """An Ed25519 key pair from a label."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.seed = fixed("ed25519 " + label)
        self.public, self._secret = sodium.crypto_sign_seed_keypair(self.seed)

    def raw_signature(self, message: bytes) -> bytes:
        """The bare 64-byte signature over a message."""
        return sodium.crypto_sign(message, self._secret)[:64]


class Box:
    """An X25519 key pair from a label."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.secret = fixed("x25519 " + label)
        self.public = sodium.crypto_scalarmult_base(self.secret)

    def pair(self) -> list[str]:
        """Public and secret half in hex, as vectors give them."""
        return [self.public.hex(), self.secret.hex()]


def tampered(data: bytes, at: int = -1) -> bytes:
    """The same bytes with one bit flipped."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


# --- COSE_Sign1 -------------------------------------------------------------------------------------------


def protected(key: bytes) -> bytes:
    """The protected header that there is: `{1: -19, 4: key}`."""
    return b"\xa2\x01\x32\x04" + enc(key)


def to_be_signed(kind: str, header: bytes, payload: bytes) -> bytes:
    """The Sig_structure of RFC 9052 section 4.4 with this protocol's external_aad."""
    return enc(["Signature1", header, f"taskferry/1/{kind}".encode(), payload])


def assemble(header: bytes, payload: bytes, signature: bytes) -> bytes:
    """A tagged structure from its three parts."""
    return b"\xd2\x84" + enc(header) + b"\xa0" + enc(payload) + enc(signature)


def sign(key: Signer, kind: str, payload: Value | bytes, *, by: Signer | None = None) -> bytes:
    """The structure that names `key`; `by` signs in its stead to make a wrong signature.

    A payload of bytes is taken as already encoded.
    """
    body = payload if isinstance(payload, bytes) else enc(payload)
    header = protected(key.public)
    return assemble(header, body, (by or key).raw_signature(to_be_signed(kind, header, body)))


# --- Sealing, suite 1 ---------------------------------------------------------------------------------------


def padme(length: int) -> int:
    """The Padmé size of a length of two or more, by floating-free arithmetic."""
    exponent = length.bit_length() - 1
    bits = exponent - exponent.bit_length()
    mask = (1 << bits) - 1
    return (length + mask) // (mask + 1) * (mask + 1)


def padded(content: bytes) -> bytes:
    """`plain`: length, content, zeros."""
    size = max(256, padme(4 + len(content)))
    return (len(content).to_bytes(4, "big") + content).ljust(size, b"\0")


def content_key(key: bytes) -> bytes:
    """The key of the cipher."""
    return blake(key, "tf1 content")


def commitment(key: bytes) -> bytes:
    """What the header says of K."""
    return blake(key, "tf1 commit")


def encrypt(key: bytes, nonce: bytes, plain: bytes, associated: bytes) -> bytes:
    """XChaCha20-Poly1305-IETF under the content key of K."""
    return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, associated, nonce, content_key(key))


def wrap(key: bytes, recipient: bytes, ephemeral: Box) -> bytes:
    """K in the layout of `crypto_box_seal`, with a chosen ephemeral key."""
    nonce = hashlib.blake2b(ephemeral.public + recipient, digest_size=24).digest()
    return ephemeral.public + sodium.crypto_box(key, nonce, recipient, ephemeral.secret)


def uuid7(at: int, label: str) -> bytes:
    """A UUIDv7 whose random bits come from a label."""
    raw = bytearray(at.to_bytes(6, "big") + fixed("uuid " + label, 10))
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return bytes(raw)
