"""A histogram as Prometheus has them: how many fell into each step, and their sum. One addition to count."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

__all__ = ["Histogram"]


class Histogram:
    """Counts values by the first of `ends` that they fit into; those beyond all have a step of their own."""

    __slots__ = ("counts", "ends", "total")

    def __init__(self, ends: Sequence[float]) -> None:
        self.ends = tuple(ends)
        """Upper ends of the steps, rising."""
        self.counts = [0] * (len(self.ends) + 1)
        """By step."""
        self.total = 0.0
        """The sum of all values."""

    def add(self, value: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.ends, value)] += 1
        self.total += value
