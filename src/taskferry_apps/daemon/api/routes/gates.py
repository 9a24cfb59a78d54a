"""Tasks that wait for the owner: read, let pass, turn away."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.limits import REASON_BYTES

from ...port import DaemonService
from ..answers import Object, sent_object
from ..fields import Form, Text, optional, required
from ..gate_answers import held_object, whole_object
from ..kinds import ID
from ..schemas import OK, many, record, ref
from ..table import Access, Call, Repeat, Route

__all__ = ["ROUTES"]

_TASK: Final = required("id", ID, "The task's id.")
_REASON: Final = optional("reason", Text(REASON_BYTES), "A line to the other side.", "")


async def _list(daemon: DaemonService, call: Call) -> Object:
    return {"tasks": [held_object(held) for held in await daemon.gates.held_tasks(call.known_caller)]}


async def _show(daemon: DaemonService, call: Call) -> Object:
    held, whole = await daemon.gates.held_task(call.known_caller, call.path[_TASK].lower())
    return {"task": held_object(held), "whole": whole_object(whole)}


async def _release(daemon: DaemonService, call: Call) -> Object:
    held = await daemon.gates.release(call.known_caller, call.body[_TASK].lower())
    return {"ok": True, "task": held_object(held)}


async def _turn_away(daemon: DaemonService, call: Call) -> Object:
    task, reason = call.body[_TASK].lower(), call.body[_REASON]
    told = await daemon.gates.turn_away(call.known_caller, task, reason)
    return {**sent_object(told), "task_id": (told.task or b"").hex(), "state": told.state}


ROUTES: Final = (
    Route(
        method="GET",
        path="/gates",
        name="list_held_tasks",
        about="Tasks that wait for the owner before an agent sees them.",
        handler=_list,
        answer=record(tasks=many(ref("HeldTask"))),
        access=Access.OWNER,
    ),
    Route(
        method="GET",
        path="/gates/{id}",
        name="show_held_task",
        about="One of them, every word of it: what its agent will read if it is released.",
        handler=_show,
        answer=record(task=ref("HeldTask"), whole=ref("WholeTask")),
        access=Access.OWNER,
        parameters=Form.of(_TASK),
    ),
    Route(
        method="POST",
        path="/gates/release",
        name="release_task",
        about="Put a task that waits before its agent.",
        handler=_release,
        answer=record(ok=OK, task=ref("HeldTask")),
        access=Access.OWNER,
        body=Form.of(_TASK),
        repeat=Repeat.ONCE,
    ),
    Route(
        method="POST",
        path="/gates/decline",
        name="turn_task_away",
        about="Decline a task that waits; its agent sees nothing of it.",
        handler=_turn_away,
        answer=ref("SentTask"),
        access=Access.OWNER,
        body=Form.of(_TASK, _REASON),
        repeat=Repeat.ONCE,
    ),
)
