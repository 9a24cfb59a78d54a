"""How requests travel by httpx: where to, with which credential, and what its failures mean."""

from __future__ import annotations

import ssl
from typing import Any, Final

import httpx

from .address import Way
from .errors import ClientClosed, DaemonAway
from .requests import Request

__all__ = [
    "FEED_SILENCE_S",
    "OK",
    "async_http",
    "async_watch",
    "away",
    "blocking_http",
    "blocking_watch",
    "closed",
    "headers_of",
    "told_by",
]

#: Every other status is a refusal, or somebody else's; nobody here follows a redirection.
OK: Final = 200
#: Three heartbeats of the feed: after so much silence its connection is dead.
FEED_SILENCE_S: Final = 45.0


def blocking_http(way: Way, token: str) -> httpx.Client:
    """An HTTP client that shows `token` to the daemon alone. Raises DaemonAway for what is no address."""
    return httpx.Client(**_options(way.named, token))


def async_http(way: Way, token: str, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """The same for asyncio and trio; by a `transport` of the caller's, if there is one."""
    return httpx.AsyncClient(**_options(way.named, token), transport=transport)


def _options(named: str, token: str) -> dict[str, Any]:
    try:
        httpx.URL(named)
    except httpx.InvalidURL as error:
        raise away(named, error) from None
    return {
        "headers": [(b"authorization", b"Bearer " + token.encode())] if token else [],
        # No proxy and no netrc from the environment: the credential goes to the daemon and nowhere else.
        "trust_env": False,
        # On loopback there is no TLS, and reading the system's certificates takes a while.
        "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if not named or named.startswith("http:") else True,
    }


#: The last moment before a request's first byte; the connection stands then.
_BEFORE_SENDING: Final = ".send_request_headers.started"


def blocking_watch(way: Way, url: str) -> dict[str, Any]:
    """Extensions of a request to `url`, by which nothing is sent where the daemon is no more."""

    def look(event: str, _: object) -> None:
        if event.endswith(_BEFORE_SENDING):
            way.check(url)

    return {"trace": look}


def async_watch(way: Way, url: str) -> dict[str, Any]:
    """The same for asyncio and trio."""

    async def look(event: str, _: object) -> None:
        if event.endswith(_BEFORE_SENDING):
            way.check(url)

    return {"trace": look}


def headers_of(request: Request[Any]) -> dict[str, str]:
    """What goes along with a request."""
    return {"Idempotency-Key": request.key} if request.key else {}


def told_by(url: str, request: Request[Any], error: Exception) -> DaemonAway:
    """What it means that no answer came to a request."""
    if isinstance(error, httpx.ReadTimeout):
        return DaemonAway(
            f"The daemon at {url} took longer than {request.patience_s:.0f} seconds to answer.",
            "See its log.",
        )
    return away(url, error)


def away(url: str, error: Exception) -> DaemonAway:
    """What it means that nothing can be sent, or nothing comes any more."""
    if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError) and not isinstance(
        error, httpx.ConnectError
    ):
        return DaemonAway(f"The connection to the daemon at {url} ended.", "Is it running? taskferry status")
    return DaemonAway(
        f"No daemon answers at {url}.",
        "Start it with: taskferry up; or name another by --url or TASKFERRY_LOCAL_URL.",
    )


def closed() -> ClientClosed:
    """What calls raise on a client that was closed."""
    return ClientClosed("This client is closed.", "Make another.")
