"""A queue of frames between two tasks, bounded in frames and in bytes, that ends in a known way.

One writer waits for room, one reader waits for frames; either may be cancelled without losing a frame.
No I/O happens here.
"""

from __future__ import annotations

from collections import deque
from types import TracebackType

import trio


class OneAtATime:
    """Guards one direction of a transport: a second task that enters gets `BusyResourceError`."""

    __slots__ = ("_message", "busy")

    def __init__(self, message: str) -> None:
        self._message = message
        self.busy = False

    def __enter__(self) -> None:
        if self.busy:
            raise trio.BusyResourceError(self._message)
        self.busy = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.busy = False


class FrameQueue:
    """Frames on their way to one reader.

    The bound holds for everything but a first frame: one frame always fits into an empty queue,
    so a bound smaller than a frame slows the sender down and never stops it.
    """

    __slots__ = ("_bytes", "_error", "_frames", "_reading", "_room", "_wake", "max_bytes", "max_frames")

    def __init__(self, *, max_bytes: int, max_frames: int) -> None:
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self.max_bytes = max_bytes
        self.max_frames = max_frames
        self._error: Exception | None = None
        self._reading = OneAtATime("another task is already receiving")
        # Made only while somebody waits: an idle link should cost as little memory as can be.
        self._wake: trio.Event | None = None
        self._room: trio.Event | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more can be put in."""
        return self._error is not None

    def __len__(self) -> int:
        return len(self._frames)

    def has_room(self, size: int) -> bool:
        """Whether a frame of `size` bytes can be put in without waiting."""
        if not self._frames:
            return True
        return len(self._frames) < self.max_frames and self._bytes + size <= self.max_bytes

    def push(self, frame: bytes) -> None:
        """Put a frame in at once, whatever the bound; after the end it is dropped."""
        if self._error is not None:
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        if self._wake is not None:
            self._wake.set()

    async def put(self, frame: bytes) -> None:
        """Wait for room, then put the frame in. Returns at once, dropping it, when the queue has ended."""
        while self._error is None and not self.has_room(len(frame)):
            if self._room is None:
                self._room = trio.Event()
            await self._room.wait()
        self.push(frame)

    async def get(self) -> bytes:
        """Wait for the next frame; when there are no more, raise the error that the queue ended with."""
        with self._reading:
            await trio.lowlevel.checkpoint_if_cancelled()
            while not self._frames:
                if self._error is not None:
                    await trio.lowlevel.cancel_shielded_checkpoint()
                    raise type(self._error)(*self._error.args)
                self._wake = trio.Event()
                try:
                    await self._wake.wait()
                finally:
                    self._wake = None
            return self._pop()

    def get_nowait(self) -> bytes | None:
        """The next frame, if there is one and nobody waits for it."""
        return self._pop() if self._frames and not self._reading.busy else None

    def take_all(self) -> list[bytes]:
        """Every frame that is in now, without waiting."""
        return [self._pop() for _ in range(len(self._frames))]

    def end(self, error: Exception) -> None:
        """Nothing more comes: after the frames that are in, the reader gets `error`. The first end counts."""
        if self._error is None:
            self._error = error
        self._rouse()

    def discard(self, error: Exception) -> None:
        """Throw everything away: reader and writer get to know at once."""
        self._frames.clear()
        self._bytes = 0
        self._error = error
        self._rouse()

    def _pop(self) -> bytes:
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        if self._room is not None:
            self._room.set()
            self._room = None
        return frame

    def _rouse(self) -> None:
        if self._wake is not None:
            self._wake.set()
        if self._room is not None:
            self._room.set()
            self._room = None
