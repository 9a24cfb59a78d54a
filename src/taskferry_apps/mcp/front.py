"""The daemon's door for MCP: dispatches `/mcp` in front of the local API, and imports the SDK in time.

Whoever comes in shows an agent's credential. The tools call the API with that same credential, in this
process, so MCP can do nothing that the API would refuse it. The owner's credential is refused: what a peer
talks a model into must not be done with the owner's powers.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import trio
from werkzeug.datastructures import Headers

from taskferry_apps.logs import get_logger

from ..daemon.api.errors import error_object, refusal, refusal_for
from ..daemon.api.guard import SECURITY_HEADERS, Guard, bearer_secret, identify, unauthorized
from ..daemon.port import Caller, DaemonRefusal, DaemonService
from ..settings import DaemonSettings
from .asgi import App, Receive, Scope, Send, draining_of

if TYPE_CHECKING:
    from .hosting import Hosting

__all__ = ["HTTP_PATH", "STDIO_PATH", "Front"]

HTTP_PATH: Final = "/mcp"
STDIO_PATH: Final = "/mcp/stdio"
#: The daemon's own start comes first, and what is done right after it.
_LEISURE_S: Final = 10.0
#: How long somebody waits for the import on a busy machine.
_PATIENCE_S: Final = 60.0
_AGENT_CHARS: Final = 32
_LOG: Final = get_logger()


class Front:
    """An ASGI application around the API's. Run `run` beside the server; it never raises."""

    def __init__(self, api: App, daemon: DaemonService, settings: DaemonSettings) -> None:
        self._api = api
        self._daemon = daemon
        self._guard = Guard.listening_at(settings.addr[0])
        self._port = settings.addr[1]
        self._folder: Path = settings.data / "mcp"
        self._wanted = trio.Event()
        self._settled = trio.Event()
        self._hosting: Hosting | None = None

    async def run(self, leisure_s: float = _LEISURE_S) -> None:
        """Import the SDK after a while, or as soon as somebody comes, and host sessions until cancelled."""
        with trio.move_on_after(leisure_s):
            await self._wanted.wait()
        try:
            # In a thread, since it is a second of work; the API answers meanwhile.
            module = await trio.to_thread.run_sync(import_module, "taskferry_apps.mcp.hosting")
            hosting: Hosting = module.Hosting(self._api, self._folder, self._guard.hosts)
            async with hosting.running():
                self._hosting = hosting
                self._settled.set()
                await trio.sleep_forever()
        except Exception as error:  # noqa: BLE001 - the daemon goes on without MCP
            _LOG.warning("MCP is not served", kind=type(error).__name__)
        finally:
            self._hosting = None
            self._settled.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection or request."""
        path = scope.get("path", "").rstrip("/")
        match scope["type"]:
            case "http" if path == HTTP_PATH:
                await self._http(scope, receive, send)
            case "websocket" if path == STDIO_PATH:
                await self._stdio(scope, receive, send)
            case _:
                await self._api(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            secret, agent = await self._admit(scope)
            hosting = await self._ready()
        except Exception as error:  # noqa: BLE001 - one mapping says what everything means
            await _refuse(send, refusal_for(error))
            return
        await _until_drained(
            scope, partial(hosting.serve_http, scope, receive, _secured(send), secret, agent)
        )

    async def _stdio(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # `websocket.connect`
        try:
            secret, agent = await self._admit(scope)
            hosting = await self._ready()
        except Exception as error:  # noqa: BLE001 - as above
            await _refuse(send, refusal_for(error), "websocket.http.")
            return
        await send({"type": "websocket.accept"})
        await _until_drained(scope, partial(hosting.serve_stdio, scope, receive, send, secret, agent))

    async def _admit(self, scope: Scope) -> tuple[str, str]:
        """The credential that was shown, and the agent that is meant; raises DaemonRefusal."""
        headers = Headers(
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        )
        server = scope.get("server")
        self._guard.check_source(headers, server[1] if server is not None and server[1] else self._port)
        secret = bearer_secret(headers.get("Authorization"))
        if secret is None:
            raise unauthorized("An agent's credential is needed.")
        caller = await identify(self._daemon, secret)
        if caller.is_owner:
            raise refusal(
                "agent-only",
                "The owner's credential is not for models: what a peer talks one into would be done with it.",
                "Make one for the agent: taskferry token create AGENT; or run: taskferry mcp --agent AGENT",
                status=403,
            )
        return secret, _agent_of(scope, caller)

    async def _ready(self) -> Hosting:
        self._wanted.set()
        with trio.move_on_after(_PATIENCE_S):
            await self._settled.wait()
        if self._hosting is None:
            raise refusal(
                "unavailable",
                "The daemon cannot serve MCP now.",
                "See its log; then start it again: taskferry up",
                status=503,
            )
        return self._hosting


def _agent_of(scope: Scope, caller: Caller) -> str:
    """The agent that the address names (`?agent=NAME`), or the only one. Raises DaemonRefusal."""
    query = parse_qs(str(scope.get("query_string", b""), "latin-1"))
    named = query.get("agent", [""])[0][:_AGENT_CHARS]
    agents = sorted(caller.agents or ())
    if named in agents:
        return named
    if named:
        raise refusal(
            "not-yours",
            "This credential is not for that agent.",
            f"It is for: {', '.join(agents)}.",
            status=403,
            field="agent",
        )
    if len(agents) != 1:
        raise refusal(
            "missing-field",
            f"This credential is for several agents: {', '.join(agents)}.",
            f"Say which, in the address: {HTTP_PATH}?agent=NAME",
            field="agent",
        )
    return agents[0]


async def _until_drained(scope: Scope, serve: Callable[[], Awaitable[None]]) -> None:
    """Serve, but no longer than the daemon goes on."""
    draining = draining_of(scope)
    async with trio.open_nursery() as nursery:

        async def end() -> None:
            await draining.wait()
            # Long-polls end by themselves at once, and are answered in this time.
            await trio.sleep(_GOODBYE_S)
            nursery.cancel_scope.cancel()

        nursery.start_soon(end)
        await serve()
        nursery.cancel_scope.cancel()


_GOODBYE_S: Final = 0.5


def _secured(send: Send) -> Send:
    async def secured(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message["headers"]}
            more = [pair for pair in _SECURITY if pair[0] not in given]
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return secured


_SECURITY: Final = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]


async def _refuse(send: Send, refused: DaemonRefusal, prefix: str = "http.") -> None:
    """Answer with a refusal in the API's words: to a request, or instead of an upgrade."""
    body = json.dumps(error_object(refused), separators=(",", ":")).encode()
    headers: Mapping[bytes, bytes] = {
        b"content-type": b"application/json",
        b"content-length": str(len(body)).encode(),
        **dict(_SECURITY),
        **({b"www-authenticate": b"Bearer"} if refused.status == 401 else {}),
    }
    await send(
        {"type": f"{prefix}response.start", "status": refused.status, "headers": list(headers.items())}
    )
    await send({"type": f"{prefix}response.body", "body": body, "more_body": False})
