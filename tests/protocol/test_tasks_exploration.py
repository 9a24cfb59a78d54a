"""Every interleaving of a few events, delivered in any order, between honest daemons and against lies."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import attrs
import pytest

from taskferry_protocol.tasks import EventType, Role, Seen, TaskEvent, TaskState, TaskView

from .task_world import (
    AT_HOME,
    AT_OTHER_WORK,
    AT_WORK,
    FAKE,
    NOTHING,
    Daemon,
    Held,
    after,
    assert_goes_on,
    fold,
    forget,
    request,
    seen,
)

T = TypeVar("T")

ACCEPT, SUBMIT, FAIL = EventType.TASK_ACCEPT, EventType.ARTIFACT_SUBMIT, EventType.TASK_FAIL
CONFIRM = EventType.TASK_SEEN
COMPLETE, REVISE = EventType.TASK_COMPLETE, EventType.REVISION_REQUEST


@pytest.fixture(autouse=True, scope="module")
def _forgets() -> Iterator[None]:
    """These walks leave half a million objects, which are of no use to other tests."""
    yield
    forget()


@attrs.frozen
class World:
    """What each daemon holds, what else was signed by whom nobody trusts, and how much may still be done."""

    held: tuple[Held, ...]
    left: tuple[int, ...]
    forged: Held = frozenset()
    forgeries: int = 0


def moves(world: World, daemons: tuple[Daemon, ...]) -> Iterator[tuple[int, World]]:
    """Each world one delivery or one act of an agent away, and whose daemon it was that moved."""
    everything = world.forged.union(*world.held)
    for index, daemon in enumerate(daemons):
        mine = world.held[index]
        after_it = [daemon.receive(mine, event) for event in everything - mine]
        left = world.left
        for held in after_it:
            yield index, attrs.evolve(world, held=put(world.held, index, held))
        if mine and left[index]:
            spent = put(left, index, left[index] - 1)
            for event in daemon.possible(mine):
                yield index, attrs.evolve(world, held=put(world.held, index, mine | {event}), left=spent)


def put(items: tuple[T, ...], index: int, item: T) -> tuple[T, ...]:
    """The tuple with one of its items replaced."""
    return (*items[:index], item, *items[index + 1 :])


def explore(
    start: World,
    daemons: tuple[Daemon, ...],
    check: Callable[[World, tuple[TaskView, ...]], None],
    forge: Callable[[World], Iterable[TaskEvent]] = lambda _: (),
) -> int:
    """Walk through every world that can come of `start`; say how many there were.

    At each step the daemon that moved takes back nothing that it showed as settled.
    """
    known = {start}
    todo = [start]
    while todo:
        world = todo.pop()
        ahead = list(moves(world, daemons))
        for index, later in ahead:
            if world.held[index]:
                daemon = daemons[index]
                assert_goes_on(daemon.view(world.held[index]), daemon.view(later.held[index]))
        if world.forgeries:
            ahead.extend(
                (-1, attrs.evolve(world, forged=world.forged | {event}, forgeries=world.forgeries - 1))
                for event in forge(world)
            )
        for _, later in ahead:
            if later not in known:
                known.add(later)
                todo.append(later)
        views = (daemon.view(held) for daemon, held in zip(daemons, world.held, strict=True) if held)
        check(world, tuple(views))
    return len(known)


def check_honest(world: World, views: tuple[TaskView, ...]) -> None:
    """Between honest daemons nothing is ever refused, and who holds the same shows the same, settled."""
    for shown in views:
        assert (shown.refused, shown.forks, shown.closed) == ((), (), ())
    if len(views) == len(world.held) and len(set(world.held)) == 1:
        assert len({shown.state for shown in views}) == 1
        assert all(shown.settled for shown in views)
        assert not any(shown.waiting or shown.gaps for shown in views)


def start(*left: int) -> World:
    """The request is signed, and held by the first daemon alone."""
    return World((frozenset({request()}), *(frozenset() for _ in left[1:])), left)


def test_honest_daemons_agree_after_every_interleaving():
    """Three acts of each side, crossing and delivered in any order, end in one settled state for both."""
    assert explore(start(3, 3), (AT_HOME, AT_WORK), check_honest) > 10_000


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_honest_daemons_agree_after_every_longer_interleaving():
    """Four acts of each side, crossing and delivered in any order, end in one settled state for both."""
    assert explore(start(4, 4), (AT_HOME, AT_WORK), check_honest) > 100_000


def check_race(world: World, views: tuple[TaskView, ...]) -> None:
    """Who holds the same agrees on the device that works, and nobody is proved to have lied."""
    if len(views) == len(world.held) and len(set(world.held)) == 1:
        assert len({(shown.state, shown.worker_device) for shown in views}) == 1
        assert all(shown.settled for shown in views)
        assert not any(shown.closed for shown in views)
        assert not any(fork.evidence for shown in views for fork in shown.forks)


def test_two_devices_of_the_worker_race_and_one_is_named():
    """Two devices accept at once: the requester's chain names one, and in the end all three agree on it."""
    assert explore(start(1, 1, 1), (AT_HOME, AT_WORK, AT_OTHER_WORK), check_race) > 5_000


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_two_devices_of_the_worker_race_longer_and_one_is_named():
    """One of two racing devices goes on before it knows of the other: still all three agree in the end."""
    assert explore(start(1, 2, 1), (AT_HOME, AT_WORK, AT_OTHER_WORK), check_race) > 100_000


