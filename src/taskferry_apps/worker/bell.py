"""A bell between two tasks of a worker."""

from __future__ import annotations

import trio

__all__ = ["Bell"]


class Bell:
    """Wakes one waiter, also where it rang before."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def ring(self) -> None:
        """Wake whoever waits, or waits next."""
        self._event.set()

    async def wait(self) -> None:
        """Until it rings."""
        await self._event.wait()
        self._event = trio.Event()
