"""How many envelopes a minute: a token bucket in whole numbers, its state a value (spec/identity.md 7)."""

from __future__ import annotations

from typing import Final, Self

import attrs

from .ids import Instant
from .limits import DAY_MS, MINUTE_MS

__all__ = ["RATE_CEILING", "RateState", "take"]

#: Envelopes a minute beyond which a rate is no limit: no relay carries more, and the sums stay small.
RATE_CEILING: Final = 1_000_000
_MILLI: Final = 1_000


@attrs.frozen
class RateState:
    """What is left of a rate: thousandths of an envelope, as of `at`."""

    tokens_milli: int
    at: Instant

    @classmethod
    def full(cls, rate_per_minute: int, now: Instant) -> Self:
        """The state of somebody who has sent nothing for a minute."""
        return cls(_capacity(rate_per_minute), now)


def _capacity(rate_per_minute: int) -> int:
    return min(rate_per_minute, RATE_CEILING) * _MILLI


def take(
    rate_state: RateState,
    rate_per_minute: int,
    now: Instant,
    cost: int = 1,
    *,
    early_ms: int = 0,
    saved_ms: int = 0,
) -> tuple[RateState, int]:
    """Take `cost` envelopes: the new state and 0, or the state unspent and the milliseconds to wait.

    A minute's worth may come at once, and what the last `saved_ms` have brought beside it. A cost that this
    does not cover is told to wait a day. A clock that was set back neither refills nor blocks. What is at
    most `early_ms` too early passes, and is owed: the state is then below nothing.
    """
    rate = min(rate_per_minute, RATE_CEILING)
    capacity = _capacity(rate) + max(0, saved_ms) * rate * _MILLI // MINUTE_MS
    since = min(rate_state.at, now)
    left, elapsed = min(capacity, rate_state.tokens_milli), now - since
    tokens = min(capacity, left + elapsed * rate * _MILLI // MINUTE_MS)
    wanted = cost * _MILLI
    if wanted <= tokens + early_ms * rate * _MILLI // MINUTE_MS:
        return RateState(tokens - wanted, now), 0
    # The time of the last success stays, so that asking often does not round the refill away.
    waiting = RateState(left, since)
    if wanted > capacity:
        return waiting, DAY_MS
    enough = -(-(wanted - left) * MINUTE_MS // (rate * _MILLI))
    return waiting, max(1, enough - elapsed - early_ms)
