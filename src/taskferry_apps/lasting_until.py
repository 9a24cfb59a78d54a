"""Whether a time that was to last so long goes on, whatever was done to the clock since it began."""

from __future__ import annotations

from taskferry_protocol.ids import Instant

__all__ = ["goes_on"]


def goes_on(until: int, now: Instant, most_ms: int) -> bool:
    """Whether what began at most `most_ms` before `until` goes on.

    What ends later than twice that from now began by a clock that was ahead, and is over: nobody's key stays
    unlocked, and no browser let in, until the clock has come there.
    """
    return now < until <= now + 2 * most_ms
