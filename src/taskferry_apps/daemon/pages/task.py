"""`/dashboard/tasks/<task>`: one task in full, its files, its proof, and two versions compared."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import attrs
import trio
from quart import Response, request

from taskferry_protocol.messages import BlobPart, FilePart, JsonPart, Part, TextPart

from ...page_kit.words import beginning
from ..downloads import DOWNLOAD_POLICY, attachment, part_of
from ..names import not_found
from ..port import DaemonRefusal
from ..views import TaskEventView, TaskView, VersionView
from .comparing import WORK, Comparison, compare
from .desk import Desk
from .door import Visitor
from .owner import OWNER
from .page import Page
from .task_words import STATES, asked_words, deed_words, effect_words, turn_words

__all__ = ["PAGES", "find", "show_task"]

_ID: Final = re.compile(r"[0-9a-f]{8,64}", re.ASCII)
_ID_CHARS: Final = 64
#: Events and versions of one page; parts and reasons of a version that is not the one shown in full; and
#: characters, as they are shown, without asking for more.
_EVENTS: Final = 40
_VERSIONS: Final = 10
_FEW: Final = 3
_BRIEF_CHARS: Final = 16_000
_REQUIREMENT_CHARS: Final = 600
_PREVIEW_CHARS: Final = 4_000
_PREVIEWS: Final = 3
_READ_CHARS: Final = 60_000
_ROWS: Final = 400
_COMPARED_CHARS: Final = 50_000
_NUMBER: Final = re.compile(r"[0-9]{1,6}", re.ASCII)


@attrs.frozen
class Shown:
    """A part as pages show it; `text` is the beginning of what can be read of it, if that is asked for."""

    name: str
    kind: str
    size: int
    readable: bool
    text: str = ""
    cut: bool = False


@attrs.frozen
class Work:
    """A version as the page shows it: one of them in full, of others the beginning."""

    version: VersionView
    parts: list[Shown]
    reasons: list[str]
    more: int
    """Parts and reasons that are left out."""


@attrs.frozen
class Moment:
    """A line of the timeline, in words."""

    event: TaskEventView
    who: str
    is_ours: bool
    what: str
    effect: str


async def find(desk: Desk, task: str) -> TaskView:
    """The task that a path names. Raises DaemonRefusal(not-found)."""
    if not _ID.fullmatch(task):
        raise not_found("task")
    # The owner looks, and no agent: nothing counts as read.
    return await desk.daemon.task(OWNER, task)


async def _page(desk: Desk, task: str) -> Response:
    visitor = await desk.visit()
    view = await find(desk, task)
    if len(task) < _ID_CHARS:
        return Response("", 303, {"Location": f"/dashboard/tasks/{view.summary.id.hex()}"})
    return await show_task(desk, visitor, view)


async def show_task(
    desk: Desk,
    visitor: Visitor,
    view: TaskView,
    problem: DaemonRefusal | None = None,
    typed: dict[str, str] | None = None,
) -> Response:
    """The page; with what was refused on top, and what was typed still in its form."""
    summary = view.summary
    gates = await desk.daemon.gates.held_tasks(OWNER)
    newest = view.versions[-1] if view.versions else None
    timeline, earlier, later = _timeline(view)
    whole = request.args.get("brief") == "whole"
    brief, brief_left = beginning(view.brief, _BRIEF_CHARS) if not whole else (view.brief, 0)
    work, before = _work(view)
    return await desk.show(
        "task.html",
        visitor,
        status=200 if problem is None else problem.status,
        problem=problem,
        typed=typed or {},
        view=view,
        task=summary,
        base=f"/dashboard/tasks/{summary.id.hex()}",
        turn=turn_words(summary),
        states=STATES,
        is_held=any(held.task == summary.id for held in gates),
        seen=seen_mark(view),
        newest=newest,
        brief=brief,
        brief_left=brief_left,
        requirements=[
            (text, 0) if whole else beginning(text, _REQUIREMENT_CHARS) for text in view.requirements
        ],
        parts_given=[_shown(part, index) for index, part in enumerate(view.parts)],
        work=work,
        before=before,
        is_newest=bool(work) and work[0].version is newest,
        timeline=timeline,
        earlier=earlier,
        later=later,
        requests=[(asked, asked_words(asked)) for asked in view.requests],
        checked=desk.daemon.proofs.last(OWNER, view),
    )


def seen_mark(view: TaskView) -> str:
    """What a button's meaning hangs on; a form carries it, so that it means what its reader saw."""
    return f"{view.summary.state}.{len(view.versions)}.{view.asks}"


