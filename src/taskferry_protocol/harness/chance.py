"""Everything that could be random, drawn from one seed: the same seed gives the same bytes for ever."""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["Chance"]

_UNIT: Final = 1 << 53


class Chance:
    """A stream of draws made by hashing seed, name and a counter.

    It looks random and is not: nothing that it makes may ever protect anybody.
    """

    def __init__(self, seed: int, name: str = "") -> None:
        self._seed = seed
        self._name = name
        self._count = 0

    def stream(self, name: str) -> Chance:
        """An independent stream: what is drawn from it moves nothing that is drawn from this one."""
        return Chance(self._seed, f"{self._name}/{name}")

    def entropy(self, size: int) -> bytes:
        """`size` bytes, as the protocol's `Entropy` wants them."""
        self._count += 1
        return hashlib.shake_256(f"{self._seed}{self._name}#{self._count}".encode()).digest(size)

    def below(self, limit: int) -> int:
        """A number from 0 up to, and without, `limit`, which is at least 1."""
        return int.from_bytes(self.entropy(16), "big") % limit

    def between(self, bounds: tuple[int, int]) -> int:
        """A number within bounds, both included."""
        low, high = bounds
        return low + self.below(high - low + 1)

    def happens(self, probability: float) -> bool:
        """True with this probability; draws nothing where it is 0."""
        return probability > 0 and self.below(_UNIT) < probability * _UNIT
