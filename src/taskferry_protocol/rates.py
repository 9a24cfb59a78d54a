"""How many envelopes a minute: a token bucket in whole numbers, its state a value (spec/identity.md 7)."""

from __future__ import annotations

from typing import Final, Self

from .ids import Instant
from .limits import DAY_MS, MINUTE_MS
from .values import value

__all__ = ["RATE_CEILING", "RateState", "take", "take_by_either"]

#: Envelopes a minute beyond which a rate is no limit: no relay carries more, and the sums stay small.
RATE_CEILING: Final = 1_000_000
_MILLI: Final = 1_000
#: How much less time may lie between two arrivals here than lay between them at the relay, which paced them.
_EARLY_MS: Final = 5_000


@value
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


def take_by_either(
    clocks: tuple[RateState | None, RateState | None],
    rate_per_minute: int,
    *,
    written: Instant,
    now: Instant,
    caught_up: Instant,
) -> tuple[RateState, RateState] | None:
    """Take one envelope by when it was `written` and by when it comes: both states, or None.

    What either clock allows passes. By when things were written: after a day offline, a day's messages come
    in one minute. By when they come: a burst was written in one second, and the relay has paced it, also
    while this device was away, since it last held all that the relay had for it (`caught_up`). Both pay for
    what they can, so that together they allow no burst of two minutes' worth. A state that is None is full.
    """
    by_writing, by_arrival = clocks
    written = min(written, now)
    before = by_writing if by_writing is not None else RateState.full(rate_per_minute, written)
    # A clock that is said to go back gains nothing, and one that runs ahead does not last.
    spent, wait = take(before, rate_per_minute, Instant(max(written, before.at)))
    caught_up = min(caught_up, now)
    came = by_arrival if by_arrival is not None else RateState.full(rate_per_minute, caught_up)
    arrived, pause = take(came, rate_per_minute, now, early_ms=_EARLY_MS, saved_ms=now - caught_up)
    return None if wait and pause else (spent, arrived)
