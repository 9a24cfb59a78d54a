"""From messages to task events: what the fold needs of a body, and nothing else of it."""

from __future__ import annotations

from .errors import LocalProtocolError
from .ids import DeviceId, Hash, Instant
from .links import EventType, Role
from .messages import (
    ArtifactSubmit,
    Content,
    RevisionRequest,
    TaskComplete,
    TaskExpire,
    TaskRequest,
    is_task_event,
)
from .task_events import TaskEvent
from .task_table import TaskTerms, VersionName

__all__ = ["task_event"]


def task_event(
    content: Content, *, hash: Hash, role: Role, device: DeviceId, created_at: Instant
) -> TaskEvent:
    """The event that an opened message is; `hash`, `device` and `created_at` are its envelope's.

    Raises LocalProtocolError for a message that is none: ask `is_task_event` first.
    """
    body, link = content.body, content.link
    if link is None or not is_task_event(body):
        raise LocalProtocolError(f"{body.type_name} is no task event")
    return TaskEvent(
        hash=hash,
        role=role,
        device=device,
        type=EventType(body.type_name),
        link=link,
        created_at=created_at,
        terms=(
            TaskTerms(body.deadline, body.revisions, body.budget) if isinstance(body, TaskRequest) else None
        ),
        names=(
            VersionName(body.version, body.hash) if isinstance(body, RevisionRequest | TaskComplete) else None
        ),
        answers=body.answers if isinstance(body, ArtifactSubmit) else None,
        deadline=body.deadline if isinstance(body, TaskExpire) else None,
    )
