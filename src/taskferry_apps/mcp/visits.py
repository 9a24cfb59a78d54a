"""Sessions over HTTP, which live on between their requests: bound until they end, or are silent for long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Final

import attrs
import trio

from .. import system
from ..client import AsyncClient
from .seat import Seat

__all__ = ["Visits"]

#: Much shorter than a lease.
_EVERY_S: Final = 60.0
_MOST: Final = 64


@attrs.define(eq=False)
class _Visit:
    seat: Seat
    client: AsyncClient
    used_at: float
    requests: int = 0
    """Under way now; an open stream is one."""


class Visits:
    """Seats by session. Run `keep` beside the server."""

    def __init__(self, idle_s: float) -> None:
        self._idle_s = idle_s
        self._visits: dict[Hashable, _Visit] = {}

    @asynccontextmanager
    async def request(self, key: Hashable, client: AsyncClient) -> AsyncIterator[Seat]:
        """The session's seat, for the time of one request."""
        visit = self._visits.pop(key, None)
        if visit is None:
            # The session's own id is a secret of its program's, and goes into no list.
            visit = _Visit(Seat(system.entropy(16).hex(), ""), client, trio.current_time())
        visit.client = client
        self._visits[key] = visit
        visit.requests += 1
        try:
            yield visit.seat
        finally:
            visit.requests -= 1
            visit.used_at = trio.current_time()
            if len(self._visits) > _MOST:
                await self.end(next(iter(self._visits)))

    async def end(self, key: Hashable) -> None:
        """The session has ended."""
        visit = self._visits.pop(key, None)
        if visit is not None:
            await visit.seat.leave(visit.client)

    async def keep(self) -> None:
        """Let sessions be heard of while they last, and end those that nobody uses, until cancelled."""
        while True:
            await trio.sleep(_EVERY_S)
            for key, visit in list(self._visits.items()):
                if not visit.requests and trio.current_time() - visit.used_at > self._idle_s:
                    await self.end(key)
                else:
                    await visit.seat.breathe(visit.client)
