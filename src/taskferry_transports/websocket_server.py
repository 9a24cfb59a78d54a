"""The listening side over WebSocket: a path of an application whose links go to a handler.

It runs on the guarded server only, because links bypass ASGI and the framework: a framework's WebSocket
cannot say that the peer finished, and loses the frames that arrived just before it closed.
"""

from __future__ import annotations

import logging

import trio
from quart_trio import QuartTrio
from wsproto.frame_protocol import CloseReason

from taskferry_transports.frame_queue import FrameQueue, OneAtATime
from taskferry_transports.guarded_server import LINKS, GuardedWebSocket
from taskferry_transports.port import Handler, LinkInfo, TransportKind, check_frames

_LOG = logging.getLogger(__name__)

_CLOSE_SECONDS = 2.0  # A ping may be stuck before our goodbye; then the connection is dropped instead.


class WebSocketServerTransport:
    """A `Transport` over a WebSocket that was dialled to us."""

    kind: TransportKind = "websocket"

    def __init__(self, link: GuardedWebSocket, inbox: FrameQueue, peer: str) -> None:
        self.peer = peer
        self.max_frame = link.wire.guard.max_frame
        self._link = link
        self._inbox = inbox
        self._sending = OneAtATime("another task is already sending")
        self._closed = False
        self._finished = False

    async def send(self, *frames: bytes) -> None:
        """Send a binary message for each frame, all in one write."""
        check_frames(frames, self.max_frame)
        await self._send(*frames)

    async def send_eof(self) -> None:
        """Send the empty message that ends our direction."""
        await self._send(b"")
        self._finished = True

    async def receive(self) -> bytes:
        """Wait for the next binary message."""
        return await self._inbox.get()

    def receive_nowait(self) -> bytes | None:
        """The next binary message, if it has arrived."""
        return self._inbox.get_nowait()

    async def aclose(self) -> None:
        """Say goodbye and hang up."""
        await self._end(CloseReason.NORMAL_CLOSURE)

    async def _end(self, code: CloseReason) -> None:
        if not self._closed:
            self._closed = True
            self._inbox.discard(trio.ClosedResourceError("this transport was closed here"))
            if self._sending.busy:
                # A goodbye would only queue up behind the send that is stuck.
                self._link.wire.drop()
            else:
                with trio.move_on_after(_CLOSE_SECONDS):
                    await self._link.close_with(code, "closed here")
        await trio.lowlevel.checkpoint()

    async def _send(self, *messages: bytes) -> None:
        with self._sending:
            if self._closed or self._finished:
                raise trio.ClosedResourceError("this transport was closed here")
            try:
                await self._link.send_frames(messages)
            except trio.BrokenResourceError:
                if self._closed:
                    raise trio.ClosedResourceError("this transport was closed here") from None
                raise


def add_websocket_route(app: QuartTrio, path: str, handler: Handler) -> None:
    """Serve WebSocket links at `path`: `handler(transport, info)` runs for each, which is closed afterwards.

    A client that does not offer the subprotocol `taskferry.1` is refused with status 400.
    A handler that raises closes the link with code 1011; the error goes to the log.
    """

    async def serve_link(link: GuardedWebSocket, inbox: FrameQueue, info: LinkInfo) -> None:
        transport = WebSocketServerTransport(link, inbox, info.peer)
        code = CloseReason.INTERNAL_ERROR
        try:
            await handler(transport, info)
            code = CloseReason.NORMAL_CLOSURE
        except* (trio.BrokenResourceError, trio.EndOfChannel) as ended:
            # How links end every day; a handler need not catch it, and nobody wants its traceback in a log.
            _LOG.debug("link of %s ended: %s", info.peer, ended.exceptions[0])
            code = CloseReason.NORMAL_CLOSURE
        except* Exception as failed:  # noqa: BLE001
            # The one boundary: a handler's error ends its own link, with a goodbye, and no other.
            _LOG.error("handler of the link of %s failed", info.peer, exc_info=failed)
            code = CloseReason.INTERNAL_ERROR
        finally:
            await transport._end(code)

    app.extensions.setdefault(LINKS, {})[path] = serve_link
