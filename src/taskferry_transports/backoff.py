"""How long to wait before the next try. Pure: attempt and jitter in, seconds out."""

from __future__ import annotations

SHORTEST = 0.2
"""Seconds below which nobody retries: a failing dial may cost the other side a TLS handshake."""
LONGEST = 60.0
"""Seconds above which nobody waits: a relay that is back should be used within a minute."""
LONGEST_ASKED = 600.0
"""Seconds that the other side may make us wait; more would be a way to silence us."""


def delay(attempt: int, jitter: float, *, retry_after: float | None = None) -> float:
    """Seconds to wait before try number `attempt` (the first retry is 1), with full jitter.

    `jitter` is uniform in [0, 1). The wait is uniform between `SHORTEST` and a ceiling that doubles with each
    attempt up to `LONGEST`, so that a crowd that lost its relay does not come back all at once.
    `retry_after` is what the other side asked for: never less than that, up to `LONGEST_ASKED`.
    """
    if attempt < 1:
        raise ValueError("attempts count from 1")
    if not 0 <= jitter < 1:
        raise ValueError("jitter is in [0, 1)")
    # The exponent is bounded first: 2.0 ** attempt would overflow after weeks of trying.
    ceiling = min(LONGEST, SHORTEST * 2.0 ** min(attempt, 16))
    wait = SHORTEST + jitter * (ceiling - SHORTEST)
    if retry_after is not None:
        # The jitter comes on top: those who were told the same number would all return in the same second.
        wait = min(max(retry_after, 0.0), LONGEST_ASKED) + jitter * SHORTEST * 5
    return wait
