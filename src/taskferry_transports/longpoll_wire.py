"""Frames over HTTP requests, as pure data: bodies, offsets, repeats. No I/O, no clock, no randomness.

A body is a CBOR sequence (RFC 8742) of byte strings (RFC 8949 section 3.1, major type 2), one a frame.
The empty byte string ends a direction. Each direction counts its frames from 0; both counts travel with every
request and answer, so that a request may be repeated whole and nothing is taken twice.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence

import attrs

LINK_HEADER = "TaskFerry-Link"
"""Request header with the token of the link. It never stands in an address."""
OFFSETS_HEADER = "TaskFerry-Offsets"
"""`send=<index of the first frame in this body>, received=<frames that we have taken so far>`."""
WAIT_HEADER = "TaskFerry-Wait"
"""Seconds for which the answer may be held back until there are frames; without it no frames are answered."""
PROTOCOL_HEADER = "TaskFerry-Protocol"
"""What is spoken inside: the same name as the WebSocket subprotocol."""
MEDIA_TYPE = "application/cbor-seq"
MAX_WAIT = 25
"""Seconds that a request may ask to wait: under the 30 after which some proxies give up."""

_OFFSETS = re.compile(r"send=([0-9]{1,15}), ?received=([0-9]{1,15})", re.ASCII)


class WireFault(ValueError):
    """The other side sent a body or offsets that break the rules. `code` names the rule."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@attrs.frozen
class Offsets:
    """Where both directions stand, seen from whoever wrote them."""

    send: int
    received: int

    def __str__(self) -> str:
        return f"send={self.send}, received={self.received}"


def read_offsets(text: str | None) -> Offsets:
    """Parse the offsets header; `WireFault` with code `bad-offsets` for anything else."""
    match = _OFFSETS.fullmatch(text or "")
    if match is None:
        raise WireFault("bad-offsets", f"{OFFSETS_HEADER} is missing or malformed")
    return Offsets(int(match[1]), int(match[2]))


def read_wait(text: str | None) -> float | None:
    """Parse the wait header: seconds from 0 to 25, or None when absent."""
    if text is None:
        return None
    if re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,3})?", text, re.ASCII) is None or float(text) > MAX_WAIT:
        raise WireFault("bad-wait", f"{WAIT_HEADER} is a number of seconds up to {MAX_WAIT}")
    return float(text)


def frame_head(size: int) -> bytes:
    """The shortest head of a CBOR byte string of `size` bytes (RFC 8949 section 4.2.1)."""
    if size < 24:
        return bytes((0x40 | size,))
    for code, width in ((0x58, 1), (0x59, 2), (0x5A, 4)):
        if size < 1 << (8 * width):
            return bytes((code,)) + size.to_bytes(width, "big")
    raise ValueError("a frame is far below four gigabytes")


def encode_frames(frames: Iterable[bytes]) -> bytes:
    """The body that carries these frames."""
    parts: list[bytes] = []
    for frame in frames:
        parts += (frame_head(len(frame)), frame)
    return b"".join(parts)


def decode_frames(body: bytes, *, max_frame: int) -> list[bytes]:
    """The frames of a body. Anything but shortest-headed byte strings within the limit is a `WireFault`."""
    frames: list[bytes] = []
    at = 0
    while at < len(body):
        first = body[at]
        width = {0x58: 1, 0x59: 2, 0x5A: 4}.get(first, 0)
        if not width and not 0x40 <= first < 0x58:
            raise WireFault("bad-body", "the body holds something other than byte strings")
        size = int.from_bytes(body[at + 1 : at + 1 + width], "big") if width else first & 0x1F
        start = at + 1 + width
        if size > max_frame:
            raise WireFault("frame-too-large", f"a frame of {size} bytes is over the limit of {max_frame}")
        if start > len(body) or start + size > len(body):
            raise WireFault("bad-body", "the body ends within a frame")
        if body[at:start] != frame_head(size):
            raise WireFault("bad-body", "a length is not in its shortest form")
        frames.append(body[start : start + size])
        at = start + size
    return frames


class Outgoing:
    """Frames that we send, kept until the other side says that it has them."""

    def __init__(self, *, max_bytes: int, max_frames: int) -> None:
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._max_bytes = max_bytes
        self._max_frames = max_frames
        self.first = 0
        """Index of the oldest frame that is still held."""

    @property
    def end(self) -> int:
        """Index that the next pushed frame will have."""
        return self.first + len(self._frames)

    def has_room(self, size: int) -> bool:
        """Whether a frame of `size` bytes may be pushed. An empty buffer has room for any one frame."""
        if not self._frames:
            return True
        return len(self._frames) < self._max_frames and self._bytes + size <= self._max_bytes

    def push(self, frame: bytes) -> None:
        """Hold one more frame."""
        self._frames.append(frame)
        self._bytes += len(frame)

    def acknowledge(self, received: int) -> None:
        """Let go of what the other side has. An older count says nothing new; one beyond is a fault."""
        if received > self.end:
            raise WireFault("bad-offsets", "more frames were received than were sent")
        while self.first < received:
            self._bytes -= len(self._frames.popleft())
            self.first += 1

    def clear(self) -> None:
        """Let go of everything: nobody will ask for it again."""
        self.acknowledge(self.end)

    def batch(self, start: int, max_bytes: int) -> list[bytes]:
        """Frames from index `start` on whose body is at most `max_bytes`; at least one, if there is one.

        The same start gives the same frames again, as long as they were not acknowledged.
        """
        if start < self.first:
            raise WireFault("bad-offsets", "frames were asked for that had been received before")
        batch: list[bytes] = []
        size = 0
        for index in range(start - self.first, len(self._frames)):
            frame = self._frames[index]
            size += len(frame) + 5
            if batch and size > max_bytes:
                break
            batch.append(frame)
        return batch


class Incoming:
    """How many frames of the other side we have taken."""

    def __init__(self) -> None:
        self.received = 0

    def fresh(self, send: int, frames: Sequence[bytes]) -> Sequence[bytes]:
        """Those frames of a body, which begins at index `send`, that were not taken yet."""
        if send > self.received:
            raise WireFault("gap", f"frames {self.received} to {send - 1} are missing")
        return frames[self.received - send :]

    def take(self) -> None:
        """Count one more frame as taken."""
        self.received += 1
