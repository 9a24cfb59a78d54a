"""One accepted TCP connection: its reading, its sending, its deadlines, and the end of its failures."""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Mapping
from http import HTTPStatus
from math import inf
from typing import NoReturn

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState
from wsproto.frame_protocol import CloseReason

from taskferry_transports.freeing import let_go
from taskferry_transports.guarded_server.budgets import SharedBudget
from taskferry_transports.guarded_server.config import GuardConfig
from taskferry_transports.guarded_server.http import GuardedH11
from taskferry_transports.guarded_server.websocket import GuardedWebSocket, LinkServer

_LOG = logging.getLogger(__name__)

_RECEIVE_BYTES = 65536
_SEND_BYTES = 65536
_LINGER_BYTES = 1 << 20  # What an honest client may have under way; a flood ends here.
_PING = b"\x89\x00"  # RFC 6455 section 5.5.2: a ping without payload.

_AHEAD_BYTES = 65536  # Pipelined requests that wait for an answer; whoever sends more of them is hung up on.
_AHEAD_GRACE = 2.0  # Seconds: the end of an answer may be read before the server is done with it.


class _PeerGone(Exception):
    """The peer went while we were not yet parsing what it sends."""


class Connection:
    """One connection. Whatever happens on it ends it and nothing else."""

    def __init__(
        self,
        stream: trio.SocketStream | trio.SSLStream[trio.SocketStream],
        address: tuple[str, int],
        *,
        app: AppWrapper,
        config: Config,
        guard: GuardConfig,
        context: WorkerContext,
        state: ConnectionState,
        links: Mapping[str, LinkServer],
        bodies: SharedBudget,
        frames: SharedBudget,
        draining: trio.Event,
    ) -> None:
        self.guard = guard
        self.links = links
        self.draining = draining
        self.bodies = bodies
        self.frames = frames
        self.peer = f"{address[0]}:{address[1]}"
        self.websocket: GuardedWebSocket | None = None
        self.idle = False
        """Whether this is an HTTP connection between two requests."""
        self._stream = stream
        tcp = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
        self._socket = tcp.socket
        self._send_lock = trio.Lock()
        self._group = TaskGroup()
        self._reading = trio.CancelScope()
        self._waiting_since = inf
        self._next_ping = inf
        self._ahead = b""
        self._last_word_said = False
        self._has_read_all = False
        self._dropped = False
        own = self._socket.getsockname()
        self._protocol = GuardedH11(
            app,
            config,
            context,
            self._group,
            state,
            isinstance(stream, trio.SSLStream),
            address,
            (own[0], own[1]),
            self._protocol_send,
        )
        self._protocol.attach(self)

    async def run(self) -> None:
        """Serve until the connection ends. Raises nothing but `trio.Cancelled`."""
        try:
            if isinstance(self._stream, trio.SSLStream):
                with trio.move_on_after(self.guard.tls_timeout) as handshake:
                    await self._stream.do_handshake()
                if handshake.cancelled_caught:
                    return
            async with self._group:
                try:
                    await self._read_all()
                finally:
                    self._has_read_all = True
                await self._protocol.handle(Closed())
                self._nursery.cancel_scope.deadline = trio.current_time() + self.guard.handler_timeout
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            _LOG.debug("connection of %s ended: %s", self.peer, error.exceptions[0])
        except* Exception as error:  # noqa: BLE001
            # The one boundary: hypercorn lets such errors end the whole server.
            _LOG.warning("connection of %s failed", self.peer, exc_info=error)
        finally:
            if self.websocket is not None:
                self.websocket.fail("the server closed the connection")
                self.websocket.let_go()
            self.drop()
            self._fall_apart()

    def _fall_apart(self) -> None:
        """Let go of what refers back to us, so that all of it is freed now, and not when cycles are sought.

        A server that seldom seeks them would hold what each of its last thousand connections had read.
        """
        websocket, self.websocket = self.websocket, None
        if websocket is not None:
            websocket.fall_apart()
        self._protocol.fall_apart()
        del self._protocol

    # --- reading -------------------------------------------------------------------------------------------

    async def _read_all(self) -> None:
        lingered = 0
        with self._reading:
            self._reading.deadline = trio.current_time() + self.guard.head_timeout
            while True:
                data = self._ahead or await self._receive()
                self._ahead = b""
                if not data:
                    return
                if self._last_word_said:
                    lingered += len(data)
                    if lingered > _LINGER_BYTES:
                        return
                    continue
                if self.idle:
                    self.idle = False
                    self._reading.deadline = trio.current_time() + self.guard.head_timeout
                try:
                    await self._protocol.handle(RawData(data))
                except _PeerGone:
                    return
                # A quiet connection does not hold what came last on it.
                del data
        if self.websocket is not None:
            await self.websocket.close_with(CloseReason.POLICY_VIOLATION, "a message came too slowly")
        elif not self._last_word_said and not self.idle:
            await self._protocol.refuse(
                HTTPStatus.REQUEST_TIMEOUT,
                "request-too-slow",
                "The request did not arrive in time.",
                "Send it in one go.",
            )

    async def _receive(self) -> bytes:
        self._waiting_since = trio.current_time()
        try:
            return bytes(await self._stream.receive_some(_RECEIVE_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            let_go(error)
            return b""
        finally:
            self._waiting_since = inf

    async def hold(self) -> NoReturn:
        """Keep what arrives ahead of its turn, up to a bound, until cancelled. Raises _PeerGone."""
        while len(self._ahead) <= _AHEAD_BYTES:
            data = await self._receive()
            self._ahead += data
            if not data:
                break
        else:
            # It may have read all of its answer already, of which the last step is not done here.
            await trio.sleep(_AHEAD_GRACE)
        raise _PeerGone

    def await_body(self) -> None:
        """A body is due."""
        self._reading.deadline = trio.current_time() + self.guard.body_timeout

    def await_message(self) -> None:
        """A large message is due."""
        self._reading.deadline = trio.current_time() + self.guard.message_timeout

    def await_handler(self) -> None:
        """The peer owes us nothing now."""
        if not self._last_word_said:
            self._reading.deadline = inf

    # --- sending -------------------------------------------------------------------------------------------

    async def write(self, data: bytes) -> None:
        """Send everything, each 64 KiB in time, or raise `trio.BrokenResourceError`.

        A send that is cancelled or late drops the connection: half a message is never followed by another.
        """
        try:
            self._send_lock.acquire_nowait()
        except trio.WouldBlock:
            await self._send_lock.acquire()
        try:
            if self._last_word_said or self._dropped:
                raise trio.BrokenResourceError("the connection is closed")
            if len(data) <= _SEND_BYTES:
                await self._write_piece(data)
            else:
                with memoryview(data) as view:
                    for start in range(0, len(data), _SEND_BYTES):
                        with view[start : start + _SEND_BYTES] as piece:
                            await self._write_piece(piece)
        finally:
            self._send_lock.release()

    async def _write_piece(self, piece: bytes | memoryview) -> None:
        try:
            with trio.move_on_after(self.guard.send_timeout) as scope:
                await self._stream.send_all(piece)
        except trio.Cancelled:
            self._drop_because("a send was cancelled half-way")
            raise
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            let_go(error)
            raise trio.BrokenResourceError("the peer vanished") from None
        if scope.cancelled_caught:
            reason = f"the peer took nothing for {self.guard.send_timeout:g} s"
            self._drop_because(reason)
            raise trio.BrokenResourceError(reason)

    async def _protocol_send(self, event: Event) -> None:
        if isinstance(event, RawData):
            try:
                await self.write(event.data)
            except trio.BrokenResourceError:
                # Our reading ends too, and tells the application, if it lets the event loop run.
                await trio.lowlevel.checkpoint()
        elif isinstance(event, Closed):
            self._say_last_word()
        elif isinstance(event, Updated) and event.idle:
            self.idle = True
            self._reading.deadline = trio.current_time() + self.guard.idle_timeout

    def _say_last_word(self) -> None:
        """Send nothing more, and read on for a little, so that the peer gets what was sent."""
        if not self._last_word_said:
            self._last_word_said = True
            self._reading.deadline = trio.current_time() + self.guard.linger
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                self._reading.deadline = -inf

    # --- what the server calls -----------------------------------------------------------------------------

    def start_pings(self, websocket: GuardedWebSocket) -> None:
        """Watch the peer's silence from now on."""
        self.websocket = websocket
        self._next_ping = trio.current_time() + self.guard.liveness.ping_interval

    def look_after(self, now: float) -> None:
        """Ping a WebSocket that is due, drop one that is silent. Called a few times each interval.

        Silence counts only while we listen: a slow handler of ours is not the peer's silence.
        """
        # Once nothing more is read, the nursery may take no new task any more.
        if self.websocket is None or self._last_word_said or self._has_read_all:
            return
        liveness = self.guard.liveness
        if now - self._waiting_since > liveness.dead_after:
            self._drop_because(f"the peer fell silent for {liveness.dead_after:g} s")
        elif now >= self._next_ping and not self._send_lock.locked():
            self._next_ping = now + liveness.ping_interval
            self._nursery.start_soon(self._protocol_send, RawData(_PING))

    def hang_up(self) -> None:
        """End an HTTP connection that is between two requests."""
        if self.idle:
            self._say_last_word()

    def drop(self) -> None:
        """End the connection at once, without waiting for anything."""
        if not self._dropped:
            self._dropped = True
            try:
                if not self._last_word_said:
                    # Nothing sent is left waiting: a peer that does not read must not hold our memory.
                    self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
            self._socket.close()

    def _drop_because(self, reason: str) -> None:
        if self.websocket is not None:
            self.websocket.fail(reason)
        self.drop()

    @property
    def _nursery(self) -> trio.Nursery:
        nursery = self._group._nursery
        if nursery is None:
            raise trio.ClosedResourceError
        return nursery
