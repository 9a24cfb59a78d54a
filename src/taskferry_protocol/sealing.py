"""Making and opening envelopes: K, its wraps, and the content under it (spec/envelope.md sections 4 to 6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from . import crypto
from .crypto import (
    EncryptionKey,
    Kind,
    SigningKey,
    content_keys,
    open_sealed,
    seal,
    unwrap_key,
    wrap_key,
)
from .envelope import Envelope, Header, Parcel, Wrap, encode_header, encode_payload, parse_envelope
from .errors import LocalProtocolError, RejectCode, RemoteProtocolError
from .ids import AgentRef, Entropy, Instant, LogPosition, message_id
from .limits import WRAPS
from .messages.codec import decode_content, encode_content
from .messages.content import Content
from .values import value

__all__ = [
    "Address",
    "Opened",
    "Sealed",
    "find_wrap",
    "open_envelope",
    "open_parcel",
    "open_with_key",
    "seal_envelope",
    "wrap_for",
]


@value
class Address:
    """From whom, to whom, by which logs, and the `seq` that counts per sending device and `to`."""

    from_: AgentRef
    to: AgentRef
    seq: int
    log: LogPosition
    to_log: LogPosition


@value
class Sealed:
    """An envelope of ours, and the K that opens it: kept, to wrap it again and to prove it later."""

    envelope: Envelope
    key: bytes = attrs.field(repr=False)
    content: bytes = attrs.field(repr=False)
    """What was sealed, as it is encoded."""


@value
class Opened:
    """What was inside an envelope, the K that opened it, and the bytes that the content was read from."""

    content: Content
    key: bytes = attrs.field(repr=False)
    raw: bytes = attrs.field(repr=False)


def seal_envelope(
    content: Content,
    address: Address,
    *,
    created_at: Instant,
    expires_at: Instant,
    device_key: SigningKey,
    entropy: Entropy,
) -> Sealed:
    """Seal and sign one message. Its class is that of its type; its id is fresh, by `created_at`.

    Draws from `entropy`, in this order: K (32 bytes), the nonce (24), the id's random part (10).
    Raises LocalProtocolError for what a reader would refuse, an envelope that is too large included.
    """
    key = entropy(crypto.KEY_BYTES)
    content_key, commit = content_keys(key)
    header = Header(
        nonce=entropy(crypto.NONCE_BYTES),
        id=message_id(created_at, entropy),
        cls=content.body.message_class,
        from_=address.from_,
        to=address.to,
        seq=address.seq,
        log=address.log,
        to_log=address.to_log,
        created_at=created_at,
        expires_at=expires_at,
        suite=crypto.SUITE,
        commit=commit,
    )
    h = encode_header(header)
    encoded = encode_content(content)
    ct = seal(encoded, content_key=content_key, nonce=header.nonce, associated=h)
    raw = device_key.sign(Kind.ENVELOPE, encode_payload(h, ct))
    try:
        return Sealed(parse_envelope(raw), key, encoded)
    except RemoteProtocolError as error:
        raise LocalProtocolError(str(error)) from error


def wrap_for(key: bytes, recipients: Iterable[bytes], entropy: Entropy) -> tuple[Wrap, ...]:
    """K wrapped for each X25519 key, sorted as a parcel has them, each key once; 32 bytes of entropy each.

    With a stored K this is also how an envelope is wrapped again: the same envelope, other wraps.
    Raises LocalProtocolError for none or more than 64, RemoteProtocolError(bad-key).
    """
    keys = sorted(set(recipients))
    if not 1 <= len(keys) <= WRAPS:
        raise LocalProtocolError(f"a parcel has 1 to {WRAPS} wraps, not {len(keys)}")
    return tuple(
        Wrap(recipient, wrap_key(key, recipient, ephemeral=entropy(crypto.KEY_BYTES))) for recipient in keys
    )


def find_wrap(wraps: Iterable[Wrap], mine: Sequence[EncryptionKey]) -> tuple[Wrap, EncryptionKey]:
    """The wrap for one of my keys, current or former, and that key. Raises RemoteProtocolError(no-wrap)."""
    by_key = {key.public: key for key in mine}
    for wrap in wraps:
        if wrap.key in by_key:
            return wrap, by_key[wrap.key]
    raise RemoteProtocolError(RejectCode.NO_WRAP, "nothing here is sealed for this device")


def open_envelope(envelope: Envelope, sealed: bytes, mine: Sequence[EncryptionKey]) -> Opened:
    """Open an envelope by the wrap that a mailbox handed over, with whichever of my keys fits.

    Raises RemoteProtocolError: bad-wrap, bad-commit, bad-ciphertext, bad-padding, the codes of the content,
    class-mismatch. The signature is not looked at here.
    """
    for candidate in mine:
        try:
            key = unwrap_key(sealed, candidate)
        except RemoteProtocolError:
            continue  # sealed for another of my keys
        content, raw = _open(envelope, key)
        return Opened(content, key, raw)
    raise RemoteProtocolError(RejectCode.BAD_WRAP, "no key of this device opens the wrapped key")


def open_parcel(parcel: Parcel, envelope: Envelope, mine: Sequence[EncryptionKey]) -> Opened:
    """Open an envelope from a whole parcel. Raises no-wrap, and otherwise as `open_envelope`."""
    wrap, key = find_wrap(parcel.wraps, mine)
    return open_envelope(envelope, wrap.sealed, (key,))


def open_with_key(envelope: Envelope, key: bytes) -> Content:
    """The content under a K, wherever it came from.

    Raises RemoteProtocolError: bad-commit, bad-ciphertext, bad-padding, the codes of the content,
    class-mismatch.
    """
    return _open(envelope, key)[0]


def _open(envelope: Envelope, key: bytes) -> tuple[Content, bytes]:
    if len(key) != crypto.KEY_BYTES:
        raise RemoteProtocolError(RejectCode.BAD_COMMIT, "a content key is 32 bytes")
    content_key, commit = content_keys(key)
    if commit != envelope.header.commit:
        raise RemoteProtocolError(RejectCode.BAD_COMMIT, "not the key that the header commits to")
    raw = open_sealed(
        envelope.ct, content_key=content_key, nonce=envelope.header.nonce, associated=envelope.h
    )
    content = decode_content(raw)
    if content.body.message_class is not envelope.header.cls:
        raise RemoteProtocolError(
            RejectCode.CLASS_MISMATCH,
            f"{content.body.type_name} is not of class {envelope.header.cls.value}",
            field="type",
        )
    return content, raw
