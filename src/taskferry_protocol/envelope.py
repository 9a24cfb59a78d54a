"""The envelope: its header, its checks, and the parcel that it travels in (spec/envelope.md sections 1 to 3).

What is inside, and who may open it, is `sealing`; who may send it, `admission` and `inbound`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from . import crypto
from .cbor import Value, decode, encode
from .crypto import Kind, Signed, parse_signed, verify_by_known_key, verify_signed
from .errors import RejectCode, RemoteProtocolError
from .ids import (
    AccountId,
    AgentRef,
    DeviceId,
    Hash,
    Instant,
    LogPosition,
    MessageId,
    is_message_id,
    is_name,
)
from .limits import ENVELOPE_BYTES, LIFETIME_MS, SKEW_MS, TIME_LIMIT, WRAPS
from .messages.base import MessageClass
from .shape import MapReader, as_array, as_bytes, as_pair, as_position, as_text, as_uint, check_ascending

__all__ = [
    "Envelope",
    "Header",
    "Parcel",
    "Wrap",
    "check_clock",
    "encode_header",
    "encode_parcel",
    "is_channel",
    "parse_envelope",
    "read_envelope",
    "read_envelope_by_known_key",
    "read_parcel",
    "verify_envelope",
    "verify_envelope_by_known_key",
]

VERSION: Final = 1
#: A name with `#` before it: what an agent reference holds at most.
_NAME_BYTES: Final = 33


@attrs.frozen
class Header:
    """What a relay sees of an envelope, and what the cipher binds (spec/envelope.md section 3).

    `seq` counts per sending device and `to`; `log` is the sender's position, `to_log` the recipient's that it
    was sealed for; `nonce` is 24 bytes, `commit` 32.
    """

    id: MessageId
    cls: MessageClass
    from_: AgentRef
    to: AgentRef
    seq: int
    log: LogPosition
    to_log: LogPosition
    created_at: Instant
    expires_at: Instant
    suite: int
    nonce: bytes
    commit: bytes


@attrs.frozen
class Envelope:
    """A signed, sealed object as parsed. `h` is the header's encoding, `raw` the tagged structure as sent.

    Of one from `parse_envelope`, nothing is believed before `verify_envelope`.
    """

    device: DeviceId
    header: Header
    ct: bytes = attrs.field(repr=False)
    h: bytes = attrs.field(repr=False)
    signed: Signed = attrs.field(repr=False)

    @property
    def hash(self) -> Hash:
        """The only reference to a message anywhere: SHA-256 of `raw`."""
        return self.signed.hash

    @property
    def raw(self) -> bytes:
        """The envelope as sent."""
        return self.signed.raw


def is_channel(ref: AgentRef) -> bool:
    """Whether a `to` names a team's channel, which relays of this version do not carry."""
    return ref.name.startswith("#")


# --- The header ---------------------------------------------------------------------------------------------

_FIELDS: Final = (
    "v",
    "id",
    "class",
    "from",
    "to",
    "seq",
    "log",
    "to_log",
    "created_at",
    "expires_at",
    "suite",
    "nonce",
    "commit",
)
_KEYS: Final = frozenset(_FIELDS)
_CLASSES: Final = {cls.value: cls for cls in MessageClass}


def encode_header(header: Header) -> bytes:
    """The bytes `h`: signed, and bound by the cipher."""
    return encode(
        {
            "v": VERSION,
            "id": header.id,
            "class": header.cls.value,
            "from": header.from_.to_cbor(),
            "to": header.to.to_cbor(),
            "seq": header.seq,
            "log": header.log.to_cbor(),
            "to_log": header.to_log.to_cbor(),
            "created_at": header.created_at,
            "expires_at": header.expires_at,
            "suite": header.suite,
            "nonce": header.nonce,
            "commit": header.commit,
        }
    )


def _bad(field: str, text: str) -> RemoteProtocolError:
    return RemoteProtocolError(RejectCode.BAD_VALUE, text, field=field)


