"""One side's chain while a task's order is found (spec/tasks.md section 2): candidates, forks, closing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from .errors import RejectCode
from .ids import DeviceId, Hash
from .links import Role, Seen
from .task_events import TaskEvent

__all__ = ["Chain", "Closure", "at_place", "by_place", "ranks_by_naming", "written_at_home"]


@attrs.frozen
class Closure:
    """A chain ends at its event `hash` with number `n`, as things stand, for what `code` says."""

    role: Role
    n: int
    hash: Hash
    code: RejectCode


def at_place(events: Mapping[Hash, TaskEvent], name: Hash | None, n: int) -> TaskEvent | None:
    """The event called `name`, if it is among `events` and its number is `n`."""
    event = None if name is None else events.get(name)
    return event if event is not None and event.link.n == n else None


def by_place(event: TaskEvent) -> tuple[int, Hash]:
    """The key that sorts events of one chain, forks of a place by hash."""
    return event.link.n, event.hash


def written_at_home(
    events: Mapping[Hash, TaskEvent], task: Hash, revoked: frozenset[DeviceId]
) -> Iterable[TaskEvent]:
    """The requester's events whose `seen` may decide a fork.

    Only the home's, and its adopters' if it was revoked: else any stolen device of the requester could choose
    another branch than the home did, and close the home's chain.
    """
    request = events.get(task)
    if request is None:
        return events.values()
    writers = {request.device}
    if request.device in revoked:
        writers.update(event.device for event in events.values() if event.link.adopt)
    return [event for event in events.values() if event.device in writers]


def ranks_by_naming(events: Mapping[Hash, TaskEvent], namers: Iterable[TaskEvent]) -> dict[Hash, int]:
    """For each of `events` that is named, itself or through a descendant: the rank of its first namer."""
    ranks: dict[Hash, int] = {}
    for rank, namer in enumerate(sorted(namers, key=by_place)):
        seen = namer.link.seen
        event = at_place(events, seen.hash, seen.count - 1)
        # What is ranked already was reached by an earlier namer, and so was all that it stands on.
        while event is not None and event.hash not in ranks:
            ranks[event.hash] = rank
            event = at_place(events, event.link.prev, event.link.n - 1)
    return ranks


class Chain:
    """One side's held events, of which one candidate after another is taken and none is given back."""

    def __init__(
        self,
        role: Role,
        held: Mapping[Hash, TaskEvent],
        ranks: Mapping[Hash, int],
        revoked: frozenset[DeviceId],
    ) -> None:
        self.role: Final = role
        self.held: Final = held
        self.taken: list[TaskEvent] = []
        self.unconfirmed: int | None = None
        """The first place where one of several was taken that nobody named."""
        self.closed: Closure | None = None
        self._ranks = ranks
        self._revoked = revoked
        self._followers: defaultdict[Hash | None, list[TaskEvent]] = defaultdict(list)
        for event in held.values():
            self._followers[event.link.prev].append(event)
        self._candidates: list[TaskEvent] = self._find_candidates()

    @property
    def candidate(self) -> TaskEvent | None:
        """The event at the next place that counts: the first named, or else the one of lowest hash."""
        return self._candidates[0] if self._candidates else None

    @property
    def last_seen(self) -> Seen:
        """What the last event taken had seen of the other chain."""
        return self.taken[-1].link.seen if self.taken else Seen(0, None)

    def take(self, other: Chain) -> TaskEvent | None:
        """Take the candidate if all that it saw is taken; close the chain if it saw what is not there."""
        event = self.candidate
        if event is None or self.closed is not None:
            return None
        seen = event.link.seen
        if seen.count > len(other.taken):
            return None
        if seen.count and other.taken[seen.count - 1].hash != seen.hash:
            self._close(event, RejectCode.UNKNOWN_SEEN)
            return None
        if seen.count < self.last_seen.count:
            self._close(event, RejectCode.BAD_LINK)
            return None
        if len(self._candidates) > 1 and event.hash not in self._ranks and self.unconfirmed is None:
            self.unconfirmed = event.link.n
        self.taken.append(event)
        self._candidates = self._find_candidates()
        return event

    def close_on_unknown(self, other: Chain) -> None:
        """Close the chain where it has seen an event of `other` that its writer, who looks on, never made."""
        event = self.candidate
        if event is None or self.closed is not None:
            return
        seen = event.link.seen
        if at_place(other.held, seen.hash, seen.count - 1) is None:
            self._close(event, RejectCode.UNKNOWN_SEEN)

    def _close(self, event: TaskEvent, code: RejectCode) -> None:
        self.closed = Closure(self.role, event.link.n, event.hash, code)

    def _find_candidates(self) -> list[TaskEvent]:
        n = len(self.taken)
        tip = self.taken[-1] if self.taken else None
        found = [
            event
            for event in self._followers.get(None if tip is None else tip.hash, ())
            if event.link.n == n and (tip is None or self._may_follow(event, tip))
        ]
        ranks = self._ranks
        found.sort(key=lambda event: (event.hash not in ranks, ranks.get(event.hash, 0), event.hash))
        return found

    def _may_follow(self, event: TaskEvent, tip: TaskEvent) -> bool:
        if event.device == tip.device:
            return True
        # Before a worker device is named, a home that is lost takes the task with it: a new request is safer.
        return event.link.adopt and tip.device in self._revoked and tip.link.seen.count > 0
