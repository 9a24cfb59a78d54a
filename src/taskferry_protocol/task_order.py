"""The one order of a task's events: spec/tasks.md section 2, without what the events mean.

Everything follows from the *set* of events. Whatever the order in which they arrived, and however often, two
daemons that hold the same set get the same order. The cost is that of sorting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

import attrs

from .errors import LocalProtocolError
from .ids import DeviceId, Hash
from .links import Role
from .task_chain import Chain, Closure, ranks_by_naming, written_at_home
from .task_events import TaskEvent, check_event
from .task_leftovers import Fork, Gap, Refused, find_forks, find_gaps, sort_leftovers

__all__ = ["Order", "Viewer", "arrange"]


class Viewer(StrEnum):
    """From which device a task is looked at. The order is the same from each; what is settled is not."""

    HOME = "home"
    """The device that writes the requester's chain: nothing can come before what it has taken."""
    WORKER = "worker"
    """The device that writes the worker's chain."""
    ELSEWHERE = "elsewhere"
    """Any other device of either side, or whoever verifies an export."""


@attrs.frozen
class Order:
    """What was taken, in order, and what became of the rest; `viewer` is from where that is looked at."""

    viewer: Viewer
    taken: tuple[TaskEvent, ...]
    settled: int
    """How many of `taken`, from the first, nothing that is still to come changes."""
    chains: Mapping[Role, tuple[TaskEvent, ...]]
    unconfirmed: Mapping[Role, int | None]
    """From which place on a chain rests on a choice among several that nobody named; None: nowhere."""
    waiting: tuple[TaskEvent, ...]
    refused: tuple[Refused, ...]
    gaps: tuple[Gap, ...]
    forks: tuple[Fork, ...]
    closed: tuple[Closure, ...]


def arrange(
    events: Iterable[TaskEvent], *, task: Hash, revoked: frozenset[DeviceId], viewer: Viewer | DeviceId
) -> Order:
    """Bring the events of `task` into their order; a device looks on from where these events put it.

    Raises what `check_event` raises for an event that cannot stand in the task, and LocalProtocolError for
    one hash with two contents.
    """
    held: dict[Role, dict[Hash, TaskEvent]] = {role: {} for role in Role}
    for event in events:
        check_event(event, task)
        if held[event.role].setdefault(event.hash, event) != event or event.hash in held[event.role.other]:
            raise LocalProtocolError("one hash stands for two events")
    requester = _chain(Role.REQUESTER, held, held[Role.WORKER].values(), revoked)
    worker = _chain(Role.WORKER, held, written_at_home(held[Role.REQUESTER], task, revoked), revoked)
    taken: list[TaskEvent] = []
    while True:
        # The requester first: its event comes right after what it has seen, so nothing later precedes it.
        next_event = requester.take(worker) or worker.take(requester)
        if next_event is None:
            break
        taken.append(next_event)
    place = viewer if isinstance(viewer, Viewer) else _place_of(viewer, requester, worker)
    if place is Viewer.HOME:
        worker.close_on_unknown(requester)
    elif place is Viewer.WORKER and requester.last_seen.count:
        # Until the requester names this device's chain, another device of the worker may be the one meant.
        requester.close_on_unknown(worker)
    return _report(taken, requester, worker, place)


def _place_of(device: DeviceId, requester: Chain, worker: Chain) -> Viewer:
    if requester.taken and device == requester.taken[-1].device:
        return Viewer.HOME
    return Viewer.WORKER if worker.taken and device == worker.taken[0].device else Viewer.ELSEWHERE


def _chain(
    role: Role,
    held: Mapping[Role, Mapping[Hash, TaskEvent]],
    namers: Iterable[TaskEvent],
    revoked: frozenset[DeviceId],
) -> Chain:
    return Chain(role, held[role], ranks_by_naming(held[role], namers), revoked)


def _report(taken: list[TaskEvent], requester: Chain, worker: Chain, viewer: Viewer) -> Order:
    asked, answered = sort_leftovers(requester), sort_leftovers(worker)
    return Order(
        viewer=viewer,
        taken=tuple(taken),
        settled=_settled(taken, requester, worker, viewer),
        chains={chain.role: tuple(chain.taken) for chain in (requester, worker)},
        unconfirmed={chain.role: chain.unconfirmed for chain in (requester, worker)},
        waiting=(*asked.waiting, *answered.waiting),
        refused=(*asked.refused, *answered.refused),
        gaps=(*find_gaps(requester, asked, answered), *find_gaps(worker, answered, asked)),
        forks=(*find_forks(requester, asked), *find_forks(worker, answered)),
        closed=tuple(chain.closed for chain in (requester, worker) if chain.closed is not None),
    )


def _settled(taken: list[TaskEvent], requester: Chain, worker: Chain, viewer: Viewer) -> int:
    # A requester's event has before it just what it has seen, and whatever comes, comes after it.
    places = {requester: _first(requester.unconfirmed, _unseen_adoption(requester, worker))}
    places[worker] = worker.unconfirmed
    sure = requester.taken[: places[requester]]
    settled = len(sure) + sure[-1].link.seen.count if sure else 0
    if viewer is Viewer.HOME:
        settled = len(taken)
    for chain, place in places.items():
        if place is not None:
            settled = min(settled, taken.index(chain.taken[place]))
    return settled


def _unseen_adoption(requester: Chain, worker: Chain) -> int | None:
    """The first place at which a home was adopted and of which the worker has not said that it saw that.

    The home may have signed there before it was revoked, and the worker may have taken that.
    """
    adopted = (event.link.n for event in requester.taken if event.link.adopt)
    return next((n for n in adopted if n >= worker.last_seen.count), None)


def _first(*places: int | None) -> int | None:
    return min((place for place in places if place is not None), default=None)