def _as_reference(value: Value, field: str) -> AgentRef:
    """An agent reference by shape alone; its name is judged once the class is known."""
    account, name = as_pair(value, field)
    return AgentRef(AccountId(as_bytes(account, field, size=32)), as_text(name, field, most=_NAME_BYTES))


def _as_class(value: Value, field: str) -> str:
    if type(value) is not str:
        raise RemoteProtocolError(RejectCode.WRONG_TYPE, "a text expected", field=field)
    return value


def _members(value: Value) -> dict[str, Value]:
    """The header's map, which has exactly the known keys; comparing them all at once is the fast way."""
    if type(value) is dict and value.keys() == _KEYS:
        return value
    reader = MapReader(value, "h", _FIELDS)
    return {key: reader.value(key) for key in _FIELDS}


def _read_header(h: bytes) -> Header:
    """Decode, check shape, then version, class, id and names, suite, lifetime: in that order."""
    members = _members(decode(h, limit=ENVELOPE_BYTES))
    version = as_uint(members["v"], "v")
    identity = MessageId(as_bytes(members["id"], "id", size=16))
    cls = _CLASSES.get(word := _as_class(members["class"], "class"))
    from_ = _as_reference(members["from"], "from")
    to = _as_reference(members["to"], "to")
    seq = as_uint(members["seq"], "seq", low=1)
    log = as_position(members["log"], "log")
    to_log = as_position(members["to_log"], "to_log")
    created_at = Instant(as_uint(members["created_at"], "created_at", high=TIME_LIMIT - 1))
    expires_at = Instant(as_uint(members["expires_at"], "expires_at", high=TIME_LIMIT - 1))
    suite = as_uint(members["suite"], "suite")
    nonce = as_bytes(members["nonce"], "nonce", size=crypto.NONCE_BYTES)
    commit = as_bytes(members["commit"], "commit", size=crypto.KEY_BYTES)
    if version != VERSION:
        raise RemoteProtocolError(RejectCode.UNKNOWN_VERSION, f"version {version}", field="v")
    if cls is None:
        raise _bad("class", f"{word!r} is not a class")
    if not is_message_id(identity):
        raise _bad("id", "not a UUIDv7")
    _check_names(cls, from_, to)
    if suite != crypto.SUITE:
        raise RemoteProtocolError(RejectCode.UNKNOWN_SUITE, f"suite {suite}", field="suite")
    if not created_at < expires_at <= created_at + LIFETIME_MS:
        raise RemoteProtocolError(
            RejectCode.BAD_TIME, "must end after it begins, and within 30 days", field="expires_at"
        )
    return Header(identity, cls, from_, to, seq, log, to_log, created_at, expires_at, suite, nonce, commit)


def _check_names(cls: MessageClass, from_: AgentRef, to: AgentRef) -> None:
    if cls is MessageClass.ACCOUNT:
        if from_.name or to.name:
            raise _bad("to" if to.name else "from", 'class account goes from "" to ""')
        return
    if not is_name(from_.name):
        raise _bad("from", "not an agent's name")
    if not is_name(to.name.removeprefix("#")):
        raise _bad("to", "neither an agent's name nor a channel's")


# --- The envelope -------------------------------------------------------------------------------------------


def parse_envelope(raw: bytes) -> Envelope:
    """Everything that the bytes alone decide, but for key and signature: call `verify_envelope` next.

    Raises RemoteProtocolError: too-large, bad-cose, the codes of encoding and shape, unknown-version,
    unknown-suite, bad-time. Where an input has several faults, `read_envelope` finds the one to report.
    """
    return _read_payload(parse_signed(raw, limit=ENVELOPE_BYTES))


def verify_envelope(envelope: Envelope) -> None:
    """Check the device's key, then its signature. Raises RemoteProtocolError: bad-key, bad-signature."""
    verify_signed(envelope.signed, Kind.ENVELOPE)


def verify_envelope_by_known_key(envelope: Envelope) -> None:
    """Check the signature alone, for a device that stands in a folded log. Raises bad-signature."""
    verify_by_known_key(envelope.signed, Kind.ENVELOPE)