def _work(view: TaskView) -> tuple[list[Work], int]:
    """The versions up to the one that the address names, newest first; which is before them, 0 for none."""
    newest = view.versions[-1].version if view.versions else 0
    top = _number("version", newest) or newest
    listed = [version for version in view.versions if version.version <= top]
    asked = _asked_for(view)
    work = [
        _one(version, asked.get(version.version, []), is_read=version is listed[-1])
        for version in reversed(listed[-_VERSIONS:])
    ]
    return work, listed[-_VERSIONS - 1].version if len(listed) > _VERSIONS else 0


def _one(version: VersionView, asked: Sequence[tuple[str, ...]], *, is_read: bool) -> Work:
    parts = version.parts if is_read else version.parts[:_FEW]
    wished = [reason for reasons in asked for reason in reasons]
    reasons = wished if is_read else wished[:_FEW]
    shown = [
        _shown(part, index, _PREVIEW_CHARS if is_read and index < _PREVIEWS else 0)
        for index, part in enumerate(parts)
    ]
    return Work(version, shown, reasons, len(version.parts) + len(wished) - len(parts) - len(reasons))


def _asked_for(view: TaskView) -> dict[int, list[tuple[str, ...]]]:
    """The reasons of revision requests by the version that they name."""
    found: dict[int, list[tuple[str, ...]]] = {}
    for version, reasons in view.revision_requests:
        found.setdefault(version, []).append(reasons)
    return found


def _timeline(view: TaskView) -> tuple[list[Moment], str, str]:
    """The last events, or those that the address asks for; and where earlier and later ones are."""
    summary, base = view.summary, f"/dashboard/tasks/{view.summary.id.hex()}"
    events = [event for event in view.events if event.type != "task_seen"]
    end = min(len(events), _number("until", len(events)))
    start = max(0, end - _EVENTS)
    lines = []
    for event in events[start:end]:
        is_ours = event.side == summary.role
        who = summary.mine if is_ours else summary.peer
        lines.append(Moment(event, who, is_ours, deed_words(event, view), effect_words(event.effect)))
    earlier = f"{base}?until={start}#history" if start else ""
    later = f"{base}?until={min(len(events), end + _EVENTS)}#history" if end < len(events) else ""
    return lines, earlier, later


def _number(name: str, otherwise: int) -> int:
    text = request.args.get(name, "")
    return int(text) if _NUMBER.fullmatch(text) else otherwise


# --- Parts and files


def _text_of(part: Part) -> str | None:
    """What can be read of a part; None where it is no text."""
    match part:
        case TextPart(text=text) | JsonPart(json=text):
            return text
        case FilePart(data=data):
            try:
                text = data.decode("utf-8")
            except UnicodeDecodeError:
                return None
            return None if "\0" in text else text
        case BlobPart():
            return None


def _shown(part: Part, index: int, chars: int = 0) -> Shown:
    text = _text_of(part)
    name = part.name or f"part {index + 1}"
    kind = {TextPart: "text", JsonPart: "JSON", FilePart: "file", BlobPart: "large file"}[type(part)]
    read, left = beginning(text or "", chars) if chars else ("", 0)
    return Shown(name, kind, part.size, text is not None, read, left > 0)


def _parts(view: TaskView, version: int) -> Sequence[Part]:
    if version == 0:
        return view.parts
    found = next((shown for shown in view.versions if shown.version == version), None)
    if found is None:
        raise not_found("version")
    return found.parts