def lies(world: World, role: Role, types: Iterable[EventType]) -> Iterator[TaskEvent]:
    """Events that a lying side may sign: on any of its own, having seen any part of the other chain."""
    everything = world.forged.union(*world.held)
    mine = [event for event in everything if event.role is role]
    truths = [seen(event) for event in everything if event.role is not role]
    claims = [*truths, Seen(len(truths) + 1, FAKE), Seen(1, FAKE)]
    if role is Role.REQUESTER:
        claims.append(NOTHING)
    for before in mine:
        for claim in claims:
            for type_ in types:
                if type_ in {COMPLETE, REVISE}:
                    for version in fold(*everything).versions:
                        yield after(before, type_, claim, role=role, names=version.name)
                else:
                    yield after(before, type_, claim, role=role)


def told(*acts: tuple[Daemon, EventType]) -> Held:
    """What both daemons hold after some acts, each delivered at once."""
    held: Held = frozenset({request()})
    for daemon, action in acts:
        shown = daemon.view(held)
        event = daemon.signed(shown, action, shown.asks)
        peer = AT_WORK if daemon is AT_HOME else AT_HOME
        held = peer.receive(held, event)
    return held


AFTER_ACCEPT = told((AT_WORK, ACCEPT))
AFTER_SUBMIT = told((AT_WORK, ACCEPT), (AT_WORK, SUBMIT))
AFTER_REVISION = told((AT_WORK, ACCEPT), (AT_WORK, SUBMIT), (AT_HOME, REVISE))


def check_unharmed(daemon: Daemon) -> Callable[[World, tuple[TaskView, ...]], None]:
    """Whatever the other side signs, an honest writer's chain stays whole and it can go on."""

    def check(world: World, views: tuple[TaskView, ...]) -> None:
        (shown,) = views
        assert shown.standstill(daemon.role) is None
        mine = [event for event in world.held[0] if event.role is daemon.role]
        assert len(shown.order.chains[daemon.role]) == len(mine)
        assert not any(fork.role is daemon.role for fork in shown.forks)

    return check


@pytest.mark.parametrize("held", [AFTER_ACCEPT, AFTER_SUBMIT], ids=["accepted", "submitted"])
def test_home_takes_nothing_back_before_a_lying_worker(held):
    """Forks, forged counts and withheld events of the worker never change what the home has shown."""

    def forge(world: World) -> Iterator[TaskEvent]:
        return lies(world, Role.WORKER, (FAIL, CONFIRM))

    count = explore(World((held,), (1,), forgeries=2), (AT_HOME,), check_unharmed(AT_HOME), forge)
    assert count > 1_000


@pytest.mark.parametrize("held", [AFTER_ACCEPT, AFTER_SUBMIT], ids=["accepted", "submitted"])
def test_worker_device_takes_nothing_settled_back_before_a_lying_requester(held):
    """Forks, forged counts and withheld events of the requester never change what the worker saw settled."""

    def forge(world: World) -> Iterator[TaskEvent]:
        return lies(world, Role.REQUESTER, (COMPLETE, CONFIRM))

    count = explore(World((held,), (1,), forgeries=2), (AT_WORK,), check_unharmed(AT_WORK), forge)
    assert count > 1_000


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("held", [AFTER_SUBMIT, AFTER_REVISION], ids=["submitted", "revised"])
@pytest.mark.parametrize(
    ("daemon", "types"),
    [(AT_HOME, (FAIL, CONFIRM)), (AT_WORK, (COMPLETE, CONFIRM))],
    ids=["home", "worker"],
)
def test_writers_take_nothing_settled_back_before_three_lies(held, daemon, types):
    """Three forged events in all combinations change nothing settled either."""

    def forge(world: World) -> Iterator[TaskEvent]:
        return lies(world, daemon.role.other, types)

    assert explore(World((held,), (0,), forgeries=3), (daemon,), check_unharmed(daemon), forge) > 10_000


def test_exploration_reaches_every_state():
    """The walk is not blind: within three acts of each side every state comes up but those that need more."""
    reached: set[TaskState | None] = set()

    def note(_: World, views: tuple[TaskView, ...]) -> None:
        reached.update(shown.state for shown in views)

    explore(start(2, 3), (AT_HOME, AT_WORK), note)
    assert reached - {None} == set(TaskState)
