"""hypercorn's WebSocket stream with its holes closed, and a direct way in for transports.

hypercorn 0.18 buffers oversized messages without limit, ignores missing pongs, lets a byte after the upgrade
end the whole server and drops a peer's last frames when it hangs up. Here a message is measured before it is
kept, whoever breaks RFC 6455 is hung up on, and a transport may take frames without the detour through ASGI
events, which cannot say "no more frames", nor "too large", nor how a connection ended.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Protocol
from urllib.parse import unquote

import trio
from hypercorn.protocol.events import Body, Data, EndBody, Event, Request, Response, StreamClosed
from hypercorn.protocol.ws_stream import ASGIWebsocketState, Handshake, WSStream
from hypercorn.typing import ASGISendEvent
from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from taskferry_transports.frame_queue import FrameQueue
from taskferry_transports.guarded_server.budgets import UNCOUNTED_BYTES, Crowded, SharedBudget
from taskferry_transports.guarded_server.config import GuardConfig
from taskferry_transports.guarded_server.refusals import refusal_body, refusal_headers
from taskferry_transports.guarded_server.usual_messages import Kind, UsualMessages
from taskferry_transports.port import SUBPROTOCOL, LinkInfo

DRAINING_STATE = "taskferry.draining"
"""Key in the ASGI scope's `state` of the `trio.Event` that is set when the server is about to stop."""

_POLITE_CODES = {1000, 1001, 1005}


LinkServer = Callable[["GuardedWebSocket", FrameQueue, LinkInfo], Awaitable[None]]
"""Serves one link in a task of its own: the WebSocket, already open, and the queue of what arrives on it.

It closes the link, and raises nothing but `trio.Cancelled`.
"""


class Wire(Protocol):
    """What a WebSocket needs of its connection."""

    links: Mapping[str, LinkServer]
    guard: GuardConfig
    frames: SharedBudget
    peer: str
    draining: trio.Event

    async def write(self, data: bytes) -> None:
        """Send everything in time, or raise `trio.BrokenResourceError`."""

    def await_message(self) -> None:
        """A large message is due: be patient for `message_timeout`."""

    def await_handler(self) -> None:
        """The message is complete: the peer owes us nothing."""

    def start_pings(self, websocket: GuardedWebSocket) -> None:
        """Watch the peer's silence from now on."""

    def drop(self) -> None:
        """End the connection at once."""


