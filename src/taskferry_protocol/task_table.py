"""What each event does to a task: the table of spec/tasks.md section 3 and its side conditions.

The order of events is `task_fold`'s concern; in here one event meets one standing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, Protocol

import attrs

from .errors import LocalProtocolError
from .ids import Hash, Instant
from .links import EventType

__all__ = [
    "CONDITIONS",
    "FINAL_STATES",
    "TRANSITIONS",
    "Cell",
    "Condition",
    "Deed",
    "Effect",
    "Reason",
    "Standing",
    "TaskState",
    "TaskTerms",
    "Verdict",
    "VersionName",
    "begin",
    "judge",
]


class TaskState(StrEnum):
    """Where a task stands. The value is what every surface shows."""

    SENT = "sent"
    ACCEPTED = "accepted"
    WORKING = "working"
    SUBMITTED = "submitted"
    REVISION_REQUESTED = "revision_requested"
    RESUBMITTED = "resubmitted"
    COMPLETED = "completed"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"


FINAL_STATES: Final = frozenset(
    {TaskState.COMPLETED, TaskState.DECLINED, TaskState.CANCELLED, TaskState.EXPIRED, TaskState.FAILED}
)
"""The states that no event leaves."""


class Effect(StrEnum):
    """What became of an event that was taken."""

    EFFECTIVE = "effective"
    KEPT = "kept"
    """A submission that answers an older state of the wishes: a version, but no change of state."""
    SUPERSEDED = "superseded"
    NONE = "none"
    """A `task_seen`: it only confirms."""


class Reason(StrEnum):
    """Why an event was superseded."""

    FINISHED = "finished"
    NOT_NOW = "not-now"
    """The table has no next state for this event here."""
    ANSWERS_AHEAD = "answers-ahead"
    """The submission answers more revision requests than took effect."""
    NO_REVISION_LEFT = "no-revision-left"
    NOT_NEWEST = "not-newest"
    """It names another version than the newest."""
    NO_SUCH_DEADLINE = "no-such-deadline"
    TOO_EARLY = "too-early"
    """An expiry signed before the deadline."""


@attrs.frozen
class TaskTerms:
    """What the request set for the whole task: deadline, number of revisions, budget of messages."""

    deadline: Instant | None
    revisions: int
    budget: int | None


@attrs.frozen
class VersionName:
    """A submission by its number in the worker's chain (from 1) and the hash of its envelope."""

    version: int
    hash: Hash


class Deed(Protocol):
    """What the table asks of an event, signed already or only intended."""

    @property
    def type(self) -> EventType:
        """The message type."""

    @property
    def hash(self) -> Hash:
        """The envelope's hash; names the version that a submission makes."""

    @property
    def created_at(self) -> Instant:
        """The author's claim of the time."""

    @property
    def names(self) -> VersionName | None:
        """The version that a revision request or completion speaks of."""

    @property
    def answers(self) -> int | None:
        """How many revision requests a submission's agent had read."""

    @property
    def deadline(self) -> Instant | None:
        """The deadline that an expiry repeats."""


@attrs.frozen
class Standing:
    """All of a task's past that the table needs: the same size after one event or ten thousand."""

    state: TaskState
    terms: TaskTerms
    asks: int
    """Revision requests that took effect."""
    newest: VersionName | None
    """The last submission that was not superseded."""
    submissions: int
    """All submissions, the superseded ones too: the last version number given."""


@attrs.frozen
class Verdict:
    """What an event does: the effect, a reason where it is superseded, and the standing after it."""

    effect: Effect
    reason: Reason | None
    after: Standing


@attrs.frozen
class Cell:
    """The next state, before any revision request took effect and after one; None is an empty cell."""

    unasked: TaskState | None
    asked: TaskState | None

    def next_state(self, asks: int) -> TaskState | None:
        """The next state after `asks` revision requests that took effect."""
        return self.asked if asks else self.unasked


def _to(state: TaskState) -> Cell:
    return Cell(state, state)


