"""The place of a task event: who writes what, and how it is tied to both chains (spec/tasks.md section 1).

Nothing here knows what an event does to a task; that is `tasks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import attrs

from .cbor import Value
from .errors import RejectCode, RemoteProtocolError
from .ids import Hash
from .shape import MapReader, as_bytes, as_pair, as_uint

__all__ = ["ROLES", "EventType", "Role", "Seen", "TaskLink", "check_link", "read_link"]


class Role(StrEnum):
    """The two sides of a task, both fixed by its request."""

    REQUESTER = "requester"
    WORKER = "worker"

    @property
    def other(self) -> Role:
        """The opposite side."""
        return Role.WORKER if self is Role.REQUESTER else Role.REQUESTER


class EventType(StrEnum):
    """The message types that are events of a task; the value is the message's `type`."""

    TASK_REQUEST = "task_request"
    TASK_ACCEPT = "task_accept"
    TASK_DECLINE = "task_decline"
    TASK_PROGRESS = "task_progress"
    ARTIFACT_SUBMIT = "artifact_submit"
    REVISION_REQUEST = "revision_request"
    TASK_COMPLETE = "task_complete"
    TASK_CANCEL = "task_cancel"
    TASK_FAIL = "task_fail"
    TASK_EXPIRE = "task_expire"
    TASK_SEEN = "task_seen"


_REQUESTER: Final = frozenset({Role.REQUESTER})
_WORKER: Final = frozenset({Role.WORKER})

ROLES: Final[Mapping[EventType, frozenset[Role]]] = {
    EventType.TASK_REQUEST: _REQUESTER,
    EventType.TASK_ACCEPT: _WORKER,
    EventType.TASK_DECLINE: _WORKER,
    EventType.TASK_PROGRESS: _WORKER,
    EventType.ARTIFACT_SUBMIT: _WORKER,
    EventType.REVISION_REQUEST: _REQUESTER,
    EventType.TASK_COMPLETE: _REQUESTER,
    EventType.TASK_CANCEL: _REQUESTER,
    EventType.TASK_FAIL: _WORKER,
    EventType.TASK_EXPIRE: _REQUESTER,
    EventType.TASK_SEEN: _REQUESTER | _WORKER,
}
"""Which side may sign which type; another is wrong-party."""


@attrs.frozen
class Seen:
    """How much of the other chain an event's author had taken: a count, the hash of the last (None for 0)."""

    count: int
    hash: Hash | None

    def to_cbor(self) -> list[object]:
        """The pair as it is encoded."""
        return [self.count, self.hash]


@attrs.frozen
class TaskLink:
    """Where an event stands: its task (None in the request), its author's count, the one before, the seen."""

    task: Hash | None
    n: int
    prev: Hash | None
    seen: Seen
    adopt: bool = False

    def to_cbor(self) -> dict[str, object]:
        """The map as it is encoded; `adopt` stands in it only when true."""
        link: dict[str, object] = {
            "task": self.task,
            "n": self.n,
            "prev": self.prev,
            "seen": self.seen.to_cbor(),
        }
        if self.adopt:
            link["adopt"] = True
        return link


def read_link(value: Value, field: str) -> TaskLink:
    """The link that `value` is, whatever message it stands in.

    Raises the codes of shape, and bad-link for one at odds with itself: a hash that is not null exactly where
    its count is 0, `adopt` that is false or stands in a first event, or no task in what is not a first event
    that has seen nothing.
    """
    reader = MapReader(value, field, ("task", "n", "prev", "seen"), ("adopt",))
    link = TaskLink(
        reader.nullable("task", _as_hash),
        reader.uint("n"),
        reader.nullable("prev", _as_hash),
        reader.read("seen", _as_seen),
        "adopt" in reader and reader.boolean("adopt"),
    )
    if "adopt" in reader and not link.adopt:
        raise _bad_link(field, "adopt is true or absent")
    _check_alone(link, field)
    return link


def check_link(link: TaskLink, event: EventType, field: str = "link") -> None:
    """Raise bad-link where `link` cannot stand in a message of type `event` (spec/tasks.md section 1)."""
    _check_alone(link, field)
    if (link.task is None) != (event is EventType.TASK_REQUEST):
        raise _bad_link(field, "the request, and nothing else, names no task")
    roles = ROLES[event]
    if roles == _REQUESTER and link.n == 0 and link.task is not None:
        raise _bad_link(field, "the requester's first event is the request")
    if roles == _WORKER and link.adopt:
        raise _bad_link(field, "only a requester's place is adopted")
    # A first event that is not the request is the worker's, whatever its type.
    if link.task is not None and (roles == _WORKER or link.n == 0) and link.seen.count == 0:
        raise _bad_link(field, "a worker has seen the request at least")


def _check_alone(link: TaskLink, field: str) -> None:
    if (link.n == 0) != (link.prev is None):
        raise _bad_link(field, "prev is null in a first event and only there")
    if (link.seen.count == 0) != (link.seen.hash is None):
        raise _bad_link(field, "the hash in seen is null where the count is 0 and only there")
    if link.adopt and link.n == 0:
        raise _bad_link(field, "a first event adopts nothing")
    if link.task is None and (link.n, link.seen.count) != (0, 0):
        raise _bad_link(field, "the request is the first event and has seen nothing")


def _as_hash(value: Value, field: str) -> Hash:
    return Hash(as_bytes(value, field, size=32))


def _as_seen(value: Value, field: str) -> Seen:
    count, last = as_pair(value, field)
    return Seen(as_uint(count, field), None if last is None else _as_hash(last, field))


def _bad_link(field: str, text: str) -> RemoteProtocolError:
    return RemoteProtocolError(RejectCode.BAD_LINK, text, field=field)
