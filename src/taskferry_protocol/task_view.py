"""A task as one device sees it: the order of its events and what each of them did.

Pure data; whatever a daemon, a page or an export shows of a task is read from here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import cast

import attrs

from .errors import LocalProtocolError, RejectCode
from .ids import DeviceId, Hash, Instant
from .links import EventType, Role, Seen, TaskLink
from .task_actions import ACTIONS, Refusal, refuse_deed
from .task_chain import Closure
from .task_events import TaskEvent
from .task_leftovers import Fork, Gap, Refused
from .task_order import Order, Viewer, arrange
from .task_table import (
    FINAL_STATES,
    Effect,
    Reason,
    Standing,
    TaskState,
    TaskTerms,
    VersionName,
    begin,
    judge,
)

__all__ = ["Taken", "TaskView", "Version", "check_action", "fold_task"]


@attrs.frozen
class Taken:
    """An event in its place: what it did, why not, and the state after it."""

    event: TaskEvent
    effect: Effect
    reason: Reason | None
    """Why it was superseded; None for every other effect."""
    state: TaskState
    version: int | None
    """The version number, for a submission."""
    settled: bool
    """Whether nothing that is still to come changes this line; otherwise it is "not yet confirmed"."""


@attrs.frozen
class Version:
    """One submission: its number, its envelope's hash, and its effect (effective, kept or superseded)."""

    number: int
    hash: Hash
    status: Effect

    @property
    def name(self) -> VersionName:
        """What a revision request or a completion calls it."""
        return VersionName(self.number, self.hash)


@attrs.frozen
class TaskView:
    """What one device knows of a task. `state` is None while the request itself is missing."""

    task: Hash
    viewer: Viewer
    taken: tuple[Taken, ...]
    standing: Standing | None
    order: Order
    revoked: frozenset[DeviceId]

    @property
    def state(self) -> TaskState | None:
        """The state after all that was taken, settled or not."""
        return None if self.standing is None else self.standing.state

    @property
    def settled_state(self) -> TaskState | None:
        """The state after what is settled."""
        return self.taken[self.order.settled - 1].state if self.order.settled else None

    @property
    def settled(self) -> bool:
        """Whether all that had an effect so far is settled."""
        return all(line.effect in _IDLE for line in self.unconfirmed)

    @property
    def is_final(self) -> bool:
        """Whether the task is over, and no event still to come can change that."""
        return self.settled_state in FINAL_STATES

    @property
    def display(self) -> str:
        """The state in words. A daemon shows `created` for `sent` while the request is in its outbox."""
        state = "unknown" if self.state is None else self.state.value
        return state if self.settled else f"{state} (not yet confirmed)"

    @property
    def terms(self) -> TaskTerms | None:
        """What the request set."""
        return None if self.standing is None else self.standing.terms

    @property
    def asks(self) -> int:
        """How many revision requests took effect."""
        return 0 if self.standing is None else self.standing.asks

    @property
    def revisions(self) -> tuple[Hash, ...]:
        """The revision requests that took effect, in order."""
        return tuple(
            line.event.hash
            for line in self.taken
            if line.event.type is EventType.REVISION_REQUEST and line.effect is Effect.EFFECTIVE
        )

    @property
    def versions(self) -> tuple[Version, ...]:
        """All submissions, in the order of the worker's chain."""
        return tuple(
            Version(line.version, line.event.hash, line.effect)
            for line in self.taken
            if line.version is not None
        )

    @property
    def newest(self) -> VersionName | None:
        """The version that a completion or revision request must name now."""
        return None if self.standing is None else self.standing.newest

    @property
    def superseded(self) -> tuple[Taken, ...]:
        """The events that came to nothing, each with its reason."""
        return tuple(line for line in self.taken if line.effect is Effect.SUPERSEDED)

    @property
    def kept(self) -> tuple[Taken, ...]:
        """The submissions kept as versions without a change of state."""
        return tuple(line for line in self.taken if line.effect is Effect.KEPT)

    @property
    def unconfirmed(self) -> tuple[Taken, ...]:
        """What was taken and is not settled."""
        return self.taken[self.order.settled :]

    @property
    def waiting(self) -> tuple[TaskEvent, ...]:
        """Held events that can be taken once what they stand on is there."""
        return self.order.waiting

    @property
    def refused(self) -> tuple[Refused, ...]:
        """Held events that cannot be taken as things stand, with the code."""
        return self.order.refused

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The places that waiting events need and that nobody showed."""
        return self.order.gaps

    @property
    def forks(self) -> tuple[Fork, ...]:
        """Places that more than one event claims, with proofs."""
        return self.order.forks

    @property
    def closed(self) -> tuple[Closure, ...]:
        """The chains that ended in an event that cannot be true."""
        return self.order.closed

    @property
    def spent(self) -> int:
        """The messages that count against the budget: the request and all that was taken but `task_seen`."""
        return sum(line.event.type is not EventType.TASK_SEEN for line in self.taken)

    @property
    def over_budget(self) -> bool:
        """Whether a peer went on past the request's budget: to be shown to the owner, and to wake nobody."""
        budget = None if self.terms is None else self.terms.budget
        return budget is not None and self.spent > budget

    @property
    def home(self) -> DeviceId | None:
        """The device that writes the requester's chain; None while the request is missing."""
        chain = self.order.chains[Role.REQUESTER]
        return chain[-1].device if chain else None

    @property
    def worker_device(self) -> DeviceId | None:
        """The device that writes the worker's chain, named by the requester or not yet; None if none did."""
        chain = self.order.chains[Role.WORKER]
        return chain[0].device if chain else None

    def may_write(self, role: Role, device: DeviceId) -> bool:
        """Whether `device`, which belongs to `role`, is the one to sign for it. Others ask that one."""
        if role is Role.REQUESTER:
            return device == self.home
        return self.home is not None and self.worker_device in {None, device}

    def may_adopt(self, device: DeviceId) -> bool:
        """Whether `device`, an active one of the requester, may go on in place of a home that was revoked."""
        chain = self.order.chains[Role.REQUESTER]
        return bool(chain) and self.home in self.revoked - {device} and chain[-1].link.seen.count > 0

    def standstill(self, role: Role) -> RejectCode | None:
        """Why nothing more can be signed for `role`, if so: its chain is closed, or some of it is missing.

        Signing on while events of one's own are missing here would be a fork. Where a home is to be adopted,
        those are missing that the worker has seen of it; at home, a worker's word about such makes no gap.
        """
        for closure in self.closed:
            if closure.role is role:
                return closure.code
        missing = any(event.role is role for event in self.waiting)
        if role is Role.REQUESTER and self.home in self.revoked:
            missing = missing or any(gap.role is role for gap in self.gaps)
        return RejectCode.UNKNOWN_SEEN if missing else None

    def seen_for(self, role: Role) -> Seen:
        """What an event signed by `role` now has seen of the other chain."""
        other = self.order.chains[role.other]
        return Seen(len(other), other[-1].hash if other else None)

    def next_link(self, role: Role) -> TaskLink:
        """The link of the next event of `role`'s writer; its device is the caller's to check (`may_write`).

        Raises LocalProtocolError where `standstill` names a reason, or without the request.
        """
        if self.standing is None or self.standstill(role) is not None:
            raise LocalProtocolError(f"nothing can be signed for the {role.value} of this task now")
        mine = self.order.chains[role]
        return TaskLink(self.task, len(mine), mine[-1].hash if mine else None, self.seen_for(role))

    def adopting_link(self, device: DeviceId) -> TaskLink:
        """The link with which `device` takes the home's place. Raises LocalProtocolError where it may not."""
        if not self.may_adopt(device):
            raise LocalProtocolError("the home of this task cannot be adopted now")
        return attrs.evolve(self.next_link(Role.REQUESTER), adopt=True)

    def answers(self, read: Collection[Hash]) -> int:
        """The `answers` of a submission by an agent that has read the messages in `read`."""
        return sum(name in read for name in self.revisions)

    def refuse(
        self,
        role: Role,
        action: EventType,
        *,
        now: Instant,
        names: VersionName | None = None,
        answers: int = 0,
    ) -> Refusal | None:
        """Why `role` cannot do `action` now, or None where it can.

        `names` is the version that a completion or revision request speaks of, `answers` what a submission
        would carry. Codes: those of `standstill`, and of `refuse_deed`.
        """
        standstill = self.standstill(role)
        if standstill is not None:
            return Refusal(standstill)
        return refuse_deed(self.standing, self.spent, role, action, now=now, names=names, answers=answers)

    def actions(self, role: Role, now: Instant) -> tuple[EventType, ...]:
        """What `role` can do now, in the order of the table: the newest version being the one spoken of."""
        return tuple(
            action
            for action in ACTIONS
            if self.refuse(role, action, now=now, names=self.newest, answers=self.asks) is None
        )


