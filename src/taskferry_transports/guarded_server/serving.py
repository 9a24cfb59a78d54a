"""Listening, counting connections, watching over them, and stopping in good order."""

from __future__ import annotations

import errno
import logging
import socket
from collections import Counter
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from importlib.metadata import version

import attrs
import trio
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ASGIFramework, ConnectionState, LifespanState
from hypercorn.utils import wrap_app
from wsproto.frame_protocol import CloseReason

from taskferry_transports.guarded_server.budgets import SharedBudget
from taskferry_transports.guarded_server.config import GuardConfig
from taskferry_transports.guarded_server.connection import Connection
from taskferry_transports.guarded_server.refusals import raw_refusal, refusal_body
from taskferry_transports.guarded_server.websocket import DRAINING_STATE, LinkServer

_Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]
_Listener = trio.SocketListener | trio.SSLListener[trio.SocketStream]

_LOG = logging.getLogger(__name__)

LINKS = "taskferry.links"
"""Key in an application's `extensions` of its links: a `LinkServer` by path, which goes before its routes."""

_TURNING_AWAY = 64  # So many refused clients at a time get to read why; the rest are just closed.
_TURN_AWAY_SECONDS = 0.5


class CannotListen(Exception):
    """The server cannot listen where it should; the text is one plain sentence for its operator."""


@attrs.frozen
class BoundServer:
    """What `serve` reports once it takes connections."""

    addresses: tuple[tuple[str, int], ...]
    """Host and port of each socket, in the order of `GuardConfig.bind`."""
    urls: tuple[str, ...]
    """The same as `http://…` or `https://…`."""
    draining: trio.Event
    """Set it to stop: no new connections, handlers are told, and `serve` returns within the grace."""
    connections: set[Connection]
    """Those that are open now."""

    @property
    def port(self) -> int:
        """The port of the first socket."""
        return self.addresses[0][1]


