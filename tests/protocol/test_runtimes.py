"""The programs that act as one agent: binding, handing out, and who may still answer, as pure functions."""

import attrs
import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from taskferry_protocol.ids import Hash, Instant, sha256
from taskferry_protocol.records import NOBODY, LeaseRecord, Place, RuntimeId, RuntimeStatus, WaitingItem
from taskferry_protocol.runtimes import (
    LEASE_MS,
    RUNTIMES_KEPT,
    RUNTIMES_LIVE,
    Activity,
    Nudge,
    bind,
    bridged,
    carried_over,
    given_back,
    hand_out,
    heartbeat_ms,
    is_live,
    left,
    look_over,
    may_answer,
    nudge,
    presence,
    renewed,
    runtime_name,
    taken,
)

NOW = Instant(1_700_000_000_000)


def later(ms):
    """A time after now."""
    return Instant(NOW + ms)


def rid(number):
    """A runtime's id."""
    return RuntimeId(number.to_bytes(16, "big"))


def bound(known=(), program="claude-code", key="", number=1, now=NOW, lease_ms=LEASE_MS):
    """The outcome of binding."""
    return bind(
        known, agent="writer", program=program, key=key, lease_ms=lease_ms, fresh=rid(number), now=now
    )


def some(value):
    """What is there, and it has to be."""
    assert value is not None
    return value


def task(number):
    """The id of a task, or of a message."""
    return Hash(sha256(b"%d" % number))


# --- Binding ------------------------------------------------------------------------------------------------


def test_first_runtime_is_named_after_its_program():
    """Names are short words that nobody else has."""
    first = bound().runtime
    assert (first.name, first.status, first.expires_at) == ("claude-code", RuntimeStatus.IDLE, NOW + LEASE_MS)
    assert bound([first], number=2).runtime.name == "claude-code-2"


@given(st.text(max_size=80), st.sets(st.text(max_size=30), max_size=5))
def test_every_program_gets_a_name_of_its_own(program, taken):
    """Whatever a program calls itself, its name is a short word that nobody has."""
    name = runtime_name(program, taken)
    assert name not in taken
    assert name.isascii()
    assert 1 <= len(name) <= 32
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_same_key_is_the_same_runtime_after_a_crash():
    """Id and name come back with the key, live or not; another key, program or no key is somebody else."""
    first = bound(key="session 7").runtime
    for now in (later(5), later(10 * LEASE_MS)):
        again = bound([first], key="session 7", number=2, now=now)
        assert again.again
        assert (again.runtime.id, again.runtime.name) == (first.id, first.name)
        assert is_live(again.runtime, now)
    assert bound([first], key="session 8", number=2).runtime.id == rid(2)
    assert bound([first], program="codex", key="session 7", number=2).runtime.id == rid(2)
    assert not bound([bound().runtime], number=2).again


def test_live_runtimes_of_an_agent_are_bounded():
    """One too many is not bound, but one of those that are there may always come back."""
    known = [bound(key=f"{n}", number=n).runtime for n in range(RUNTIMES_LIVE)]
    assert bound(known, key="new", number=99) is None
    assert bound(known, key="3", number=99).again
    # What is gone and comes back counts like a new one.
    gone = attrs.evolve(known[0], expires_at=NOW)
    others = [*known[1:], bound(key="more", number=77).runtime]
    assert bound([gone, *others], key="0", number=99) is None


def test_what_is_remembered_is_bounded():
    """The longest gone are forgotten first, those without a key before those with one."""
    gone = [
        attrs.evolve(bound(key=f"{n}" if n % 2 else "", number=n).runtime, expires_at=later(n), seen_at=NOW)
        for n in range(RUNTIMES_KEPT)
    ]
    made = bound(gone, number=500, now=later(10 * LEASE_MS))
    assert made.drop == (rid(0),)


def test_a_flood_of_heartbeats_is_not_written_down():
    """Only what says something new is: another status, a second that has passed, a return."""
    first = bound().runtime
    assert renewed(first, later(999)) is None
    assert some(renewed(first, later(1000))).expires_at == later(1000 + LEASE_MS)
    busy = some(renewed(first, later(1), RuntimeStatus.BUSY))
    assert (busy.status, busy.since) == (RuntimeStatus.BUSY, later(1))
    assert renewed(busy, later(2), RuntimeStatus.BUSY) is None
    assert some(renewed(busy, later(5000))).since == later(1)
    back = some(renewed(busy, later(10 * LEASE_MS)))
    assert back.since == later(10 * LEASE_MS)
    # A clock that was put back does not keep a program from being heard.
    assert renewed(first, later(-5000)) is not None
    assert heartbeat_ms(LEASE_MS) * 3 == LEASE_MS