def _place(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise not_found("part")
    return int(text)


async def _artifact(desk: Desk, task: str, version: str, part: str) -> Response:
    await desk.visit()
    view = await find(desk, task)
    number = _place(version)
    name, _, content = part_of(_parts(view, number), number, _place(part))
    return _download(content, name or f"version-{version}-part-{part}")


def _download(content: bytes, name: str, media: str = "application/octet-stream") -> Response:
    """A file to be saved. What a peer calls its type could make a browser show it."""
    response = Response(content, content_type=media)
    response.headers["Content-Disposition"] = attachment(name)
    response.headers["Content-Security-Policy"] = DOWNLOAD_POLICY
    return response


async def _read(desk: Desk, task: str, version: str, part: str) -> Response:
    visitor = await desk.visit()
    view = await find(desk, task)
    number, index = _place(version), _place(part)
    parts = _parts(view, number)
    if index >= len(parts):
        raise not_found("part")
    return await desk.show(
        "task_part.html",
        visitor,
        view=view,
        task=view.summary,
        base=f"/dashboard/tasks/{view.summary.id.hex()}",
        version=number,
        index=index,
        part=_shown(parts[index], index, _READ_CHARS),
    )


# --- Two versions


@attrs.frozen
class _Pair:
    """A part of the newer version, and the one that it is compared with."""

    name: str
    words: str
    old: int | None
    new: int | None
    found: Comparison | None = None


async def _compare(desk: Desk, task: str) -> Response:
    visitor = await desk.visit()
    view = await find(desk, task)
    newest = view.versions[-1].version if view.versions else 0
    new, old = _number("to", newest), _number("from", max(newest - 1, 0))
    pairs = await _pairs(_parts(view, old), _parts(view, new))
    return await desk.show(
        "task_compare.html",
        visitor,
        view=view,
        task=view.summary,
        base=f"/dashboard/tasks/{view.summary.id.hex()}",
        numbers=[version.version for version in view.versions],
        old=old,
        new=new,
        pairs=pairs,
        asked=_asked_for(view).get(old, []) if old else [],
    )


def _partners(old: Sequence[Part], new: Sequence[Part]) -> list[tuple[int | None, int | None]]:
    """The places of parts that are compared: by name, then those that are left in their order."""
    names = {part.name: at for at, part in reversed(list(enumerate(old))) if part.name}
    found = {index: names.pop(part.name) for index, part in enumerate(new) if part.name in names}
    left = [at for at in range(len(old)) if at not in found.values()]
    pairs: list[tuple[int | None, int | None]] = []
    for index in range(len(new)):
        at = found.get(index)
        pairs.append((at if at is not None else left.pop(0) if left else None, index))
    return [*pairs, *((at, None) for at in left)]


async def _pairs(old: Sequence[Part], new: Sequence[Part]) -> list[_Pair]:
    """The parts side by side; all of them together within the page's bounds."""
    pairs: list[_Pair] = []
    rows, chars, work = _ROWS, _COMPARED_CHARS, WORK
    for at, index in _partners(old, new):
        before = old[at] if at is not None else None
        after = new[index] if index is not None else None
        name = _names(before, after, index if index is not None else at)
        if before is None or after is None:
            words = "new in this version" if before is None else "gone in this version"
            pairs.append(_Pair(name, words, at, index))
            continue
        texts = _text_of(before), _text_of(after)
        if texts[0] is None or texts[1] is None:
            words = "the same" if before == after else "no text: it cannot be compared here"
            pairs.append(_Pair(name, words, at, index))
        elif texts[0] != texts[1] and (rows <= 0 or chars <= 0 or work <= 0):
            pairs.append(_Pair(name, "left out here: the page is full", at, index))
        else:
            found = await trio.to_thread.run_sync(compare, texts[0], texts[1], rows, chars, work)
            rows -= len(found.rows) + 1
            chars -= found.chars
            work -= found.work
            pairs.append(_Pair(name, _amount(found), at, index, found))
    return pairs


def _names(old: Part | None, new: Part | None, index: int | None) -> str:
    """What the two are called: both names where they differ."""
    named = list(dict.fromkeys(part.name for part in (old, new) if part is not None and part.name))
    return " and ".join(named) or f"part {(index or 0) + 1}"


def _amount(found: Comparison) -> str:
    if found.same:
        return "the same"
    if not found.rows:
        return ""
    gone, come = found.removed, found.added
    return f"{gone} line{'' if gone == 1 else 's'} gone, {come} come"


# --- Proof


async def _check(desk: Desk, task: str) -> Response:
    pressed = await desk.press()
    checked = await desk.daemon.proofs.check(OWNER, (await find(desk, task)).summary.id.hex())
    words = "All signatures hold." if checked.holds else "Not all of it holds: see below what does not."
    return desk.done(pressed, words, f"/dashboard/tasks/{checked.task.hex()}")


async def _export(desk: Desk, task: str) -> Response:
    # A button and no link: that it was taken is written into the audit log.
    await desk.press()
    view = await find(desk, task)
    content = await desk.daemon.export_task(OWNER, view.summary.id.hex())
    return _download(content, f"task-{view.summary.id.hex()[:12]}.handoff.cbor", "application/cbor")


_RULE: Final = "/dashboard/tasks/<task>"
PAGES: Final = (
    Page("GET", _RULE, _page),
    Page("GET", f"{_RULE}/artifacts/<version>/<part>", _artifact),
    Page("GET", f"{_RULE}/read/<version>/<part>", _read),
    Page("GET", f"{_RULE}/compare", _compare),
    Page("POST", f"{_RULE}/check", _check),
    Page("POST", f"{_RULE}/export", _export),
)
