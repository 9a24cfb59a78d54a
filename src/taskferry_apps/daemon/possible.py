"""What can be done with a task now, in the words of the API; and why something else cannot, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from taskferry_protocol.account_state import DeviceStatus
from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import DeviceId, Instant
from taskferry_protocol.links import EventType, Role
from taskferry_protocol.task_table import Reason
from taskferry_protocol.tasks import Refusal, TaskView

from .port import DaemonRefusal

__all__ = [
    "KINDS",
    "acts_elsewhere",
    "acts_nowhere",
    "may_act",
    "not_possible",
    "possible_actions",
    "refused_deed",
    "writer_of",
]

KINDS: Final[Mapping[str, EventType]] = {
    "accept": EventType.TASK_ACCEPT,
    "decline": EventType.TASK_DECLINE,
    "progress": EventType.TASK_PROGRESS,
    "submit": EventType.ARTIFACT_SUBMIT,
    "revise": EventType.REVISION_REQUEST,
    "complete": EventType.TASK_COMPLETE,
    "cancel": EventType.TASK_CANCEL,
    "fail": EventType.TASK_FAIL,
}
_WORDS: Final = {event: kind for kind, event in KINDS.items()}

_REASONS: Final[Mapping[Reason, str]] = {
    Reason.FINISHED: "The task has ended: it is {state}.",
    Reason.NOT_NOW: "The task is {state}; that cannot be done with it now.",
    Reason.ANSWERS_AHEAD: "This answers a revision request that has not taken effect.",
    Reason.NO_REVISION_LEFT: "All {revisions} revisions that the request allows have been asked.",
    Reason.NOT_NEWEST: "There is a newer version of the work than that one.",
    Reason.NO_SUCH_DEADLINE: "The task has no such deadline.",
    Reason.TOO_EARLY: "The task's deadline has not passed yet.",
}
_CODES: Final[Mapping[RejectCode, str]] = {
    RejectCode.WRONG_PARTY: "That is for the other side to do.",
    RejectCode.UNKNOWN_TASK: "The request of this task has not come yet.",
    RejectCode.UNKNOWN_SEEN: "Some of this side's own events have not come here yet.",
    RejectCode.RATE_LIMITED: "The task's budget of messages is used up.",
}


def possible_actions(view: TaskView, role: Role, now: Instant) -> tuple[str, ...]:
    """What a side may do now, in the words of the API."""
    return tuple(_WORDS[action] for action in view.actions(role, now) if action in _WORDS)


def may_act(view: TaskView, role: Role, device: DeviceId) -> bool:
    """Whether this device signs for that side: it does already, or takes the place of a revoked one."""
    return view.may_write(role, device) or (role is Role.REQUESTER and view.may_adopt(device))


def writer_of(view: TaskView, role: Role, log: AccountLog) -> DeviceId | None:
    """Our active device that signs for our side; None before there is one, and where it is gone."""
    writer = view.home if role is Role.REQUESTER else view.worker_device
    device = log.state.devices.get(writer) if writer is not None else None
    return writer if device is not None and device.status is DeviceStatus.ACTIVE else None


def acts_elsewhere(view: TaskView, label: str) -> DaemonRefusal:
    """The refusal of a device that only looks on: one device writes for each side of a task."""
    return DaemonRefusal(
        "not-possible",
        f"Your device {label} acts in this task; this one shows it.",
        f"Do it on {label}.",
        status=409,
        detail={"state": view.state.value if view.state is not None else "unknown", "actions": []},
    )


def acts_nowhere(view: TaskView, label: str) -> DaemonRefusal:
    """The refusal where the device that wrote for our side is gone, and no other may take its place."""
    return DaemonRefusal(
        "not-possible",
        f"Your device {label} acted in this task and was put out; no other one can take its place here.",
        "Begin a new task.",
        status=409,
        detail={"state": view.state.value if view.state is not None else "unknown", "actions": []},
    )


def not_possible(view: TaskView, role: Role, now: Instant, text: str) -> DaemonRefusal:
    """The refusal `not-possible`, with the state and the actions that `role` has now."""
    actions = possible_actions(view, role, now)
    state = view.state.value if view.state is not None else "unknown"
    if actions:
        following = f"Possible now: {', '.join(actions)}."
    elif view.is_final:
        following = "Nothing more can be done with it."
    else:
        following = "It is the other side's turn."
    return DaemonRefusal(
        "not-possible", text, following, status=409, detail={"state": state, "actions": list(actions)}
    )


def refused_deed(view: TaskView, refusal: Refusal) -> str:
    """The sentence for what the table refuses."""
    if refusal.reason is not None:
        text = _REASONS[refusal.reason]
    else:
        text = _CODES.get(refusal.code, f"That cannot be done with this task: {refusal.code.value}.")
    revisions = view.terms.revisions if view.terms is not None else 0
    return text.format(state=view.display, revisions=revisions)
