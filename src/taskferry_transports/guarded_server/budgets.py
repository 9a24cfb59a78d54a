"""Memory that all connections share for what they have begun to send and not finished."""

from __future__ import annotations

from collections import Counter

import trio

UNCOUNTED_BYTES = 65_536  # Ordinary requests and messages pass, however many large ones wait for a budget.


class BodyBudget:
    """Bytes of request bodies that the whole server holds. Whoever wants more waits.

    One request at a time may overdraw: otherwise many half-received bodies could wait for each other.
    """

    def __init__(self, total: int) -> None:
        self._free = total
        self._overdrawing: object | None = None
        self._changed = trio.Event()

    async def take(self, owner: object, size: int) -> None:
        """Wait until `size` bytes are free for this request and take them."""
        while size > self._free and self._overdrawing is not owner:
            if self._overdrawing is None:
                self._overdrawing = owner
            else:
                await self._changed.wait()
        self._free -= size

    def give_back(self, owner: object, size: int) -> None:
        """Free all `size` bytes that this request took."""
        self._free += size
        if self._overdrawing is owner:
            self._overdrawing = None
        self._changed.set()
        self._changed = trio.Event()


class Crowded(Exception):
    """The peer's address holds as much as it may; the connection is to be closed."""


class FrameBudget:
    """Bytes of unfinished WebSocket messages that the whole server holds. Whoever wants more waits.

    An address may hold a quarter of it; whoever goes beyond is turned away, so that one that begins many
    messages and finishes none leaves the others their room.
    """

    def __init__(self, total: int) -> None:
        self._share = total // 4
        self._pool = BodyBudget(total)
        self._held: Counter[str] = Counter()

    async def take(self, owner: object, counted: str, size: int) -> None:
        """Wait until `size` bytes are free for a message of `owner` and take them. Raises Crowded.

        `counted` is the address; empty for one that has no limit of its own.
        """
        if counted and self._held[counted] + size > self._share:
            raise Crowded
        # Counted while it waits, so that what waits is bounded, too.
        self._held[counted] += size
        try:
            await self._pool.take(owner, size)
        except BaseException:
            self._let_go(counted, size)
            raise

    def give_back(self, owner: object, counted: str, size: int) -> None:
        """Free all `size` bytes that this message took."""
        self._pool.give_back(owner, size)
        self._let_go(counted, size)

    def _let_go(self, counted: str, size: int) -> None:
        self._held[counted] -= size
        if not self._held[counted]:
            del self._held[counted]
