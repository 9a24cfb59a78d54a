"""What may happen so many times in an hour, counted in memory by a key."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import MINUTE_MS

from .limits import USUAL

__all__ = ["HOUR_MS", "HourlyBudget", "next_hour_ms"]

HOUR_MS: Final = 60 * MINUTE_MS
KEYS: Final = USUAL.hourly_keys


class HourlyBudget:
    """Counts up to `per_hour` for each key, anew in every hour of the clock."""

    def __init__(self, per_hour: int) -> None:
        self._per_hour = per_hour
        self._hour = 0
        self._counts: dict[str, int] = {}

    def limit(self, per_hour: int) -> None:
        """Count up to so many from now on; what was counted stands."""
        self._per_hour = per_hour

    def has_room(self, key: str, now: Instant) -> bool:
        """Whether one more may happen now."""
        hour = now // HOUR_MS
        if hour != self._hour:
            self._hour = hour
            self._counts.clear()
        count = self._counts.get(key, 0)
        return count < self._per_hour and (count > 0 or len(self._counts) < KEYS)

    def spend(self, key: str, now: Instant) -> bool:
        """Count one more if there is room; whether there was."""
        if not self.has_room(key, now):
            return False
        self._counts[key] = self._counts.get(key, 0) + 1
        return True

    def give_back(self, key: str, now: Instant) -> None:
        """What cost nothing after all; nothing where its hour is over."""
        if now // HOUR_MS == self._hour and self._counts.get(key, 0):
            self._counts[key] -= 1


def next_hour_ms(now: Instant) -> int:
    """Milliseconds until all counts begin anew."""
    return HOUR_MS - now % HOUR_MS
