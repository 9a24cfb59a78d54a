"""Keys, signatures and sealing: libsodium's primitives, composed. Sole importer of nacl.

Signatures are COSE_Sign1 (RFC 9052 section 4.2) with Ed25519 (RFC 9864), spec/taskferry.md section 3.
Sealing is suite 1, spec/envelope.md section 4. Nothing in here draws randomness: seeds, keys and nonces are
arguments.
"""

from __future__ import annotations

import hashlib
import struct
from enum import StrEnum
from typing import Final

import attrs
from nacl import bindings as sodium
from nacl.exceptions import CryptoError

from .errors import LocalProtocolError, RejectCode, RemoteProtocolError
from .ids import Hash, sha256
from .limits import ENVELOPE_BYTES, PADDED_FLOOR_BYTES
from .values import value

__all__ = [
    "EncryptionKey",
    "Kind",
    "Signed",
    "SigningKey",
    "blake2b_256",
    "bstr_head",
    "check_encryption_key",
    "check_signature",
    "check_signing_key",
    "content_keys",
    "open_chunk",
    "open_sealed",
    "padded_length",
    "parse_signed",
    "seal",
    "seal_chunk",
    "stretch",
    "unwrap_key",
    "verify",
    "verify_by_known_key",
    "verify_signed",
    "wrap_key",
]

SUITE: Final = 1
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24
SEALED_KEY_BYTES: Final = 80
#: The least `ct` there is: the padding floor and the cipher's tag.
LEAST_CIPHERTEXT: Final = PADDED_FLOOR_BYTES + 16


class Kind(StrEnum):
    """What a signature is for; part of what is signed, so that none can be lifted to another use."""

    ENVELOPE = "envelope"
    STATEMENT = "statement"
    SELF_STATEMENT = "self-statement"
    DEVICE_CONSENT = "device-consent"
    RECOVERY_CONSENT = "recovery-consent"
    CARD = "card"
    CONNECTION_REQUEST = "connection-request"
    CONNECTION_ACCEPT = "connection-accept"
    CONNECTION_END = "connection-end"
    GRANT = "grant"
    INVITE = "invite"
    AUTH = "auth"


# --- Keys ---------------------------------------------------------------------------------------------------


@attrs.frozen
class SigningKey:
    """An Ed25519 key pair, made from a 32-byte seed that the caller drew."""

    public: bytes
    _secret: bytes = attrs.field(repr=False)

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        """The key pair of a seed of 32 bytes (RFC 8032 section 5.1.5)."""
        if len(seed) != KEY_BYTES:
            raise LocalProtocolError("a signing seed is 32 bytes")
        public, secret = sodium.crypto_sign_seed_keypair(seed)
        return cls(public, secret)

    @property
    def seed(self) -> bytes:
        """The 32 bytes that the pair was made from, for whoever keeps it."""
        return self._secret[:KEY_BYTES]

    def sign(self, kind: Kind, payload: bytes) -> bytes:
        """The tagged COSE_Sign1 structure over `payload` for this kind of use."""
        protected = _PROTECTED_HEAD + self.public
        signed = sodium.crypto_sign(_to_be_signed(kind, protected, payload), self._secret)
        return b"".join(
            (_PREFIX, protected, b"\xa0", bstr_head(len(payload)), payload, b"\x58\x40", signed[:64])
        )


@attrs.frozen
class EncryptionKey:
    """An X25519 key pair, made from 32 bytes that the caller drew."""

    public: bytes
    secret: bytes = attrs.field(repr=False)

    @classmethod
    def from_secret(cls, secret: bytes) -> EncryptionKey:
        """The key pair of a secret scalar of 32 bytes (RFC 7748 section 6.1)."""
        if len(secret) != KEY_BYTES:
            raise LocalProtocolError("an encryption secret is 32 bytes")
        return cls(sodium.crypto_scalarmult_base(secret), secret)


def check_signing_key(key: bytes, field: str = "") -> bytes:
    """`key` itself if it is an acceptable Ed25519 key, else `bad-key` (spec/taskferry.md section 3)."""
    if len(key) != KEY_BYTES or not sodium.crypto_core_ed25519_is_valid_point(key):
        raise RemoteProtocolError(RejectCode.BAD_KEY, "not an acceptable Ed25519 public key", field=field)
    return key


