"""A credential goes to the owner's daemon, and to nobody who listens where that did, or might."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import anyio
import pytest

from taskferry_apps.client import AsyncClient, Client, DaemonAway
from taskferry_apps.client.address import Address, DaemonStarting, Holder, NoDaemon
from taskferry_apps.daemon import private_files
from taskferry_apps.daemon.private_files import hold_directory, is_directory_held
from taskferry_apps.local_client import LocalClient
from taskferry_apps.mcp.pipe import connect
from taskferry_transports.blocking_websocket import CannotDial, DialRejected

TOKEN = "tfa_" + "A" * 43


class Listening:
    """A program that listens on this machine, and what it has heard."""

    def __init__(self, server: ThreadingHTTPServer, heard: list[str]) -> None:
        self.heard = heard
        self.port = server.server_port
        self.url = f"http://127.0.0.1:{self.port}"


@contextmanager
def listening(port: int = 0) -> Iterator[Listening]:
    """Somebody who answers at a port while the block lasts, and closes every connection."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(f"{self.path} {self.headers}")
            body = json.dumps({"agents": []}).encode()
            if self.path.startswith("/events"):
                body = b"id: 0\n\n"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield Listening(server, heard)
        finally:
            server.shutdown()


def note(data: Path, url: str) -> None:
    """What a daemon leaves behind, or has written while it runs."""
    (data / "daemon.json").write_text(json.dumps({"url": url}))
    (data / "daemon.lock").touch()


def by_client(address: Address | None, patience: float = 0.5) -> None:
    """One call, synchronously."""
    with Client("writer", token=TOKEN, url=address, patience=patience) as client:
        client.agents()


def by_async_client(address: Address | None, patience: float = 0.5) -> None:
    """One call, asynchronously."""

    async def call() -> None:
        async with AsyncClient("writer", token=TOKEN, url=address, patience=patience) as client:
            await client.agents()

    anyio.run(call, backend="trio")


def by_feed(address: Address | None) -> None:
    """A feed that is followed."""
    with Client("writer", token=TOKEN, url=address, patience=0.5) as client, client.events() as events:
        next(events)


def by_command(address: Address | None) -> None:
    """What commands and watches call by."""
    with LocalClient(address or Holder(Path(os.environ["TASKFERRY_DATA"])), TOKEN) as client:
        next(client.follow())


def by_pipe(address: Address | None) -> None:
    """What carries an agent's MCP session."""
    try:
        connect(address or Holder(Path(os.environ["TASKFERRY_DATA"])), TOKEN, "writer", "", "").close()
    except CannotDial as error:
        raise DaemonAway(str(error)) from None


WAYS = [by_client, by_async_client, by_feed, by_command, by_pipe]


@pytest.mark.parametrize("call", WAYS)
def test_whoever_listens_where_no_daemon_runs_is_sent_nothing(data, monkeypatch, call):
    """Neither at the address that a former daemon left behind, nor at the one where one is told to listen."""
    with listening() as newcomer:
        note(data, newcomer.url)
        monkeypatch.setenv("TASKFERRY_CLIENT_ADDR", f"127.0.0.1:{newcomer.port}")
        with pytest.raises(DaemonAway, match="taskferry up"):
            call(None)
    assert newcomer.heard == []


@pytest.mark.parametrize("call", WAYS)
def test_whoever_takes_the_port_between_two_looks_is_sent_nothing(call):
    """The daemon ended after it was looked for: the connection stands, and nothing goes over it."""
    with listening() as newcomer:
        answers = iter([newcomer.url])

        def find() -> str:
            for url in answers:
                return url
            raise DaemonAway("It is gone.")

        with pytest.raises(DaemonAway):
            call(find)
    assert newcomer.heard == []


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_client_does_not_go_on_with_whoever_took_its_daemons_port(data, kind):
    """The daemon answered, went away, and another process listens there: tries again are tries to find it."""
    with ExitStack() as daemon:
        daemon.enter_context(hold_directory(data))
        first = daemon.enter_context(listening())
        note(data, first.url)
        client = kind("writer", token=TOKEN, patience=1.0)

        async def calls() -> list[str]:
            async with client:
                await client.agents()
                daemon.close()
                with listening(first.port) as other, pytest.raises(DaemonAway):
                    await client.agents()
                return other.heard

        if kind is AsyncClient:
            heard = anyio.run(calls, backend="trio")
        else:
            with client:
                client.agents()
                daemon.close()
                with listening(first.port) as other, pytest.raises(DaemonAway):
                    client.agents()
                heard = other.heard
    assert TOKEN in first.heard[0]
    assert heard == []


