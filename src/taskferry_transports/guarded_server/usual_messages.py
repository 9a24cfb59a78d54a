"""Whole binary messages and pings of a client, taken out of its bytes without wsproto's general way.

A daemon sends little else. Whatever is different, down to a length written longer than it need be, is left to
wsproto with all that follows, which then reads it or says what is wrong with it.
"""

from __future__ import annotations

from enum import Enum

from wsproto.frame_protocol import XorMaskerSimple

_MESSAGE = 0x82  # RFC 6455 section 5.2: final, no extension, binary.
_CONTROLS = (0x89, 0x8A)  # A ping, a pong.
_MASKED = 0x80
_SHORT_BYTES = 512  # Up to here one large number is unmasked faster than a table translates.


class Kind(Enum):
    """What stands next."""

    MESSAGE = "a whole message, unmasked"
    CONTROL = "a whole ping or pong, as it came"
    OTHER = "anything else, and all bytes behind it"
    PART = "less than a frame"


class UsualMessages:
    """Cuts a connection's bytes. Holds at most one frame in part, of at most `most` bytes and its head."""

    __slots__ = ("_at", "_bytes", "_most", "_needed", "_part")

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = b""
        self._at = 0
        self._part = bytearray()
        self._needed = 0

    @property
    def held(self) -> int:
        """Bytes of a frame of which a part has arrived."""
        return len(self._part)

    def let_go(self) -> None:
        """Keep nothing: no more comes."""
        self._bytes, self._at = b"", 0
        self._part = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes; call `next` until it says PART, or OTHER, with which it ends."""
        if not self._part:
            self._bytes = data
        else:
            # Put together once it is whole, so that a peer that sends byte by byte costs no more than others.
            self._part += data
            if len(self._part) < self._needed:
                self._bytes = b""
            else:
                self._bytes = bytes(self._part)
                self._part = bytearray()
        self._at = 0

    def next(self) -> tuple[Kind, bytes]:
        """What stands next, and its bytes."""
        data, at = self._bytes, self._at
        if at == len(data):
            # The last message is not kept until the next one comes.
            self._bytes, self._at = b"", 0
            return Kind.PART, b""
        if len(data) < at + 2:
            return self._wait(2)
        first, second = data[at], data[at + 1]
        size = second & 0x7F
        start = at + 6
        if second < _MASKED:
            return self._give_up()
        if first == _MESSAGE:
            if size >= 126:
                start = at + (8 if size == 126 else 14)
                if len(data) < start:
                    return self._wait(start - at)
                least = 126 if size == 126 else 0x10000
                size = int.from_bytes(data[at + 2 : start - 4], "big")
                if not least <= size <= self._most:
                    return self._give_up()
            elif size > self._most:
                return self._give_up()
        elif first not in _CONTROLS or size > 125:
            return self._give_up()
        end = start + size
        if len(data) < end:
            return self._wait(end - at)
        self._at = end
        if first == _MESSAGE:
            return Kind.MESSAGE, _unmask(data[start:end], data[start - 4 : start])
        return Kind.CONTROL, data[at:end]

    def _wait(self, needed: int) -> tuple[Kind, bytes]:
        self._part += self._bytes[self._at :]
        self._needed = needed
        self._bytes, self._at = b"", 0
        return Kind.PART, b""

    def _give_up(self) -> tuple[Kind, bytes]:
        rest = self._bytes[self._at :]
        self._bytes, self._at = b"", 0
        return Kind.OTHER, rest


def _unmask(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    if size > _SHORT_BYTES:
        return bytes(XorMaskerSimple(key).process(bytearray(payload)))
    mask = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")
