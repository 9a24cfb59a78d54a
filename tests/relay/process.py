"""A relay as a real process, started, killed and started again on one file."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import IO

import attrs
import trio

from taskferry_apps import system
from taskferry_apps.origins import origin_of
from taskferry_apps.relay_client import RelayClient, open_relay
from taskferry_protocol.frame_items import Cursor
from taskferry_transports.longpoll_client import LongPollDialer, LongPollSettings
from taskferry_transports.port import Dialer
from taskferry_transports.websocket_client import WebSocketDialer, WebSocketSettings
from tests import warm

from .people import Person

#: A warning anywhere in a relay is an error.
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("TASKFERRY_")},
    "PYTHONWARNINGS": "error",
}


def words(folder: Path, *, host: str = "127.0.0.1", port: int = 0) -> list[str]:
    """How a relay is started on the database in a folder."""
    return ["relay", "--addr", f"{host}:{port}", "--db", str(folder / "relay.db")]


def started(arguments: Sequence[str], stderr: IO[bytes] | int) -> warm.Started:
    """A relay that begins at once."""
    with open(os.devnull, "r+b") as nothing:
        return warm.start(arguments, ENVIRONMENT, Path.cwd(), stdin=nothing, stdout=nothing, stderr=stderr)


async def ended(process: warm.Started) -> int:
    """With what it ends."""
    return await trio.to_thread.run_sync(process.wait, 20)


@attrs.define
class RelayProcess:
    """A relay that runs."""

    process: warm.Started
    url: str

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return await ended(self.process)

    def open(
        self, who: Person, *, cursor: Cursor | None = None, longpoll: bool = False
    ) -> AbstractAsyncContextManager[RelayClient]:
        """A session of a person's device over a socket."""
        return session_at(self.url, who, cursor=cursor, longpoll=longpoll)


@asynccontextmanager
async def session_at(
    relay: str, who: Person, *, cursor: Cursor | None = None, longpoll: bool = False
) -> AsyncIterator[RelayClient]:
    """A session of a person's device over a socket, with the relay at an URL."""
    async with trio.open_nursery() as nursery:
        dialer: Dialer
        if longpoll:
            url = relay
            dialer = LongPollDialer(nursery, LongPollSettings(f"{url}/v1/link"))
        else:
            url = relay.replace("http", "ws")
            dialer = WebSocketDialer(nursery, WebSocketSettings(f"{url}/v1/ws"))
        async with open_relay(
            await dialer.dial(),
            who.identity,
            origin=origin_of(url),
            log=who.extension,
            cursor=cursor,
            now=system.now,
        ) as client:
            yield client
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[RelayProcess]:
    """A relay process, killed at the end if it still runs."""
    reads, writes = os.pipe()
    try:
        process = started(words(folder), writes)
    finally:
        os.close(writes)
    try:
        async with trio.lowlevel.FdStream(reads) as stderr:
            said = b""
            with trio.fail_after(20):
                while b"\n" not in said:
                    more = await stderr.receive_some()
                    assert more, said.decode()
                    said += more
            async with trio.open_nursery() as nursery:
                # What it says later is read away, so that it never waits for us.
                nursery.start_soon(_read_away, stderr)
                yield RelayProcess(process, json.loads(said.splitlines()[0])["url"])
                nursery.cancel_scope.cancel()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await ended(process)


async def _read_away(stream: trio.abc.ReceiveStream) -> None:
    while await stream.receive_some():
        pass
