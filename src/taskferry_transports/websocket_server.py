"""The listening side over WebSocket: a Quart-Trio route that hands each link to a handler.

It runs on the guarded server only, because the frames bypass ASGI: a framework's WebSocket cannot say that
the peer finished, and loses the frames that arrived just before it closed.
"""

from __future__ import annotations

import logging

import trio
from quart import Response, websocket
from quart_trio import QuartTrio
from wsproto.frame_protocol import CloseReason

from taskferry_transports.frame_queue import OneAtATime
from taskferry_transports.guarded_server import DRAINING_STATE, LINK_STATE, GuardedWebSocket, refusal_body
from taskferry_transports.port import SUBPROTOCOL, Handler, LinkInfo, TransportKind, check_frames

_LOG = logging.getLogger(__name__)

_CLOSE_SECONDS = 2.0  # A ping may be stuck before our goodbye; then the connection is dropped instead.


class WebSocketServerTransport:
    """A `Transport` over a WebSocket that was dialled to us."""

    kind: TransportKind = "websocket"

    def __init__(self, link: GuardedWebSocket, peer: str) -> None:
        self.peer = peer
        self.max_frame = link.wire.guard.max_frame
        self._link = link
        self._inbox = link.adopt()
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
    A handler that raises closes the link with code 1011; the error goes on to Quart, which logs it.
    """

    async def serve_link() -> Response | None:
        state = websocket.scope["state"]
        link = state.get(LINK_STATE)
        if not isinstance(link, GuardedWebSocket):
            raise RuntimeError("WebSocket links need taskferry_transports.guarded_server")
        if SUBPROTOCOL not in websocket.requested_subprotocols:
            body = refusal_body(
                "unknown-subprotocol", f"This address speaks {SUBPROTOCOL}.", "Use a TaskFerry client."
            )
            return Response(body, status=400, content_type="application/json")
        peer = websocket.headers["Remote-Addr"]
        transport = WebSocketServerTransport(link, peer)
        await websocket.accept(subprotocol=SUBPROTOCOL)
        headers = {name.lower(): value for name, value in websocket.headers.items()}
        code = CloseReason.INTERNAL_ERROR
        try:
            await handler(transport, LinkInfo(peer, websocket.path, headers, state[DRAINING_STATE]))
            code = CloseReason.NORMAL_CLOSURE
        except* (trio.BrokenResourceError, trio.EndOfChannel) as ended:
            # How links end every day; a handler need not catch it, and nobody wants its traceback in a log.
            _LOG.debug("link of %s ended: %s", peer, ended.exceptions[0])
            code = CloseReason.NORMAL_CLOSURE
        finally:
            await transport._end(code)
        return None

    app.add_websocket(path, endpoint=f"taskferry-link:{path}", view_func=serve_link)
