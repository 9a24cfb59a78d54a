"""Long random tasks: lies, several devices, any order of arrival, any repetition; and what folding costs."""

import random
import sys
from collections.abc import Iterator

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskferry_protocol.tasks import EventType, Role, Seen, TaskEvent, TaskView, Viewer, fold_task

from .task_world import (
    AT_HOME,
    AT_WORK,
    DEVICES,
    FAKE,
    HOME,
    NOTHING,
    PHONE,
    RACK,
    Daemon,
    Held,
    after,
    assert_goes_on,
    fold,
    request,
    seen,
    view,
)

R, W = Role.REQUESTER, Role.WORKER
T = EventType
R0 = request()
ENDS = {T.TASK_CANCEL, T.TASK_EXPIRE, T.TASK_DECLINE, T.TASK_FAIL, T.TASK_COMPLETE}
TYPES = {
    R: (T.REVISION_REQUEST, T.TASK_COMPLETE, T.TASK_CANCEL, T.TASK_SEEN, T.TASK_EXPIRE),
    W: (T.TASK_ACCEPT, T.TASK_PROGRESS, T.ARTIFACT_SUBMIT, T.TASK_FAIL, T.TASK_SEEN),
}
seeds = st.integers(0, 2**32).map(random.Random)


def anything(rng: random.Random, role: Role, everything: list[TaskEvent]) -> TaskEvent:
    """An event that `role`, or a stolen device of it, might sign, mostly but not always well connected."""
    mine = [event for event in everything if event.role is role]
    theirs = [event for event in everything if event.role is not role]
    before = rng.choice([*mine[-3:], *mine]) if mine else None
    if role is W and rng.random() < 0.1:
        before = None
    claims = [seen(event) for event in theirs[-3:]] or [seen(R0)]
    if role is R:
        claims.append(NOTHING)
    claim = rng.choice(claims) if rng.random() < 0.9 else Seen(rng.randint(1, 9), FAKE)
    type_ = rng.choice(TYPES[role])
    versions = fold(*everything).versions
    names = rng.choice(versions).name if versions else None
    if type_ in {T.REVISION_REQUEST, T.TASK_COMPLETE} and names is None:
        type_ = T.TASK_CANCEL
    stolen = {R: PHONE, W: RACK}[role]
    device = stolen if rng.random() < 0.1 else DEVICES[role]
    return after(
        before,
        type_,
        claim,
        role=role,
        device=device,
        adopt=role is R and rng.random() < 0.1,
        names=names if type_ in {T.REVISION_REQUEST, T.TASK_COMPLETE} else None,
        answers=rng.randint(0, 2) if type_ is T.ARTIFACT_SUBMIT else None,
    )


def tangle(rng: random.Random, length: int) -> list[TaskEvent]:
    """A request and whatever two sides, both lying as they please, sign after it."""
    events = [R0]
    for _ in range(length):
        events.append(anything(rng, rng.choice((R, W)), events))
    return events


@given(seeds, st.integers(0, 25), st.sampled_from(Viewer), st.booleans())
def test_view_is_a_function_of_the_set_of_events(rng, length, viewer, revoked):
    """Shuffled and repeated, the same events give the same view to the last detail."""
    events = tangle(rng, length)
    gone = frozenset({HOME}) if revoked else frozenset()
    told = fold_task(events, task=R0.hash, viewer=viewer, revoked=gone)
    again = [*events, *rng.choices(events, k=length)]
    rng.shuffle(again)
    assert fold_task(again, task=R0.hash, viewer=viewer, revoked=gone) == told


@given(seeds, st.integers(0, 25))
def test_every_viewer_sees_the_same_order_and_state(rng, length):
    """Where one looks from changes what is settled and closed, and nothing else."""
    events = tangle(rng, length)
    rng.shuffle(events)
    held = events[: rng.randint(1, len(events))]
    views = [fold(*held, viewer=viewer) for viewer in Viewer]
    plain = [tuple(attrs.evolve(line, settled=True) for line in shown.taken) for shown in views]
    assert plain[0] == plain[1] == plain[2]
    assert len({shown.standing for shown in views}) == 1


@given(seeds, st.integers(0, 25), st.sampled_from(Viewer))
def test_each_held_event_has_exactly_one_place(rng, length, viewer):
    """Everything held is taken, waits, or is kept out with a code; nothing is lost and nothing told twice."""
    events = set(tangle(rng, length))
    if rng.random() < 0.5:
        events.discard(rng.choice(sorted(events, key=lambda event: event.hash)))
    shown = fold_task(events, task=R0.hash, viewer=viewer)
    told = [
        *(line.event.hash for line in shown.taken),
        *(event.hash for event in shown.waiting),
        *(out.hash for out in shown.refused),
    ]
    assert sorted(told) == sorted(event.hash for event in events)
    taken = [line.event for line in shown.taken]
    for role in Role:
        assert [event.link.n for event in taken if event.role is role] == list(
            range(len(shown.order.chains[role]))
        )
    assert [line.settled for line in shown.taken] == sorted(
        (line.settled for line in shown.taken), reverse=True
    )


def arrivals(rng: random.Random, events: Held) -> Iterator[tuple[TaskView, TaskView]]:
    """The views of a device elsewhere before and after each arrival, in a random order."""
    pending = sorted(events, key=lambda event: event.hash)
    rng.shuffle(pending)
    held: Held = frozenset({pending[0]})
    for event in pending[1:]:
        before, held = view(held), held | {event}
        yield before, view(held)


