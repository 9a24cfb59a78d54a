"""How many requests of one agent's program are under way, and how many of them are worked on.

What a daemon signs, it signs in one line. A program that asks without end stands in it with few requests, so
that those of other agents' programs, and the owner's, find a place behind few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import trio

from taskferry_protocol.ids import sha256

from ..bounds import BOUNDS
from ..port import Caller
from .errors import refusal

__all__ = ["Turns"]

UNDER_WAY: Final = BOUNDS.requests_of_one
AT_WORK: Final = BOUNDS.requests_at_work
RETRY_S: Final = 1


class Turns:
    """Counts by credential; the owner's is not counted."""

    def __init__(self) -> None:
        self._under_way: Counter[bytes] = Counter()
        self._at_work: dict[bytes, trio.CapacityLimiter] = {}

    @contextmanager
    def place(self, caller: Caller | None, secret: str | None) -> Iterator[None]:
        """Inside the block one more of the credential's requests is under way. Raises DaemonRefusal(busy)."""
        if caller is None or caller.is_owner or secret is None:
            yield
            return
        key = _key(secret)
        if self._under_way[key] >= UNDER_WAY:
            raise refusal(
                "busy",
                f"{UNDER_WAY} requests with this credential are under way.",
                "Let some of them end first; one program needs few that wait.",
                status=429,
                retry_after=RETRY_S,
            )
        self._under_way[key] += 1
        try:
            yield
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]

    @asynccontextmanager
    async def turn(self, caller: Caller | None, secret: str | None) -> AsyncIterator[bool]:
        """Inside the block the request is worked on; whether it had to wait for its credential's others."""
        if caller is None or caller.is_owner or secret is None:
            yield False
            return
        key = _key(secret)
        limit = self._at_work.setdefault(key, trio.CapacityLimiter(AT_WORK))
        has_to_wait = limit.available_tokens == 0
        try:
            async with limit:
                yield has_to_wait
        finally:
            if not limit.borrowed_tokens and not limit.statistics().tasks_waiting:
                self._at_work.pop(key, None)


def _key(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogateescape"))
