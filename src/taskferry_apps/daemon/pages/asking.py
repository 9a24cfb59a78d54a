"""`/dashboard/tasks/new`: the owner asks a connected agent for work, as one of the owner's agents."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from quart import Response, request

from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS, MINUTE_MS, PARTS, TEXT_BYTES, TITLE_CHARS
from taskferry_protocol.shape import has_controls

from ... import system
from ..port import DaemonRefusal, NewTask
from ..views import ConnectionView
from .acting import lines_of
from .desk import Desk, Pressed
from .door import Visitor
from .owner import OWNER
from .page import Page
from .task_words import sent_words

__all__ = ["PAGES"]

_UNITS: Final = {"m": MINUTE_MS, "h": 60 * MINUTE_MS, "d": DAY_MS}
_LENGTH: Final = re.compile(r"([1-9][0-9]{0,4}) ?(m|h|d)", re.ASCII)
_WHOLE: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_MOST_REVISIONS: Final = 1_000
_FIELDS_BYTES: Final = 100
#: Connections that one form offers; more than that are chosen from on the page of connections.
_OFFERED: Final = 500


async def _form(desk: Desk) -> Response:
    visitor = await desk.visit()
    return await _show(desk, visitor, {"between": request.args.get("between", "")})


async def _show(
    desk: Desk, visitor: Visitor, typed: dict[str, str], problem: DaemonRefusal | None = None
) -> Response:
    connections = await desk.daemon.connections(OWNER, "accepted", "")
    return await desk.show(
        "task_new.html",
        visitor,
        status=200 if problem is None else problem.status,
        problem=problem,
        typed=typed,
        pairs=[(_between(found), found) for found in connections[:_OFFERED]],
        left=max(0, len(connections) - _OFFERED),
        title_chars=TITLE_CHARS,
    )


def _between(connection: ConnectionView) -> str:
    return f"{connection.mine} {connection.peer}"


async def _ask(desk: Desk) -> Response:
    pressed = await desk.press_with_files()
    try:
        sent = await desk.daemon.create_task(OWNER, _task(pressed))
    except DaemonRefusal as refusal:
        return await _show(desk, pressed.visitor, pressed.form, refusal)
    task = sent.task or sent.message
    return desk.done(pressed, sent_words("Asked for", sent), f"/dashboard/tasks/{task.hex()}")


def _task(pressed: Pressed) -> NewTask:
    """What the form asks for. Raises DaemonRefusal: bad-value, missing-field."""
    mine, _, peer = pressed.text("between", _FIELDS_BYTES).partition(" ")
    title = pressed.text("title", 4 * TITLE_CHARS).strip()
    if not mine or not peer:
        raise _bad("between", "Nobody was chosen who is to do it.", "Choose a connection.")
    if not 1 <= len(title) <= TITLE_CHARS or has_controls(title):
        raise _bad("title", f"A title is one line of 1 to {TITLE_CHARS} characters.", "Mend the title.")
    if len(pressed.files) > PARTS:
        raise _bad("files", f"At most {PARTS} files travel with a task.", "Choose fewer.")
    return NewTask(
        mine=mine,
        peer=peer,
        title=title,
        brief=pressed.text("brief", TEXT_BYTES),
        requirements=lines_of(pressed.text("requirements", TEXT_BYTES), "requirement"),
        parts=pressed.files,
        deadline=_moment(pressed.text("deadline", _FIELDS_BYTES).strip()),
        revisions=_whole(pressed, "revisions", 0, _MOST_REVISIONS, 3) or 0,
        budget=_whole(pressed, "budget", 1, 2**31, None),
    )


def _moment(text: str) -> Instant | None:
    """`30m`, `2h`, `3d` from now, or a time with its zone; None where nothing was said."""
    if not text:
        return None
    match = _LENGTH.fullmatch(text)
    if match:
        return Instant(system.now() + int(match[1]) * _UNITS[match[2]])
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return Instant(int(moment.astimezone(UTC).timestamp() * 1000))
    except (ValueError, OverflowError):
        pass
    raise _bad(
        "deadline",
        "A deadline looks like 30m, 2h, 3d or 2026-12-24T18:00:00Z.",
        "Mend it, or leave it empty.",
    )


def _whole(pressed: Pressed, name: str, low: int, high: int, otherwise: int | None) -> int | None:
    text = pressed.form.get(name, "").strip()
    if not text:
        return otherwise
    if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
        raise _bad(name, f"The number of {name} is {low} to {high:,}.", "Mend it, or leave it empty.")
    return int(text)


def _bad(field: str, message: str, next_step: str) -> DaemonRefusal:
    return DaemonRefusal("bad-value", message, next_step, detail={"field": field})


PAGES: Final = (Page("GET", "/dashboard/tasks/new", _form), Page("POST", "/dashboard/tasks/new", _ask))