def test_a_feed_does_not_go_on_with_whoever_took_its_daemons_port(data):
    """It broke off, and is resumed at the daemon or not at all."""
    with ExitStack() as daemon:
        daemon.enter_context(hold_directory(data))
        first = daemon.enter_context(listening())
        note(data, first.url)
        with Client("writer", token=TOKEN, patience=1.0) as client, client.events() as events:
            later = threading.Timer(0.5, daemon.close)
            later.start()
            with pytest.raises(DaemonAway):
                next(events)
            later.join()
            asked = len(first.heard)
            with listening(first.port) as other, pytest.raises(DaemonAway):
                next(events)
    assert asked
    assert other.heard == []


def test_a_client_finds_its_daemon_at_another_address(data):
    """Started anew elsewhere, it is the same daemon: the one that holds the directory."""
    with hold_directory(data), Client("writer", token=TOKEN, patience=5.0) as client:
        with listening() as first:
            note(data, first.url)
            client.agents()
        with listening() as second:
            note(data, second.url)
            client.agents()
            assert client.url == second.url
    assert TOKEN in second.heard[0]


@pytest.mark.parametrize("call", [by_client, by_async_client])
def test_a_program_that_is_started_with_its_daemon_waits_for_it(data, call, monkeypatch):
    """One that holds its directory already, or takes it this moment; the wait is a pause, and ends."""
    looks: list[Path] = []

    def held_from_the_second_look_on(place: Path) -> bool:
        looks.append(place)
        if len(looks) == 2:
            held.enter_context(hold_directory(data))
            note(data, daemon.url)
        return is_directory_held(place)

    monkeypatch.setattr(private_files, "is_directory_held", held_from_the_second_look_on)
    with listening() as daemon, ExitStack() as held:
        call(None, patience=20.0)
    assert len(looks) >= 2
    assert TOKEN in daemon.heard[0]
    begun = time.monotonic()
    with hold_directory(data), pytest.raises(DaemonStarting):
        call(None)
    assert time.monotonic() - begun < 10


def test_what_a_killed_daemon_wrote_counts_no_more_when_another_program_holds_its_directory(data):
    """Such as one that moves the secrets elsewhere: it is no daemon, and the port may be anybody's."""
    note(data, "http://127.0.0.1:9")
    with hold_directory(data), pytest.raises(DaemonStarting):
        Holder(data)()


def test_a_directory_that_others_can_write_names_no_daemon(data):
    """Whoever can write there could say that they are the daemon."""
    with hold_directory(data):
        note(data, "http://127.0.0.1:9")
        data.chmod(0o777)
        with pytest.raises(DaemonAway, match="chmod 700"):
            Holder(data)()
        data.chmod(0o700)
        assert Holder(data)() == "http://127.0.0.1:9"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_another_users_directory_names_no_daemon(data):
    """Its daemon is that user's."""
    with hold_directory(data):
        note(data, "http://127.0.0.1:9")
        os.chown(data, 12345, 12345)
        with pytest.raises(DaemonAway, match="TASKFERRY_LOCAL_URL"):
            Holder(data)()


def test_without_a_data_directory_the_refusal_says_how_to_name_a_daemon(tmp_path):
    """A program in a box of its own has none, and is told of the address that it may name."""
    with pytest.raises(NoDaemon, match="TASKFERRY_LOCAL_URL"):
        Holder(tmp_path / "none")()


def test_an_address_that_is_named_is_used(data, monkeypatch):
    """It is the caller's own word, whoever holds what."""
    with listening() as daemon:
        monkeypatch.setenv("TASKFERRY_LOCAL_URL", daemon.url)
        by_client(None)
        monkeypatch.delenv("TASKFERRY_LOCAL_URL")
        by_async_client(daemon.url)
        with pytest.raises(DialRejected):
            connect(daemon.url, TOKEN, "writer", "", "")
    assert len([line for line in daemon.heard if TOKEN in line]) == 3
