"""Connected pairs of each kind, with the means to hurt them, for tests that care not which it is."""

from __future__ import annotations

import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import attrs
import trio
from hypercorn.typing import ASGIFramework
from quart_trio import QuartTrio

from taskferry_transports.guarded_server import BoundServer, GuardConfig, serve
from taskferry_transports.longpoll_client import LongPollDialer, LongPollSettings
from taskferry_transports.longpoll_server import LongPollLimits, LongPollServer
from taskferry_transports.memory import memory_pair
from taskferry_transports.port import LinkInfo, Liveness, Transport
from taskferry_transports.websocket_client import WebSocketDialer, WebSocketSettings
from taskferry_transports.websocket_server import add_websocket_route

MAX_FRAME = 40_000
QUICK = Liveness(ping_interval=0.15, silent_intervals=4)


@attrs.frozen
class Pair:
    """`near` dialled, `far` was dialled. The hooks act on the network between them."""

    near: Transport
    far: Transport
    vanish: Callable[[], Awaitable[None]]
    """Kill the connection without a word."""
    freeze: Callable[[], None]
    """Let no more bytes through, while both ends stay connected."""


class Proxy:
    """A TCP hop that can stop carrying bytes, or drop what it carries."""

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._thawed = trio.Event()
        self._thawed.set()
        self._streams: list[trio.SocketStream] = []
        self._accepting = trio.CancelScope()

    def freeze(self) -> None:
        """Carry nothing from now on."""
        self._thawed = trio.Event()

    def cut(self) -> None:
        """Close every connection without a word."""
        for stream in self._streams:
            stream.socket.close()

    def kill(self) -> None:
        """Close every connection without a word, and take no new one."""
        self._accepting.cancel()
        self.cut()

    async def run(self, *, task_status: trio.TaskStatus[int]) -> None:
        """Carry connections until cancelled; reports the port."""
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        task_status.started(listener.socket.getsockname()[1])
        async with trio.open_nursery() as connections:
            with self._accepting:
                await trio.serve_listeners(self._carry, [listener], handler_nursery=connections)
            await listener.aclose()

    async def _carry(self, near: trio.SocketStream) -> None:
        await self._join(near, near)

    async def _join(self, near: trio.abc.Stream, tcp: trio.SocketStream) -> None:
        far = await trio.open_tcp_stream("127.0.0.1", self._target)
        self._streams += [tcp, far]
        async with near, far, trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, near, far, (tcp, far))
            nursery.start_soon(self._pump, far, near, (tcp, far))

    async def _pump(
        self, source: trio.abc.Stream, sink: trio.abc.Stream, ends: tuple[trio.SocketStream, ...]
    ) -> None:
        try:
            while data := await source.receive_some(16_384):
                await self._thawed.wait()
                await sink.send_all(data)
            if isinstance(sink, trio.SocketStream):
                await sink.send_eof()
            else:
                await sink.aclose()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            for end in ends:
                end.socket.close()


