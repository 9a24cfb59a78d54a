"""One HTTP request whose answer is read whole, up to a bound. Uses httpx."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import attrs
import httpx
import trio

__all__ = ["UNREADABLE", "Answer", "ask"]

UNREADABLE: Final = (httpx.InvalidURL, ValueError)
"""What httpx raises beside its HTTPError: it reads where a redirect leads that it is not to follow.

So it stumbles over `mailto:x`, and over a host name that is none.
"""


@attrs.frozen
class Answer:
    """What a server answered; `retry_after` in seconds, if it is a plain number."""

    status: int
    body: bytes
    headers: httpx.Headers
    retry_after: float | None


async def ask(
    client: httpx.AsyncClient, method: str, url: str, headers: Mapping[str, str], body: bytes, most: int
) -> Answer:
    """Ask, and read at most `most` bytes of the answer. Raises httpx.HTTPError, whatever is answered."""
    try:
        return await _ask(client, method, url, headers, body, most)
    except UNREADABLE as error:
        raise httpx.RemoteProtocolError(f"the answer cannot be read: {type(error).__name__}") from error


async def _ask(
    client: httpx.AsyncClient, method: str, url: str, headers: Mapping[str, str], body: bytes, most: int
) -> Answer:
    async with client.stream(method, url, headers=dict(headers), content=body) as response:
        parts: list[bytes] = []
        size = 0
        # Cancelled from within, since leaving the loop early would leave httpx's generators unfinished.
        with trio.CancelScope() as reading:
            async for part in response.aiter_raw():
                size += len(part)
                if size > most:
                    reading.cancel()
                else:
                    parts.append(part)
        if reading.cancel_called:
            raise httpx.DecodingError("the answer is too long", request=response.request)
    retry_after = response.headers.get("retry-after", "")
    return Answer(
        response.status_code,
        b"".join(parts),
        response.headers,
        float(retry_after) if re.fullmatch("[0-9]{1,5}", retry_after, re.ASCII) else None,
    )
