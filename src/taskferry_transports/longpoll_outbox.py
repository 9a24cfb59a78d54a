"""The sending half of a long-poll link on either side: a bounded buffer that can be waited for."""

from __future__ import annotations

import trio

from taskferry_transports.longpoll_wire import Outgoing


class Outbox:
    """Frames waiting to be fetched or posted. One writer waits for room, one reader for frames."""

    def __init__(self, *, max_bytes: int, max_frames: int) -> None:
        self.outgoing = Outgoing(max_bytes=max_bytes, max_frames=max_frames)
        self.finished = False
        """Whether the last frame, the end mark, is in."""
        self._error: Exception | None = None
        self._changed = trio.Event()

    async def put(self, frame: bytes) -> None:
        """Wait for room and add one frame, or raise the error that the link ended with."""
        self._check()
        while not self.outgoing.has_room(len(frame)):
            await self._changed.wait()
            self._check()
        self.outgoing.push(frame)
        self.finished = not frame
        self.rouse()

    async def wait_beyond(self, index: int) -> None:
        """Return when there is a frame at `index`, or when anything else about the link has changed."""
        if self.outgoing.end <= index and self._error is None:
            await self._changed.wait()

    async def wait_for_change(self) -> None:
        """Return when anything about the link has changed."""
        await self._changed.wait()

    def acknowledge(self, received: int) -> None:
        """The other side has so many; raises `WireFault` if that cannot be."""
        before = self.outgoing.first
        self.outgoing.acknowledge(received)
        if self.outgoing.first != before:
            self.rouse()

    def end(self, error: Exception) -> None:
        """No more frames may be added; frames that are in stay. The first error counts."""
        if self._error is None:
            self._error = error
        self.rouse()

    def rouse(self) -> None:
        """Wake whoever waits here."""
        self._changed.set()
        self._changed = trio.Event()

    def _check(self) -> None:
        if self._error is not None:
            raise type(self._error)(*self._error.args)
