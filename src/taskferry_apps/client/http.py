"""How requests travel by httpx: where to, with which credential, and what its failures mean."""

from __future__ import annotations

import ssl
from typing import Any, Final

import httpx

from .errors import ClientClosed, DaemonAway
from .requests import Request

__all__ = ["FEED_SILENCE_S", "OK", "async_http", "away", "blocking_http", "closed", "headers_of", "told_by"]

#: Every other status is a refusal, or somebody else's; nobody here follows a redirection.
OK: Final = 200
#: Three heartbeats of the feed: after so much silence its connection is dead.
FEED_SILENCE_S: Final = 45.0


def blocking_http(url: str, token: str) -> httpx.Client:
    """An HTTP client that shows `token` at `url` alone. Raises DaemonAway for what is no address."""
    try:
        return httpx.Client(**_options(url, token))
    except httpx.InvalidURL as error:
        raise away(url, error) from None


def async_http(url: str, token: str, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """The same for asyncio and trio; by a `transport` of the caller's, if there is one."""
    try:
        return httpx.AsyncClient(**_options(url, token), transport=transport)
    except httpx.InvalidURL as error:
        raise away(url, error) from None


def _options(url: str, token: str) -> dict[str, Any]:
    return {
        "base_url": url,
        "headers": [(b"authorization", b"Bearer " + token.encode())] if token else [],
        # No proxy and no netrc from the environment: the credential goes to the daemon and nowhere else.
        "trust_env": False,
        # On loopback there is no TLS, and reading the system's certificates takes a while.
        "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if url.startswith("http:") else True,
    }


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
