"""What an agent asks of its daemon about tasks: ask for work, look, work, judge.

Each function describes one call; those whose first parameter is `mine` act for an agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs

from ..system import now
from .attachments import FileLike, attached
from .binding import Binding, under
from .calls import LONGEST_WAIT_S
from .plans import Plan
from .requests import JsonObject, Request, get, path_of, post, value_of
from .task_results import SentTask, Task, TaskLog, TaskPage, TaskVersions

__all__ = [
    "accept",
    "cancel",
    "complete",
    "decline",
    "fail",
    "list_tasks",
    "progress",
    "revise",
    "send_task",
    "show_task",
    "submit",
    "task_log",
    "task_versions",
]

#: Events in one answer while all are fetched.
_LOG_PAGE: Final = 1_000


def send_task(
    mine: str,
    to: str,
    title: str,
    brief: str = "",
    *,
    requirements: Sequence[str] = (),
    files: Sequence[FileLike] = (),
    text: str | None = None,
    json: object = None,
    revisions: int | None = None,
    deadline: datetime | timedelta | None = None,
    budget: int | None = None,
    runtime: Binding | None = None,
    key: str | None = None,
) -> Plan[SentTask]:
    """Ask a connected agent for work.

    `brief` says what is to be done, `requirements` what the result must meet. `text`, `json` (any value but
    None) and `files` go with it. `revisions` is how many may be asked for (3), `budget` how many messages
    the task may take. What is answered comes to the bound program `runtime` alone.
    """
    body: JsonObject = {
        "from": mine,
        "to": to,
        "title": title,
        "description": brief,
        "requirements": list(requirements),
        "max_revisions": revisions,
        "deadline": _moment(deadline),
        "budget": budget,
        "parts": _parts(text, json),
        "files": (yield from attached(files)),
    }

    def asked() -> Request[SentTask]:
        named = body if runtime is None else {**body, "runtime": runtime.id}
        return post("/tasks", value_of(SentTask), named, key)

    if runtime is None:
        return (yield from asked())
    return (yield from under(runtime, asked))


def list_tasks(
    mine: str, *, state: str = "", role: str = "", cursor: str = "", limit: int = 50
) -> Request[TaskPage]:
    """The agent's tasks, newest first; `role` is requester or worker."""
    return get("/tasks", value_of(TaskPage), agent=mine, state=state, role=role, cursor=cursor, limit=limit)


def show_task(id: str, *, wait: int = 0, mark: str = "") -> Plan[Task]:
    """One task in full. Waits up to `wait` seconds, 60 at most, while it is as it was with that `mark`.

    Of a long one the daemon answers the newest events and versions first, and the rest by pages.
    """
    wait = min(wait, LONGEST_WAIT_S)
    task = yield from get(path_of("tasks", id), value_of(Task), wait_s=wait, wait=wait or None, mark=mark)
    while task.events_cursor:
        log = yield from task_log(task.id, cursor=task.events_cursor)
        task = attrs.evolve(task, events=(*log.events, *task.events), events_cursor=log.cursor)
    while task.versions_cursor:
        page = yield from task_versions(task.id, cursor=task.versions_cursor)
        task = attrs.evolve(
            task,
            versions=(*page.versions, *task.versions),
            revision_requests=(*page.revision_requests, *task.revision_requests),
            versions_cursor=page.cursor,
        )
    return task


def task_log(id: str, *, cursor: str = "", limit: int = _LOG_PAGE) -> Request[TaskLog]:
    """The newest events of a task, oldest first, or those before a cursor."""
    return get(path_of("tasks", id, "log"), value_of(TaskLog), cursor=cursor, limit=limit)


def task_versions(id: str, *, cursor: str = "", limit: int | None = None) -> Request[TaskVersions]:
    """The newest versions of a task's work, oldest first, or those before a cursor."""
    return get(path_of("tasks", id, "versions"), value_of(TaskVersions), cursor=cursor, limit=limit)


def accept(id: str, message: str = "", *, key: str | None = None) -> Request[SentTask]:
    """Take the task on."""
    return _act(id, "accept", {"message": message}, key)


def decline(id: str, reason: str, *, key: str | None = None) -> Request[SentTask]:
    """Do not take it on, and say why."""
    return _act(id, "decline", {"reason": reason}, key)


def progress(
    id: str, message: str = "", *, percent: int | None = None, key: str | None = None
) -> Request[SentTask]:
    """Say how the work goes."""
    return _act(id, "progress", {"message": message, "percent": percent}, key)


def submit(
    id: str,
    text: str | None = None,
    *,
    json: object = None,
    files: Sequence[FileLike] = (),
    note: str = "",
    answers: int | None = None,
    key: str | None = None,
) -> Plan[SentTask]:
    """Submit a version of the work: a text, a JSON value (any but None), files, or several of these.

    `answers` is how many revision requests it answers; by default those that this agent has read.
    """
    body: JsonObject = {
        "notes": note,
        "answers": answers,
        "parts": _parts(text, json),
        "files": (yield from attached(files)),
    }
    sent: SentTask = yield from _act(id, "artifacts", body, key)
    return sent


def revise(
    id: str, *reasons: str, version: int | None = None, hash: str | None = None, key: str | None = None
) -> Request[SentTask]:
    """Ask for a better version than `version`, by default the newest; each reason is one thing wanting."""
    body: JsonObject = {"requested_changes": list(reasons), "version": version, "hash": hash}
    return _act(id, "revision", body, key)


def complete(
    id: str, message: str = "", *, version: int | None = None, hash: str | None = None, key: str | None = None
) -> Request[SentTask]:
    """Accept a version, by default the newest, and end the task."""
    return _act(id, "complete", {"message": message, "version": version, "hash": hash}, key)


def cancel(id: str, reason: str = "", *, key: str | None = None) -> Request[SentTask]:
    """Take the task back."""
    return _act(id, "cancel", {"reason": reason}, key)


def fail(id: str, reason: str, *, key: str | None = None) -> Request[SentTask]:
    """Give up on it, and say why."""
    return _act(id, "fail", {"reason": reason}, key)


def _act(id: str, word: str, body: JsonObject, key: str | None) -> Request[SentTask]:
    return post(path_of("tasks", id, word), value_of(SentTask), body, key)


def _parts(text: str | None, json: object) -> list[JsonObject]:
    parts: list[JsonObject] = []
    if text is not None:
        parts.append({"kind": "text", "text": text})
    if json is not None:
        parts.append({"kind": "json", "json": json})
    return parts


def _moment(at: datetime | timedelta | None) -> str | None:
    if isinstance(at, timedelta):
        at = datetime.fromtimestamp(now() / 1000, UTC) + at
    if at is None:
        return None
    # A time without an offset is this machine's local one, as everywhere in Python.
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
