"""A cache that holds the most recently used entries up to a total weight."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["Lru"]

K = TypeVar("K")
V = TypeVar("V")


class Lru(Generic[K, V]):
    """The most recently used entries up to a total weight, or the `least` last ones, whatever they weigh."""

    __slots__ = ("_items", "_least", "_limit", "_total")

    def __init__(self, limit: int, *, least: int = 1) -> None:
        self._items: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._limit = limit
        self._least = least
        self._total = 0

    def get(self, key: K) -> V | None:
        """The value, if it is held."""
        found = self._items.get(key)
        if found is None:
            return None
        self._items.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Hold a value; what was used least recently goes for it."""
        self.drop(key)
        self._items[key] = (value, weight)
        self._total += weight
        while self._total > self._limit and len(self._items) > self._least:
            _, (_, gone) = self._items.popitem(last=False)
            self._total -= gone

    def drop(self, key: K) -> None:
        """Forget one."""
        found = self._items.pop(key, None)
        if found is not None:
            self._total -= found[1]

    def clear(self) -> None:
        """Forget all."""
        self._items.clear()
        self._total = 0
