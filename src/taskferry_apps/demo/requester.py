"""The requester agent: hands over a file, asks for a report, reviews it, completes the task when right."""

from __future__ import annotations

import base64
import json
import time
from typing import Final

import attrs

from ..local_client import ApiError, JsonObject, LocalClient
from .review import REQUIREMENTS, shortcomings
from .steps import DemoFailed, Mail, Tell, entries, text

__all__ = ["Assignment", "ensure_connected", "request_report"]

_WANTED: Final = frozenset({"artifact_submit", "task_decline", "task_fail", "task_accept", "task_progress"})
_CONFLICT: Final = 409


@attrs.frozen
class Assignment:
    """Who asks whom about what."""

    mine: str
    peer: str
    file_name: str
    document: bytes


def ensure_connected(api: LocalClient, mine: str, peer: str, tell: Tell, patience_s: float) -> None:
    """Be connected with `peer`: ask if need be, and wait for the other owner. Raises DemoFailed, ApiError."""
    if _connected(api, mine, peer):
        return
    note = "I would like reports on documents from you."
    api.post("/connections/request", {"from": mine, "to": peer, "message": note})
    tell(f"asks {peer} for a connection, and waits for its owner: taskferry approvals, over there")
    deadline = time.monotonic() + patience_s
    mail = Mail(api, mine)
    while not _connected(api, mine, peer):
        if time.monotonic() > deadline:
            raise DemoFailed(f"{peer}'s owner has not answered in {patience_s:.0f} s")
        # Whatever happens to a connection comes through the inbox, so this wait ends with the answer.
        mail.wait(1)


def _connected(api: LocalClient, mine: str, peer: str) -> bool:
    return _connection(api, mine, peer) is not None


def _connection(api: LocalClient, mine: str, peer: str) -> JsonObject | None:
    accepted = entries(api.get("/connections", state="accepted", agent=mine), "connections")
    return next((connection for connection in accepted if connection.get("peer") == peer), None)


def _owner_looks_first(api: LocalClient, mine: str, peer: str) -> bool:
    """Whether the other owner's grant says that each task waits for a person."""
    received = (_connection(api, mine, peer) or {}).get("received")
    terms = received.get("terms") if isinstance(received, dict) else None
    return isinstance(terms, dict) and terms.get("human_gate") is True


def request_report(api: LocalClient, job: Assignment, tell: Tell, patience_s: float) -> str:
    """Get a report that meets every requirement; gives the task's id. Raises DemoFailed, ApiError.

    `patience_s` is how long it waits for each step of the writer.
    """
    try:
        document = job.document.decode()
    except UnicodeDecodeError:
        raise DemoFailed(f"{job.file_name} is not UTF-8 text, which a report can be written on") from None
    answer = api.post(
        "/tasks",
        {
            "from": job.mine,
            "to": job.peer,
            "title": f"Report on {job.file_name}",
            "description": "Write an outline with word counts and check the syntax of every link.",
            "requirements": list(REQUIREMENTS),
            "max_revisions": 3,
            "files": [
                {
                    "name": job.file_name,
                    "media": "text/markdown",
                    "data_base64": base64.b64encode(job.document).decode(),
                }
            ],
        },
    )
    task = text(answer, "task_id")
    tell(f"hands over {job.file_name} ({len(job.document):,} bytes) and asks for a report on it")
    if _owner_looks_first(api, job.mine, job.peer):
        tell(f"waits for {job.peer}'s owner, who looks at each task first: taskferry approvals, over there")
    mail = Mail(api, job.mine)

    def wanted(item: JsonObject) -> bool:
        return item.get("task_id") == task and item.get("type") in _WANTED

    while True:
        item = mail.next(wanted, patience_s)
        kind = text(item, "type")
        if kind in ("task_decline", "task_fail"):
            mail.done(item)
            raise DemoFailed(f"the writer would not do it: {_reason(item)}")
        judged = kind == "artifact_submit" and _judge(api, job, task, document, tell)
        mail.done(item)
        if judged:
            return task


def _reason(item: JsonObject) -> str:
    payload = item.get("payload")
    reason = payload.get("reason") if isinstance(payload, dict) else ""
    return str(reason or "it gave no reason").rstrip(".")


def _judge(api: LocalClient, job: Assignment, task: str, document: str, tell: Tell) -> bool:
    """Review the newest version: complete the task, or ask for a revision with the reasons."""
    newest = entries(api.get(f"/tasks/{task}"), "versions")[-1]
    reasons = shortcomings(document, _report_in(newest))
    named = {"version": newest.get("version"), "hash": newest.get("hash")}
    if not reasons:
        api.task_action(task, "complete", {"from": job.mine, "message": "Just what was asked for.", **named})
        tell(
            f"checks version {newest.get('version')}: all {len(REQUIREMENTS)} requirements are met; completes"
        )
        return True
    wanting = "1 thing is" if len(reasons) == 1 else f"{len(reasons)} things are"
    tell(f"checks version {newest.get('version')}: {wanting} wanting; asks for a revision")
    for reason in reasons:
        tell(f"    - {reason}")
    body = {
        "from": job.mine,
        "reason": reasons[0],
        "requested_changes": reasons[1:],
        **named,
    }
    try:
        api.task_action(task, "revision", body)
    except ApiError as error:
        if error.status != _CONFLICT:
            raise
        raise DemoFailed(
            f"no further revision can be asked for ({error.message.rstrip('.')}); "
            f"judge it yourself: taskferry task show {task[:8]}"
        ) from error
    return False


def _report_in(version: JsonObject) -> JsonObject:
    """The report in an artifact; without one, an empty report, in which everything is wanting."""
    for part in entries(version, "parts"):
        if part.get("kind") == "json":
            value = json.loads(text(part, "json"))
            if isinstance(value, dict):
                return value
    return {}