def test_what_a_lost_answer_took_is_new_once_more():
    """From the place and the taking that a program knows of, also where the clock was set back since."""
    first = bound(number=1).runtime
    item = WaitingItem(Place(1), task(101), task(1), None)
    for now, since in ((later(5), NOW), (later(-5_000), NOW), (NOW, NOW)):
        lost = hand_out([item], first, (), after=Place(9), limit=1, now=now, since=since)
        held = attrs.evolve(item, lease=lost.taken[0])
        again = hand_out([held], first, (), after=Place(9), limit=1, now=now, since=since)
        assert (again.given, again.taken) == ((held,), ())
        known = lost.taken[0].at
        assert hand_out([held], first, (), after=Place(9), limit=1, now=now, since=known).given == ()


def test_time_without_a_daemon_counts_against_nobody():
    """At a start, who may only have been unable to reach the daemon has a whole lease; who left has none."""
    first = bound().runtime
    assert some(bridged(first, later(5))).expires_at == later(5 + LEASE_MS)
    assert some(bridged(first, later(10 * 60_000))).expires_at == later(10 * 60_000 + LEASE_MS)
    assert some(bridged(first, later(-24 * 3_600_000))).expires_at == later(-24 * 3_600_000 + LEASE_MS)
    assert bridged(first, later(60 * 60_000)) is None
    assert bridged(attrs.evolve(first, expires_at=first.seen_at), later(5)) is None
    long = bound(lease_ms=3_600_000).runtime
    assert some(bridged(long, later(5))).expires_at == later(5 + 3_600_000)


@pytest.mark.parametrize("lease_ms", [LEASE_MS, 3_600_000])
@pytest.mark.parametrize("set_back", [0, 24 * 3_600_000])
def test_starts_without_end_keep_no_dead_program(lease_ms, set_back):
    """A daemon that starts every ten minutes carries on who is heard of, and nobody else beyond an hour."""
    starts = [-set_back + minute * 60_000 for minute in range(10, 600, 10)]
    dead = alive = bound(lease_ms=lease_ms).runtime
    carried = 0
    for start in starts:
        after = bridged(dead, later(start))
        dead, carried = (after, carried + 1) if after is not None else (dead, carried)
        alive = some(renewed(some(bridged(alive, later(start))), later(start + 2_000)))
    assert carried * 10 <= 10 + (lease_ms + 3_600_000) // 60_000
    assert not is_live(dead, later(starts[-1]))


# --- Handing out --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [-24 * 3_600_000, -6_000, 6_000, 24 * 3_600_000])
def test_a_step_of_the_clock_takes_and_gives_no_time(step):
    """What is left of a lease is what was; nobody is live by it who was not, and no lease is longer."""
    first = bound().runtime
    moved = some(carried_over(first, step, later(1_000 + step)))
    assert (moved.seen_at, moved.expires_at) == (first.seen_at + step, first.expires_at + step)
    assert carried_over(first, step, later(LEASE_MS + step)) is None
    assert carried_over(left(first, later(1)), step, later(5 + step)) is None
    heard = some(renewed(first, later(5_000 + step), RuntimeStatus.BUSY))
    again = carried_over(heard, step, later(6_000 + step))
    assert again is None or again.expires_at <= later(6_000 + step + LEASE_MS)


def item(number, unit=None, lease=None):
    """An item that waits at place `number`; of a task if `unit` names one."""
    return WaitingItem(Place(number), task(number), task(number if unit is None else unit), lease)


def hashes(handed):
    """What was given."""
    return tuple(given.hash for given in handed.given)


ONE, TWO = bound(number=1).runtime, bound(number=2).runtime
BOTH = {ONE.id, TWO.id}


def look(items, me, live=BOTH, after=None, limit=9, passed=()):
    """A look into the inbox."""
    return hand_out(items, me, live, after=after, limit=limit, now=NOW, passed=passed)


def test_task_stays_with_who_has_it():
    """A later item of a task goes to the runtime that has the task, and to no other while that lives."""
    first = look([item(1)], ONE)
    assert hashes(first) == (task(1),)
    (held,) = first.taken
    news = [item(5, 1, held), item(6)]
    assert hashes(look(news, TWO)) == (task(6),)
    mine = look(news, ONE)
    assert hashes(mine) == (task(5), task(6))
    assert [lease.unit for lease in mine.taken] == [task(6)]
    taken_over = look(news, TWO, {TWO.id})
    assert hashes(taken_over) == (task(5), task(6))
    assert taken_over.taken[0].fence == held.fence + 1


