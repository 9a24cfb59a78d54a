"""The writer agent: takes tasks, writes the reports they ask for, does better when told what is wanting.

It keeps nothing in mind: what a task asks for and how far it is, the daemon knows. So several tasks may be
under way at once, and a writer that was stopped goes on where the last one was.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Final

import attrs

from ..local_client import ApiError, JsonObject, LocalClient
from .report import DRAFT, FULL, Thoroughness, make_report, render_markdown
from .steps import Mail, Tell, entries, text

__all__ = ["serve_tasks"]

_ENDS: Final = frozenset({"task_complete", "task_cancel", "task_expire"})
_REPORT: Final = "report.md"
_CONFLICT: Final = 409
#: The daemon will not take this artifact, however often it is offered.
_UNFIT: Final = frozenset({400, 413})


def serve_tasks(api: LocalClient, agent: str, tell: Tell, most: int | None = None) -> None:
    """Do every task that comes to `agent`, without end; with `most`, until so many have ended.

    Raises ApiError, DaemonUnreachable.
    """
    writer = _Writer(api, agent, tell, most)
    while writer.may_go_on():
        writer.work_on(writer.mail.next(writer.wants, math.inf))


class _Unfit(Exception):
    """A task that this agent cannot do; the text says why."""


@attrs.define
class _Writer:
    api: LocalClient
    agent: str
    tell: Tell
    most: int | None
    mail: Mail = attrs.field(init=False)
    taken: set[str] = attrs.field(factory=set)
    passed_over: set[str] = attrs.field(factory=set)
    """Had ended before this writer came to them."""
    ended: set[str] = attrs.field(factory=set)

    def __attrs_post_init__(self) -> None:
        self.mail = Mail(self.api, self.agent, self._tell_held)

    def _tell_held(self, held: Mapping[str, int]) -> None:
        for peer, count in held.items():
            tasks = "1 task waits" if count == 1 else f"{count} tasks wait"
            self.tell(f"is shown nothing yet: {tasks} for the owner, from {peer}: taskferry approvals")

    def may_go_on(self) -> bool:
        """Whether there may be more to do."""
        return self.most is None or len(self.ended) < self.most

    def wants(self, item: JsonObject) -> bool:
        """A request, and whatever comes about a task that this writer does; the rest is for others."""
        kind, task = item.get("type"), item.get("task_id")
        if not isinstance(task, str):
            return False
        if kind == "task_request":
            return self.most is None or len(self.taken) < self.most
        if kind != "revision_request" and kind not in _ENDS:
            return False
        known = task in self.taken or task in self.passed_over
        return known or (self.most is None and self._is_reported(task))

    def _is_reported(self, task: str) -> bool:
        """Whether a writer before this one did the task."""
        return any(
            part.get("name") == _REPORT
            for version in entries(self.api.get(f"/tasks/{task}"), "versions")
            for part in entries(version, "parts")
        )

    def work_on(self, item: JsonObject) -> None:
        """One step on one task; afterwards the item is processed."""
        task, kind = text(item, "task_id"), text(item, "type")
        try:
            if task in self.passed_over:
                pass
            elif kind in _ENDS:
                self._say(item, f"sees the task end: {kind.removeprefix('task_')}")
                self.ended.add(task)
            elif kind == "task_request":
                self._begin(item, self.api.get(f"/tasks/{task}"))
            else:
                self._revise(item)
        except ApiError as error:
            if error.status != _CONFLICT:
                raise
            self._say(item, f"leaves it as it is: {error.message}")
        self.mail.done(item)

    def _say(self, item: JsonObject, words: str) -> None:
        # With several under way, each line says which it is about.
        self.tell(words if self.most == 1 else f"[{text(item, 'task_id')[:8]}] {words}")

    def _begin(self, item: JsonObject, task: JsonObject) -> None:
        if task.get("final"):
            self._say(item, f"passes over a task that has ended: {task.get('title')}")
            self.passed_over.add(text(task, "task_id"))
            return
        self.taken.add(text(task, "task_id"))
        actions = task.get("actions")
        possible = actions if isinstance(actions, list) else []
        if "accept" in possible:
            self._say(item, f"has a new task: {task.get('title')}")
            try:
                self._document(task)
            except _Unfit as problem:
                self._end(item, "decline", f"Cannot work on this: {problem}.")
                return
            self._act(item, "accept", {"message": "On it."})
            self._say(item, "accepts it")
        elif entries(task, "versions") or "submit" not in possible:
            return
        name, document = self._document(task)
        note = f"Reading {name}: {len(document.split())} words."
        self._act(item, "progress", {"message": note, "percent": 20})
        self._say(item, f"reports progress: {note}")
        self._submit(item, (name, document), DRAFT)

    def _revise(self, item: JsonObject) -> None:
        self.taken.add(text(item, "task_id"))
        task = self.api.get(f"/tasks/{text(item, 'task_id')}")
        payload = item.get("payload")
        reasons = payload.get("reasons") if isinstance(payload, dict) else None
        count = len(reasons) if isinstance(reasons, list) else 0
        said = "the reason" if count == 1 else f"the {count} reasons"
        self._say(item, f"reads {said} for a revision and starts over, thoroughly")
        self._submit(item, self._document(task), FULL)

    def _act(self, item: JsonObject, action: str, body: JsonObject) -> JsonObject:
        return self.api.task_action(text(item, "task_id"), action, {"from": self.agent, **body})

    def _end(self, item: JsonObject, action: str, reason: str) -> None:
        """Decline or fail the task: whoever asked is told why."""
        self._act(item, action, {"reason": reason})
        self._say(item, f"{action}s it: {reason}")
        self.ended.add(text(item, "task_id"))

    def _document(self, task: JsonObject) -> tuple[str, str]:
        """The name and the text of the first file that came with the request."""
        for part in entries(task, "parts"):
            if part.get("kind") == "file":
                raw = self.api.get_bytes(f"/tasks/{text(task, 'task_id')}/artifacts/0/{part.get('part')}")
                try:
                    return text(part, "name"), raw.decode()
                except UnicodeDecodeError as error:
                    raise _Unfit("the attached file is not UTF-8 text") from error
        raise _Unfit("no file is attached")

    def _submit(self, item: JsonObject, source: tuple[str, str], how: Thoroughness) -> None:
        name, document = source
        report = make_report(document, how)
        page = render_markdown(report, name).encode()
        told = f"{len(report.sections)} sections, {len(report.links)} links"
        body: JsonObject = {
            "artifact_type": "json",
            "content": report.to_json(),
            "notes": f"{told}.",
            "files": [
                {
                    "name": _REPORT,
                    "media": "text/markdown",
                    "data_base64": base64.b64encode(page).decode(),
                }
            ],
        }
        try:
            answer = self._act(item, "artifacts", body)
        except ApiError as error:
            if error.status not in _UNFIT:
                raise
            self._end(item, "fail", f"The report cannot be sent: {error.message}")
            return
        self._say(item, f"submits version {answer.get('version')}: {told}")
