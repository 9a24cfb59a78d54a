"""The token bucket: a minute's worth at once, then a steady trickle, without drift."""

import hypothesis.strategies as st
from hypothesis import given

from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS, MINUTE_MS
from taskferry_protocol.permissions import RateState, take
from taskferry_protocol.rates import RATE_CEILING

from .owners import NOW


def test_minutes_worth_may_come_at_once():
    """The next has to wait for its share of a minute."""
    state = RateState.full(3, NOW)
    for _ in range(3):
        state, wait = take(state, 3, NOW)
        assert wait == 0
    state, wait = take(state, 3, NOW)
    assert wait == MINUTE_MS // 3
    assert take(state, 3, Instant(NOW + wait - 1))[1] == 1
    assert take(state, 3, Instant(NOW + wait))[1] == 0


def test_asking_often_does_not_lose_the_refill():
    """At one a minute, a question every millisecond is answered on time."""
    state = RateState.full(1, NOW)
    state, _ = take(state, 1, NOW)
    for elapsed in range(1, MINUTE_MS, 7):
        state, wait = take(state, 1, Instant(NOW + elapsed))
        assert wait == MINUTE_MS - elapsed
    assert take(state, 1, Instant(NOW + MINUTE_MS))[1] == 0


def test_rate_of_nothing_waits_a_day():
    """Where a minute never suffices there is no sooner time to name."""
    assert take(RateState.full(0, NOW), 0, NOW)[1] == DAY_MS
    assert take(RateState.full(5, NOW), 5, NOW, cost=6)[1] == DAY_MS
    assert take(RateState.full(0, NOW), 0, NOW, cost=0)[1] == 0


def test_rate_beyond_all_relays_stays_a_small_number():
    """A grant may name 2^64 - 1; the sums stay where a database can keep them."""
    state = RateState.full(2**64 - 1, NOW)
    assert state.tokens_milli == RATE_CEILING * 1000
    state, wait = take(state, 2**64 - 1, Instant(NOW + DAY_MS))
    assert wait == 0
    assert state.tokens_milli < 2**31


def test_lowered_rate_counts_at_once():
    """What was saved under a higher rate is not spent under a lower one."""
    state, wait = take(RateState.full(100, NOW), 2, NOW, cost=2)
    assert wait == 0
    assert take(state, 2, NOW)[1] > 0


def test_clock_set_back_neither_refills_nor_blocks():
    """The refill goes on from the new time."""
    state, _ = take(RateState.full(1, NOW), 1, NOW)
    earlier = Instant(NOW - DAY_MS)
    state, wait = take(state, 1, earlier)
    assert wait == MINUTE_MS
    assert take(state, 1, Instant(earlier + MINUTE_MS))[1] == 0


@given(st.integers(1, 500), st.lists(st.integers(0, 5_000), max_size=60))
def test_never_more_than_the_rate_and_a_burst(rate, pauses):
    """Over any stretch: one minute's worth, plus the rate times the time; and the wait is honest."""
    now, state, taken = NOW, RateState.full(rate, NOW), 0
    for pause in pauses:
        now = Instant(now + pause)
        for _ in range(rate // 20 + 1):
            before = state
            state, wait = take(state, rate, now)
            if wait:
                assert take(state, rate, Instant(now + wait))[1] == 0
                assert take(state, rate, Instant(now + wait - 1))[1] > 0
                assert state.tokens_milli == before.tokens_milli
            else:
                taken += 1
    assert taken <= rate + rate * (now - NOW) / MINUTE_MS
