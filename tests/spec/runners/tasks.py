"""Folds of tasks, and single events at the door."""

from functools import partial

from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.messages import (
    ArtifactSubmit,
    RevisionRequest,
    TaskComplete,
    TaskExpire,
    decode_content,
)
from taskferry_protocol.messages import TaskRequest as RequestBody
from taskferry_protocol.tasks import (
    EventType,
    Role,
    TaskEvent,
    TaskTerms,
    VersionName,
    Viewer,
    check_event,
    fold_task,
)
from tests.spec.runners.inputs import raw


def as_event(name, role, device, created_at, content):
    """A held event of an opened content."""
    body = content.body
    asked = isinstance(body, RevisionRequest | TaskComplete)
    requested = isinstance(body, RequestBody)
    return TaskEvent(
        hash=name,
        role=role,
        device=device,
        type=EventType(body.type_name),
        link=content.link,
        created_at=created_at,
        terms=TaskTerms(body.deadline, body.revisions, body.budget) if requested else None,
        names=VersionName(body.version, body.hash) if asked else None,
        answers=body.answers if isinstance(body, ArtifactSubmit) else None,
        deadline=body.deadline if isinstance(body, TaskExpire) else None,
    )


def event_of(listed):
    """A held event as a vector lists it."""
    content = decode_content(raw(listed["content"]))
    name, device = raw(listed["hash"]), raw(listed["device"])
    return as_event(name, Role(listed["side"]), device, listed["created_at"], content)


def outcome(view):
    """A view as vectors write it."""
    shown = {
        "state": view.state and view.state.value,
        "asks": view.asks,
        "versions": [
            [version.number, version.hash.hex()]
            for version in view.versions
            if version.status.value != "superseded"
        ],
        "taken": [[line.event.hash.hex(), line.effect.value] for line in view.taken],
        "waiting": sorted(event.hash.hex() for event in view.waiting),
        "gaps": sorted([gap.role.value, n] for gap in view.gaps for n in range(gap.first, gap.last + 1)),
        "refused": {refused.hash.hex(): refused.code.value for refused in view.refused},
        "unconfirmed": [
            line.event.hash.hex()
            for line in view.taken
            if (start := view.order.unconfirmed[line.event.role]) is not None and line.event.link.n >= start
        ],
    }
    if not shown["unconfirmed"]:
        shown["final"] = view.is_final
        shown["settled"] = [line.event.hash.hex() for line in view.taken if line.settled]
    return shown


def run_task_fold(vector):
    """The same outcome in every order of arrival; then what became of the event that it is about."""
    events = [event_of(listed) for listed in vector["events"]]
    fold = partial(
        fold_task,
        task=raw(vector["task"]),
        viewer=Viewer(vector["viewer"]),
        revoked=frozenset(map(raw, vector["revoked"])),
    )
    view = fold(events)
    assert outcome(view) == vector["decoded"]
    for arrival in vector.get("arrivals", ()):
        assert fold([events[index] for index in arrival]) == view
    about = vector.get("about")
    for refused in view.refused:
        if refused.hash.hex() == about:
            raise RemoteProtocolError(refused.code)
    if about in {line.event.hash.hex() for line in view.superseded}:
        raise RemoteProtocolError(RejectCode.SUPERSEDED)


def run_task_event(vector):
    """One event by the requester, the worker or a third, of whom the fold has no notion."""
    content = decode_content(raw(vector["input"]))
    task = raw(vector["task"])
    if vector["author"] == "third":
        raise RemoteProtocolError(RejectCode.WRONG_PARTY)
    assert content.link is not None
    name = task if content.link.task is None else raw("ee" * 32)
    check_event(as_event(name, Role(vector["author"]), raw("dd" * 32), 0, content), task)


RUNNERS = {"task-fold": run_task_fold, "task-event": run_task_event}
