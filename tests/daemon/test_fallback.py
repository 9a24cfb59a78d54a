"""A proxy that lets no WebSocket through: daemons go over to long-polling by themselves, and say so."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import trio

from taskferry_apps.daemon.compose import routes
from tests.crash.world import World, connect, listed, until
from tests.transports.lying_server import said


class OldProxy:
    """Passes HTTP on and refuses every upgrade, as some company networks do."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.refused = 0
        self._carriers: list[threading.Thread] = []

    @contextmanager
    def before(self, port: int) -> Iterator[None]:
        """Stand before the server on `port`."""
        thread = threading.Thread(target=self._serve, args=(port,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown(socket.SHUT_RDWR)
            self._server.close()
            thread.join()
            for carrier in self._carriers:
                carrier.join(10)

    def _serve(self, port: int) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            carrier = threading.Thread(target=self._carry, args=(client, port), daemon=True)
            self._carriers.append(carrier)
            carrier.start()

    def _carry(self, client: socket.socket, port: int) -> None:
        with client:
            head = client.recv(65536)
            if b"upgrade: websocket" in head.lower():
                self.refused += 1
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            try:
                behind = socket.create_connection(("127.0.0.1", port))
            except OSError:
                return
            with behind:
                behind.sendall(head)
                back = threading.Thread(target=self._pump, args=(behind, client), daemon=True)
                back.start()
                self._pump(client, behind)
                back.join()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(65536):
                sink.sendall(piece)
        except OSError:
            pass
        # Whoever hears nothing more tells the other side, whose pump then ends, too.
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


def test_refused_upgrade_falls_back_to_long_polling_and_says_so(tmp_path: Path) -> None:
    """Set-up, connection and a message go through such a proxy, and the status names transport and reason."""
    proxy = OldProxy()
    world = World(tmp_path, front=proxy.port)
    with proxy.before(world.relay_port), world, world.client("alice") as alice, world.client("bob") as bob:
        connect(alice, bob, world.relay_url)
        alice.post("/messages/send", {"from": "asks", "to": "@bob/does", "text": "by the other road"})
        until(
            lambda: (
                [
                    item
                    for item in listed(bob.get("/inbox", agent_id="does", wait=5), "messages")
                    if item["type"] == "message"
                ]
                or None
            ),
            "the message arrives",
        )
        relay = alice.get("/health")["relay"]
        assert isinstance(relay, dict)
        assert relay["connected"] is True
        assert relay["transport"] == "longpoll"
        assert "upgrade" in str(relay["notice"]).lower() or "websocket" in str(relay["notice"]).lower(), relay
        assert proxy.refused >= 2


async def test_what_gets_through_is_remembered_from_one_session_to_the_next() -> None:
    """A network that swallows upgrades would cost each new session the whole patience of a dial."""
    asked: list[bytes] = []

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            try:
                head = await stream.receive_some(65_536)
                asked.append(head.split(b" ", 2)[1])
                if asked[-1] == b"/v1/ws":
                    await stream.send_all(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
                elif asked[-1] == b"/v1/link/open":
                    await stream.send_all(said(b'{"token":"' + b"a" * 43 + b'"}', "201 Created"))
                else:
                    await stream.send_all(said(b"", "410 Gone"))
            except trio.BrokenResourceError:
                pass  # whoever asked has gone

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        route_to = routes(nursery)
        for _ in range(3):
            transport = await route_to(url).dialer.dial()
            assert transport.kind == "longpoll"
            await transport.aclose()
        nursery.cancel_scope.cancel()
    assert asked.count(b"/v1/ws") == 1
    assert asked.count(b"/v1/link/open") == 3