class TunnelProxy(Proxy):
    """A proxy that opens tunnels, all of them to one server on this machine, whatever it is asked for."""

    def __init__(self, target_port: int, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(target_port)
        self.asked: list[bytes] = []
        """The head of each request."""
        self._tls = tls

    async def _carry(self, near: trio.SocketStream) -> None:
        stream = near if self._tls is None else trio.SSLStream(near, self._tls, server_side=True)
        head = b""
        try:
            while not head.endswith(b"\r\n\r\n"):
                if not (piece := await stream.receive_some(4096)):
                    return
                head += piece
        except trio.BrokenResourceError:
            return
        self.asked.append(head)
        await stream.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await self._join(stream, near)


@asynccontextmanager
async def running(app: ASGIFramework, guard: GuardConfig) -> AsyncIterator[BoundServer]:
    """The real server on a free port of 127.0.0.1, cancelled at the end."""
    async with trio.open_nursery() as nursery:
        bound = await nursery.start(serve, app, guard)
        try:
            yield bound
        finally:
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def memory(liveness: Liveness) -> AsyncIterator[Pair]:
    """A pair in memory."""
    pair = memory_pair(max_frame=MAX_FRAME, buffer_bytes=4 * MAX_FRAME, buffer_frames=16, liveness=liveness)

    async def vanish() -> None:
        pair.cut()

    yield Pair(pair.left, pair.right, vanish, pair.freeze)


@asynccontextmanager
async def _websocket(
    liveness: Liveness, hop: type[Proxy], way: Callable[[int, int], WebSocketSettings]
) -> AsyncIterator[Pair]:
    """A real client, a hop, and the real server; `way` leads over the port of the one to the other's."""
    arrived: trio.MemorySendChannel[Transport]
    arrived, arrivals = trio.open_memory_channel[Transport](1)
    app = QuartTrio("pair")
    done = trio.Event()

    async def handler(transport: Transport, info: LinkInfo) -> None:
        await arrived.send(transport)
        await done.wait()

    add_websocket_route(app, "/link", handler)
    guard = GuardConfig(max_frame=MAX_FRAME, receive_buffer=4 * MAX_FRAME, liveness=liveness, linger=0.2)
    async with running(app, guard) as bound, trio.open_nursery() as nursery:
        proxy = hop(bound.port)
        settings = attrs.evolve(
            way(await nursery.start(proxy.run), bound.port),
            max_frame=MAX_FRAME,
            liveness=liveness,
            close_timeout=0.5,
        )
        near = await WebSocketDialer(nursery, settings).dial()
        far = await arrivals.receive()

        async def vanish() -> None:
            proxy.cut()

        try:
            yield Pair(near, far, vanish, proxy.freeze)
        finally:
            await near.aclose()
            done.set()
            nursery.cancel_scope.cancel()


def websocket(liveness: Liveness) -> AbstractAsyncContextManager[Pair]:
    """A real client, a TCP hop, and the real server."""
    return _websocket(liveness, Proxy, lambda hop, server: WebSocketSettings(f"ws://127.0.0.1:{hop}/link"))


def tunnelled(liveness: Liveness) -> AbstractAsyncContextManager[Pair]:
    """A real client, an HTTP proxy, and the real server under a name that the proxy alone knows."""

    def way(hop: int, server: int) -> WebSocketSettings:
        return WebSocketSettings(
            f"ws://relay.invalid:{server}/link",
            plaintext_hosts=frozenset({"relay.invalid"}),
            proxy_for=lambda _: f"http://127.0.0.1:{hop}",
        )

    return _websocket(liveness, TunnelProxy, way)


@asynccontextmanager
async def longpoll(liveness: Liveness) -> AsyncIterator[Pair]:
    """A real client, a TCP hop, and the real server."""
    arrived, arrivals = trio.open_memory_channel[Transport](1)
    app = QuartTrio("pair")
    done = trio.Event()

    async def handler(transport: Transport, info: LinkInfo) -> None:
        await arrived.send(transport)
        await done.wait()

    limits = LongPollLimits(
        max_frame=MAX_FRAME, buffer_bytes=4 * MAX_FRAME, buffer_frames=16, liveness=liveness, room_timeout=0.2
    )
    links = LongPollServer(handler, random.Random(7).randbytes, limits)
    links.mount(app, "/link")
    async with trio.open_nursery() as nursery:
        await nursery.start(links.run)
        async with running(app, GuardConfig(max_body=limits.max_body, linger=0.2)) as bound:
            proxy = Proxy(bound.port)
            port = await nursery.start(proxy.run)
            settings = LongPollSettings(
                f"http://127.0.0.1:{port}/link",
                max_frame=MAX_FRAME,
                buffer_bytes=4 * MAX_FRAME,
                buffer_frames=16,
                liveness=liveness,
                close_timeout=0.5,
            )
            near = await LongPollDialer(nursery, settings).dial()
            far = await arrivals.receive()

            async def vanish() -> None:
                proxy.kill()

            try:
                yield Pair(near, far, vanish, proxy.freeze)
            finally:
                await near.aclose()
                done.set()
                nursery.cancel_scope.cancel()


KINDS = {"longpoll": longpoll, "memory": memory, "tunnelled": tunnelled, "websocket": websocket}
