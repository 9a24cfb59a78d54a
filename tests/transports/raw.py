"""Clients that keep no rule: raw bytes to the guarded server, and just enough parsing to read its answer."""

from __future__ import annotations

import struct

import attrs
import psutil
import trio
from quart import Response, request, websocket
from quart_trio import QuartTrio

from taskferry_transports.guarded_server import GuardConfig
from taskferry_transports.port import LinkInfo, Transport
from taskferry_transports.websocket_server import add_websocket_route

GUARD = GuardConfig(
    max_frame=100_000,
    max_body=200_000,
    body_limits=(("/slow", 500_000),),
    bodies_total=600_000,
    head_timeout=5,
    body_timeout=5,
    idle_timeout=0.5,
    send_timeout=0.5,
    handler_timeout=5,
    linger=0.2,
    grace=0.5,
    uncounted_peers=frozenset(),
    max_connections=40,
    max_connections_per_peer=20,
)
#: For tests of the deadlines themselves. A busy machine may hold up an honest request for longer.
HASTY = attrs.evolve(GUARD, head_timeout=0.4, body_timeout=0.6, handler_timeout=0.5)
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def make_app() -> QuartTrio:
    """An application with one of everything that a client may meet."""
    app = QuartTrio("guarded")
    app.config["MAX_CONTENT_LENGTH"] = None

    @app.get("/health")
    async def health() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/whoami")
    async def whoami() -> str:
        return ",".join(request.access_route)

    @app.post("/length")
    async def length() -> str:
        return str(len(await request.get_data()))

    @app.post("/slow-length")
    async def slow_length() -> str:
        body = await request.get_data()
        await trio.sleep(0.3)
        return str(len(body))

    @app.get("/crash")
    async def crash() -> str:
        raise RuntimeError("on purpose")

    @app.get("/events")
    async def events() -> Response:
        draining = request.scope["state"]["taskferry.draining"]

        async def stream():
            yield b"data: hello\n\n"
            await draining.wait()
            yield b"data: goodbye\n\n"

        response = Response(stream(), content_type="text/event-stream")
        response.timeout = None
        return response

    @app.get("/flood")
    async def flood() -> Response:
        async def stream():
            while True:
                yield bytes(65_536)

        response = Response(stream())
        response.timeout = None
        return response

    @app.websocket("/quart")
    async def quart_echo() -> None:
        while True:
            await websocket.send(repr(await websocket.receive()))

    @app.websocket("/any-subprotocol")
    async def any_subprotocol() -> None:
        await websocket.accept()
        await websocket.receive()

    async def echo(transport: Transport, info: LinkInfo) -> None:
        try:
            while True:
                await transport.send(await transport.receive())
        except trio.EndOfChannel:
            await transport.send_eof()

    async def crash_link(transport: Transport, info: LinkInfo) -> None:
        await transport.receive()
        raise RuntimeError("on purpose")

    async def flood_link(transport: Transport, info: LinkInfo) -> None:
        while True:
            await transport.send(bytes(30_000))

    async def polite_link(transport: Transport, info: LinkInfo) -> None:
        await info.draining.wait()
        await transport.send(b"goaway")

    async def stubborn_link(transport: Transport, info: LinkInfo) -> None:
        await trio.sleep_forever()

    add_websocket_route(app, "/echo", echo)
    add_websocket_route(app, "/crash-link", crash_link)
    add_websocket_route(app, "/flood-link", flood_link)
    add_websocket_route(app, "/polite-link", polite_link)
    add_websocket_route(app, "/stubborn-link", stubborn_link)
    return app


def upgrade(path: str = "/echo", *headers: str) -> bytes:
    """A correct WebSocket upgrade, with more headers if wanted."""
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: test",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: taskferry.1",
        *headers,
    ]
    return "\r\n".join(lines).encode("latin1") + b"\r\n\r\n"


def frame(payload: bytes, *, first: int = 0x82, claimed: int | None = None) -> bytes:
    """A masked client frame; `first` holds FIN and opcode, `claimed` a length that may be a lie."""
    size = len(payload) if claimed is None else claimed
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + b"\0\0\0\0" + payload


async def connect(port: int, data: bytes = b"") -> trio.SocketStream:
    """A TCP connection on which `data` was already sent."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    if data:
        await stream.send_all(data)
    return stream


async def read_head(stream: trio.SocketStream) -> bytes:
    """Read to the end of the response headers, and perhaps past it."""
    got = b""
    while b"\r\n\r\n" not in got:
        data = await stream.receive_some(65_536)
        if not data:
            break
        got += data
    return got


async def read_to_end(stream: trio.abc.ReceiveStream, limit: int = 1 << 20) -> bytes:
    """Read until the server closes, however it does that."""
    got = b""
    try:
        while len(got) < limit:
            data = await stream.receive_some(65_536)
            if not data:
                break
            got += data
    except trio.BrokenResourceError:
        pass
    return got


async def exchange(port: int, data: bytes) -> bytes:
    """Everything that the server answers to `data` until it closes."""
    async with await connect(port, data) as stream:
        return await read_to_end(stream)


async def is_healthy(port: int) -> bool:
    """Whether the server still answers others."""
    answer = await exchange(port, b"GET /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    return answer.startswith(b"HTTP/1.1 200") and b'"ok":true' in answer.replace(b" ", b"")


async def flood(stream: trio.SocketStream, first: bytes, then: bytes) -> None:
    """Send something once, and something else two thousand times."""
    await stream.send_all(first)
    for _ in range(2000):
        await stream.send_all(then)


def resident_bytes() -> int:
    """What this process holds, and the server in it."""
    held: int = psutil.Process().memory_info().rss
    return held
