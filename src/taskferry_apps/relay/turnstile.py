"""A few requests at a time may read much from the store for a page; a crowd is told to come back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

__all__ = ["Busy", "Turnstile"]

#: Of the store's readers one stays free for mail, whatever pages are asked for.
AT_ONCE: Final = 1
WAITING: Final = 64


class Busy(Exception):
    """Too many wait already."""


class Turnstile:
    """Lets `AT_ONCE` through, has `WAITING` wait, and turns the rest away."""

    def __init__(self) -> None:
        self._limit = trio.CapacityLimiter(AT_ONCE)

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """Inside the block it is this one's turn. Raises Busy."""
        if self._limit.statistics().tasks_waiting >= WAITING:
            raise Busy
        async with self._limit:
            yield