async def serve(
    app: ASGIFramework,
    guard: GuardConfig,
    *,
    draining: trio.Event | None = None,
    task_status: trio.TaskStatus[BoundServer] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an ASGI application until `draining` is set and its handlers have ended, or until cancelled.

    Start it with `bound = await nursery.start(serve, app, guard)`.
    Handlers find the draining event in `scope["state"]["taskferry.draining"]`.
    Raises `CannotListen` when an address is taken or not ours.
    """
    if not version("hypercorn").startswith("0.18."):
        raise RuntimeError("the guarded server is built from the parts of hypercorn 0.18 and knows no other")
    draining = trio.Event() if draining is None else draining
    config = Config()
    config.include_server_header = False
    config.h11_max_incomplete_size = guard.max_head
    config.keep_alive_max_requests = 100_000
    config.websocket_ping_interval = None
    # The queue between hypercorn and the framework: transports do not use it, and request bodies are counted.
    config.max_app_queue_size = 4
    config.accesslog = None
    config.errorlog = _LOG
    wrapped = wrap_app(app, 0, "asgi")
    state: LifespanState = {}
    lifespan = Lifespan(wrapped, config, state)
    listeners = await _listen(guard)
    async with trio.open_nursery() as outer:
        await outer.start(lifespan.handle_lifespan)
        await lifespan.wait_for_startup()
        links: Mapping[str, LinkServer] = getattr(app, "extensions", {}).get(LINKS, {})
        server = _Server(wrapped, config, guard, {**state, DRAINING_STATE: draining}, links, draining)
        await server.run(listeners, task_status)
        await lifespan.wait_for_shutdown()
        outer.cancel_scope.cancel()


class _Server:
    """The open connections, and what they share."""

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        guard: GuardConfig,
        state: LifespanState,
        links: Mapping[str, LinkServer],
        draining: trio.Event,
    ) -> None:
        self._app = app
        self._config = config
        self._guard = guard
        self._state = ConnectionState(state)
        self._links = links
        self._draining = draining
        self._context = WorkerContext(None)
        self._bodies = SharedBudget(guard.bodies_total, guard.largest_body)
        self._frames = SharedBudget(guard.frames_total, guard.max_frame)
        self._open: set[Connection] = set()
        self._per_peer: Counter[str] = Counter()
        self._turning_away = 0
        self._one_ended = trio.Event()

    async def run(
        self, listeners: Mapping[tuple[str, int], _Listener], task_status: trio.TaskStatus[BoundServer]
    ) -> None:
        """Take connections until draining, then see them off."""
        addresses = tuple(listeners)
        scheme = "http" if self._guard.tls is None else "https"
        urls = tuple(
            f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
            for host, port in addresses
        )
        async with trio.open_nursery() as connections:
            connections.start_soon(self._look_after_all)
            try:
                async with trio.open_nursery() as accepting:
                    for listener in listeners.values():
                        accepting.start_soon(
                            partial(
                                trio.serve_listeners, self._handle, [listener], handler_nursery=connections
                            )
                        )
                    task_status.started(BoundServer(addresses, urls, self._draining, self._open))
                    await self._draining.wait()
                    accepting.cancel_scope.cancel()
                await self._see_off()
            finally:
                for connection in tuple(self._open):
                    connection.drop()
                connections.cancel_scope.cancel()

    async def _handle(self, stream: _Stream) -> None:
        tcp = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
        try:
            host, port, *_ = tcp.socket.getpeername()
        except OSError:
            return
        peer = self._guard.counted(host)
        refusal = self._too_many(peer)
        if refusal is not None:
            await self._turn_away(stream, refusal)
            return
        connection = Connection(
            stream,
            (host, port),
            app=self._app,
            config=self._config,
            guard=self._guard,
            context=self._context,
            state=self._state,
            links=self._links,
            bodies=self._bodies,
            frames=self._frames,
            draining=self._draining,
        )
        self._open.add(connection)
        self._per_peer[peer] += 1
        try:
            await connection.run()
        finally:
            self._open.discard(connection)
            self._per_peer[peer] -= 1
            if not self._per_peer[peer]:
                del self._per_peer[peer]
            self._one_ended.set()

    def _too_many(self, peer: str) -> str | None:
        if len(self._open) >= self._guard.max_connections:
            return "This server has as many connections as it may."
        if peer and self._per_peer[peer] >= self._guard.max_connections_per_peer:
            return "Your address has as many connections as it may."
        return None

    async def _turn_away(self, stream: _Stream, message: str) -> None:
        if isinstance(stream, trio.SSLStream) or self._turning_away >= _TURNING_AWAY:
            return
        self._turning_away += 1
        body = refusal_body("too-many-connections", message, "Close some, or try again later.")
        try:
            with trio.move_on_after(_TURN_AWAY_SECONDS):
                # The request is read first: closing with unread bytes would destroy the answer.
                await stream.receive_some(self._guard.max_head)
                await stream.send_all(
                    raw_refusal(HTTPStatus.SERVICE_UNAVAILABLE, body, (b"retry-after", b"5"))
                )
                await stream.send_eof()
                await stream.receive_some(self._guard.max_head)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self._turning_away -= 1

    async def _look_after_all(self) -> None:
        # One task for all connections: a timer for each would cost an idle one half its memory again.
        while True:
            await trio.sleep(self._guard.liveness.check_every)
            self._look_after_each()

    def _look_after_each(self) -> None:
        # Not in the loop above, whose variables would hold the last connection of all while it sleeps.
        now = trio.current_time()
        for connection in tuple(self._open):
            try:
                connection.look_after(now)
            except Exception as error:  # noqa: BLE001 - no connection ends the others
                _LOG.warning("connection of %s failed", connection.peer, exc_info=error)
                connection.drop()

    async def _see_off(self) -> None:
        await self._context.terminated.set()
        for connection in tuple(self._open):
            connection.hang_up()
        await self._until_empty(self._guard.grace)
        async with trio.open_nursery() as goodbyes:
            goodbyes.cancel_scope.deadline = trio.current_time() + self._guard.linger
            for connection in tuple(self._open):
                if connection.websocket is not None:
                    goodbyes.start_soon(
                        connection.websocket.close_with, CloseReason.GOING_AWAY, "the server is stopping"
                    )
        await self._until_empty(self._guard.linger)

    async def _until_empty(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            while self._open:
                self._one_ended = trio.Event()
                await self._one_ended.wait()


async def _listen(guard: GuardConfig) -> dict[tuple[str, int], _Listener]:
    listeners: dict[tuple[str, int], _Listener] = {}
    for bind in guard.bind:
        host, _, port = bind.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = trio.socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            await sock.bind((host, int(port)))
            sock.listen(guard.backlog)
        except (OSError, ValueError) as error:
            sock.close()
            for listener in listeners.values():
                await listener.aclose()
            raise CannotListen(_why_not(bind, error)) from error
        plain = trio.SocketListener(sock)
        address, number, *_ = sock.getsockname()
        listeners[address, number] = (
            plain if guard.tls is None else trio.SSLListener(plain, guard.tls, https_compatible=True)
        )
    return listeners


def _why_not(bind: str, error: Exception) -> str:
    match error:
        case OSError(errno=errno.EADDRINUSE):
            return f"{bind} is already in use: another program, or another TaskFerry, listens there."
        case OSError(errno=errno.EACCES):
            return f"{bind} may not be used by this user: choose a port above 1023."
        case OSError(errno=errno.EADDRNOTAVAIL):
            return f"{bind} is not an address of this machine."
        case _:
            return f"{bind} cannot be listened on: {error}."