_FIELD_PRIME: Final = 2**255 - 19
_ANY_SCALAR: Final = b"\x08" + bytes(30) + b"\x40"


def check_encryption_key(key: bytes, field: str = "") -> bytes:
    """`key` itself if it is an acceptable X25519 public key; `bad-key` otherwise (RFC 7748 section 6.1)."""
    if len(key) == KEY_BYTES and int.from_bytes(key, "little") < _FIELD_PRIME:
        try:
            sodium.crypto_scalarmult(_ANY_SCALAR, key)
        except (CryptoError, RuntimeError):
            pass  # libsodium refuses points of small order: their product is zero
        else:
            return key
    raise RemoteProtocolError(RejectCode.BAD_KEY, "not an acceptable X25519 public key", field=field)


# --- Signatures ---------------------------------------------------------------------------------------------

# Tag 18, an array of four, a byte string of 38: the map {1: -19, 4: bstr 32}, whose key follows.
_PREFIX: Final = b"\xd2\x84\x58\x26"
_PROTECTED_HEAD: Final = b"\xa2\x01\x32\x04\x58\x20"
_HEAD: Final = _PREFIX + _PROTECTED_HEAD
_KEY_AT: Final = len(_HEAD)
_UNPROTECTED_AT: Final = _KEY_AT + KEY_BYTES
_PAYLOAD_AT: Final = _UNPROTECTED_AT + 1
_SIGNATURE: Final = b"\x58\x40"
#: The bytes of a byte string's head by its first, where they are more than one.
_HEAD_BYTES: Final = {b"\x58": 2, b"\x59": 3, b"\x5a": 5}


# The head, the key, no unprotected members, and the length of a payload of 256 bytes or more, up to 64 KiB.
_USUAL: Final = struct.Struct(">10s32s2sH")
_USUAL_PAYLOAD: Final = b"\xa0\x59"
_LEAST_USUAL: Final = _USUAL.size + 0xFF + 66


@value
class Signed:
    """A COSE_Sign1 structure taken apart but not yet believed: `verify_signed` before using the payload."""

    key: bytes
    payload: bytes
    signature: bytes = attrs.field(repr=False)
    hash: Hash
    raw: bytes = attrs.field(repr=False)


def bstr_head(length: int) -> bytes:
    """The head of a byte string (RFC 8949 section 3.1)."""
    if length < 24:
        return bytes((0x40 | length,))
    if length < 0x100:
        return bytes((0x58, length))
    if length < 0x10000:
        return b"\x59" + length.to_bytes(2, "big")
    return b"\x5a" + length.to_bytes(4, "big")


def _aad(kind: Kind) -> bytes:
    text = b"taskferry/1/" + kind.value.encode()
    return bstr_head(len(text)) + text


_AAD: Final = {kind: _aad(kind) for kind in Kind}
# ["Signature1", bstr 38, aad, payload]
_SIG_STRUCTURE: Final = b"\x84\x6aSignature1\x58\x26"
_SIGNED_HEAD: Final = _SIG_STRUCTURE + _PROTECTED_HEAD


def _to_be_signed(kind: Kind, protected: bytes, payload: bytes) -> bytes:
    return b"".join((_SIG_STRUCTURE, protected, _AAD[kind], bstr_head(len(payload)), payload))