def test_what_was_given_back_comes_to_others_alone():
    """Who has given a unit back is not handed it again, until it has it by taking it itself."""
    free = LeaseRecord(task(1), "writer", NOBODY, 3, NOW)
    assert look([item(1, lease=free), item(2)], ONE, passed={task(1)}) == look([item(2)], ONE)
    assert hashes(look([item(1, lease=free)], TWO)) == (task(1),)
    mine = taken(free, task(1), ONE, BOTH, NOW)
    assert mine is not None
    assert (mine.runtime, mine.fence) == (ONE.id, 4)
    assert hashes(look([item(1, lease=mine)], ONE, passed={task(1)})) == (task(1),)


def test_a_look_takes_nothing_and_shows_nothing_of_others():
    """Items behind the place that no other live runtime has, as often as one looks."""
    (held,) = look([item(1)], ONE).taken
    items = [item(1, lease=held), item(2), item(3)]
    seen = [look_over(items, me, BOTH, after=None, limit=2) for me in (ONE, TWO)]
    assert [hashes(each) for each in seen] == [(task(1), task(2)), (task(2), task(3))]
    assert [(each.taken, each.more) for each in seen] == [((), True), ((), False)]
    assert hashes(look_over(items, TWO, {TWO.id}, after=Place(2), limit=9)) == (task(3),)


def test_a_unit_is_taken_from_nobody_who_lives():
    """Again it is the same lease; from one who is gone it has a higher fence."""
    (held,) = look([item(1)], ONE).taken
    assert taken(held, task(1), ONE, BOTH, NOW) == held
    assert taken(held, task(1), TWO, BOTH, NOW) is None
    over = taken(held, task(1), TWO, {TWO.id}, NOW)
    assert over is not None
    assert (over.runtime, over.fence) == (TWO.id, held.fence + 1)


def test_no_more_is_taken_than_is_given():
    """What does not fit is left for others, and the caller hears that there is more."""
    items = [item(n) for n in range(5)]
    some = look(items, ONE, limit=2)
    assert (hashes(some), some.more) == ((task(0), task(1)), True)
    assert [lease.unit for lease in some.taken] == [task(0), task(1)]
    assert not look(items, ONE, limit=5).more


def test_what_comes_free_is_new_however_old_it_is():
    """After a place, a runtime gets what has come since, and what it takes over now, wherever that stands."""
    mine, others = (LeaseRecord(task(n), "writer", id, 1, NOW) for n, id in ((1, ONE.id), (2, TWO.id)))
    items = [item(1, lease=mine), item(2, lease=others), item(3, 1, mine), item(4, 2, others)]
    assert hashes(look(items, ONE, after=Place(2))) == (task(3),)
    assert hashes(look(items, ONE, {ONE.id}, after=Place(9))) == (task(2), task(4))


def test_old_fence_is_refused_for_ever():
    """Whoever names a fence is held to it; whoever names none is refused only while another has the unit."""
    lease = LeaseRecord(task(1), "writer", rid(1), 3, NOW)
    live = {rid(1), rid(2)}
    assert may_answer(lease, rid(1), 3, live)
    assert may_answer(lease, rid(1), None, set())
    assert not may_answer(lease, rid(1), 2, live)
    assert not may_answer(lease, rid(2), 3, live)
    assert not may_answer(lease, rid(2), None, live)
    assert may_answer(lease, rid(2), None, {rid(2)})
    assert not may_answer(lease, rid(2), 2, {rid(2)})
    assert may_answer(None, rid(1), None, live)
    assert not may_answer(None, rid(1), 1, live)
    back = given_back(lease, later(1))
    assert (back.runtime, back.fence) == (NOBODY, 3)
    assert not may_answer(back, rid(1), 3, live)


def test_news_wakes_who_has_it_and_else_who_is_idle():
    """Never anybody while another live one has it; a busy one waits with what nobody has, and no longer."""
    idle = bound().runtime
    busy = some(renewed(idle, later(1), RuntimeStatus.BUSY))
    mine, theirs = (LeaseRecord(task(1), "writer", rid(number), 1, NOW) for number in (1, 2))
    both, nobody = {rid(1), rid(2)}, given_back(theirs, later(1))
    for me, free in ((idle, Nudge.NOW), (busy, Nudge.LATER)):
        assert nudge(mine, me, both, later(1)) is Nudge.NOW
        assert nudge(theirs, me, both, later(1)) is Nudge.THEIRS
        for lease, live in ((theirs, {rid(1)}), (nobody, both), (None, both)):
            assert nudge(lease, me, live, later(1)) is free
    assert nudge(None, busy, set(), later(2 * LEASE_MS)) is Nudge.NOW


