"""Tasks as the daemon answers them, as frozen values: the task, its versions and parts, its events."""

from __future__ import annotations

from datetime import datetime

import attrs

from .errors import Unusable
from .reading import Unreadable, parsed
from .results import Delivery

__all__ = [
    "ListedTask",
    "Part",
    "RevisionRequest",
    "SentTask",
    "Task",
    "TaskEvent",
    "TaskLog",
    "TaskPage",
    "TaskRequest",
    "TaskVersions",
    "Version",
]


@attrs.frozen
class SentTask:
    """A step in a task that is committed here. `version` is the number of a version just submitted."""

    task_id: str
    message_id: str
    conversation: str
    state: str
    delivery: Delivery
    warnings: tuple[str, ...]
    version: int | None = None


@attrs.frozen
class Part:
    """One part of a version or of a request: text, JSON, or a file of which the bytes are fetched apart.

    `name` is the peer's: it is no path, and no file is ever written under it unchanged.
    """

    kind: str
    number: int = attrs.field(metadata={"key": "part"})
    name: str
    size: int
    text: str | None = None
    json_text: str | None = attrs.field(default=None, metadata={"key": "json"})
    media: str | None = None
    sha256: str | None = None

    @property
    def value(self) -> object:
        """The value of a JSON part; None for any other. Raises Unusable where its sender wrote none."""
        if self.json_text is None:
            return None
        try:
            return parsed(self.json_text)
        except Unreadable:
            raise Unusable(f"Part {self.number} is no JSON, though it says so.") from None


@attrs.frozen
class Version:
    """One submission of the worker: `status` is effective, kept or superseded."""

    number: int = attrs.field(metadata={"key": "version"})
    hash: str
    status: str
    note: str
    parts: tuple[Part, ...]
    submitted_at: datetime

    @property
    def text(self) -> str:
        """The first text part; empty if there is none."""
        return next((part.text for part in self.parts if part.text is not None), "")

    @property
    def value(self) -> object:
        """The value of the first JSON part; None if there is none. Raises Unusable."""
        return next((part.value for part in self.parts if part.json_text is not None), None)


@attrs.frozen
class RevisionRequest:
    """What the requester found wanting in a version."""

    version: int
    reasons: tuple[str, ...]


@attrs.frozen
class TaskEvent:
    """One event of a task's two signed chains; `hash` is also the id of the message that brought it."""

    n: int
    side: str
    type: str
    hash: str
    at: datetime
    effect: str
    confirmed: bool
    note: str
    delivery: Delivery | None


@attrs.frozen
class ListedTask:
    """A task in a list; `versions` is how many there are."""

    id: str = attrs.field(metadata={"key": "task_id"})
    title: str
    mine: str
    peer: str
    role: str
    state: str
    confirmed: bool
    final: bool
    deadline: datetime | None
    created_at: datetime
    updated_at: datetime
    versions: int


@attrs.frozen
class TaskRequest:
    """An action that was passed on to another of the owner's devices: what was asked, and what came of it.

    `event` is the id of the event that it became; `code`, `message` and `next_step` say why it was refused.
    """

    id: str = attrs.field(metadata={"key": "request_id"})
    device: str
    agent: str
    action: str
    state: str
    asked_at: datetime
    until: datetime
    ended_at: datetime | None
    event: str | None
    code: str
    message: str
    next_step: str = attrs.field(metadata={"key": "next"})


@attrs.frozen
class TaskPage:
    """Some tasks, newest first; `cursor` says where to go on."""

    tasks: tuple[ListedTask, ...]
    cursor: str
    more: bool


@attrs.frozen
class TaskLog:
    """Some events of a task, oldest first; `cursor` says where to go on to earlier ones."""

    task_id: str
    state: str
    events: tuple[TaskEvent, ...]
    cursor: str
    more: bool


@attrs.frozen
class TaskVersions:
    """Some versions of a task's work, oldest first, and what was found wanting in them."""

    task_id: str
    versions: tuple[Version, ...]
    revision_requests: tuple[RevisionRequest, ...]
    cursor: str
    more: bool


@attrs.frozen
class Task:
    """A task in full: `actions` are what this side may do now, `mark` changes with anything shown here."""

    id: str = attrs.field(metadata={"key": "task_id"})
    title: str
    mine: str
    peer: str
    role: str
    state: str
    confirmed: bool
    final: bool
    deadline: datetime | None
    created_at: datetime
    updated_at: datetime
    brief: str
    requirements: tuple[str, ...]
    parts: tuple[Part, ...]
    """What came with the request."""
    asks: int
    revisions: int
    budget: int | None
    versions: tuple[Version, ...]
    revision_requests: tuple[RevisionRequest, ...]
    events: tuple[TaskEvent, ...]
    waiting: tuple[str, ...]
    actions: tuple[str, ...]
    delivery: Delivery | None
    mark: str = ""
    acts_on: str = ""
    """The owner's device that writes in the task; empty where it is this one."""
    requests: tuple[TaskRequest, ...] = ()
    """What that device was asked to do."""
    events_cursor: str = ""
    """Where the log goes on to earlier events; empty where they are all here."""
    versions_cursor: str = ""
    """The same of versions."""

    @property
    def newest(self) -> Version | None:
        """The newest version of the work, if there is one."""
        return self.versions[-1] if self.versions else None
