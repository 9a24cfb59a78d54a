"""The envelope: its checks, and the parcel that it travels in (spec/envelope.md sections 1 to 3).

What it says of itself is in `header`; what is inside, and who may open it, in `sealing`; who may send it, in
`admission` and `inbound`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import attrs

from . import crypto
from .cbor import Value, decode, encode
from .crypto import Kind, Signed, bstr_head, parse_signed, verify_by_known_key, verify_signed
from .errors import RejectCode, RemoteProtocolError
from .header import Header, encode_header, is_channel, read_header
from .ids import (
    DeviceId,
    Hash,
    Instant,
)
from .limits import ENVELOPE_BYTES, SKEW_MS, WRAPS
from .shape import as_array, as_bytes, as_pair, check_ascending
from .values import value

__all__ = [
    "Envelope",
    "Header",
    "OneWrap",
    "Parcel",
    "Wrap",
    "check_clock",
    "check_life",
    "encode_header",
    "encode_parcel",
    "encode_payload",
    "is_channel",
    "parse_envelope",
    "read_envelope",
    "read_envelope_by_known_key",
    "read_parcel",
    "verify_envelope",
    "verify_envelope_by_known_key",
]


@value
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


def check_life(header: Header, carrier: Header | None, now: Instant) -> None:
    """As `check_clock`; what another envelope brings once more lives by the time of that `carrier`.

    Raises as `check_clock`, and bad-time for one written later than what brings it.
    """
    if carrier is not None and header.created_at > carrier.created_at:
        text = "written later than what brings it"
        raise RemoteProtocolError(RejectCode.BAD_TIME, text, field="created_at")
    check_clock(header if carrier is None else carrier, now)


def _read(raw: bytes, check: Callable[[Signed, Kind], None], now: Instant | None) -> Envelope:
    signed = parse_signed(raw, limit=ENVELOPE_BYTES)
    check(signed, Kind.ENVELOPE)
    envelope = _read_payload(signed)
    if now is not None:
        check_clock(envelope.header, now)
    return envelope


def _decoded_strings(payload: bytes) -> tuple[bytes, bytes]:
    h, ct = as_pair(decode(payload, limit=ENVELOPE_BYTES), "payload")
    return as_bytes(h, "h"), as_bytes(ct, "ct")


#: Two strings of 256 bytes with their heads, and the head of the pair.
_LEAST_PAYLOAD: Final = 1 + 2 * (3 + 0x100)


def _two_strings(payload: bytes) -> tuple[bytes, bytes] | None:
    """`[h, ct]` of the usual encoding: heads with lengths of two bytes, or of four for a long `ct`.

    None for anything else, which the decoder then reads or refuses: this only spares its general walk.
    """
    size = len(payload)
    if size < _LEAST_PAYLOAD or payload[:2] != b"\x82\x59":
        return None
    end = 4 + (payload[2] << 8 | payload[3])
    if end < 4 + 0x100 or end + 5 > size:
        return None
    if payload[end] == 0x59:
        start, length = end + 3, payload[end + 1] << 8 | payload[end + 2]
        shortest = 0x100
    elif payload[end] == 0x5A:
        start, length = end + 5, int.from_bytes(payload[end + 1 : end + 5], "big")
        shortest = 0x10000
    else:
        return None
    return (payload[4:end], payload[start:]) if length >= shortest and start + length == size else None


def _read_payload(signed: Signed) -> Envelope:
    header_bytes, sealed = _two_strings(signed.payload) or _decoded_strings(signed.payload)
    header = read_header(header_bytes)
    if len(sealed) < crypto.LEAST_CIPHERTEXT:
        raise RemoteProtocolError(
            RejectCode.BAD_VALUE, f"must be at least {crypto.LEAST_CIPHERTEXT} bytes", field="ct"
        )
    return Envelope(DeviceId(signed.key), header, sealed, header_bytes, signed)


# --- The parcel ---------------------------------------------------------------------------------------------


@value
class Wrap:
    """K sealed for one device: its X25519 public key, and 80 bytes that its secret half opens."""

    key: bytes
    sealed: bytes

    def to_cbor(self) -> list[object]:
        """The pair as it is encoded."""
        return [self.key, self.sealed]


OneWrap: TypeAlias = tuple[bytes, bytes, bytes]
"""A parcel with one wrap as a quick reader leaves it: envelope, and the wrap's key and sealed key."""


@value
class Parcel:
    """What travels: the envelope as opaque bytes, and 1 to 64 wraps sorted by key. Wraps are not signed."""

    envelope: bytes = attrs.field(repr=False)
    wraps: tuple[Wrap, ...]

    def to_cbor(self) -> list[object]:
        """The pair as it is encoded."""
        return [self.envelope, [wrap.to_cbor() for wrap in self.wraps]]


def encode_parcel(parcel: Parcel) -> bytes:
    """A parcel on its own, as it is stored; in a frame it stands as `Parcel.to_cbor` gives it."""
    if len(parcel.wraps) != 1:
        return encode(parcel.to_cbor())
    # Nearly always: one device serves the recipient.
    (wrap,) = parcel.wraps
    strings = [bstr_head(len(string)) + string for string in (parcel.envelope, wrap.key, wrap.sealed)]
    return b"".join((b"\x82", strings[0], b"\x81\x82", *strings[1:]))


def encode_payload(h: bytes, ct: bytes) -> bytes:
    """What is signed: header and ciphertext as a pair of strings."""
    return b"".join((b"\x82", bstr_head(len(h)), h, bstr_head(len(ct)), ct))


def read_parcel(value: Value | OneWrap) -> Parcel:
    """The parcel in a decoded item; its envelope is not looked into.

    Raises RemoteProtocolError: the codes of shape, too-many, not-canonical.
    """
    if isinstance(value, tuple):
        # The usual case by far, and looked at already: nothing to sort, and nothing to say.
        raw, key, sealed = value
        return Parcel(raw, (Wrap(key, sealed),))
    envelope, wraps = as_pair(value, "parcel")
    raw = as_bytes(envelope, "envelope")
    listed = tuple(map(_read_wrap, as_array(wraps, "wraps", least=1, most=WRAPS)))
    check_ascending([wrap.key for wrap in listed], "wraps")
    return Parcel(raw, listed)


def _read_wrap(value: Value) -> Wrap:
    key, sealed = as_pair(value, "wraps")
    return Wrap(
        as_bytes(key, "wraps", size=crypto.KEY_BYTES),
        as_bytes(sealed, "wraps", size=crypto.SEALED_KEY_BYTES),
    )
