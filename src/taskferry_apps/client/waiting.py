"""Waiting for a task: until it has a result, has ended, or is as the caller wants it.

A wait is a chain of long-polls, each of which names what was seen last: nothing that happens in between is
missed, and a wait that is given up, or cut off with its program, loses nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from .calls import acknowledge
from .errors import Conflict, NotDelivered, NotFound, TaskEnded, TimedOut
from .plans import Clock, Plan
from .task_calls import cancel as send_cancel
from .task_calls import complete as send_complete
from .task_calls import revise as send_revise
from .task_calls import show_task
from .task_results import SentTask, Task, TaskEvent, Version

__all__ = ["cancel", "complete", "result", "revise", "wait"]

#: One long-poll. Short enough for a program that should notice soon that its daemon has gone.
_POLL_S: Final = 30
_HANDED_IN: Final = frozenset({"submitted", "resubmitted"})
_COMPLETED: Final = "completed"
#: Events of the requester without which the worker cannot go on.
_NEEDED: Final = frozenset({"task_request", "revision_request"})
#: What brings a result, or says that none comes.
_ANSWERS: Final = frozenset({"artifact_submit", "task_decline", "task_fail", "task_expire"})


def wait(id: str, timeout: float | None = None, *, until: Callable[[Task], bool] | None = None) -> Plan[Task]:
    """The task as soon as there is something for the requester to do, or it has ended.

    With `until`, as soon as that holds. `timeout` is in seconds, rounded up to whole ones.

    Raises TimedOut; NotDelivered where the other side cannot have got what it is to work on.
    """
    holds = until or _is_up_to_requester
    begun: float = yield Clock()
    task = yield from show_task(id)
    while not holds(task):
        _check_delivered(task)
        now: float = yield Clock()
        left = _POLL_S if timeout is None else math.ceil(begun + timeout - now)
        if left <= 0:
            raise TimedOut(
                f"Task {task.id[:8]} is {task.state} after {timeout:g} seconds.",
                "Nothing is lost: wait again, also from another program, by the task's id.",
            )
        task = yield from show_task(id, wait=min(left, _POLL_S), mark=task.mark)
    return task


def result(id: str, timeout: float | None = None) -> Plan[Version]:
    """The newest version of the work as soon as it can be judged.

    Raises TimedOut; TaskEnded when the task was declined, cancelled, failed or expired; NotDelivered.
    """
    task = yield from wait(id, timeout)
    if task.newest is None or (task.final and task.state != _COMPLETED):
        yield from _settle(task)
        reason = _last_word(task)
        said = f": {reason}" if reason else "."
        raise TaskEnded(
            f"Task {task.id[:8]} is {task.state}, without a result{said}",
            "Ask another agent, or ask differently.",
            task=task.id,
            state=task.state,
            reason=reason,
        )
    return task.newest


def complete(
    id: str, message: str = "", *, version: int | None = None, hash: str | None = None, key: str | None = None
) -> Plan[SentTask]:
    """Accept a version, by default the newest, and end the task; what came of it counts as processed."""
    sent = yield from send_complete(id, message, version=version, hash=hash, key=key)
    yield from _settle((yield from show_task(id)))
    return sent


def revise(
    id: str, *reasons: str, version: int | None = None, hash: str | None = None, key: str | None = None
) -> Plan[SentTask]:
    """Ask for a better version than `version`, by default the newest; each reason is one thing wanting."""
    sent = yield from send_revise(id, *reasons, version=version, hash=hash, key=key)
    yield from _settle((yield from show_task(id)))
    return sent


def cancel(id: str, reason: str = "", *, key: str | None = None) -> Plan[SentTask]:
    """Take the task back; what came of it counts as processed."""
    sent = yield from send_cancel(id, reason, key=key)
    yield from _settle((yield from show_task(id)))
    return sent


def _is_up_to_requester(task: Task) -> bool:
    return task.final or task.state in _HANDED_IN


def _check_delivered(task: Task) -> None:
    for event in reversed(task.events):
        if event.side != "requester" or event.type not in _NEEDED or event.delivery is None:
            continue
        if event.delivery.rung in ("failed", "expired"):
            raise NotDelivered(
                f"What {task.peer} should work on has not reached it: {event.delivery.code or 'no answer'}.",
                "See the connection and the relay: taskferry connections, taskferry status",
                task=task.id,
                rung=event.delivery.rung,
                code=event.delivery.code,
            )
        return


def _settle(task: Task) -> Plan[None]:
    """Mark what the worker answered as processed: whoever judged it needs it in the inbox no more."""
    for event in task.events:
        if _is_answer(task, event):
            try:
                yield from acknowledge(event.hash)
            except (NotFound, Conflict):
                pass  # it never was in this inbox: another of the owner's devices has it


def _is_answer(task: Task, event: TaskEvent) -> bool:
    return task.role == "requester" and event.side == "worker" and event.type in _ANSWERS


def _last_word(task: Task) -> str:
    return next((event.note for event in reversed(task.events) if event.note), "")
