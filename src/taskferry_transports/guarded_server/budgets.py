"""Memory that all connections share for what they have begun to send and not finished."""

from __future__ import annotations

from collections import Counter

import trio

UNCOUNTED_BYTES = 65_536  # Ordinary requests and messages pass, however many large ones wait for a budget.


class Crowded(Exception):
    """The peer's address holds as much as it may; its connection is to be closed."""


class SharedBudget:
    """Bytes of unfinished bodies, or messages, that the whole server holds. Whoever wants more waits.

    An address may hold a quarter of it, or one of the `largest`; whoever goes beyond is turned away, so that
    one that begins many and finishes none leaves the others their room.
    """

    def __init__(self, total: int, largest: int) -> None:
        self._share = max(total // 4, largest)
        self._pool = _Pool(total)
        self._held: Counter[str] = Counter()

    async def take(self, owner: object, counted: str, size: int) -> None:
        """Wait until `size` bytes are free for `owner` and take them. Raises Crowded.

        `counted` is the address as `GuardConfig.counted` names it; empty for one without a limit of its own.
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
        """Free all `size` bytes that `owner` took."""
        self._pool.give_back(owner, size)
        self._let_go(counted, size)

    def _let_go(self, counted: str, size: int) -> None:
        self._held[counted] -= size
        if not self._held[counted]:
            del self._held[counted]


class _Pool:
    """Bytes that all share. One owner at a time may overdraw: otherwise many half-received bodies could wait
    for each other.
    """

    def __init__(self, total: int) -> None:
        self._free = total
        self._overdrawing: object | None = None
        self._changed = trio.Event()

    async def take(self, owner: object, size: int) -> None:
        while size > self._free and self._overdrawing is not owner:
            if self._overdrawing is None:
                self._overdrawing = owner
            else:
                await self._changed.wait()
        self._free -= size

    def give_back(self, owner: object, size: int) -> None:
        self._free += size
        if self._overdrawing is owner:
            self._overdrawing = None
        self._changed.set()
        self._changed = trio.Event()