_IDLE = frozenset({Effect.NONE, Effect.SUPERSEDED})


def fold_task(
    events: Iterable[TaskEvent],
    *,
    task: Hash,
    viewer: Viewer | DeviceId,
    revoked: frozenset[DeviceId] = frozenset(),
) -> TaskView:
    """The task as the set of `events` makes it; order and repetition make no difference.

    `viewer` may be a device: it looks on from the place that it has by these events.

    Raises RemoteProtocolError (wrong-party, bad-link, unknown-task) for an event that cannot stand in it; on
    arrival `check_event` finds that out.
    """
    order = arrange(events, task=task, revoked=revoked, viewer=viewer)
    standing: Standing | None = None
    lines: list[Taken] = []
    for index, event in enumerate(order.taken):
        settled = index < order.settled
        if standing is None:
            # The first event taken is the request, and a request has terms.
            standing = begin(cast("TaskTerms", event.terms))
            lines.append(Taken(event, Effect.EFFECTIVE, None, standing.state, None, settled))
            continue
        verdict = judge(standing, event)
        standing = verdict.after
        version = standing.submissions if event.type is EventType.ARTIFACT_SUBMIT else None
        lines.append(Taken(event, verdict.effect, verdict.reason, standing.state, version, settled))
    return TaskView(task, order.viewer, tuple(lines), standing, order, revoked)


def check_action(
    view: TaskView,
    role: Role,
    action: EventType,
    *,
    now: Instant,
    names: VersionName | None = None,
    answers: int = 0,
) -> RejectCode | None:
    """The code with which a daemon refuses `action` to its own agent or owner, or None: `TaskView.refuse`."""
    refusal = view.refuse(role, action, now=now, names=names, answers=answers)
    return None if refusal is None else refusal.code
