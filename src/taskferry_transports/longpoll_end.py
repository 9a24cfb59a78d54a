"""What both ends of a long-poll link have in common: frames wait here until a request takes them along."""

from __future__ import annotations

import trio

from taskferry_transports.frame_queue import FrameQueue, OneAtATime
from taskferry_transports.longpoll_outbox import Outbox
from taskferry_transports.longpoll_wire import Incoming
from taskferry_transports.port import TransportKind, check_frames


class LongPollEnd:
    """A `Transport`, but for how it is closed and for the requests that carry its frames."""

    kind: TransportKind = "longpoll"

    def __init__(self, peer: str, *, max_frame: int, buffer_bytes: int, buffer_frames: int) -> None:
        self.peer = peer
        self.max_frame = max_frame
        self._inbox = FrameQueue(max_bytes=buffer_bytes, max_frames=buffer_frames)
        self._outbox = Outbox(max_bytes=buffer_bytes, max_frames=buffer_frames)
        self._incoming = Incoming()
        self._sending = OneAtATime("another task is already sending")
        self._closed = False

    async def send(self, *frames: bytes) -> None:
        """Hold frames until a request takes them along, waiting while the buffer is full."""
        check_frames(frames, self.max_frame)
        await self._put(*frames)

    async def send_eof(self) -> None:
        """Finish our direction."""
        await self._put(b"")

    async def receive(self) -> bytes:
        """Wait for the next frame that a request has brought."""
        return await self._inbox.get()

    def receive_nowait(self) -> bytes | None:
        """The next frame that a request has brought, if there is one."""
        return self._inbox.get_nowait()

    async def _put(self, *frames: bytes) -> None:
        with self._sending:
            await trio.lowlevel.checkpoint()
            if self._closed or self._outbox.finished:
                raise trio.ClosedResourceError("this transport was closed here")
            for frame in frames:
                await self._outbox.put(frame)
