"""Tasks: what a device makes of the signed events of two chains (spec/tasks.md). The names to import.

`task_events` says what an event is, `task_order` in which order events count, `task_table` what each does,
`task_view` what comes out, `task_actions` what may be done next, `task_seen` what is signed unasked.
"""

from __future__ import annotations

from .links import ROLES, EventType, Role, Seen, TaskLink
from .task_actions import ACTIONS, ENDING, Refusal
from .task_chain import Closure
from .task_events import TaskEvent, check_event
from .task_leftovers import Fork, Gap, Refused
from .task_order import Viewer
from .task_seen import confirmation_due
from .task_table import (
    CONDITIONS,
    FINAL_STATES,
    TRANSITIONS,
    Cell,
    Effect,
    Reason,
    TaskState,
    TaskTerms,
    VersionName,
)
from .task_view import Taken, TaskView, Version, check_action, fold_task

__all__ = [
    "ACTIONS",
    "CONDITIONS",
    "ENDING",
    "FINAL_STATES",
    "ROLES",
    "TRANSITIONS",
    "Cell",
    "Closure",
    "Effect",
    "EventType",
    "Fork",
    "Gap",
    "Reason",
    "Refusal",
    "Refused",
    "Role",
    "Seen",
    "Taken",
    "TaskEvent",
    "TaskLink",
    "TaskState",
    "TaskTerms",
    "TaskView",
    "Version",
    "VersionName",
    "Viewer",
    "check_action",
    "check_event",
    "confirmation_due",
    "fold_task",
]
