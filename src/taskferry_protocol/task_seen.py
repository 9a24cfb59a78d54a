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
    fork = after.order.unconfirmed[role.other]
    if fork is not None:
        took_one = before is not None and len(before.order.chains[role.other]) > fork
        return (before if before is not None and took_one else after).next_link(role)
    mine = after.order.chains[role]
    named = mine[-1].link.seen.count if mine else 0
    unnamed = after.order.chains[role.other][named:]
    return after.next_link(role) if any(event.type not in _ASK_FOR_NONE for event in unnamed) else None
