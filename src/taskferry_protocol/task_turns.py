"""Whose turn it is in a task that is not over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .links import Role
from .task_table import TaskState

__all__ = ["TURNS"]

TURNS: Final[Mapping[str, Role]] = {
    TaskState.SENT: Role.WORKER,
    TaskState.ACCEPTED: Role.WORKER,
    TaskState.WORKING: Role.WORKER,
    TaskState.REVISION_REQUESTED: Role.WORKER,
    TaskState.SUBMITTED: Role.REQUESTER,
    TaskState.RESUBMITTED: Role.REQUESTER,
}
"""By state, the side that the other one waits for. Final states have none."""
