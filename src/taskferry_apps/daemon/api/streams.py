"""A long answer that is made while it is read: one piece at a time is held, the rest waits."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from quart.wrappers.response import ResponseBody

__all__ = ["StreamBody"]


class StreamBody(ResponseBody):
    """Hands on the pieces inside a context, which ends with the answer, however that ends."""

    def __init__(self, pieces: AbstractAsyncContextManager[AsyncIterator[bytes]]) -> None:
        self._pieces = pieces

    async def __aenter__(self) -> AsyncIterable[bytes]:
        """Begin."""
        return await self._pieces.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of what the pieces came from."""
        await self._pieces.__aexit__(kind, error, trace)
