"""`taskferry mcp` while no daemon serves it: the same server in this process, whose tools work once one does.

It takes a second to start, for it imports the SDK; the pipe does not.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import trio
from mcp.server.context import ServerRequestContext

from .. import system
from ..client import AsyncClient
from ..client.address import Address
from .desk import Desk
from .lines import next_line, write_line
from .local_files import LocalFiles
from .seat import Seat, place_of
from .server import make_server
from .session import serve_lines
from .threaded_files import ThreadedFiles

__all__ = ["Whereabouts", "serve_standalone"]

#: A tool waits no longer for a daemon that has answered before and is away now.
_PATIENCE_S: Final = 3.0


class Whereabouts(NamedTuple):
    """The agent to act as, its daemon's address, and a credential for there."""

    agent: str
    address: Address
    token: str


def serve_standalone(
    find: Callable[[], Whereabouts], files: LocalFiles, stdin: BinaryIO, out: FileIO
) -> None:
    """Serve until `stdin` ends.

    `find` is called before each call of a tool, in a thread; it raises TaskFerryError while there is nothing
    to be found.
    """
    trio.run(_serve, _Late(find, files), stdin, out)


async def _serve(late: _Late, stdin: BinaryIO, out: FileIO) -> None:
    async def lines() -> AsyncGenerator[bytes, None]:
        # A thread that waits for input is left behind at the end; nothing depends on it.
        while (raw := await trio.to_thread.run_sync(next_line, stdin, abandon_on_cancel=True)) is not None:
            if raw.strip():
                yield raw

    async def put(line: str) -> None:
        await trio.to_thread.run_sync(write_line, out, line)

    async with trio.open_nursery() as beside:
        beside.start_soon(late.seat.keep, late.client)
        await serve_lines(make_server(late.desk), lines(), put)
        beside.cancel_scope.cancel()
    await late.leave()


class _Late:
    """The desk, made when the daemon is found; its client anew when that is elsewhere."""

    def __init__(self, find: Callable[[], Whereabouts], files: LocalFiles) -> None:
        self._find = find
        self._files = files
        self._found: Whereabouts | None = None
        self._desk: Desk | None = None
        self.seat = Seat(system.entropy(16).hex(), place_of(Path.cwd().name))

    async def desk(self, _: ServerRequestContext[Any, Any]) -> Desk:
        """The session's desk. Raises TaskFerryError."""
        found = await trio.to_thread.run_sync(self._find)
        desk = self._desk
        if desk is None or found != self._found:
            client = AsyncClient(found.agent, url=found.address, token=found.token, patience=_PATIENCE_S)
            if desk is None:
                desk = Desk(client, ThreadedFiles(self._files), system.entropy, seat=self.seat)
            else:
                desk.client = client
            self._desk, self._found = desk, found
        return desk

    def client(self) -> AsyncClient:
        """The client of a session that is bound, so that it has one."""
        if self._desk is None:
            raise LookupError("whoever is bound has called a tool")
        return self._desk.client

    async def leave(self) -> None:
        """The session has ended."""
        if self._desk is not None:
            await self.seat.leave(self._desk.client)
