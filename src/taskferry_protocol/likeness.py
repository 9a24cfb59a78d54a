"""Envelopes that say the same as a first one but for their id, number, times and contents, read by one look.

Most of a batch goes from one device as one agent to another. What `Likeness` takes, `parse_envelope` takes
alike; whatever differs in any other byte is None here, and is read by the general way.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeAlias

from .crypto import LEAST_CIPHERTEXT
from .envelope import Envelope, OneWrap
from .header import LEAST_USUAL_TIME, USUAL_HEADER
from .ids import Instant, MessageId
from .limits import LIFETIME_MS, SKEW_MS, TIME_LIMIT

__all__ = ["Like", "Likeness"]

Like: TypeAlias = tuple[bytes, bytes, MessageId, int, Instant, Instant]
"""The envelope's bytes, its sealed key; its id, `seq`, `created_at` and `expires_at`."""

#: Of the signed structure: up to its payload's length, and from its signature's head on.
_BEFORE_BYTES: Final = 46
_AFTER_BYTES: Final = 66
_SIGNATURE: Final = b"\x58\x40"
#: Where the header stands: behind the payload's length, the head of the pair, and its own.
_HEADER_AT: Final = _BEFORE_BYTES + 4
#: By the bytes behind a number's head: its code, the least written so, and where the next form begins.
_NUMBERS: Final = {
    0: ("B", 1, 24),
    1: ("B", 24, 1 << 8),
    2: ("H", 1 << 8, 1 << 16),
    4: ("I", 1 << 16, 1 << 32),
}
_HELD: Final = 256


@lru_cache(maxsize=_HELD)
def _shape(to: int, number: str, from_: int, log: int) -> struct.Struct:
    """Where things stand, for parts of such lengths. What is not compared is skipped."""
    return struct.Struct(f">44sH12s16s{to}s{number}{from_}s24x16s32x{log}sQ12sQsH")


class Likeness:
    """What all envelopes have in common that are like a first one, which was read the general way."""

    __slots__ = ("_least", "_most", "_same", "_shape", "key")

    def __init__(self, first: Envelope, key: bytes, ends: Sequence[tuple[int, int]]) -> None:
        """`ends` are where the header's parts begin and end that are of no two envelopes the same."""
        identity, seq, nonce, commit, created, _ = ends
        width = seq[1] - seq[0] - 1
        number, self._least, self._most = _NUMBERS[width]
        digits = seq[1] - width if width else seq[0]
        self._shape = _shape(digits - identity[1], number, nonce[0] - seq[1], created[0] - commit[1])
        self.key = key
        fields = self._shape.unpack_from(first.raw)
        self._same = (fields[0], fields[2], fields[4], *fields[6:9], fields[10])

    @classmethod
    def of(cls, first: Envelope, key: bytes) -> Likeness | None:
        """The likeness of an envelope with one wrap, for `key`; None if it is not of the usual form."""
        match = USUAL_HEADER.fullmatch(first.h)
        small = len(first.raw) < 0x10000 and len(first.ct) >= LEAST_CIPHERTEXT
        if match is None or not small or first.raw[_BEFORE_BYTES : _BEFORE_BYTES + 2] != b"\x82\x59":
            return None
        at = _HEADER_AT
        spans = [match.span(group) for group in ("id", "seq", "nonce", "commit", "created", "expires")]
        return cls(first, key, [(at + start, at + end) for start, end in spans])

    def read(self, parcel: OneWrap, now: Instant) -> Like | None:
        """A parcel that is like the first and whose time is right; None for any other."""
        raw, key, sealed = parcel
        size, shape = len(raw), self._shape
        if key != self.key or size < shape.size + _AFTER_BYTES:
            return None
        head, length, before, id, to, seq, from_, suite, log, created, between, expires, kind, rest = (
            shape.unpack_from(raw)
        )
        if (
            (head, before, to, from_, suite, log, between) != self._same
            or kind != b"\x59"
            or length != size - _BEFORE_BYTES - _AFTER_BYTES
            or rest != size - shape.size - _AFTER_BYTES
            or rest < LEAST_CIPHERTEXT
            or raw[-66:-64] != _SIGNATURE
            or not self._least <= seq < self._most
            or id[6] >> 4 != 7
            or id[8] >> 6 != 0b10
            or not LEAST_USUAL_TIME <= created < expires < TIME_LIMIT
            or expires - created > LIFETIME_MS
            # The clock's own two questions: one for whom it says no is told so the general way.
            or created > now + SKEW_MS
            or expires <= now
        ):
            return None
        return raw, sealed, id, seq, created, expires
