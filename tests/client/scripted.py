"""Plans without a daemon: a script says what comes of each step, and keeps what was asked."""

from __future__ import annotations

import json
from typing import Any

import attrs

from taskferry_apps.client.errors import TaskFerryError
from taskferry_apps.client.plans import Clock, Doing, Pause, Send, Ties, carried_out
from taskferry_apps.client.requests import Answer, Request

__all__ = ["AT", "Script", "a_task", "ok", "refusal"]

AT = "2030-01-01T00:00:00.000Z"
URL = "http://127.0.0.1:4318"


def ok(value: Any) -> Answer:
    """An answer that is well."""
    return Answer(200, json.dumps(value).encode(), URL)


def a_task(**more: object) -> dict[str, object]:
    """A task that was just asked for, as the daemon shows it."""
    event = {
        "n": 1,
        "side": "requester",
        "type": "task_request",
        "hash": "aa",
        "at": AT,
        "effect": "effective",
        "confirmed": True,
        "note": "",
        "delivery": {"rung": "delivered", "at": AT, "code": "", "history": []},
    }
    return {
        **dict.fromkeys(("title", "brief"), ""),
        **dict.fromkeys(("created_at", "updated_at"), AT),
        **dict.fromkeys(("deadline", "budget", "delivery")),
        "requirements": [],
        "parts": [],
        "versions": [],
        "revision_requests": [],
        "waiting": [],
        "actions": [],
        "task_id": "aa",
        "mine": "@a/x",
        "peer": "@b/y",
        "role": "requester",
        "state": "sent",
        "confirmed": True,
        "final": False,
        "asks": 0,
        "revisions": 3,
        "events": [event],
        "mark": "m",
        **more,
    }


def refusal(status: int, code: str, **more: Any) -> Answer:
    """The daemon's refusal."""
    error = {"code": code, "message": "No.", "next": "Mend it.", **more}
    return Answer(status, json.dumps({"ok": False, "error": error}).encode(), URL)


@attrs.define
class Script:
    """Answers in their order; a clock that moves only by pauses and by `slow_s` a request."""

    answers: list[Answer | TaskFerryError]
    slow_s: float = 0.0
    now: float = 0.0
    sent: list[Request[Any]] = attrs.field(factory=list)
    pauses: list[float] = attrs.field(factory=list)

    def play(self, doing: Doing[Any], ties: Ties | None = None) -> Any:
        """The outcome of a plan. Raises what it raises; every answer must be used."""
        plan = carried_out(doing, ties or Ties(30.0))
        try:
            step = next(plan)
            while True:
                try:
                    came = self._did(step)
                except TaskFerryError as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(came)
        except StopIteration as ended:
            assert not self.answers
            return ended.value

    def _did(self, step: object) -> Any:
        match step:
            case Send(request):
                self.now += self.slow_s
                self.sent.append(request)
                answer = self.answers.pop(0)
                if isinstance(answer, TaskFerryError):
                    raise answer
                return answer
            case Pause(seconds):
                self.now += seconds
                self.pauses.append(seconds)
                return None
            case Clock():
                return self.now
        raise AssertionError(step)
