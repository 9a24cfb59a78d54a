"""A proxy that lets no WebSocket through: daemons go over to long-polling by themselves, and say so."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.crash.world import World, connect, listed, until


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
