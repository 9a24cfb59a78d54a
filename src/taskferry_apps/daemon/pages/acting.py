"""The buttons of a task's page: each signs one event as the owner's agent, about what the page showed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

import attrs
from quart import Response

from taskferry_protocol.ids import Hash
from taskferry_protocol.limits import PART_TEXT_BYTES, REASON_BYTES, REASONS, TEXT_BYTES
from taskferry_protocol.messages import Part, TextPart

from ..port import DaemonRefusal, TaskAction
from ..views import TaskView
from .desk import Desk, Pressed
from .owner import OWNER
from .page import Page
from .task import find, seen_mark, show_task
from .task_words import sent_words

__all__ = ["PAGES", "lines_of"]

_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_PERCENT: Final = re.compile(r"[0-9]{1,3}", re.ASCII)
_WHOLE: Final = 100
_NOTE: Final = frozenset({"accept", "complete"})
_DONE: Final[Mapping[str, str]] = {
    "accept": "Accepted",
    "decline": "Declined",
    "progress": "Told",
    "submit": "Submitted",
    "revise": "Asked for a revision",
    "complete": "Completed",
    "cancel": "Cancelled",
    "fail": "Given up",
}


async def _act(desk: Desk, task: str) -> Response:
    return await _carry_out(desk, task, await desk.press())


async def _submit(desk: Desk, task: str) -> Response:
    return await _carry_out(desk, task, await desk.press_with_files())


async def _carry_out(desk: Desk, task: str, pressed: Pressed) -> Response:
    view = await find(desk, task)
    try:
        action = _action(view, pressed)
        sent = await desk.daemon.act(OWNER, view.summary.id.hex(), action)
    except DaemonRefusal as refusal:
        # As it stands now, with what was typed.
        now = await find(desk, task)
        return await show_task(desk, pressed.visitor, now, refusal, pressed.form)
    done = sent_words(_DONE[action.kind], sent)
    return desk.done(pressed, done, f"/dashboard/tasks/{view.summary.id.hex()}")


def _action(view: TaskView, pressed: Pressed) -> TaskAction:
    """What the form asks for. Raises DaemonRefusal: bad-value, missing-field, conflict."""
    kind = pressed.form.get("do", "")
    if kind not in _DONE:
        raise DaemonRefusal("bad-value", "There is no such button.", "Load the page again.")
    # A word about progress means the same whatever came meanwhile; everything else may not.
    if kind != "progress" and pressed.form.get("seen") != seen_mark(view):
        raise DaemonRefusal(
            "conflict",
            "The task has changed since that page was loaded, and nothing was done.",
            "Look at it as it is now, then decide again.",
            status=409,
        )
    action = TaskAction(kind, mine=view.summary.mine, text=pressed.text("text", TEXT_BYTES))
    return _MADE.get(kind, _plain)(action, pressed)


def _plain(action: TaskAction, pressed: Pressed) -> TaskAction:
    if action.kind not in _NOTE and not action.text.strip():
        raise _missing("text", "Say why: the other side reads it.")
    return _named(action, pressed) if action.kind == "complete" else action


def _named(action: TaskAction, pressed: Pressed) -> TaskAction:
    """About exactly the version that was shown."""
    version, hash = pressed.form.get("version", ""), pressed.form.get("hash", "")
    if not _NUMBER.fullmatch(version) or not _HASH.fullmatch(hash):
        raise DaemonRefusal("bad-value", "The form names no version of the work.", "Load the page again.")
    return attrs.evolve(action, version=int(version), hash=Hash(bytes.fromhex(hash)))


def _progress(action: TaskAction, pressed: Pressed) -> TaskAction:
    text = pressed.form.get("percent", "").strip()
    if text and (not _PERCENT.fullmatch(text) or int(text) > _WHOLE):
        raise DaemonRefusal(
            "bad-value", "How much is done is a number from 0 to 100.", "Mend it, or leave it empty."
        )
    if not text and not action.text.strip():
        raise _missing("text", "Say how it goes, or how much is done.")
    return attrs.evolve(action, percent=int(text) if text else None)


def _revise(action: TaskAction, pressed: Pressed) -> TaskAction:
    reasons = lines_of(action.text, "reason")
    if not reasons:
        raise _missing("text", "Say what is to be changed, one reason a line.")
    return attrs.evolve(_named(action, pressed), text="", reasons=reasons)


def _work(action: TaskAction, pressed: Pressed) -> TaskAction:
    text = pressed.text("work", PART_TEXT_BYTES)
    written: tuple[Part, ...] = (TextPart(text),) if text.strip() else ()
    if not written and not pressed.files:
        raise _missing("work", "Write the work, or choose files.")
    answers = pressed.form.get("answers", "")
    return attrs.evolve(
        action,
        parts=(*written, *pressed.files),
        # A revision request that came after the page was loaded is not answered by this.
        answers=int(answers) if _NUMBER.fullmatch(answers) else None,
    )


_MADE: Final[Mapping[str, Callable[[TaskAction, Pressed], TaskAction]]] = {
    "progress": _progress,
    "revise": _revise,
    "submit": _work,
}


def lines_of(text: str, what: str) -> tuple[str, ...]:
    """One text a line, empty ones left out. Raises DaemonRefusal(bad-value)."""
    found = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(found) > REASONS or any(len(line.encode()) > REASON_BYTES for line in found):
        raise DaemonRefusal(
            "bad-value",
            f"At most {REASONS} lines, each a {what} of at most {REASON_BYTES} bytes.",
            "Shorten the text, or join some lines.",
        )
    return found


def _missing(field: str, next_step: str) -> DaemonRefusal:
    return DaemonRefusal("missing-field", "Something is missing.", next_step, detail={"field": field})


_RULE: Final = "/dashboard/tasks/<task>"
PAGES: Final = (Page("POST", _RULE, _act), Page("POST", f"{_RULE}/submit", _submit))
