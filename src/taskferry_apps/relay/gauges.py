"""How near a relay is to its limits, where that is known without asking much."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby

import attrs

from ..limit_table import LimitRow, Of
from .core import Relay
from .limits import RelayLimits, limit_rows
from .snapshot import Snapshot

__all__ = ["Gauges", "grouped"]


class Gauges:
    """Reads what is taken of the limits. `connections` says how many are open, once the server serves."""

    def __init__(self, relay: Relay, limits: RelayLimits, source: str, links: Callable[[], int]) -> None:
        self._relay = relay
        self._limits = limits
        self._source = source
        self._links = links
        self.connections: Callable[[], int] | None = None

    def rows(self, latest: Snapshot) -> tuple[LimitRow, ...]:
        """Every limit, and how much of it is taken."""
        used = self._used(latest)
        return tuple(
            attrs.evolve(row, used=used.get(row.limit.field))
            for row in limit_rows(self._limits, self._source)
        )

    def _used(self, latest: Snapshot) -> Mapping[str, int]:
        used = {
            **self._relay.taken(),
            "accounts": latest.overview.accounts,
            "longpoll_links": self._links(),
            "mailbox_entries": max((box.count for box in latest.fullest), default=0),
            "mailbox_bytes": max((box.bytes for box in latest.fullest), default=0),
        }
        if self.connections is not None:
            used["connections"] = self.connections()
        return used


def grouped(rows: tuple[LimitRow, ...]) -> list[tuple[Of, list[LimitRow]]]:
    """The rows by what they are of, in their order."""
    return [(of, list(some)) for of, some in groupby(rows, key=lambda row: row.limit.of)]
