"""The plain WebSocket client against the guarded server, and against servers that break every rule."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, TextMessage

from taskferry_transports.blocking_websocket import BlockingWebSocket, CannotDial, DialRejected, Ended
from taskferry_transports.guarded_server import GuardConfig, serve

MOST = 100_000


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Sends back what comes; a path that is not `/echo` is refused."""
    if scope["type"] != "websocket":
        raise NotImplementedError
    await receive()
    if scope["path"] != "/echo":
        await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"no"})
        return
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        if message.get("text") == "end":
            await send({"type": "websocket.close", "code": 4000})
            return
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})


async def test_it_speaks_with_the_guarded_server() -> None:
    """Texts and bytes of any size both ways; a refusal has its status and body; an end has its code."""

    def talk(url: str) -> None:
        link = BlockingWebSocket(url, "/echo", {"x-test": "1"}, 1_000_000)
        for message in ("hello", "ü" * 30_000, b"\x00\xff", b"x" * 300_000):
            link.send(message)
            assert link.receive() == message
        link.send("end")
        with pytest.raises(Ended) as ended:
            link.receive()
        assert ended.value.code == 4000
        link.close()
        with pytest.raises(Ended):
            link.send("after")
        with pytest.raises(DialRejected) as rejected:
            BlockingWebSocket(url, "/other", {}, MOST)
        assert (rejected.value.status, rejected.value.body) == (403, b"no")

    async with trio.open_nursery() as nursery:
        bound = await nursery.start(serve, echo, GuardConfig())
        with trio.fail_after(20):
            await trio.to_thread.run_sync(talk, bound.urls[0])
        bound.draining.set()


@contextmanager
def server(handle: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server of one connection, as bad as `handle` makes it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            with listening.accept()[0] as connection:
                handle(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(10)


def upgraded(connection: socket.socket) -> WSConnection:
    """The server's half after a proper upgrade."""
    ws = WSConnection(ConnectionType.SERVER)
    ws.receive_data(connection.recv(65_536))
    list(ws.events())
    connection.sendall(ws.send(AcceptConnection()))
    return ws


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"\x16\x03\x01\x00",
    ],
)
def test_what_is_no_websocket_server_is_told(answer: bytes) -> None:
    """A wrong accept key, another protocol, nothing at all."""

    def handle(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(answer)

    with server(handle) as url, pytest.raises(CannotDial):
        BlockingWebSocket(url, "/", {}, MOST)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "https://127.0.0.1:1", "ftp://x", "http://", "http://x:y", "nonsense"]
)
def test_an_address_where_nothing_is_is_told(url: str) -> None:
    """Closed ports and what is no address."""
    with pytest.raises(CannotDial):
        BlockingWebSocket(url, "/", {}, MOST)


def test_a_flood_ends_the_connection_and_not_the_memory() -> None:
    """A message that never ends is cut off at the limit."""

    def handle(connection: socket.socket) -> None:
        ws = upgraded(connection)
        try:
            for _ in range(1_000):
                connection.sendall(ws.send(BytesMessage(data=b"x" * 10_000, message_finished=False)))
        except OSError:
            return
        raise AssertionError("the flood was taken")

    with server(handle) as url:
        link = BlockingWebSocket(url, "/", {}, MOST)
        with pytest.raises(Ended) as ended:
            link.receive()
        assert ended.value.code == 1009


def test_it_is_closed_although_a_server_takes_nothing_of_what_is_being_sent() -> None:
    """A daemon that was stopped holds up neither the end of the program nor whoever sends."""
    over = threading.Event()

    def handle(connection: socket.socket) -> None:
        upgraded(connection)
        over.wait(30)

    told: list[BaseException] = []

    def send(link: BlockingWebSocket) -> None:
        try:
            link.send(b"x" * 50_000_000)
        except Ended as ended:
            told.append(ended)

    with server(handle) as url:
        link = BlockingWebSocket(url, "/", {}, MOST)
        sender = threading.Thread(target=send, args=(link,), daemon=True)
        sender.start()
        deadline = time.monotonic() + 20
        while not link._writing.locked():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        closer = threading.Thread(target=link.close, daemon=True)
        closer.start()
        closer.join(20)
        sender.join(20)
        assert not closer.is_alive()
        assert len(told) == 1
        over.set()


@pytest.mark.parametrize("raw", [b"\xff\xff\xff\xff", b"\x81\x02\xff\xfe", b"\x83\x00"])
def test_broken_frames_end_the_connection(raw: bytes) -> None:
    """Reserved bits, text that is no UTF-8, unknown opcodes."""

    def handle(connection: socket.socket) -> None:
        upgraded(connection)
        connection.sendall(raw)
        connection.recv(1)

    with server(handle) as url:
        link = BlockingWebSocket(url, "/", {}, MOST)
        with pytest.raises(Ended):
            link.receive()
        link.close()


def test_pings_are_answered_and_fragments_joined() -> None:
    """While a message comes in parts, its sender hears that we live."""
    heard: list[object] = []

    def handle(connection: socket.socket) -> None:
        ws = upgraded(connection)
        connection.sendall(ws.send(TextMessage(data="one ", message_finished=False)))
        connection.sendall(ws.send(Ping(payload=b"here?")))
        connection.sendall(ws.send(TextMessage(data="two")))
        while not any(isinstance(event, CloseConnection) for event in heard):
            ws.receive_data(connection.recv(65_536) or None)
            heard.extend(ws.events())

    with server(handle) as url:
        link = BlockingWebSocket(url, "/", {}, MOST)
        assert link.receive() == "one two"
        link.close()
    assert any(isinstance(event, Pong) and event.payload == b"here?" for event in heard)


def test_closing_wakes_whoever_receives() -> None:
    """Another thread that waits for a message is told of the end."""

    def handle(connection: socket.socket) -> None:
        upgraded(connection)
        connection.recv(65_536)

    ended = threading.Event()
    with server(handle) as url:
        link = BlockingWebSocket(url, "/", {}, MOST)

        def wait() -> None:
            with pytest.raises(Ended):
                link.receive()
            ended.set()

        threading.Thread(target=wait, daemon=True).start()
        link.close()
        assert ended.wait(10)
