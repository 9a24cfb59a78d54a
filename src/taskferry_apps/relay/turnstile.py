"""A few requests at a time may read much from the store for a page; a crowd is told to come back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from .limits import USUAL

__all__ = ["Busy", "Turnstile"]

AT_ONCE: Final = USUAL.pages_at_once


class Busy(Exception):
    """Too many wait already."""


class Turnstile:
    """Lets `AT_ONCE` through, has a few wait, and turns the rest away."""

    def __init__(self, waiting: int = USUAL.pages_waiting) -> None:
        self._waiting = waiting
        self._limit = trio.CapacityLimiter(AT_ONCE)

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """Inside the block it is this one's turn. Raises Busy."""
        if self._limit.statistics().tasks_waiting >= self._waiting:
            raise Busy
        async with self._limit:
            yield