def parse_signed(raw: bytes, *, limit: int = ENVELOPE_BYTES) -> Signed:
    """Take a tagged COSE_Sign1 structure apart, byte for byte as specified.

    Raises RemoteProtocolError: too-large, bad-cose. Neither key nor signature is checked here.
    """
    size = len(raw)
    if size > limit:
        raise RemoteProtocolError(RejectCode.TOO_LARGE, f"{size} bytes, {limit} allowed")
    if size > _LEAST_USUAL:
        # Mostly the payload's length takes two bytes, and all stands where it must.
        head, key, before, length = _USUAL.unpack_from(raw)
        if (
            head == _HEAD
            and before == _USUAL_PAYLOAD
            and length == size - _USUAL.size - 66
            and raw[-66:-64] == _SIGNATURE
        ):
            return Signed(key, raw[_USUAL.size : -66], raw[-64:], sha256(raw), raw)
    if not raw.startswith(_HEAD) or raw[_UNPROTECTED_AT:_PAYLOAD_AT] != b"\xa0":
        raise RemoteProtocolError(RejectCode.BAD_COSE, "not the COSE_Sign1 structure of this protocol")
    end = len(raw) - 66
    start = _PAYLOAD_AT + _HEAD_BYTES.get(raw[_PAYLOAD_AT : _PAYLOAD_AT + 1], 1)
    # The payload fills what is left, so only one head is possible there.
    if (
        start > end
        or not raw.startswith(bstr_head(end - start), _PAYLOAD_AT)
        or raw[end : end + 2] != _SIGNATURE
    ):
        raise RemoteProtocolError(RejectCode.BAD_COSE, "not the COSE_Sign1 structure of this protocol")
    return Signed(raw[_KEY_AT:_UNPROTECTED_AT], raw[start:end], raw[end + 2 :], sha256(raw), raw)


def verify_signed(signed: Signed, kind: Kind) -> None:
    """Check the key, then the signature for this kind. Raises RemoteProtocolError: bad-key, bad-signature."""
    check_signing_key(signed.key)
    check_signature(signed.raw, signed.key, kind)


def verify_by_known_key(signed: Signed, kind: Kind) -> None:
    """Check the signature alone: for a key that passed `check_signing_key` when it was first seen."""
    check_signature(signed.raw, signed.key, kind)


def check_signature(raw: bytes, key: bytes, kind: Kind) -> None:
    """As `verify_by_known_key`, for the bytes of a structure that was taken apart before, by `key`."""
    # The payload, its head before it, stands in the structure as it is signed.
    message = b"".join((raw[-64:], _SIGNED_HEAD, key, _AAD[kind], raw[_PAYLOAD_AT:-66]))
    try:
        sodium.crypto_sign_open(message, key)
    except (CryptoError, ValueError) as error:
        raise RemoteProtocolError(RejectCode.BAD_SIGNATURE, f"does not verify as {kind.value}") from error


def verify(raw: bytes, kind: Kind, *, limit: int = ENVELOPE_BYTES) -> Signed:
    """Parse and verify in one step. Raises as `parse_signed` and `verify_signed` do."""
    signed = parse_signed(raw, limit=limit)
    verify_signed(signed, kind)
    return signed


# --- Sealing ------------------------------------------------------------------------------------------------


def blake2b_256(*, key: bytes, person: str, message: bytes = b"") -> bytes:
    """Keyed BLAKE2b of 32 bytes with a personalization of at most 16 ASCII bytes (RFC 7693)."""
    # Python's own: the same function, without PyNaCl's checks of each argument, which take longer than it.
    return hashlib.blake2b(message, digest_size=32, key=key, person=person.encode("ascii")).digest()


def content_keys(key: bytes) -> tuple[bytes, bytes]:
    """`(content_key, commit)` of a 32-byte K (spec/envelope.md section 4)."""
    return blake2b_256(key=key, person="tf1 content"), blake2b_256(key=key, person="tf1 commit")


def padded_length(length: int) -> int:
    """The size in bytes that `length` bytes of content are padded to, the four of the length included."""
    total = 4 + length
    if total <= PADDED_FLOOR_BYTES:
        return PADDED_FLOOR_BYTES
    exponent = total.bit_length() - 1
    mask = (1 << (exponent - exponent.bit_length())) - 1
    return (total + mask) & ~mask


def seal(content: bytes, *, content_key: bytes, nonce: bytes, associated: bytes) -> bytes:
    """Pad and encrypt `content`: XChaCha20-Poly1305-IETF, the tag appended."""
    plain = (struct.pack(">I", len(content)) + content).ljust(padded_length(len(content)), b"\0")
    return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, associated, nonce, content_key)