class Competition(RuleBasedStateMachine):
    """Programs that bind, take, fall silent, come back and answer late, in any order."""

    @initialize()
    def begin(self):
        """Nobody is there, and nothing."""
        self.now, self.runtimes, self.leases, self.items = NOW, {}, {}, []
        self.known, self.answered = {}, set()

    def live(self):
        """Who is there now."""
        return {id for id, runtime in self.runtimes.items() if is_live(runtime, self.now)}

    @rule(program=st.integers(1, 4))
    def bind(self, program):
        """A program starts, or starts again: what it knew before is lost with its old self."""
        made = bound(
            list(self.runtimes.values()), key=f"{program}", number=program, now=self.now, lease_ms=LEASE_MS
        )
        self.runtimes[made.runtime.id] = made.runtime
        if made.again:
            for unit, lease in self.leases.items():
                if lease.runtime == made.runtime.id:
                    self.leases[unit] = attrs.evolve(lease, fence=lease.fence + 1)

    @rule(unit=st.integers(0, 5))
    def arrive(self, unit):
        """Something comes that belongs to a task."""
        place = len(self.items)
        self.items.append(WaitingItem(Place(place), task(100 + place), task(unit), None))

    @rule(ms=st.integers(0, 2 * LEASE_MS))
    def wait(self, ms):
        """Time passes, and with it leases."""
        self.now = Instant(self.now + ms)

    @precondition(lambda self: self.runtimes)
    @rule(data=st.data(), limit=st.integers(1, 4))
    def look(self, data, limit):
        """A program looks into the inbox."""
        me = data.draw(st.sampled_from(sorted(self.runtimes)))
        self.runtimes[me] = renewed(self.runtimes[me], self.now) or self.runtimes[me]
        live = self.live()
        waiting = [
            attrs.evolve(item, lease=self.leases.get(item.unit))
            for item in self.items
            if item.hash not in self.answered
        ]
        after = data.draw(st.none() | st.integers(0, 8))
        out = hand_out(waiting, self.runtimes[me], live, after=after, limit=limit, now=self.now)
        for lease in out.taken:
            before = self.leases.get(lease.unit)
            assert before is None or before.runtime == me or before.runtime not in live
            assert before is None or lease.fence > before.fence
            self.leases[lease.unit] = lease
        for item in out.given:
            assert self.leases[item.unit].runtime == me
            self.known.setdefault(me, {})[item.hash] = self.leases[item.unit].fence

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def answer(self, data):
        """A program answers what it was given, however long ago."""
        me = data.draw(st.sampled_from(sorted(self.known)))
        hash, fence = data.draw(st.sampled_from(sorted(self.known[me].items())))
        unit = next(item.unit for item in self.items if item.hash == hash)
        allowed = may_answer(self.leases[unit], me, fence, self.live())
        assert allowed == (self.leases[unit].fence == fence)
        if allowed:
            assert self.leases[unit].runtime == me
            self.answered.add(hash)

    @invariant()
    def one_at_a_time(self):
        """Of all that were ever told of a unit under a fence, one program at most may answer by it."""
        holders: dict[Hash, set[RuntimeId]] = {}
        for me, known in self.known.items():
            for hash, fence in known.items():
                unit = next(item.unit for item in self.items if item.hash == hash)
                if may_answer(self.leases[unit], me, fence, self.live()):
                    holders.setdefault(unit, set()).add(me)
        assert all(len(found) == 1 for found in holders.values())


TestCompetition = Competition.TestCase


# --- Presence -----------------------------------------------------------------------------------------------


def test_presence_follows_the_heartbeats():
    """Busy outranks idle, idle outranks gone, and where nobody ever was nothing is claimed."""
    idle = bound(number=1).runtime
    busy = attrs.evolve(bound(number=2).runtime, status=RuntimeStatus.BUSY, since=later(7))
    assert presence([], None, NOW).activity is Activity.OFFLINE
    assert presence([], None, NOW).since is None
    assert presence([], later(-5), NOW).since == later(-5)
    assert (presence([idle], None, NOW).activity, presence([idle], None, NOW).since) == (Activity.IDLE, NOW)
    assert (presence([idle, busy], None, NOW).activity, presence([idle, busy], None, NOW).since) == (
        Activity.BUSY,
        later(7),
    )
    gone = presence([idle, busy], later(3), later(10 * LEASE_MS))
    assert (gone.activity, gone.since) == (Activity.OFFLINE, later(3))
