"""A stretch of wire before a daemon that somebody may cut: at once, or when the next answer comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import attrs
import trio
from anyio import to_thread

__all__ = ["Wire", "a_wire"]


@attrs.define
class Wire:
    """Passes bytes on both ways. `answers_to_cut` answers are swallowed, and their connections with them."""

    url: str
    target: int
    answers_to_cut: int = 0
    requests: list[bytes] = attrs.field(factory=list)
    feeds: int = 0
    """How many feeds have begun."""
    _streams: set[trio.SocketStream] = attrs.field(factory=set)
    _home: trio.lowlevel.TrioToken = attrs.field(factory=trio.lowlevel.current_trio_token)

    @property
    def _own_host(self) -> bytes:
        return self.url.removeprefix("http://").encode()

    async def cut(self) -> None:
        """End every connection there is; called from a story's thread."""
        await to_thread.run_sync(partial(trio.from_thread.run, self._end, trio_token=self._home))

    async def _end(self) -> None:
        for stream in list(self._streams):
            await trio.aclose_forcefully(stream)

    async def carry(self, near: trio.SocketStream) -> None:
        """Pass one connection on."""
        try:
            far = await trio.open_tcp_stream("127.0.0.1", self.target)
        except OSError:
            return  # nobody there: the near end is closed
        async with near, far, trio.open_nursery() as nursery:
            self._streams |= {near, far}
            nursery.start_soon(self._pass, near, far, nursery.cancel_scope)
            nursery.start_soon(self._pass, far, near, nursery.cancel_scope)
        self._streams -= {near, far}

    async def _pass(self, source: trio.SocketStream, sink: trio.SocketStream, both: trio.CancelScope) -> None:
        try:
            while piece := await source.receive_some(65_536):
                if source.socket.getpeername()[1] != self.target:
                    self.requests.append(piece)
                    # The daemon wants to be addressed by its own port.
                    piece = piece.replace(self._own_host, b"127.0.0.1:%d" % self.target)
                elif self.answers_to_cut:
                    self.answers_to_cut -= 1
                    break
                await sink.send_all(piece)
                self.feeds += b": the feed of this daemon" in piece
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass
        both.cancel()


@asynccontextmanager
async def a_wire(url: str) -> AsyncIterator[Wire]:
    """A wire before the daemon at `url`; its own address is the daemon's for whoever calls."""
    target = int(url.rpartition(":")[2])
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listeners[0].socket.getsockname()[1]
        wire = Wire(f"http://127.0.0.1:{port}", target)
        nursery.start_soon(partial(trio.serve_listeners, wire.carry, listeners))
        yield wire
        nursery.cancel_scope.cancel()
