"""What a relay counts of itself while it runs: commits and how long they took, refusals, sessions.

Plain numbers in memory, written by the links and the engine, read by the status pages and for Prometheus.
Nothing in here says anything of one account.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from typing import Final

from taskferry_protocol.ids import Instant

__all__ = ["BUCKETS_S", "Meter"]

#: Upper ends of the histogram of commits, in seconds: a synchronised write takes 1 ms to some 100.
BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
#: The last commits, of which it is said how long they take now.
LATEST: Final = 256
_SLOW_SHARE: Final = 0.95


class Meter:
    """Counters since the start."""

    def __init__(self, started: Instant) -> None:
        self.started: Final = started
        self.envelopes = 0
        """Envelopes committed."""
        self.commits = 0
        self.commit_seconds = 0.0
        self.buckets = [0] * (len(BUCKETS_S) + 1)
        """Commits by the first of `BUCKETS_S` that they fit into; the last are those longer than all."""
        self.sessions = 0
        """Sessions opened."""
        self.refusals: Counter[tuple[str, str]] = Counter()
        """By what was refused (`envelope`, `session`) and the code."""
        self.disk_full_at: Instant | None = None
        """When a commit last found no room; None once one has."""
        self._latest: deque[float] = deque(maxlen=LATEST)

    def committed(self, seconds: float, envelopes: int) -> None:
        """A group was written to disk."""
        self.commits += 1
        self.envelopes += envelopes
        self.commit_seconds += seconds
        self.buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self.disk_full_at = None
        self._latest.append(seconds)

    def disk_was_full(self, now: Instant) -> None:
        """A group found no room."""
        self.disk_full_at = now

    @property
    def commit_ms(self) -> float | None:
        """Within how many milliseconds 95 of 100 of the latest commits were done; None before the first."""
        if not self._latest:
            return None
        ordered = sorted(self._latest)
        return ordered[min(len(ordered) - 1, int(len(ordered) * _SLOW_SHARE))] * 1000
