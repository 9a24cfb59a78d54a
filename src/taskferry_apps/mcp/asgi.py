"""What the parts of the server that speak ASGI share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from taskferry_transports.guarded_server import DRAINING_STATE

__all__ = ["App", "Receive", "Scope", "Send", "draining_of", "with_draining"]

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]


def draining_of(scope: Scope) -> trio.Event:
    """The event that is set when the server stops; without a server, as in tests, one that never is."""
    found = (scope.get("state") or {}).get(DRAINING_STATE)
    return found if isinstance(found, trio.Event) else trio.Event()


def with_draining(api: App, draining: trio.Event) -> App:
    """An application that is told when the server stops, though it is called from inside of it."""

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        await api({**scope, "state": {DRAINING_STATE: draining}}, receive, send)

    return told
