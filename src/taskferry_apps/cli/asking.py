"""One look at an address of a relay, which nobody here trusts: a short answer, soon, or none."""

from __future__ import annotations

import ssl
from typing import Final

import httpx
import trio

from taskferry_transports.proxies import proxy_for
from taskferry_transports.whole_answer import Answer, ask

__all__ = ["look_at"]

_PATIENCE_S: Final = 5.0
#: No page that is looked at here has more.
_MOST_BYTES: Final = 65_536


def look_at(url: str, authorities: ssl.SSLContext, *, accept: str = "*/*") -> Answer:
    """What stands at `url`, as a daemon would reach it. Blocks. Raises httpx.HTTPError, ProxyUnusable."""
    return trio.run(_look_at, url, authorities, accept)


async def _look_at(url: str, authorities: ssl.SSLContext, accept: str) -> Answer:
    async with httpx.AsyncClient(
        verify=authorities,
        proxy=proxy_for(url),
        trust_env=False,
        timeout=_PATIENCE_S,
        follow_redirects=False,
    ) as client:
        # What is compressed could have any size.
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        with trio.move_on_after(_PATIENCE_S):
            return await ask(client, "GET", url, headers, b"", _MOST_BYTES)
        raise httpx.ReadTimeout(f"no whole answer in {_PATIENCE_S:.0f} seconds")
