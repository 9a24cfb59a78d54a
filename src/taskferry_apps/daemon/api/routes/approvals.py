"""Questions of agents to their owner: asked, waited for, answered, used."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.gates import ActionClass

from ...gates_port import Question
from ...port import DaemonService
from ..answers import Object
from ..fields import Choice, Form, Text, Whole, optional, required
from ..gate_answers import approval_object
from ..kinds import ID, MaybeOwnAgent, OwnAgent
from ..schemas import OK, many, record, ref
from ..table import Access, Call, Handler, Repeat, Route
from ..waits import while_serving

__all__ = ["ROUTES"]

_CLASSES: Final = tuple(action.value for action in ActionClass)

_FROM: Final = required("from", OwnAgent(), "The agent of yours that asks.")
_CLASS: Final = required("class", Choice(_CLASSES), "What kind of action it is.")
_WHAT: Final = required("what", Text(2_048, 1), "Exactly what is to be done.")
_WHY: Final = optional("why", Text(1_024), "What for.", "")
_TASK: Final = optional("task_id", ID, "The task that it is for.", "")
_LIFETIME: Final = optional("expires_in", Whole(1, 86_400), "Seconds until the question is over.", 3_600)
_ID: Final = required("id", ID, "The question's id.")
_WAIT: Final = optional("wait", Whole(0, 60), "Seconds to wait while it is not answered.", 0)
_AGENT: Final = optional("agent", MaybeOwnAgent(), "Only those of one agent.", None)
_STATE: Final = optional(
    "state",
    Choice(("asked", "approved", "denied", "used", "expired")),
    "Only those in this state.",
    "",
)
_LIMIT: Final = optional("limit", Whole(1, 200), "How many at most.", 50)
_SCOPE: Final = optional(
    "scope", Choice(("once", "task")), "Once, or as often as needed until its task ends.", "once"
)
_ANSWER: Final = optional("answer", Text(1_024), "A line to the agent.", "")


async def _ask(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    question = Question(
        body[_FROM], body[_CLASS], body[_WHAT], body[_WHY], body[_TASK].lower(), body[_LIFETIME]
    )
    return {"ok": True, "approval": approval_object(await daemon.gates.ask(call.known_caller, question))}


async def _list(daemon: DaemonService, call: Call) -> Object:
    query = call.query
    found = await daemon.gates.approvals(call.known_caller, query[_AGENT] or "", query[_STATE], query[_LIMIT])
    return {"approvals": [approval_object(approval) for approval in found]}


async def _show(daemon: DaemonService, call: Call) -> Object:
    named, seconds = call.path[_ID].lower(), call.query[_WAIT]
    if seconds:
        await while_serving(call, lambda: daemon.gates.approval(call.known_caller, named, seconds))
    return {"approval": approval_object(await daemon.gates.approval(call.known_caller, named, 0))}


def _answer(verdict: str) -> Handler:
    async def answer(daemon: DaemonService, call: Call) -> Object:
        scope = call.body[_SCOPE] if verdict == "approved" else "once"
        answered = await daemon.gates.answer(
            call.known_caller, call.path[_ID].lower(), verdict, scope, call.body[_ANSWER]
        )
        return {"ok": True, "approval": approval_object(answered)}

    return answer


async def _use(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    used = await daemon.gates.use(
        call.known_caller, call.path[_ID].lower(), body[_CLASS], body[_WHAT], body[_TASK].lower()
    )
    return {"ok": True, "approval": approval_object(used)}


_ONE: Final = record(ok=OK, approval=ref("Approval"))

ROUTES: Final = (
    Route(
        method="GET",
        path="/approvals",
        name="list_approvals",
        about="What the caller's agents have asked, newest first.",
        handler=_list,
        answer=record(approvals=many(ref("Approval"))),
        query=Form.of(_AGENT, _STATE, _LIMIT),
    ),
    Route(
        method="POST",
        path="/approvals",
        name="ask_approval",
        about="Ask before doing something; what is decided ahead is answered at once.",
        handler=_ask,
        answer=_ONE,
        body=Form.of(_FROM, _CLASS, _WHAT, _WHY, _TASK, _LIFETIME),
        repeat=Repeat.ONCE,
    ),
    Route(
        method="GET",
        path="/approvals/{id}",
        name="show_approval",
        about="One question, once it is answered or the wait is over.",
        handler=_show,
        answer=record(approval=ref("Approval")),
        parameters=Form.of(_ID),
        query=Form.of(_WAIT),
    ),
    Route(
        method="POST",
        path="/approvals/{id}/use",
        name="use_approval",
        about="Take what was approved, for exactly what was asked.",
        handler=_use,
        answer=_ONE,
        parameters=Form.of(_ID),
        body=Form.of(_CLASS, _WHAT, _TASK),
        repeat=Repeat.ONCE,
    ),
    Route(
        method="POST",
        path="/approvals/{id}/approve",
        name="approve",
        about="Allow exactly what is asked.",
        handler=_answer("approved"),
        answer=_ONE,
        access=Access.OWNER,
        parameters=Form.of(_ID),
        body=Form.of(_SCOPE, _ANSWER),
        repeat=Repeat.ONCE,
    ),
    Route(
        method="POST",
        path="/approvals/{id}/deny",
        name="deny",
        about="Forbid what is asked.",
        handler=_answer("denied"),
        answer=_ONE,
        access=Access.OWNER,
        parameters=Form.of(_ID),
        body=Form.of(_ANSWER),
        repeat=Repeat.ONCE,
    ),
)
