"""Simulated time: what happens next, and the record of what happened."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

from ..ids import Instant

__all__ = ["START", "Timeline"]

START: Final = Instant(1_700_000_000_000)
"""When every world begins."""


class Timeline:
    """A clock that stands still while something happens, and leaps to whatever is due next."""

    def __init__(self) -> None:
        self.now = START
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._lines: list[str] = []

    def after(self, wait_ms: int, action: Callable[[], None]) -> None:
        """Do this `wait_ms` from now, behind what is due at the same time already."""
        self._count += 1
        heapq.heappush(self._due, (self.now + max(0, wait_ms), self._count, action))

    @property
    def next_at(self) -> Instant | None:
        """When something is due, None for never."""
        return Instant(self._due[0][0]) if self._due else None

    def step(self) -> None:
        """Leap to what is due next and do it."""
        at, _, action = heapq.heappop(self._due)
        self.now = Instant(at)
        action()

    def leap(self, at: Instant) -> None:
        """Let time pass up to `at`, before which nothing is due."""
        self.now = max(self.now, at)

    def note(self, who: str, what: str) -> None:
        """Write a line into the trace."""
        self._lines.append(f"{self.now - START:>9} ms  {who:<12} {what}")

    def trace(self) -> str:
        """Everything that was noted, a line each."""
        return "".join(f"{line}\n" for line in self._lines)
