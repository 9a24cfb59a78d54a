"""A relay as a real process, started, killed and started again on one file."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import attrs
import trio

from taskferry_apps import system
from taskferry_apps.origins import origin_of
from taskferry_apps.relay_client import RelayClient, open_relay
from taskferry_protocol.frame_items import Cursor
from taskferry_transports.longpoll_client import LongPollDialer, LongPollSettings
from taskferry_transports.port import Dialer
from taskferry_transports.websocket_client import WebSocketDialer, WebSocketSettings

from .people import Person

PROGRAM = """
import sys
from pathlib import Path
from taskferry_apps.relay import run_relay
from taskferry_apps.settings import RelaySettings
sys.exit(run_relay(RelaySettings(addr=(sys.argv[1], int(sys.argv[2])), db=Path(sys.argv[3]))))
"""


def command(folder: Path, *, host: str = "127.0.0.1", port: int = 0) -> list[str]:
    """How a relay is started on the database in a folder."""
    return [sys.executable, "-W", "error", "-c", PROGRAM, host, str(port), str(folder / "relay.db")]


@attrs.define
class RelayProcess:
    """A relay that runs."""

    process: trio.Process
    url: str

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        with trio.fail_after(20):
            return await self.process.wait()

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
    process = await trio.lowlevel.open_process(command(folder), stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        said = b""
        with trio.fail_after(20):
            while b"\n" not in said:
                more = await process.stderr.receive_some()
                assert more, said.decode()
                said += more
        async with trio.open_nursery() as nursery:
            # What it says later is read away, so that it never waits for us.
            nursery.start_soon(_read_away, process.stderr)
            yield RelayProcess(process, json.loads(said.splitlines()[0])["url"])
            nursery.cancel_scope.cancel()
    finally:
        if process.returncode is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def _read_away(stream: trio.abc.ReceiveStream) -> None:
    while await stream.receive_some():
        pass
