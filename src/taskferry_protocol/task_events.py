"""A task event as the fold sees it: who signed it, where it stands, and the few facts of its body that count.

Bodies stay in `messages`; whoever opened an envelope makes a `TaskEvent` of it.
"""

from __future__ import annotations

import attrs

from .errors import LocalProtocolError, RejectCode, RemoteProtocolError
from .ids import DeviceId, Hash, Instant
from .links import ROLES, EventType, Role, TaskLink, check_link
from .task_table import TaskTerms, VersionName

__all__ = ["TaskEvent", "check_event"]


@attrs.frozen
class TaskEvent:
    """One signed event. `role` is the side that its sender has in this task, `hash` its envelope's hash.

    `terms` belongs to a request, `names` to a revision request or completion, `answers` to a submission and
    `deadline` to an expiry; elsewhere they are None. LocalProtocolError where that does not hold.
    """

    hash: Hash
    role: Role
    device: DeviceId
    type: EventType
    link: TaskLink
    created_at: Instant
    terms: TaskTerms | None = None
    names: VersionName | None = None
    answers: int | None = None
    deadline: Instant | None = None

    def __attrs_post_init__(self) -> None:
        facts = (
            (self.terms, (EventType.TASK_REQUEST,)),
            (self.names, (EventType.REVISION_REQUEST, EventType.TASK_COMPLETE)),
            (self.answers, (EventType.ARTIFACT_SUBMIT,)),
            (self.deadline, (EventType.TASK_EXPIRE,)),
        )
        if any((fact is not None) != (self.type in types) for fact, types in facts):
            raise LocalProtocolError(f"these facts make no {self.type.value}")


def check_event(event: TaskEvent, task: Hash) -> None:
    """Whether `event` may stand in `task` at all (spec/tasks.md section 1); returns if so.

    Raises RemoteProtocolError, in this order: wrong-party for a type of the other role, bad-link for a link
    that cannot stand in such an event, unknown-task for one of another task.
    """
    if event.role not in ROLES[event.type]:
        raise RemoteProtocolError(
            RejectCode.WRONG_PARTY, f"a {event.role.value} signs no {event.type.value}", field="type"
        )
    link = event.link
    check_link(link, event.type)
    if event.type is EventType.TASK_SEEN:
        _check_confirmation(event.role, link)
    if (event.hash if link.task is None else link.task) != task:
        raise RemoteProtocolError(RejectCode.UNKNOWN_TASK, "of another task", field="link.task")


def _check_confirmation(role: Role, link: TaskLink) -> None:
    """`task_seen` is of either side, so its type alone does not say what its link may be."""
    if role is Role.REQUESTER:
        fault = "the requester's first event is the request" if link.n == 0 else ""
    elif link.adopt:
        fault = "only a requester's place is adopted"
    else:
        fault = "a worker has seen the request at least" if link.seen.count == 0 else ""
    if fault:
        raise RemoteProtocolError(RejectCode.BAD_LINK, fault, field="link")
