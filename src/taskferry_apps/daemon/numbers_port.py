"""What the daemon counts of itself, for whoever watches it; a part of `port.DaemonService`."""

from __future__ import annotations

from typing import Protocol

import attrs

from taskferry_protocol.records import DaemonStats

from ..histogram import Histogram

__all__ = ["Numbers", "NumbersService"]


@attrs.frozen
class Numbers:
    """How much there is and waits. `transport` is "" while the relay is not reached; commits in seconds."""

    stats: DaemonStats
    unread: int
    read: int
    programs: int
    transport: str
    refused: str
    commits: Histogram
    stopped: bool


class NumbersService(Protocol):
    """Nothing of what anybody wrote, and nobody's name."""

    async def read(self) -> Numbers:
        """As it is now; a handful of queries, whatever is kept."""