def read_envelope(raw: bytes, *, now: Instant | None) -> Envelope:
    """The envelope in `raw`, with every check of spec/envelope.md section 3 in its order.

    The clock is asked last, and only if there is one: bad-time ahead of it, expired behind it.
    """
    return _read(raw, verify_signed, now)


def read_envelope_by_known_key(raw: bytes, device: DeviceId, *, now: Instant | None) -> Envelope:
    """As `read_envelope`, sparing the check of the key where it is `device`, which stands in a folded log."""

    def check(signed: Signed, kind: Kind) -> None:
        (verify_by_known_key if signed.key == device else verify_signed)(signed, kind)

    return _read(raw, check, now)


def check_clock(header: Header, now: Instant) -> None:
    """Raises RemoteProtocolError: bad-time for one from the future, expired for one whose life is over."""
    if header.created_at > now + SKEW_MS:
        raise RemoteProtocolError(
            RejectCode.BAD_TIME, "written more than 5 minutes ahead of this clock", field="created_at"
        )
    if header.expires_at <= now:
        raise RemoteProtocolError(RejectCode.EXPIRED, "its lifetime is over", field="expires_at")


def _read(raw: bytes, check: Callable[[Signed, Kind], None], now: Instant | None) -> Envelope:
    signed = parse_signed(raw, limit=ENVELOPE_BYTES)
    check(signed, Kind.ENVELOPE)
    envelope = _read_payload(signed)
    if now is not None:
        check_clock(envelope.header, now)
    return envelope


def _read_payload(signed: Signed) -> Envelope:
    h, ct = as_pair(decode(signed.payload, limit=ENVELOPE_BYTES), "payload")
    header_bytes = as_bytes(h, "h")
    sealed = as_bytes(ct, "ct")
    header = _read_header(header_bytes)
    if len(sealed) < crypto.LEAST_CIPHERTEXT:
        raise _bad("ct", f"must be at least {crypto.LEAST_CIPHERTEXT} bytes")
    return Envelope(DeviceId(signed.key), header, sealed, header_bytes, signed)


# --- The parcel ---------------------------------------------------------------------------------------------


@attrs.frozen
class Wrap:
    """K sealed for one device: its X25519 public key, and 80 bytes that its secret half opens."""

    key: bytes
    sealed: bytes

    def to_cbor(self) -> list[object]:
        """The pair as it is encoded."""
        return [self.key, self.sealed]


@attrs.frozen
class Parcel:
    """What travels: the envelope as opaque bytes, and 1 to 64 wraps sorted by key. Wraps are not signed."""

    envelope: bytes = attrs.field(repr=False)
    wraps: tuple[Wrap, ...]

    def to_cbor(self) -> list[object]:
        """The pair as it is encoded."""
        return [self.envelope, [wrap.to_cbor() for wrap in self.wraps]]


def encode_parcel(parcel: Parcel) -> bytes:
    """A parcel on its own, as it is stored; in a frame it stands as `Parcel.to_cbor` gives it."""
    return encode(parcel.to_cbor())


def read_parcel(value: Value) -> Parcel:
    """The parcel in a decoded item; its envelope is not looked into.

    Raises RemoteProtocolError: the codes of shape, too-many, not-canonical.
    """
    envelope, wraps = as_pair(value, "parcel")
    raw = as_bytes(envelope, "envelope")
    if type(wraps) is list and len(wraps) == 1:
        # The usual case by far: nothing to sort.
        return Parcel(raw, (_read_wrap(wraps[0]),))
    listed = tuple(map(_read_wrap, as_array(wraps, "wraps", least=1, most=WRAPS)))
    check_ascending([wrap.key for wrap in listed], "wraps")
    return Parcel(raw, listed)


def _read_wrap(value: Value) -> Wrap:
    key, sealed = as_pair(value, "wraps")
    return Wrap(
        as_bytes(key, "wraps", size=crypto.KEY_BYTES),
        as_bytes(sealed, "wraps", size=crypto.SEALED_KEY_BYTES),
    )
