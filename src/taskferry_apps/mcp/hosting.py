"""Sessions in the daemon: Streamable HTTP through the SDK's manager, and stdio through a WebSocket.

Imports the SDK; `front` imports this in a thread.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

import httpx
import trio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.context import ServerRequestContext
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings

from .. import system
from ..client import AsyncClient
from .asgi import App, Receive, Scope, Send, draining_of, with_draining
from .desk import Desk, Files, Memory
from .file_frames import BadFrame
from .lines import MOST_BYTES
from .local_files import LocalFiles
from .remote_files import RemoteFiles
from .seat import Seat, place_of
from .server import DeskOf, make_server
from .session import serve_lines
from .threaded_files import ThreadedFiles
from .visits import Visits

__all__ = ["Hosting"]

_DESK: Final = "taskferry.desk"
_SESSIONS: Final = 64
_MEMORIES: Final = 256
_SESSION_CHARS: Final = 64
_IDLE_S: Final = 1_800.0
#: How long a request to the API of this process is tried again.
_PATIENCE_S: Final = 10.0
_PROTOCOL_ERROR: Final = 1002
_KEY: Final = re.compile("[0-9a-f]{32}", re.ASCII)


class Hosting:
    """Serves sessions of MCP in front of an API, addressed by one of `hosts`. Use within `running`."""

    def __init__(self, api: App, folder: Path, hosts: Collection[str]) -> None:
        self._api = api
        self._folder = folder
        self._memories: dict[tuple[bytes, str, str], Memory] = {}
        self._visits = Visits(_IDLE_S)
        self._manager = StreamableHTTPSessionManager(
            make_server(_desk_of_request),
            # The daemon's own guard comes first and is stricter; this one stays on beside it.
            security_settings=TransportSecuritySettings(
                enable_dns_rebinding_protection=True,
                allowed_hosts=[name for host in hosts for name in (host, f"{host}:*")],
                allowed_origins=[f"http://{name}" for host in hosts for name in (host, f"{host}:*")],
            ),
            session_idle_timeout=_IDLE_S,
            max_request_body_size=MOST_BYTES,
            max_sessions=_SESSIONS,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Carry the sessions."""
        async with self._manager.run(), trio.open_nursery() as beside:
            beside.start_soon(self._visits.keep)
            yield
            beside.cancel_scope.cancel()

    async def serve_http(self, scope: Scope, receive: Receive, send: Send, secret: str, agent: str) -> None:
        """One request over Streamable HTTP, of a program that shows `secret`."""
        files = ThreadedFiles(LocalFiles([], spare=self._folder / agent))
        desk = self._desk(scope, secret, agent, files, self._remembered(scope, secret, agent))
        scope = {
            **scope,
            # A session belongs to the credential that opened it; the SDK compares this.
            "user": AuthenticatedUser(
                AccessToken(token="", client_id=sha256(secret.encode()).hexdigest(), scopes=[], subject=agent)
            ),
            _DESK: desk,
        }
        session = _header(scope, b"mcp-session-id")
        if not session:
            # Nobody knows which requests without one are of the same program, so none is bound.
            await self._manager.handle_request(scope, receive, send)
            return
        key = _key_of(secret, agent, session)
        async with self._visits.request(key, desk.client) as desk.seat:
            await self._manager.handle_request(scope, receive, send)
        if scope["method"] == "DELETE":
            await self._visits.end(key)

    async def serve_stdio(self, scope: Scope, receive: Receive, send: Send, secret: str, agent: str) -> None:
        """One session of lines over a WebSocket that was accepted; files are the other side's."""
        sending = trio.Lock()

        async def put(line: str) -> None:
            async with sending:
                await send({"type": "websocket.send", "text": line})

        async def put_frame(frame: bytes) -> None:
            async with sending:
                await send({"type": "websocket.send", "bytes": frame})

        files = RemoteFiles(put_frame)

        async def lines() -> AsyncGenerator[bytes, None]:
            while (message := await receive())["type"] != "websocket.disconnect":
                text, binary = message.get("text"), message.get("bytes")
                if binary is not None:
                    files.take(binary)
                elif text is not None:
                    yield text.encode(errors="surrogatepass")

        desk = self._desk(scope, secret, agent, files)
        seat = desk.seat = _seat_of(scope)
        try:
            async with trio.open_nursery() as beside:
                beside.start_soon(seat.keep, lambda: desk.client)
                await serve_lines(make_server(_always(desk)), lines(), put)
                beside.cancel_scope.cancel()
        except* BadFrame:
            await send({"type": "websocket.close", "code": _PROTOCOL_ERROR})
        finally:
            # A daemon that stops ends no session: the host's program dials again, and has what it had.
            if not draining_of(scope).is_set():
                await seat.leave(desk.client)

    def _remembered(self, scope: Scope, secret: str, agent: str) -> Memory:
        """What the models of a session were shown; of one credential, where there are no sessions."""
        session = _header(scope, b"mcp-session-id")
        key = _key_of(secret, agent, session)
        memory = self._memories.pop(key, None) or Memory()
        self._memories[key] = memory
        while len(self._memories) > _MEMORIES:
            del self._memories[next(iter(self._memories))]
        # Of several programs that share a credential, each waits for what is new to itself.
        return memory if session else Memory(shown=memory.shown, load=memory.load)

    def _desk(
        self, scope: Scope, secret: str, agent: str, files: Files, memory: Memory | None = None
    ) -> Desk:
        return Desk(
            AsyncClient(
                agent,
                url=f"http://{_header(scope, b'host')}",
                token=secret,
                patience=_PATIENCE_S,
                transport=httpx.ASGITransport(app=with_draining(self._api, draining_of(scope))),
            ),
            files,
            system.entropy,
            memory or Memory(),
        )


def _key_of(secret: str, agent: str, session: str) -> tuple[bytes, str, str]:
    return (sha256(secret.encode()).digest(), agent, session[:_SESSION_CHARS])


def _seat_of(scope: Scope) -> Seat:
    """The place of a session of lines, by what its address says of it."""
    query = parse_qs(str(scope.get("query_string", b""), "latin-1"))
    key, place = query.get("session", [""])[0], query.get("place", [""])[0]
    return Seat(key if _KEY.fullmatch(key) else system.entropy(16).hex(), place_of(place))


def _header(scope: Scope, name: bytes) -> str:
    return next((str(value, "latin-1") for key, value in scope["headers"] if key == name), "")


async def _desk_of_request(ctx: ServerRequestContext[Any, Any]) -> Desk:
    desk = ctx.request.scope[_DESK] if ctx.request is not None else None
    if not isinstance(desk, Desk):
        raise LookupError("a request over HTTP brings its desk along")
    return desk


def _always(desk: Desk) -> DeskOf:
    async def desk_of(_: ServerRequestContext[Any, Any]) -> Desk:
        return desk

    return desk_of
