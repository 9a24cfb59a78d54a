"""The waiting rule: bounded, jittered, and obedient to the other side within reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskferry_transports.backoff import LONGEST, LONGEST_ASKED, SHORTEST, delay

ATTEMPTS = st.integers(min_value=1, max_value=10**9)
JITTER = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(ATTEMPTS, JITTER)
def test_every_delay_lies_between_the_bounds(attempt, jitter):
    """No attempt number, however large, leaves the bounds."""
    assert SHORTEST <= delay(attempt, jitter) <= LONGEST


@given(JITTER)
def test_ceiling_doubles_and_then_stays(jitter):
    """With the same jitter a later attempt never waits less."""
    waits = [delay(attempt, jitter) for attempt in range(1, 40)]
    assert waits == sorted(waits)


def test_full_jitter_spreads_over_the_whole_range():
    """Jitter 0 waits the minimum and jitter near 1 the ceiling."""
    assert delay(30, 0.0) == SHORTEST
    assert delay(30, 0.999999) > LONGEST * 0.99
    assert delay(1, 0.999999) <= 2 * SHORTEST


@given(ATTEMPTS, JITTER, st.floats(allow_nan=False, min_value=-1e9, max_value=1e9))
def test_retry_after_is_honoured_within_its_bound(attempt, jitter, asked):
    """We never come back earlier than asked, unless the wish is absurd."""
    wait = delay(attempt, jitter, retry_after=asked)
    assert wait >= min(asked, LONGEST_ASKED)
    assert wait <= LONGEST_ASKED + 1


@pytest.mark.parametrize(("attempt", "jitter"), [(0, 0.5), (1, 1.0), (1, -0.1)])
def test_nonsense_is_refused(attempt, jitter):
    """Attempts count from 1 and jitter is below 1."""
    with pytest.raises(ValueError, match=r"attempts|jitter"):
        delay(attempt, jitter)