TRANSITIONS: Final[Mapping[EventType, Mapping[TaskState, Cell]]] = {
    EventType.TASK_ACCEPT: {
        TaskState.SENT: _to(TaskState.ACCEPTED),
    },
    EventType.TASK_DECLINE: {
        TaskState.SENT: _to(TaskState.DECLINED),
    },
    EventType.TASK_PROGRESS: {
        TaskState.ACCEPTED: _to(TaskState.WORKING),
        TaskState.WORKING: _to(TaskState.WORKING),
        TaskState.REVISION_REQUESTED: _to(TaskState.WORKING),
    },
    EventType.ARTIFACT_SUBMIT: {
        TaskState.ACCEPTED: _to(TaskState.SUBMITTED),
        TaskState.WORKING: Cell(unasked=TaskState.SUBMITTED, asked=TaskState.RESUBMITTED),
        TaskState.SUBMITTED: _to(TaskState.RESUBMITTED),
        TaskState.REVISION_REQUESTED: _to(TaskState.RESUBMITTED),
        TaskState.RESUBMITTED: _to(TaskState.RESUBMITTED),
    },
    EventType.REVISION_REQUEST: {
        TaskState.SUBMITTED: _to(TaskState.REVISION_REQUESTED),
        TaskState.RESUBMITTED: _to(TaskState.REVISION_REQUESTED),
    },
    EventType.TASK_COMPLETE: {
        TaskState.WORKING: Cell(unasked=None, asked=TaskState.COMPLETED),
        TaskState.SUBMITTED: _to(TaskState.COMPLETED),
        TaskState.REVISION_REQUESTED: _to(TaskState.COMPLETED),
        TaskState.RESUBMITTED: _to(TaskState.COMPLETED),
    },
    EventType.TASK_CANCEL: {
        TaskState.SENT: _to(TaskState.CANCELLED),
        TaskState.ACCEPTED: _to(TaskState.CANCELLED),
        TaskState.WORKING: _to(TaskState.CANCELLED),
        TaskState.SUBMITTED: _to(TaskState.CANCELLED),
        TaskState.REVISION_REQUESTED: _to(TaskState.CANCELLED),
        TaskState.RESUBMITTED: _to(TaskState.CANCELLED),
    },
    EventType.TASK_FAIL: {
        TaskState.ACCEPTED: _to(TaskState.FAILED),
        TaskState.WORKING: _to(TaskState.FAILED),
        TaskState.SUBMITTED: _to(TaskState.FAILED),
        TaskState.REVISION_REQUESTED: _to(TaskState.FAILED),
        TaskState.RESUBMITTED: _to(TaskState.FAILED),
    },
    EventType.TASK_EXPIRE: {
        TaskState.SENT: _to(TaskState.EXPIRED),
        TaskState.ACCEPTED: _to(TaskState.EXPIRED),
        TaskState.WORKING: _to(TaskState.EXPIRED),
        TaskState.REVISION_REQUESTED: _to(TaskState.EXPIRED),
    },
}
"""Event by state: what comes next. An absent pair is superseded. `task_request` begins a standing and
`task_seen` leaves it alone, so neither has a row."""


def _answers_no_more_than_asked(standing: Standing, deed: Deed) -> Reason | None:
    return Reason.ANSWERS_AHEAD if (deed.answers or 0) > standing.asks else None


def _names_newest(standing: Standing, deed: Deed) -> Reason | None:
    newest = standing.newest
    return None if newest is not None and deed.names == newest else Reason.NOT_NEWEST


def _revision_left_and_names_newest(standing: Standing, deed: Deed) -> Reason | None:
    if standing.asks >= standing.terms.revisions:
        return Reason.NO_REVISION_LEFT
    return _names_newest(standing, deed)


def _deadline_has_passed(standing: Standing, deed: Deed) -> Reason | None:
    deadline = standing.terms.deadline
    if deadline is None or deed.deadline != deadline:
        return Reason.NO_SUCH_DEADLINE
    return Reason.TOO_EARLY if deed.created_at < deadline else None


@attrs.frozen
class Condition:
    """A footnote of the table: its number, its words for the diagram, and what speaks against an event."""

    number: int
    text: str
    objection: Callable[[Standing, Deed], Reason | None]


CONDITIONS: Final[Mapping[EventType, Condition]] = {
    EventType.ARTIFACT_SUBMIT: Condition(
        1, "answers no more revision requests than took effect", _answers_no_more_than_asked
    ),
    EventType.REVISION_REQUEST: Condition(
        2, "finds a revision left and names the newest version", _revision_left_and_names_newest
    ),
    EventType.TASK_COMPLETE: Condition(3, "names the newest version", _names_newest),
    EventType.TASK_EXPIRE: Condition(
        4, "repeats the request's deadline and is not signed before it", _deadline_has_passed
    ),
}
"""The side conditions, by the event that they hold for."""


def begin(terms: TaskTerms) -> Standing:
    """The standing once the request is taken."""
    return Standing(TaskState.SENT, terms, 0, None, 0)


def judge(standing: Standing, deed: Deed) -> Verdict:
    """What `deed` does at `standing`. Never raises for what a peer may send; `task_request` is no deed."""
    kind = deed.type
    if kind is EventType.TASK_SEEN:
        return Verdict(Effect.NONE, None, standing)
    if kind is EventType.TASK_REQUEST:
        raise LocalProtocolError("a request begins a task and never meets a standing")
    # Every submission has a number, so that both sides name the same version by it whatever crossed.
    submitting = kind is EventType.ARTIFACT_SUBMIT
    number = standing.submissions + 1 if submitting else standing.submissions
    state, reason = _next_state(standing, deed)
    if state is None:
        return Verdict(Effect.SUPERSEDED, reason, attrs.evolve(standing, submissions=number))
    newest = VersionName(number, deed.hash) if submitting else standing.newest
    if submitting and (deed.answers or 0) < standing.asks:
        return Verdict(Effect.KEPT, None, attrs.evolve(standing, newest=newest, submissions=number))
    asks = standing.asks + 1 if kind is EventType.REVISION_REQUEST else standing.asks
    return Verdict(Effect.EFFECTIVE, None, Standing(state, standing.terms, asks, newest, number))


def _next_state(standing: Standing, deed: Deed) -> tuple[TaskState | None, Reason | None]:
    if standing.state in FINAL_STATES:
        return None, Reason.FINISHED
    cell = TRANSITIONS[deed.type].get(standing.state)
    state = None if cell is None else cell.next_state(standing.asks)
    if state is None:
        return None, Reason.NOT_NOW
    condition = CONDITIONS.get(deed.type)
    reason = None if condition is None else condition.objection(standing, deed)
    return (state, None) if reason is None else (None, reason)
