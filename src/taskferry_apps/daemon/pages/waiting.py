"""`/dashboard/waiting`: all that waits for the owner's word, and each of it in full before it is given.

What is decided on is what was shown: a question and a task are named by a hash over all of them, what a
breaker holds by one over all that it held.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs
from quart import Response

from taskferry_protocol.ids import fingerprint
from taskferry_protocol.limits import REASON_BYTES
from taskferry_protocol.messages import BlobPart, FilePart, JsonPart, Part, TextPart

from ...page_kit.words import beginning
from ...trust_words import trust_words
from ...visible import visible
from ..downloads import DOWNLOAD_POLICY, attachment, part_of
from ..gate_views import ApprovalView, WholeTask
from .desk import Desk
from .grant_changes import allowed
from .owner import OWNER
from .page import Page
from .typed import chosen, stale, whole_hash, whole_typed

__all__ = ["PAGES"]

_ROOM: Final = "/dashboard/waiting"
_SHOWN: Final = 50
#: Questions carry whole texts.
_QUESTIONS: Final = 20
_MOST_ASKED: Final = 200
#: Longer questions, and tasks that an agent wants to send, are read on their own page before the answer.
_SHORT_CHARS: Final = 600
_ANSWER_BYTES: Final = 1_024
_PARTS: Final = 32
_PREVIEW_CHARS: Final = 1_200


async def _room(desk: Desk) -> Response:
    visitor, gates = await desk.visit(), desk.daemon.gates
    questions = (await gates.approvals(OWNER, "", "asked", _MOST_ASKED))[::-1]
    status = await desk.status()
    return await desk.show(
        "waiting.html",
        visitor,
        questions=questions[:_QUESTIONS],
        more_questions=len(questions) - _QUESTIONS,
        requests=await gates.requests(OWNER, _SHOWN),
        tasks=await gates.held_tasks(OWNER, _SHOWN),
        stops=await gates.stops_counted(OWNER, _SHOWN),
        identities=status.changed,
        alarms=await desk.daemon.alarms.alarms(OWNER) if status.alarms else (),
        is_short=_is_short,
        answer_bytes=_ANSWER_BYTES,
        trust_words=trust_words,
    )


def _is_short(question: ApprovalView) -> bool:
    """Whether all of a question stands in the list: no task is attached, and it is not long."""
    length = len(visible(question.what)) + len(visible(question.why))
    return question.action != "delegation" and length <= _SHORT_CHARS


async def _dismiss(desk: Desk, id: str) -> Response:
    pressed = await desk.press()
    alarm = whole_hash(id, "alarm; it was dismissed, or raised again since,")
    await desk.daemon.alarms.dismiss(OWNER, alarm.hex())
    return desk.done(pressed, "Dismissed. If it happens again, you are told again.", _ROOM)


# --- A task that came ---------------------------------------------------------------------------------------


async def _task(desk: Desk, id: str) -> Response:
    visitor = await desk.visit()
    held, whole = await desk.daemon.gates.held_task(OWNER, whole_hash(id, "task that waits").hex())
    return await desk.show(
        "held_task.html",
        visitor,
        held=held,
        reason_bytes=REASON_BYTES,
        files=f"{_ROOM}/tasks/{whole.hash.hex()}/parts",
        **_shown(whole, held.peer, held.mine, "given"),
    )


async def _decide_task(desk: Desk, id: str) -> Response:
    pressed = await desk.press()
    task = whole_hash(id, "task that waits").hex()
    do = chosen(pressed.form, "do", ("release", "turn-away"))
    if do == "turn-away":
        await desk.daemon.gates.turn_away(OWNER, task, pressed.text("reason", REASON_BYTES))
        return desk.done(pressed, "Declined. Your agent saw nothing of it.", _ROOM)
    held, whole = await desk.daemon.gates.held_task(OWNER, task)
    if pressed.form.get("trust") != whole.trust:
        raise stale(f"How far {held.peer} is trusted")
    await desk.daemon.gates.release(OWNER, task)
    return desk.done(pressed, f"{held.mine} has the task now.", _ROOM)


async def _task_part(desk: Desk, id: str, number: str) -> Response:
    await desk.visit()
    _, whole = await desk.daemon.gates.held_task(OWNER, whole_hash(id, "task that waits").hex())
    name, _, content = part_of(whole.parts, 0, whole_typed(number, _PARTS, "part") - 1)
    return _download(name, content)


def _download(name: str, content: bytes) -> Response:
    response = Response(content, content_type="application/octet-stream")
    response.headers["Content-Disposition"] = attachment(name)
    response.headers["Content-Security-Policy"] = DOWNLOAD_POLICY
    return response


def _shown(whole: WholeTask, sender: str, receiver: str, way: str) -> dict[str, Any]:
    """What the pages about a whole task show of it."""
    connection = whole.connection
    grant = getattr(connection, way) if connection is not None else None
    ours = sender.partition("/")[0] == receiver.partition("/")[0]
    decides = "you" if way == "given" else "its owner"
    return {
        "whole": whole,
        "fingerprint": fingerprint(whole.account),
        "trust": "another agent of yours" if ours else trust_words(whole.trust),
        "agreed": [] if ours or connection is None else allowed(grant, sender, receiver, decides),
        "is_cut_off": connection is None and not ours,
        "attached": [_part(part) for part in whole.parts],
        "unseen": _unseen(whole.title, whole.brief, *whole.requirements, *_read(whole.parts)),
    }


@attrs.frozen
class _Part:
    """A part as it is shown; `text`, its beginning, of texts and JSON, the rest of files."""

    kind: str
    name: str
    size: int
    text: str | None = None
    is_cut: bool = False
    media: str = ""
    sha256: str = ""


def _text_of(part: Part) -> str | None:
    match part:
        case TextPart(text=text) | JsonPart(json=text):
            return text
    return None


def _read(parts: Sequence[Part]) -> list[str]:
    """What an agent reads of parts: names and texts."""
    return [text for part in parts for text in (part.name, _text_of(part) or "")]


def _part(part: Part) -> _Part:
    match part:
        case TextPart() | JsonPart():
            kind = "text" if isinstance(part, TextPart) else "JSON"
            text, left = beginning(_text_of(part) or "", _PREVIEW_CHARS)
            return _Part(kind, part.name, part.size, text, left > 0)
        case FilePart() | BlobPart():
            kind = "file" if isinstance(part, FilePart) else "large file"
            return _Part(kind, part.name, part.size, media=part.media, sha256=part.sha256.hex())


def _unseen(*texts: str) -> int:
    """How many characters nobody sees, though an agent reads them."""
    return sum(
        1
        for text in texts
        if visible(text) != text
        for character in text.replace("\r\n", "\n")
        if visible(character) != character
    )


# --- A question of an agent ---------------------------------------------------------------------------------


async def _question(desk: Desk, id: str) -> Response:
    visitor = await desk.visit()
    named = whole_hash(id, "question").hex()
    question = await desk.daemon.gates.approval(OWNER, named, 0)
    whole = await desk.daemon.gates.proposed(OWNER, named)
    more = _shown(whole, question.agent, whole.peer, "received") if whole is not None else {"whole": None}
    return await desk.show(
        "question.html",
        visitor,
        question=question,
        answer_bytes=_ANSWER_BYTES,
        files=f"{_ROOM}/questions/{named}/parts",
        unseen_words=_unseen(question.what, question.why),
        **more,
    )


async def _answer(desk: Desk, id: str) -> Response:
    pressed = await desk.press()
    named = whole_hash(id, "question").hex()
    do = chosen(pressed.form, "do", ("once", "for-task", "deny"))
    text = pressed.text("answer", _ANSWER_BYTES)
    whole = await desk.daemon.gates.proposed(OWNER, named)
    shown = whole.hash.hex() if whole is not None else ""
    if do != "deny" and pressed.form.get("sha256", "") != shown:
        raise stale("What your agent wants to send")
    verdict, scope = "denied" if do == "deny" else "approved", "task" if do == "for-task" else "once"
    answered = await desk.daemon.gates.answer(OWNER, named, verdict, scope, text)
    told = {
        "once": f"Allowed, once. {answered.agent} is told.",
        "for-task": f"Allowed until its task ends. {answered.agent} is told.",
        "deny": f"Forbidden. {answered.agent} is told.",
    }
    return desk.done(pressed, told[do], _ROOM)


async def _question_part(desk: Desk, id: str, number: str) -> Response:
    await desk.visit()
    part = whole_typed(number, _PARTS, "part") - 1
    return _download(*await desk.daemon.gates.proposed_part(OWNER, whole_hash(id, "question").hex(), part))


# --- What a breaker holds -----------------------------------------------------------------------------------


async def _stop(desk: Desk, id: str) -> Response:
    visitor = await desk.visit()
    stop = await desk.daemon.gates.stop(OWNER, whole_hash(id, "stop").hex())
    return await desk.show("stop.html", visitor, stop=stop)


async def _decide_stop(desk: Desk, id: str) -> Response:
    pressed = await desk.press()
    named = whole_hash(id, "stop").hex()
    do = chosen(pressed.form, "do", ("release", "drop"))
    seen = whole_hash(pressed.form.get("seen", ""), "state of what is held")
    if do == "release":
        stop = await desk.daemon.gates.release_stop(OWNER, named, seen)
        return desk.done(pressed, f"{stop.mine} has what was held now, and they may go on.", _ROOM)
    stop = await desk.daemon.gates.drop_stop(OWNER, named, seen)
    return desk.done(pressed, f"Dropped. {stop.mine} and {stop.peer} may go on talking.", _ROOM)


PAGES: Final = (
    Page("GET", _ROOM, _room),
    Page("POST", f"{_ROOM}/alarms/<id>", _dismiss),
    Page("GET", f"{_ROOM}/tasks/<id>", _task),
    Page("POST", f"{_ROOM}/tasks/<id>", _decide_task),
    Page("GET", f"{_ROOM}/tasks/<id>/parts/<number>", _task_part),
    Page("GET", f"{_ROOM}/questions/<id>", _question),
    Page("POST", f"{_ROOM}/questions/<id>", _answer),
    Page("GET", f"{_ROOM}/questions/<id>/parts/<number>", _question_part),
    Page("GET", f"{_ROOM}/stops/<id>", _stop),
    Page("POST", f"{_ROOM}/stops/<id>", _decide_stop),
)
