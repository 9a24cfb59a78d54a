"""The body of a request as httpx's asynchronous client sends it, without a generator.

httpx's own is an asynchronous generator, and stays behind half read when sending is cancelled or cut off;
trio complains once the garbage collector finds it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Self

import httpx

__all__ = ["Whole"]


class Whole(httpx.AsyncByteStream):
    """Bytes that are sent in one piece, as often as they are asked for."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Once(self._content)


class _Once:
    def __init__(self, content: bytes) -> None:
        self._content: bytes | None = content

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        content, self._content = self._content, None
        if not content:
            raise StopAsyncIteration
        return content