def open_sealed(ct: bytes, *, content_key: bytes, nonce: bytes, associated: bytes) -> bytes:
    """The content of `ct`. Raises RemoteProtocolError: bad-ciphertext, bad-padding."""
    try:
        plain = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(ct, associated, nonce, content_key)
    except (CryptoError, ValueError, TypeError) as error:
        raise RemoteProtocolError(RejectCode.BAD_CIPHERTEXT, "the cipher refuses it") from error
    length = int.from_bytes(plain[:4], "big")
    end = 4 + length
    if end > len(plain) or len(plain) != padded_length(length) or plain.count(0, end) != len(plain) - end:
        raise RemoteProtocolError(RejectCode.BAD_PADDING, "length or padding is not as prescribed")
    return plain[4:end]


def wrap_key(key: bytes, recipient: bytes, *, ephemeral: bytes) -> bytes:
    """K sealed for one X25519 public key: 80 bytes, opened by libsodium's `crypto_box_seal_open`.

    `ephemeral` is 32 fresh random bytes. The recipient's key was checked when it was first seen; one of small
    order raises RemoteProtocolError(bad-key) here all the same.
    """
    pair = EncryptionKey.from_secret(ephemeral)
    nonce = hashlib.blake2b(pair.public + recipient, digest_size=NONCE_BYTES).digest()
    try:
        return pair.public + sodium.crypto_box(key, nonce, recipient, pair.secret)
    except (CryptoError, RuntimeError, ValueError) as error:
        raise RemoteProtocolError(RejectCode.BAD_KEY, "nothing can be sealed for this key") from error


def unwrap_key(sealed: bytes, mine: EncryptionKey) -> bytes:
    """The 32-byte K inside a wrap. Raises RemoteProtocolError(bad-wrap)."""
    try:
        key = sodium.crypto_box_seal_open(sealed, mine.public, mine.secret)
    except (CryptoError, RuntimeError, ValueError, TypeError) as error:
        raise RemoteProtocolError(RejectCode.BAD_WRAP, "the wrapped key does not open") from error
    if len(key) != KEY_BYTES:
        raise RemoteProtocolError(RejectCode.BAD_WRAP, "the wrapped key is not 32 bytes")
    return key


# --- Streams of chunks, and passphrases ---------------------------------------------------------------------

#: What the cipher adds to a chunk.
TAG_BYTES: Final = 16
SALT_BYTES: Final = 16


def _chunk_nonce(index: int, final: int) -> bytes:
    return bytes(19) + index.to_bytes(4, "big") + bytes((final,))


def seal_chunk(plain: bytes, *, key: bytes, index: int, final: int) -> bytes:
    """One chunk of a stream whose key is used for no other: `final` is 1 for the last chunk, else 0.

    XChaCha20-Poly1305-IETF; the nonce is 19 zero bytes, the index as u32, and `final` (spec/backup.md 3).
    """
    return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, None, _chunk_nonce(index, final), key)


def open_chunk(sealed: bytes, *, key: bytes, index: int, final: int) -> bytes:
    """The chunk that `seal_chunk` made. Raises RemoteProtocolError(bad-ciphertext)."""
    nonce = _chunk_nonce(index, final)
    try:
        return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, None, nonce, key)
    except (CryptoError, ValueError, TypeError) as error:
        raise RemoteProtocolError(RejectCode.BAD_CIPHERTEXT, f"chunk {index} does not open") from error


def stretch(passphrase: str, *, salt: bytes, ops: int, memory: int) -> bytes:
    """A key of 32 bytes from a passphrase by Argon2id (RFC 9106, version 0x13) with one lane.

    `ops` passes over `memory` bytes; takes that memory, and time in proportion. The caller bounds both.
    Raises LocalProtocolError where the machine has not so much memory.
    """
    try:
        return sodium.crypto_pwhash_alg(
            KEY_BYTES, passphrase.encode(), salt, ops, memory, sodium.crypto_pwhash_ALG_ARGON2ID13
        )
    except (CryptoError, RuntimeError, MemoryError) as error:
        raise LocalProtocolError("there is not enough memory to read this passphrase") from error
