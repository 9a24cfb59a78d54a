"""How many sessions come from one network: behind a reverse proxy, only the relay itself can tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from taskferry_transports.loopback import is_loopback

from .networks import networks_of

__all__ = ["Doors"]


class Doors:
    """Counts sessions by address, for IPv6 by /64, from before anything of them was read to their end.

    This machine's own programs are not counted.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside: Counter[str] = Counter()

    @property
    def fullest(self) -> int:
        """The most that come from one network now."""
        return max(self._inside.values(), default=0)

    @contextmanager
    def entered(self, peer: str) -> Iterator[bool]:
        """Inside the block one more is counted; whether it may stay."""
        if is_loopback(peer):
            yield True
            return
        network = networks_of(peer).customer
        if self._inside[network] >= self._most:
            yield False
            return
        self._inside[network] += 1
        try:
            yield True
        finally:
            self._inside[network] -= 1
            if not self._inside[network]:
                del self._inside[network]
