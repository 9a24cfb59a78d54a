"""When a daemon signs a `task_seen` unasked (spec/tasks.md section 2, "Seen")."""

from __future__ import annotations

from typing import Final

from .links import EventType, Role, TaskLink
from .task_view import TaskView

__all__ = ["confirmation_due"]

# A confirmation is never confirmed, or two daemons would never stop. The request is answered by accepting or
# declining it, and until then no device is the worker's.
_ASK_FOR_NONE: Final = frozenset({EventType.TASK_SEEN, EventType.TASK_REQUEST})


def confirmation_due(before: TaskView | None, after: TaskView, role: Role) -> TaskLink | None:
    """The link of the `task_seen` that `role`'s writer signs in the transaction that led to `after`, if any.

    Due when events of the other side were taken that ask for it and that `role`'s chain does not name; and
    when the other side forked where `role`'s chain names neither branch. Then it names the branch that this
    device took first: `before`, the view without what has just come, knows. So nothing shown is taken back.
    """
    if after.standing is None or after.standstill(role) is not None:
        return None
    theirs = after.order.chains[role.other]
    if before is not None:
        taken_before = before.order.chains[role.other]
        if theirs[: len(taken_before)] != taken_before:
            return before.next_link(role)
    if after.order.unconfirmed[role.other] is not None:
        return after.next_link(role)
    mine = after.order.chains[role]
    unnamed = theirs[mine[-1].link.seen.count if mine else 0 :]
    return after.next_link(role) if any(event.type not in _ASK_FOR_NONE for event in unnamed) else None
