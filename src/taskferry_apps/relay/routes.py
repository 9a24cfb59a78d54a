"""The routes that a relay holds, by the two accounts that each goes between.

What changes between two accounts concerns nobody else: neither what is held for others, nor what is being
read for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from taskferry_protocol.ids import AccountId

from .lru import Lru
from .view import Ends, Route

__all__ = ["Look", "Routes"]

_Pair = tuple[AccountId, AccountId]


class Look:
    """A look at some routes in the store, which takes its time."""

    __slots__ = ("is_stale", "pairs")

    def __init__(self, ends: Iterable[Ends]) -> None:
        self.pairs: Final = frozenset([_pair(a.account, b.account) for a, b in ends])
        self.is_stale = False


class Routes:
    """The routes between the pairs of accounts that were used most recently, up to so many routes."""

    def __init__(self, most: int) -> None:
        self._pairs: Lru[_Pair, dict[Ends, Route]] = Lru(most)
        self._looks: list[Look] = []

    def get(self, ends: Ends) -> Route | None:
        """The route, if it is held."""
        between = self._pairs.get(_pair(ends[0].account, ends[1].account))
        return None if between is None else between.get(ends)

    def put(self, route: Route) -> None:
        """Hold a route; what was used least recently goes for it."""
        pair = _pair(route.ends[0].account, route.ends[1].account)
        between = self._pairs.get(pair) or {}
        between[route.ends] = route
        self._pairs.put(pair, between, len(between))

    def drop(self, ends: Ends) -> None:
        """Forget one."""
        pair = _pair(ends[0].account, ends[1].account)
        between = self._pairs.get(pair)
        if between is not None and between.pop(ends, None) is not None:
            self._pairs.put(pair, between, len(between))

    def drop_between(self, one: AccountId, other: AccountId) -> None:
        """Something that is stored between these accounts changed."""
        pair = _pair(one, other)
        self._pairs.drop(pair)
        for look in self._looks:
            look.is_stale |= pair in look.pairs

    def clear(self) -> None:
        """Forget all."""
        self._pairs.clear()
        for look in self._looks:
            look.is_stale = True

    @contextmanager
    def looking(self, ends: Iterable[Ends]) -> Iterator[Look]:
        """While the store is asked about routes: it has to be asked again if the look turns out stale."""
        look = Look(ends)
        self._looks.append(look)
        try:
            yield look
        finally:
            self._looks.remove(look)


def _pair(one: AccountId, other: AccountId) -> _Pair:
    return (one, other) if one <= other else (other, one)
