"""How the dashboard says what happens in tasks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..action_port import AskedView
from ..views import Sent, TaskEventView, TaskSummary, TaskView

__all__ = ["STATES", "asked_words", "deed_words", "effect_words", "sent_words", "turn_words"]

#: Every state of a list, and how it is called: as in the terminal.
STATES: Final[Mapping[str, str]] = {
    state: state.replace("_", " ")
    for state in (
        "created",
        "sent",
        "accepted",
        "working",
        "submitted",
        "revision_requested",
        "resubmitted",
        "completed",
        "declined",
        "cancelled",
        "expired",
        "failed",
    )
}

_DEEDS: Final[Mapping[str, str]] = {
    "task_request": "asked for it",
    "task_accept": "accepted",
    "task_decline": "declined",
    "task_progress": "told how it goes",
    "artifact_submit": "submitted",
    "revision_request": "asked for a revision",
    "task_complete": "took the work: completed",
    "task_cancel": "cancelled",
    "task_fail": "gave up: failed",
    "task_expire": "let it expire",
    "task_seen": "confirmed what had come",
}

_WHY: Final[Mapping[str, str]] = {
    "finished": "the task had ended",
    "not-now": "that was not possible as the task stood",
    "answers-ahead": "it answers a revision request that has not taken effect",
    "no-revision-left": "all revisions had been asked",
    "not-newest": "there was a newer version",
    "no-such-deadline": "the task has no such deadline",
    "too-early": "the deadline had not passed",
}

#: What became of an event, where it is not simply in force.
_EFFECTS: Final[Mapping[str, str]] = {
    "effective": "",
    "none": "",
    "kept": "kept: it answers an older state of the wishes, and changes nothing",
    "superseded": "superseded: it changes nothing",
}


def deed_words(event: TaskEventView, task: TaskView) -> str:
    """What one event was."""
    words = _DEEDS.get(event.type, event.type.replace("_", " "))
    if event.type == "artifact_submit":
        number = next((shown.version for shown in task.versions if shown.hash == event.hash), None)
        return f"{words} version {number}" if number is not None else words
    return words


def effect_words(effect: str) -> str:
    """What became of it; "" where it is simply in force."""
    kind, _, reason = effect.partition(" (")
    reason = reason.rstrip(")")
    if kind == "superseded" and reason:
        return f"superseded: {_WHY.get(reason, reason)}"
    return _EFFECTS.get(kind, effect)


def turn_words(task: TaskSummary) -> str:
    """Whom the task waits for."""
    if task.final:
        return "This task has ended."
    if task.at_gate:
        return "It waits for your word."
    if task.waiting_for == "me":
        return f"It is the turn of your agent {task.mine}."
    if task.waiting_for == "peer":
        return f"It is the turn of {task.peer}."
    return ""


def asked_words(asked: AskedView) -> str:
    """What came of an action that another device is to carry out."""
    match asked.state:
        case "waiting":
            return "asked; it has not answered yet"
        case "done":
            return "done"
        case "overdue":
            return "its time is over, and it has not answered"
        case "lost":
            return "never reached it, or it was put out first"
        case _:
            return " ".join(filter(None, ("refused:", asked.text or asked.code, asked.next_step)))


def sent_words(done: str, sent: Sent | AskedView) -> str:
    """The line that a button leaves."""
    if isinstance(sent, AskedView):
        return f"Your device {sent.device} acts in this task, and is asked to: {sent.action}."
    state = STATES.get(sent.state, sent.state)
    rung = f" This step is {sent.delivery.rung} here." if sent.delivery.rung == "queued" else ""
    return " ".join((f"{done}. The task is {state}.{rung}", *sent.warnings))
