"""What an agent does on a task: one path an action, all of one kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
import trio

from taskferry_protocol.limits import REASON_BYTES, REASONS, TEXT_BYTES

from ...action_port import AskedView
from ...port import DaemonService, TaskAction
from ..answers import Object, asked_object, sent_object
from ..errors import refusal
from ..fields import Field, Form, Listed, Text, Values, Whole, optional, required
from ..holds import FENCE, RUNTIME, hold_of
from ..kinds import ID, AnyJson, HexHash, MaybeOwnAgent
from ..parts import FILES, PARTS_FIELD, artifact_part, attached
from ..schemas import record, ref
from ..table import BODY_BYTES, BODY_WITH_FILES_BYTES, Call, Handler, Repeat, Route
from .tasks import TASK_ID

__all__ = ["ROUTES"]

_FROM: Final = optional("from", MaybeOwnAgent(), "The agent of yours; by default the task's.", None)
_MESSAGE: Final = optional("message", Text(TEXT_BYTES), "A line to the other side.", "")
_REASON: Final = optional("reason", Text(TEXT_BYTES), "Why.", "")
_PERCENT: Final = optional("percent", Whole(0, 100), "How much is done.", None)
_TYPE: Final = optional(
    "artifact_type", Text(64), "json, file (base64), or a kind of text such as text or markdown.", ""
)
_CONTENT: Final = optional("content", AnyJson(), "A text, or any JSON; of a file its bytes.", None)
_NOTES: Final = optional("notes", Text(TEXT_BYTES), "A note on this version.", "")
_NAME: Final = optional("name", Text(255), "A name for the content; a file needs one.", "")
_ANSWERS: Final = optional(
    "answers", Whole(0, 1000), "How many revision requests this version answers.", None
)
_WHY: Final = optional("reason", Text(REASON_BYTES), "What is wanting.", "")
_CHANGES: Final = optional(
    "requested_changes", Listed(Text(REASON_BYTES, 1), REASONS), "What to change, one by one.", ()
)
_VERSION: Final = optional("version", Whole(1, 2**31), "The version meant; by default the newest.", None)
_HASH: Final = optional("hash", HexHash(), "That version's hash.", None)

_REQUEST: Final = required("request", ID, "The request's id, or at least 8 digits of it.")
_WAIT: Final = optional("wait", Whole(0, 60), "Seconds to wait while it is not answered.", 0)

_Reading = Callable[[Values], TaskAction]


def _act(read: _Reading) -> Handler:
    async def act(daemon: DaemonService, call: Call) -> Object:
        action = attrs.evolve(read(call.body), hold=hold_of(call.body))
        sent = await daemon.act(call.known_caller, call.path[TASK_ID].lower(), action)
        if isinstance(sent, AskedView):
            return {
                "ok": True,
                "passed_on": True,
                "task_id": sent.task.hex(),
                "request": asked_object(sent),
            }
        answer = {
            **sent_object(sent),
            "task_id": call.path[TASK_ID].lower() if sent.task is None else sent.task.hex(),
            "state": sent.state,
        }
        return answer if sent.version is None else {**answer, "version": sent.version}

    return act


def _accept(body: Values) -> TaskAction:
    return TaskAction("accept", body[_FROM], body[_MESSAGE])


def _decline(body: Values) -> TaskAction:
    return TaskAction("decline", body[_FROM], body[_REASON])


def _progress(body: Values) -> TaskAction:
    return TaskAction("progress", body[_FROM], body[_MESSAGE], percent=body[_PERCENT])


def _submit(body: Values) -> TaskAction:
    content = body[_CONTENT]
    first = () if content is None else (artifact_part(body[_TYPE], content, body[_NAME]),)
    parts = (*first, *attached(body[PARTS_FIELD], body[FILES]))
    if not parts:
        raise refusal(
            "missing-field", "A version holds something.", "Give content, parts or files.", field="content"
        )
    return TaskAction("submit", body[_FROM], body[_NOTES], parts=parts, answers=body[_ANSWERS])


def _revise(body: Values) -> TaskAction:
    reasons = tuple(reason for reason in dict.fromkeys((body[_WHY], *body[_CHANGES])) if reason)
    if not reasons:
        raise refusal(
            "missing-field",
            "A revision needs a reason.",
            "Give reason, or requested_changes.",
            field="reason",
        )
    return TaskAction(
        "revise", body[_FROM], reasons=reasons[:REASONS], version=body[_VERSION], hash=body[_HASH]
    )


def _complete(body: Values) -> TaskAction:
    return TaskAction("complete", body[_FROM], body[_MESSAGE], version=body[_VERSION], hash=body[_HASH])


def _cancel(body: Values) -> TaskAction:
    return TaskAction("cancel", body[_FROM], body[_REASON])


def _fail(body: Values) -> TaskAction:
    return TaskAction("fail", body[_FROM], body[_REASON])


def _route(
    word: str, name: str, about: str, read: _Reading, *fields: Field[object], body_bytes: int = BODY_BYTES
) -> Route:
    return Route(
        method="POST",
        path=f"/tasks/{{id}}/{word}",
        name=name,
        about=about,
        handler=_act(read),
        answer=ref("SentTask"),
        later=ref("PassedOn"),
        parameters=Form.of(TASK_ID),
        body=Form.of(_FROM, *fields, RUNTIME, FENCE),
        body_bytes=body_bytes,
        repeat=Repeat.ONCE,
    )


async def _request(daemon: DaemonService, call: Call) -> Object:
    caller, named = call.known_caller, (call.path[TASK_ID].lower(), call.path[_REQUEST].lower())
    asked = await daemon.actions.one(caller, *named, 0)
    if call.query[_WAIT]:
        async with trio.open_nursery() as nursery:

            async def end_on_drain() -> None:
                await call.draining.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(end_on_drain)
            await daemon.actions.one(caller, *named, call.query[_WAIT])
            nursery.cancel_scope.cancel()
        await call.still_known()
        asked = await daemon.actions.one(caller, *named, 0)
    return {"request": asked_object(asked)}


ROUTES: Final = (
    Route(
        method="GET",
        path="/tasks/{id}/requests/{request}",
        name="show_request",
        about="What came of an action that was passed on to another device.",
        handler=_request,
        answer=record(request=ref("Request")),
        parameters=Form.of(TASK_ID, _REQUEST),
        query=Form.of(_WAIT),
    ),
    _route("accept", "accept_task", "Take the task on.", _accept, _MESSAGE),
    _route("decline", "decline_task", "Do not take it on.", _decline, _REASON),
    _route("progress", "report_progress", "Say how it goes.", _progress, _MESSAGE, _PERCENT),
    _route(
        "artifacts",
        "submit_artifact",
        "Submit a version of the work.",
        _submit,
        _TYPE,
        _CONTENT,
        _NOTES,
        _NAME,
        _ANSWERS,
        PARTS_FIELD,
        FILES,
        body_bytes=BODY_WITH_FILES_BYTES,
    ),
    _route(
        "revision", "request_revision", "Ask for a better version.", _revise, _WHY, _CHANGES, _VERSION, _HASH
    ),
    _route(
        "complete",
        "complete_task",
        "Accept a version and end the task.",
        _complete,
        _MESSAGE,
        _VERSION,
        _HASH,
    ),
    _route("cancel", "cancel_task", "Take the task back.", _cancel, _REASON),
    _route("fail", "fail_task", "Give up on it.", _fail, _REASON),
)
