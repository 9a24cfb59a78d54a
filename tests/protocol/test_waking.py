"""When an agent is worth a hint: properties of the decision over whole histories."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import RuntimeId, RuntimeStatus
from taskferry_protocol.runtimes import bind
from taskferry_protocol.waking import APART_MS, HINTS, REPEAT_MS, Progress, decide, reads_until

START = 1_700_000_000_000

# What happens, by turns: time passes, mail comes, everything is read, a program reads for a while, or not.
HAPPENINGS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(0, 2 * REPEAT_MS)),
        st.tuples(st.just("mail"), st.integers(1, 5)),
        st.tuples(st.just("read"), st.just(0)),
        st.tuples(st.just("reader"), st.integers(1, REPEAT_MS)),
    ),
    max_size=60,
)


@given(HAPPENINGS)
def test_hints_are_few_apart_and_only_for_what_is_unread(happenings):
    """At most two hints for the same mail, never two at once, none while a program reads or nothing waits."""
    now, newest, place, reader, progress = START, 0, 0, 0, Progress()
    hints: list[tuple[int, int]] = []
    for what, amount in happenings:
        match what:
            case "pass":
                now += amount
            case "mail":
                place += amount
                newest = place
            case "read":
                newest = 0
            case "reader":
                reader = now + amount
        verdict = decide(progress, newest, Instant(reader) if reader else None, Instant(now))
        progress = verdict.progress
        if verdict.hint:
            assert newest
            assert reader <= now
            assert not hints or now - hints[-1][0] >= APART_MS
            hints.append((now, newest))
            assert sum(1 for _, at in hints if at == newest) <= HINTS
        assert verdict.again_at is None or verdict.again_at > now


@given(st.integers(1, 1_000), st.integers(0, 10 * REPEAT_MS))
def test_unread_mail_is_hinted_at_sooner_or_later(newest, late):
    """Whoever looks again when told to gives both hints, and then waits for news."""
    now, progress, hints = Instant(START + late), Progress(), 0
    for _ in range(10):
        verdict = decide(progress, newest, None, now)
        progress = verdict.progress
        hints += verdict.hint
        if verdict.again_at is None:
            break
        now = verdict.again_at
    assert hints == HINTS


def test_reading_confirms_and_new_mail_begins_anew():
    """Read within ten minutes, nothing is repeated; what comes then is a wake of its own."""
    first = decide(Progress(), 5, None, Instant(START))
    assert first.hint
    read = decide(first.progress, 0, None, Instant(START + 1))
    assert not read.hint
    assert read.again_at is None
    soon = decide(read.progress, 6, None, Instant(START + 2))
    assert not soon.hint
    assert soon.again_at == START + APART_MS
    assert decide(read.progress, 6, None, Instant(START + APART_MS)).hint


def test_after_two_hints_only_news_counts():
    """However long the same items lie there, nothing more is said of them; of a newer one it is."""
    told = Progress(5, HINTS, Instant(START))
    silent = decide(told, 5, None, Instant(START + 100 * REPEAT_MS))
    assert (silent.hint, silent.again_at, silent.progress) == (False, None, told)
    assert decide(told, 6, None, Instant(START + 100 * REPEAT_MS)).hint


def test_while_a_program_reads_it_is_asked_again_when_that_ends():
    """No hint, nothing noted, and a time to look again."""
    verdict = decide(Progress(), 5, Instant(START + 7), Instant(START))
    assert (verdict.hint, verdict.again_at, verdict.progress) == (False, START + 7, Progress())


@pytest.mark.parametrize("newest", [3, 9])
def test_a_clock_that_was_set_back_silences_nothing(newest):
    """The time of the last hint lies in the future: the wait begins anew, and ends."""
    progress, now, looks = Progress(3, 1, Instant(START + 10**12)), Instant(START), 0
    while not (verdict := decide(progress, newest, None, now)).hint:
        looks += 1
        assert looks < 3
        assert verdict.again_at is not None
        progress, now = verdict.progress, verdict.again_at
    assert now == START + (REPEAT_MS if newest == 3 else APART_MS)


def test_who_only_says_that_it_lives_reads_for_a_while():
    """For 90 seconds, an hour while it is busy, never beyond its lease; without heartbeats for all of it."""
    bound = bind(
        (),
        agent="writer",
        program="p",
        key="",
        lease_ms=7_200_000,
        fresh=RuntimeId(bytes(16)),
        now=Instant(START),
    )
    assert bound is not None
    idle = bound.runtime
    busy = attrs.evolve(idle, status=RuntimeStatus.BUSY)
    assert reads_until(idle, None) == idle.expires_at
    assert reads_until(idle, Instant(START)) == START + 90_000
    assert reads_until(busy, Instant(START)) == START + 3_600_000
    assert reads_until(attrs.evolve(busy, expires_at=Instant(START + 5)), Instant(START)) == START + 5
