"""The writer agent: takes tasks, writes the reports they ask for, does better when told what is wanting."""

from __future__ import annotations

import base64
import binascii

from ..local_client import JsonObject, LocalClient
from .report import DRAFT, FULL, Thoroughness, make_report, render_markdown
from .steps import DemoFailed, Tell, entries, entry, next_item, text

__all__ = ["serve_one_task"]

_WANTED = frozenset({"task_request", "revision_request", "task_complete", "task_cancel", "task_expire"})


def serve_one_task(api: LocalClient, agent: str, tell: Tell) -> str:
    """Work on the next task for `agent` until it ends; gives the task's id. Raises DemoFailed, ApiError."""
    task, document, name = "", "", ""
    while True:
        item = next_item(api, agent, _WANTED)
        kind = text(item, "type")
        if kind == "task_request" and not task:
            task = text(item, "task_id")
            tell(f"has a new task: {item.get('title')}")
            try:
                name, document = _attached(entry(item, "payload"))
            except DemoFailed as problem:
                api.task_action(
                    task, "decline", {"from": agent, "reason": f"Cannot work on this: {problem}."}
                )
                raise
            api.task_action(task, "accept", {"from": agent, "message": "On it."})
            tell("accepts it")
            note = f"Reading {name}: {len(document.split())} words."
            api.task_action(task, "progress", {"from": agent, "message": note, "percent": 20})
            tell(f"reports progress: {note}")
            _submit(api, agent, task, (name, document), DRAFT, tell)
        elif item.get("task_id") == task and kind == "revision_request":
            reasons = entry(item, "payload").get("reasons")
            count = len(reasons) if isinstance(reasons, list) else 0
            said = "the reason" if count == 1 else f"the {count} reasons"
            tell(f"reads {said} for a revision and starts over, thoroughly")
            _submit(api, agent, task, (name, document), FULL, tell)
        elif item.get("task_id") == task:
            api.post(f"/messages/{text(item, 'id')}/ack", {})
            tell(f"sees the task end: {kind.removeprefix('task_')}")
            return task
        api.post(f"/messages/{text(item, 'id')}/ack", {})


def _attached(payload: JsonObject) -> tuple[str, str]:
    """The name and the text of the first file that came with the request."""
    for part in entries(payload, "parts"):
        if part.get("kind") == "file":
            try:
                raw = base64.b64decode(text(part, "data"), validate=True)
                return text(part, "name"), raw.decode()
            except (binascii.Error, UnicodeDecodeError) as error:
                raise DemoFailed("the attached file is not UTF-8 text") from error
    raise DemoFailed("no file is attached")


def _submit(
    api: LocalClient, agent: str, task: str, source: tuple[str, str], how: Thoroughness, tell: Tell
) -> None:
    name, document = source
    report = make_report(document, how)
    page = render_markdown(report, name).encode()
    answer = api.task_action(
        task,
        "artifacts",
        {
            "from": agent,
            "artifact_type": "json",
            "content": report.to_json(),
            "notes": f"{len(report.sections)} sections, {len(report.links)} links.",
            "files": [
                {
                    "name": "report.md",
                    "media": "text/markdown",
                    "data_base64": base64.b64encode(page).decode(),
                }
            ],
        },
    )
    tell(
        f"submits version {answer.get('version')}: {len(report.sections)} sections, {len(report.links)} links"
    )
