"""One look at an address of a relay, which nobody here trusts: a short answer, soon, or none."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import attrs
import httpx
import trio

from taskferry_transports.port import DialRefused
from taskferry_transports.proxies import for_httpx, proxy_for, refusal_by
from taskferry_transports.reasons import reason_of
from taskferry_transports.tunnel import open_tunnel, takes_tunnels
from taskferry_transports.whole_answer import Answer, ask

__all__ = ["Seen", "look_at", "why"]

_PATIENCE_S: Final = 5.0
#: No page that is looked at here has more.
_MOST_BYTES: Final = 65_536


@attrs.frozen
class Seen:
    """What was answered; and why the proxy that is set came to nothing, where it did."""

    answer: Answer
    passed_over: str = ""


def look_at(url: str, authorities: ssl.SSLContext, *, accept: str = "*/*") -> Seen:
    """What stands at `url`, as a daemon would reach it: by the proxy that is set for it, else directly.

    Blocks. Raises httpx.HTTPError, ProxyUnusable.
    """
    proxy = proxy_for(url)
    try:
        return Seen(trio.run(_look_at, url, proxy, authorities, accept))
    except httpx.HTTPError as error:
        if proxy is None or (_is_distrust(error) and trio.run(_leads_on, proxy, url)):
            raise
        by_proxy = error
    with suppress(httpx.HTTPError):
        return Seen(trio.run(_look_at, url, None, authorities, accept), why(by_proxy, proxy))
    raise by_proxy


def why(error: httpx.HTTPError, proxy: str | None) -> str:
    """Why nothing was answered, in nobody's words but the system's."""
    if isinstance(error, httpx.ProxyError):
        named = proxy is not None and httpx.Proxy(proxy).auth is not None
        return refusal_by("the proxy", error, named=named)
    return reason_of(error)


async def _look_at(url: str, proxy: str | None, authorities: ssl.SSLContext, accept: str) -> Answer:
    async with httpx.AsyncClient(
        verify=authorities,
        proxy=for_httpx(proxy),
        trust_env=False,
        timeout=_PATIENCE_S,
        follow_redirects=False,
    ) as client:
        # What is compressed could have any size.
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        with trio.move_on_after(_PATIENCE_S):
            return await ask(client, "GET", url, headers, b"", _MOST_BYTES)
        raise httpx.ReadTimeout(f"no whole answer in {_PATIENCE_S:.0f} seconds")


async def _leads_on(proxy: str, url: str) -> bool:
    """Whether the proxy is trusted itself, so that it was the relay that is not: no daemon goes on then."""
    parts = urlsplit(url)
    if not takes_tunnels(proxy):
        return True
    with trio.move_on_after(_PATIENCE_S), suppress(DialRefused):
        _, tcp = await open_tunnel(proxy, parts.hostname or "", parts.port or 443)
        tcp.close()
        return True
    return False


def _is_distrust(error: BaseException | None) -> bool:
    """Whether somebody was reached who did not prove to be the one that was meant."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None
