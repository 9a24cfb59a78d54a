"""What a relay counts of itself while it runs: commits and how long they took, refusals, sessions.

Plain numbers in memory, written by the links and the engine, read by the status pages and for Prometheus.
Nothing in here says anything of one account.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

from taskferry_protocol.ids import Instant

from ..histogram import Histogram

__all__ = ["Meter"]

#: Upper ends of the histogram of commits, in seconds: a synchronised write takes 1 ms to some 100.
BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
#: Of groups of envelopes: one batch of a lone sender, up to all that may wait.
GROUPS: Final = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
#: From a commit to its frame on the way, in seconds: mostly the turn of the other links.
WAKES_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)
#: The last commits, of which it is said how long they take now.
LATEST: Final = 256
_SLOW_SHARE: Final = 0.95


class Meter:
    """Counters since the start."""

    def __init__(self, started: Instant) -> None:
        self.started: Final = started
        self.envelopes = 0
        """Envelopes committed."""
        self.commits = Histogram(BUCKETS_S)
        """How long groups took to be on disk, in seconds."""
        self.groups = Histogram(GROUPS)
        """Envelopes in a group."""
        self.wakes = Histogram(WAKES_S)
        """From a commit to the frame with it, in seconds, for who is there and takes it; a sample a frame."""
        self.queued = 0
        """Envelopes that were decided on and wait for the next group."""
        self.links: Counter[str] = Counter()
        """Open connections by transport, those that still prove themselves among them."""
        self.sessions = 0
        """Sessions opened."""
        self.refusals: Counter[tuple[str, str]] = Counter()
        """By what was refused (`envelope`, `session`) and the code."""
        self.disk_full_at: Instant | None = None
        """When a commit last found no room; None once one has."""
        self._latest: deque[float] = deque(maxlen=LATEST)

    def committed(self, seconds: float, envelopes: int) -> None:
        """A group was written to disk."""
        self.envelopes += envelopes
        self.commits.add(seconds)
        self.groups.add(envelopes)
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
