"""Task events: what requester and worker say to each other about one task (spec/tasks.md)."""

from __future__ import annotations

import attrs

from ..ids import Hash, Instant
from .base import Body, MessageClass, Wire
from .fields import count, digest, instant, nullable, number, prose, texts, title
from .parts import Part, read_parts, read_some_parts

__all__ = [
    "ArtifactSubmit",
    "RevisionRequest",
    "TaskAccept",
    "TaskCancel",
    "TaskComplete",
    "TaskDecline",
    "TaskExpire",
    "TaskFail",
    "TaskProgress",
    "TaskRequest",
    "TaskSeen",
]

_NOTE = (Wire("note", prose()),)
_REASON = (Wire("reason", prose()),)


@attrs.frozen
class TaskRequest(Body):
    """Ask for work; its envelope's hash is the task's id.

    `deadline` is a time or None, `revisions` how many may be asked (0 to 1000), `budget` the messages in this
    task or None.
    """

    type_name = "task_request"
    message_class = MessageClass.TASK
    wire = (
        Wire("title", title),
        Wire("brief", prose()),
        Wire("parts", read_parts),
        Wire("requirements", texts(least=0)),
        Wire("deadline", nullable(instant)),
        Wire("revisions", number(high=1000)),
        Wire("budget", nullable(count)),
    )

    title: str
    brief: str
    parts: tuple[Part, ...] = ()
    requirements: tuple[str, ...] = ()
    deadline: Instant | None = None
    revisions: int = 0
    budget: int | None = None


@attrs.frozen
class TaskAccept(Body):
    """The worker takes the task on."""

    type_name = "task_accept"
    message_class = MessageClass.TASK
    wire = _NOTE

    note: str = ""


@attrs.frozen
class TaskDecline(Body):
    """The worker does not take it."""

    type_name = "task_decline"
    message_class = MessageClass.TASK
    wire = _REASON

    reason: str = ""


@attrs.frozen
class TaskProgress(Body):
    """How far the worker is: `percent` is 0 to 100, or None where nobody can say."""

    type_name = "task_progress"
    message_class = MessageClass.TASK
    wire = (Wire("note", prose()), Wire("percent", nullable(number(high=100))))

    note: str = ""
    percent: int | None = None


@attrs.frozen
class ArtifactSubmit(Body):
    """A version of the work. `answers` is how many revision requests its author had read."""

    type_name = "artifact_submit"
    message_class = MessageClass.ARTIFACT
    wire = (Wire("note", prose()), Wire("parts", read_some_parts), Wire("answers", count))

    note: str
    parts: tuple[Part, ...]
    answers: int


@attrs.frozen
class RevisionRequest(Body):
    """Ask for another version than the named one (number and submission's hash), with 1 to 32 reasons."""

    type_name = "revision_request"
    message_class = MessageClass.TASK
    wire = (Wire("version", number(low=1)), Wire("hash", digest), Wire("reasons", texts(least=1)))

    version: int
    hash: Hash
    reasons: tuple[str, ...]


@attrs.frozen
class TaskComplete(Body):
    """Take the named version as the result."""

    type_name = "task_complete"
    message_class = MessageClass.TASK
    wire = (Wire("version", number(low=1)), Wire("hash", digest), *_NOTE)

    version: int
    hash: Hash
    note: str = ""


@attrs.frozen
class TaskCancel(Body):
    """The requester wants it no longer."""

    type_name = "task_cancel"
    message_class = MessageClass.TASK
    wire = _REASON

    reason: str = ""


@attrs.frozen
class TaskFail(Body):
    """The worker cannot do it."""

    type_name = "task_fail"
    message_class = MessageClass.TASK
    wire = _REASON

    reason: str = ""


@attrs.frozen
class TaskExpire(Body):
    """The requester says that the deadline, repeated here, has passed."""

    type_name = "task_expire"
    message_class = MessageClass.TASK
    wire = (Wire("deadline", instant),)

    deadline: Instant


@attrs.frozen
class TaskSeen(Body):
    """Only the link counts: which events of the other side were taken."""

    type_name = "task_seen"
    message_class = MessageClass.TASK
    wire = ()
