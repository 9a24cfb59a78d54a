"""What may be done in a task now, as the table and the budget allow (spec/tasks.md section 3)."""

from __future__ import annotations

from typing import Final

import attrs

from .errors import LocalProtocolError, RejectCode
from .ids import Hash, Instant
from .links import ROLES, EventType, Role
from .task_table import Effect, Reason, Standing, VersionName, judge

__all__ = ["ACTIONS", "ENDING", "Refusal", "refuse_deed"]

ENDING: Final = frozenset(
    {
        EventType.TASK_DECLINE,
        EventType.TASK_COMPLETE,
        EventType.TASK_CANCEL,
        EventType.TASK_FAIL,
        EventType.TASK_EXPIRE,
    }
)
"""What ends a task, and so stays possible when its budget is spent."""

ACTIONS: Final = tuple(
    kind for kind in EventType if kind not in {EventType.TASK_REQUEST, EventType.TASK_SEEN}
)
"""What one does to a task that is there, in the order of the table."""

_UNSIGNED: Final = Hash(bytes(32))


@attrs.frozen
class Refusal:
    """Why an action is not possible now: the code, and the table's reason where the table refuses."""

    code: RejectCode
    reason: Reason | None = None


@attrs.frozen
class _Intention:
    """An event before it is signed, as the table sees it."""

    type: EventType
    hash: Hash
    created_at: Instant
    names: VersionName | None
    answers: int | None
    deadline: Instant | None


def refuse_deed(
    standing: Standing | None,
    spent: int,
    role: Role,
    action: EventType,
    *,
    now: Instant,
    names: VersionName | None,
    answers: int,
) -> Refusal | None:
    """Why `role` cannot do `action` at `standing`, with `spent` messages of the budget used; None if it can.

    Codes: wrong-party; unknown-task without a request; superseded where the event would come to nothing;
    rate-limited where the budget is spent. Raises LocalProtocolError for what is none of `ACTIONS`.
    """
    if action not in ACTIONS:
        raise LocalProtocolError(f"{action.value} is nothing that one does to a task")
    if role not in ROLES[action]:
        return Refusal(RejectCode.WRONG_PARTY)
    if standing is None:
        return Refusal(RejectCode.UNKNOWN_TASK)
    terms = standing.terms
    verdict = judge(standing, _Intention(action, _UNSIGNED, now, names, answers, terms.deadline))
    if verdict.effect is Effect.SUPERSEDED:
        return Refusal(RejectCode.SUPERSEDED, verdict.reason)
    if terms.budget is not None and spent >= terms.budget and action not in ENDING:
        return Refusal(RejectCode.RATE_LIMITED)
    return None
