"""Transports within one process: a connected pair with bounded buffers, and ways to make it fail.

For tests, for the in-memory harness, and for a daemon that talks to a relay in its own process.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from math import inf

import attrs
import trio

from taskferry_transports.frame_queue import FrameQueue, OneAtATime
from taskferry_transports.port import (
    DEFAULT_MAX_FRAME,
    Handler,
    LinkInfo,
    Liveness,
    TransportKind,
    Unreachable,
    check_frames,
)


class MemoryTransport:
    """One end of a pair; see `memory_pair`."""

    kind: TransportKind = "memory"

    def __init__(self, *, peer: str, max_frame: int, inbox: FrameQueue, outbox: FrameQueue) -> None:
        self.peer = peer
        self.max_frame = max_frame
        self._inbox = inbox
        self._outbox = outbox
        self._sending = OneAtATime("another task is already sending")
        self._closed = False
        self._finished = False
        self._verdict_at = inf
        self._waiting: set[trio.CancelScope] = set()

    async def send(self, *frames: bytes) -> None:
        """Put frames into the peer's buffer, waiting while it is full."""
        check_frames(frames, self.max_frame)
        with self._sending:
            await trio.lowlevel.checkpoint()
            self._check_open()
            with self._until_verdict():
                for frame in frames:
                    await self._outbox.put(frame)
                    if self._outbox.ended:
                        self._check_open()
                        raise trio.BrokenResourceError("the peer has gone")

    async def send_eof(self) -> None:
        """Finish our direction."""
        with self._sending:
            await trio.lowlevel.checkpoint()
            self._check_open()
            self._finished = True
            self._outbox.end(trio.EndOfChannel())

    async def receive(self) -> bytes:
        """Take the next frame from our buffer."""
        with self._until_verdict():
            frame = await self._inbox.get()
        return frame

    def receive_nowait(self) -> bytes | None:
        """Take the next frame from our buffer, if there is one."""
        return self._inbox.get_nowait()

    async def aclose(self) -> None:
        """Close both directions. Frames that the peer's buffer holds stay readable there."""
        self._closed = True
        self._inbox.discard(trio.ClosedResourceError())
        self._outbox.end(trio.EndOfChannel())
        await trio.lowlevel.checkpoint()

    def _check_open(self) -> None:
        if self._closed or self._finished:
            raise trio.ClosedResourceError("this transport was closed here")

    def _expect_verdict(self, at: float, outbox: FrameQueue) -> None:
        self._outbox = outbox
        self._verdict_at = at
        for scope in self._waiting:
            scope.deadline = at

    @contextmanager
    def _until_verdict(self) -> Generator[None]:
        if trio.current_time() >= self._verdict_at:
            self._inbox.end(trio.BrokenResourceError("the peer fell silent"))
            self._outbox.end(trio.BrokenResourceError("the peer fell silent"))
        with trio.CancelScope(deadline=self._verdict_at) as scope:
            self._waiting.add(scope)
            try:
                yield
            finally:
                self._waiting.discard(scope)
        if scope.cancelled_caught:
            self._inbox.end(trio.BrokenResourceError("the peer fell silent"))
            raise trio.BrokenResourceError("the peer fell silent")


@attrs.frozen
class MemoryPair:
    """Two connected ends, and what can go wrong between them."""

    left: MemoryTransport
    right: MemoryTransport
    liveness: Liveness

    def cut(self) -> None:
        """Break both directions now; frames that were already delivered stay readable."""
        for end in (self.left, self.right):
            end._inbox.end(trio.BrokenResourceError("the link was cut"))

    def cut_losing_tail(self, frames: int) -> None:
        """Break both directions and lose the last `frames` frames not yet taken in each."""
        for end in (self.left, self.right):
            inbox = end._inbox
            waiting = inbox.take_all()
            for frame in waiting[: max(0, len(waiting) - frames)]:
                inbox.push(frame)
        self.cut()

    def freeze(self) -> None:
        """Let nothing through any more, in either direction, while both ends believe that they are connected.

        Each end notices by its `Liveness`, as it would on a network.
        """
        verdict_at = trio.current_time() + self.liveness.worst_case
        for end in (self.left, self.right):
            nowhere = FrameQueue(max_bytes=end._outbox.max_bytes, max_frames=end._outbox.max_frames)
            end._expect_verdict(verdict_at, nowhere)


def memory_pair(
    *,
    max_frame: int = DEFAULT_MAX_FRAME,
    buffer_bytes: int = DEFAULT_MAX_FRAME,
    buffer_frames: int = 64,
    liveness: Liveness | None = None,
) -> MemoryPair:
    """Two connected transports; each direction buffers at most `buffer_frames` and `buffer_bytes`."""
    to_left = FrameQueue(max_bytes=buffer_bytes, max_frames=buffer_frames)
    to_right = FrameQueue(max_bytes=buffer_bytes, max_frames=buffer_frames)
    return MemoryPair(
        MemoryTransport(peer="memory:right", max_frame=max_frame, inbox=to_left, outbox=to_right),
        MemoryTransport(peer="memory:left", max_frame=max_frame, inbox=to_right, outbox=to_left),
        liveness or Liveness(),
    )


class MemoryNetwork:
    """A listener and a dialer in one process: what is dialled here arrives at its handler."""

    def __init__(
        self,
        *,
        max_frame: int = DEFAULT_MAX_FRAME,
        buffer_bytes: int = DEFAULT_MAX_FRAME,
        liveness: Liveness | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._max_frame = max_frame
        self._buffer_bytes = buffer_bytes
        self._liveness = liveness or Liveness()
        self._headers = dict(headers or {})
        self._serving: tuple[trio.Nursery, Handler] | None = None
        self.draining = trio.Event()
        self.pairs: list[MemoryPair] = []
        """Every pair dialled so far, oldest first, for tests that cut or freeze them."""

    async def serve(
        self, handler: Handler, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run `handler` for each transport that is dialled, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._serving = (nursery, handler)
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._serving = None

    async def dial(self) -> MemoryTransport:
        """Connect to whoever serves here; `Unreachable` when nobody does."""
        await trio.lowlevel.checkpoint()
        if self._serving is None:
            raise Unreachable("nobody serves this memory network")
        nursery, handler = self._serving
        pair = memory_pair(
            max_frame=self._max_frame, buffer_bytes=self._buffer_bytes, liveness=self._liveness
        )
        self.pairs.append(pair)
        nursery.start_soon(self._handle, handler, pair.right)
        return pair.left

    async def _handle(self, handler: Handler, transport: MemoryTransport) -> None:
        try:
            await handler(transport, LinkInfo(transport.peer, "/", self._headers, self.draining))
        finally:
            with trio.CancelScope(shield=True):
                await transport.aclose()