class GuardedWebSocket(WSStream):
    """One WebSocket, from its request to its end."""

    wire: Wire

    def attach(self, wire: Wire, counted: str) -> None:
        """Name the connection below, and the peer as it is counted. Comes before anything else."""
        self.wire = wire
        self._counted = counted
        self._inbox: FrameQueue | None = None
        self._parts = bytearray()
        self._text: list[str] = []
        self._length = 0
        self._held = 0
        self._peer_finished = False
        self._usual: UsualMessages | None = None

    def has_ended(self) -> bool:
        """Whether nothing more comes or goes."""
        return self.closed

    # --- what hypercorn calls ------------------------------------------------------------------------------

    async def handle(self, event: Event) -> None:
        """Take one event of the connection."""
        if isinstance(event, StreamClosed):
            self.let_go()
            if self._usual is not None:
                self._usual.let_go()
        if self.closed:
            return
        if isinstance(event, (Body, Data)):
            await self.feed(event.data)
        elif isinstance(event, Request):
            path = unquote(event.raw_path.partition(b"?")[0].decode("ascii"))
            link = self.wire.links.get(path)
            if link is not None:
                await self._begin_link(event, path, link)
            else:
                await super().handle(event)
            if self.has_ended():
                # hypercorn answered that this is no valid upgrade, and would now wait for ever.
                await self.send(StreamClosed(stream_id=self.stream_id))
        elif isinstance(event, StreamClosed):
            if self._inbox is None:
                await super().handle(event)
            else:
                # The handler is told by its transport, after the frames that have arrived. A
                # `websocket.disconnect` would make the framework cancel it and lose them.
                self.closed = True
                self._inbox.end(trio.BrokenResourceError("the peer vanished"))

    async def _begin_link(self, request: Request, path: str, serve: LinkServer) -> None:
        """Open the WebSocket and have the link served. No framework stands between: it would cost each link
        tasks, channels and contexts of its own for as long as it lasts.
        """
        handshake = Handshake(request.headers, request.http_version)
        if not handshake.is_valid():
            await self._refuse("bad-request", "This is no WebSocket upgrade that can be read.")
        elif SUBPROTOCOL not in (handshake.subprotocols or ()):
            await self._refuse("unknown-subprotocol", f"This address speaks {SUBPROTOCOL}.")
        else:
            status, headers, self.connection = handshake.accept(SUBPROTOCOL, [])
            inbox = self._adopt()
            self.state = ASGIWebsocketState.CONNECTED
            await self.send(Response(stream_id=self.stream_id, status_code=status, headers=headers))
            self.wire.start_pings(self)
            said = {name.decode("latin1"): value.decode("latin1") for name, value in request.headers}
            peer = self.client[0] if self.client is not None else ""
            self.task_group.spawn(serve, self, inbox, LinkInfo(peer, path, said, self.wire.draining))

    async def _refuse(self, code: str, message: str) -> None:
        body = refusal_body(code, message, "Use a TaskFerry client.")
        self.state = ASGIWebsocketState.HTTPCLOSED
        self.closed = True
        await self.send(
            Response(
                stream_id=self.stream_id, headers=refusal_headers(body), status_code=HTTPStatus.BAD_REQUEST
            )
        )
        await self.send(Body(stream_id=self.stream_id, data=body))
        await self.send(EndBody(stream_id=self.stream_id))

    async def app_send(self, message: ASGISendEvent | None) -> None:
        """Take one ASGI message of the application."""
        if self.closed:
            await trio.lowlevel.checkpoint()
            return
        await super().app_send(message)
        if message is not None and message["type"] == "websocket.accept":
            self.wire.start_pings(self)

    # --- what arrives --------------------------------------------------------------------------------------

    async def feed(self, data: bytes) -> None:
        """Take bytes from the peer."""
        if self.closed:
            return
        if self.state is not ASGIWebsocketState.CONNECTED:
            # RFC 6455 section 4.1: the client waits for our answer before it sends anything.
            await self._hang_up("the peer sent data before the upgrade was answered")
            return
        if self._usual is not None:
            await self._feed_usual(self._usual, data)
        else:
            await self._feed_parser(data)

    async def _feed_usual(self, usual: UsualMessages, data: bytes) -> None:
        usual.feed(data)
        while not self.closed:
            kind, found = usual.next()
            match kind:
                case Kind.MESSAGE:
                    await self._deliver(found)
                case Kind.CONTROL:
                    await self._feed_parser(found)
                case Kind.PART:
                    if usual.held > UNCOUNTED_BYTES:
                        await self._hold(usual.held - self._held)
                    return
                case Kind.OTHER:
                    self.read_in_general()
                    await self._feed_parser(found)
                    return

    async def _feed_parser(self, data: bytes) -> None:
        try:
            self.connection.receive_data(data)
            for event in self.connection.events():
                if isinstance(event, (BytesMessage, TextMessage)):
                    await self._take_message(event)
                elif isinstance(event, Ping):
                    await self._send_wsproto_event(event.response())
                elif isinstance(event, CloseConnection):
                    await self._take_close(event)
                if self.has_ended():
                    return
        except LocalProtocolError:
            await self._hang_up("the peer went on after closing")

    async def _take_message(self, event: BytesMessage | TextMessage) -> None:
        data = event.data
        if self._length + len(data) > self.wire.guard.max_frame:
            await self.close_with(CloseReason.MESSAGE_TOO_BIG, "the peer sent an oversized frame")
            return
        self._length += len(data)
        if self._length > UNCOUNTED_BYTES and not await self._hold(self._length - self._held):
            return
        if isinstance(event, TextMessage):
            if self._inbox is not None:
                await self.close_with(CloseReason.UNSUPPORTED_DATA, "the peer sent text")
                return
            self._text.append(event.data)
        elif isinstance(event, BytesMessage):
            if event.message_finished and not self._parts:
                await self._deliver(bytes(event.data))
                return
            self._parts += event.data
        if event.message_finished:
            await self._deliver("".join(self._text) if self._text else bytes(self._parts))

    async def _hold(self, size: int) -> bool:
        """Take memory for more of a large message; False if there is none for this peer."""
        if not self._held:
            self.wire.await_message()
        try:
            await self.wire.frames.take(self, self._counted, size)
        except Crowded:
            await self.close_with(CloseReason.TRY_AGAIN_LATER, "the peer has too much under way")
            return False
        self._held += size
        return True

    def let_go(self) -> None:
        """Give back the memory of a message that is complete, or will not be."""
        self._parts = bytearray()
        self._text = []
        if self._held:
            self.wire.frames.give_back(self, self._counted, self._held)
            self._held = 0
            self.wire.await_handler()

    async def _deliver(self, message: bytes | str) -> None:
        self._length = 0
        self.let_go()
        if self._inbox is None:
            if self.app_put is not None:
                text = message if isinstance(message, str) else None
                binary = None if isinstance(message, str) else message
                # Quart takes the text when the bytes are empty, and would deliver None.
                await self.app_put(
                    {"type": "websocket.receive", "bytes": binary, "text": "" if binary == b"" else text}
                )
        elif isinstance(message, str):
            await self.close_with(CloseReason.UNSUPPORTED_DATA, "the peer sent text")
        elif self._peer_finished:
            await self.close_with(CloseReason.PROTOCOL_ERROR, "the peer sent a frame after its last one")
        elif not message:
            self._peer_finished = True
            self._inbox.end(trio.EndOfChannel())
        elif self._inbox.has_room(len(message)):
            self._inbox.push(message)
        else:
            await self._inbox.put(message)

    async def _take_close(self, event: CloseConnection) -> None:
        if self.connection.state is ConnectionState.REMOTE_CLOSING:
            if self._inbox is not None:
                self._inbox.end(
                    trio.EndOfChannel()
                    if event.code in _POLITE_CODES
                    else trio.BrokenResourceError(f"the peer closed with {int(event.code)}")
                )
            await self._send_wsproto_event(event.response())
            await self.send(StreamClosed(stream_id=self.stream_id))
        elif self.connection.state is ConnectionState.OPEN:
            # wsproto could not parse what came.
            await self.close_with(CloseReason(event.code), "the peer broke the WebSocket rules")
        else:
            await self.send(StreamClosed(stream_id=self.stream_id))

    # --- what a transport calls ----------------------------------------------------------------------------

    def _adopt(self) -> FrameQueue:
        """From now on frames go straight into the returned queue."""
        guard = self.wire.guard
        self._inbox = FrameQueue(max_bytes=guard.receive_buffer, max_frames=guard.receive_frames)
        self._usual = UsualMessages(guard.max_frame)
        return self._inbox

    def read_in_general(self) -> None:
        """From now on wsproto reads everything. Call it before anything has arrived."""
        self._usual = None

    async def send_frames(self, frames: Iterable[bytes]) -> None:
        """Send a binary message for each frame, or raise `trio.BrokenResourceError`."""
        if self.closed or self.state is not ASGIWebsocketState.CONNECTED:
            await trio.lowlevel.checkpoint()
            raise trio.BrokenResourceError("the peer has gone")
        await self.wire.write(b"".join([part for frame in frames for part in (_head(len(frame)), frame)]))

    async def close_with(self, code: CloseReason, reason: str) -> None:
        """Send a close frame and hang up; our reader is told `reason` unless it already knows of an end."""
        if self.closed:
            return
        if self._inbox is not None:
            self._inbox.end(trio.BrokenResourceError(reason))
        self.state = ASGIWebsocketState.CLOSED
        await self._send_wsproto_event(CloseConnection(code=code))
        await self.send(StreamClosed(stream_id=self.stream_id))

    def fail(self, reason: str) -> None:
        """Tell our reader why the connection below is being dropped."""
        if self._inbox is not None:
            self._inbox.end(trio.BrokenResourceError(reason))

    def fall_apart(self) -> None:
        """It is over: refer to nothing that refers back."""
        del self.send, self.task_group, self.app_put

    async def _hang_up(self, reason: str) -> None:
        self.fail(reason)
        await self.send(StreamClosed(stream_id=self.stream_id))


def _head(size: int) -> bytes:
    """The header of an unmasked, final binary message (RFC 6455 section 5.2)."""
    if size < 126:
        return bytes((0x82, size))
    if size < 65536:
        return struct.pack("!BBH", 0x82, 126, size)
    return struct.pack("!BBQ", 0x82, 127, size)