def honest_run(rng: random.Random, steps: int, liar: Role | None = None) -> tuple[Held, Held]:
    """What home and worker device hold after a random run; where one side lies, it has no daemon at all."""
    held: dict[Daemon, Held] = {AT_HOME: frozenset({R0}), AT_WORK: frozenset()}
    forged: list[TaskEvent] = []
    for _ in range(steps):
        everything = sorted(frozenset(forged).union(*held.values()), key=lambda event: event.hash)
        daemon = rng.choice((AT_HOME, AT_WORK))
        if daemon.role is liar:
            forged.append(anything(rng, daemon.role, sorted(everything, key=lambda event: event.link.n)))
            continue
        mine = held[daemon]
        choices: list[Held] = [daemon.receive(mine, event) for event in everything if event not in mine]
        if mine:
            acts = list(daemon.possible(mine))
            # What ends a task is rare, or few tasks would come to anything.
            choices.extend(mine | {event} for event in acts if event.type not in ENDS or rng.random() < 0.05)
        if choices:
            now = rng.choice(choices)
            if mine:
                assert_goes_on(daemon.view(mine), daemon.view(now))
            held[daemon] = now
    return held[AT_HOME], held[AT_WORK]


@given(seeds, st.integers(0, 40))
def test_honest_daemons_agree_once_they_hold_the_same(rng, steps):
    """After a random run and the delivery of what is left, both show one state, and all of it is settled."""
    held = dict(zip((AT_HOME, AT_WORK), honest_run(rng, steps), strict=True))
    while missing := [
        (daemon, event)
        for daemon in held
        for event in sorted(held[AT_HOME] | held[AT_WORK], key=lambda event: event.hash)
        if event not in held[daemon]
    ]:
        daemon, event = rng.choice(missing)
        held[daemon] = daemon.receive(held[daemon], event)
    views = [daemon.view(mine) for daemon, mine in held.items()]
    assert views[0].state is views[1].state
    assert all(shown.settled and not shown.order.waiting for shown in views)
    assert all((shown.refused, shown.closed) == ((), ()) for shown in views)


@given(seeds, st.integers(0, 40))
def test_third_device_never_sees_a_settled_state_left_by_honest_sides(rng, steps):
    """An owner's other device gets everything in any order, and still takes nothing settled back."""
    home, worker = honest_run(rng, steps)
    for before, now in arrivals(rng, home | worker):
        assert_goes_on(before, now)


@given(seeds, st.integers(0, 40))
def test_other_devices_of_an_honest_requester_take_nothing_settled_back(rng, steps):
    """Whatever the worker signs, what the requester's chain has confirmed stays so on every device."""
    home, worker = honest_run(rng, steps, liar=W)
    for before, now in arrivals(rng, home | worker):
        assert_goes_on(before, now)


@given(seeds, st.integers(0, 40), st.sampled_from(Role))
def test_honest_writer_goes_on_whatever_the_other_side_signs(rng, steps, liar):
    """Forks, forged counts and stolen devices of one side neither close nor displace the other's chain."""
    home, worker = honest_run(rng, steps, liar=liar)
    daemon, held = (AT_WORK, worker) if liar is R else (AT_HOME, home)
    if held:
        shown = daemon.view(held)
        if shown.may_write(daemon.role, daemon.device):
            assert shown.standstill(daemon.role) is None
            assert not any(fork.role is daemon.role and fork.evidence for fork in shown.forks)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_twenty_thousand_random_runs_hold():
    """The properties above, over many more runs than each build can afford."""
    for seed in range(20_000):
        rng = random.Random(seed)
        liar = rng.choice((None, None, R, W))
        home, worker = honest_run(rng, rng.randint(10, 40), liar)
        if liar is not R:
            for before, now in arrivals(rng, home | worker):
                assert_goes_on(before, now)


def long_task(length: int) -> list[TaskEvent]:
    """A task of `length` events: the worker reports and forks each time, the requester confirms."""
    mine, theirs = R0, after(None, T.TASK_ACCEPT, seen(R0), role=W)
    events = [mine, theirs]
    while len(events) < length:
        theirs = after(theirs, T.TASK_PROGRESS, seen(mine), role=W)
        mine = after(mine, T.TASK_SEEN, seen(theirs), role=R)
        events += [theirs, mine, after(theirs, T.TASK_FAIL, seen(mine), role=W)]
    return events


def calls(events: list[TaskEvent]) -> int:
    """How many Python and C calls one fold makes: a measure of cost that no load on the machine changes."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        fold_task(events, task=R0.hash, viewer=Viewer.WORKER)
    finally:
        sys.setprofile(before)
    return count


def test_cost_grows_with_the_number_of_events_only():
    """Ten times the events cost about ten times the work, forks and all."""
    small, large = calls(long_task(1_000)), calls(long_task(10_000))
    assert large < 11 * small


def test_cost_of_ten_thousand_forks_of_one_place_is_bounded():
    """A side that signs ten thousand events for one place costs no more than any ten thousand events."""
    accept = after(None, T.TASK_ACCEPT, seen(R0), role=W)
    forks = [after(accept, T.TASK_PROGRESS, seen(R0), role=W, salt=salt) for salt in range(10_000)]
    shown = fold_task([R0, accept, *forks], task=R0.hash, viewer=Viewer.HOME)
    assert len(shown.refused) == 9_999
    assert len(shown.forks[0].evidence) == 9_999
    assert calls([R0, accept, *forks]) < 100 * len(forks)
