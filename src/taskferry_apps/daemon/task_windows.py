"""How much of a long task one look shows: its newest events and versions, and earlier ones page by page.

Events are in the order in which they count, and a page ends before the one that its cursor names: what comes
meanwhile, wherever it falls, moves none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import attrs

from taskferry_protocol.ids import Hash
from taskferry_protocol.messages import Content, RevisionRequest
from taskferry_protocol.task_view import Version
from taskferry_protocol.tasks import Taken

from .bounds import BOUNDS
from .port import DaemonRefusal
from .taskbook import Held
from .views import TaskWindow

__all__ = ["Chosen", "choose", "note_of"]

_NOTES: Final = BOUNDS.notes_bytes_shown
_VERSION_BYTES: Final = BOUNDS.versions_bytes_shown

T = TypeVar("T")


@attrs.frozen
class Chosen:
    """What is shown of a task, oldest first; a cursor is "" where nothing came before."""

    lines: Sequence[Taken]
    versions: Sequence[Version]
    revisions: Sequence[Hash]
    """Revision requests that name those versions."""
    events_cursor: str = ""
    versions_cursor: str = ""


def choose(held: Held, window: TaskWindow | None) -> Chosen:
    """What a window shows, None all of it. Raises DaemonRefusal(bad-value) for a cursor of another list."""
    view = held.view
    if window is None:
        return Chosen(view.taken, view.versions, view.revisions)
    lines, events_cursor, _ = _page(
        view.taken,
        window.events,
        window.events_cursor,
        _NOTES,
        hash_of=lambda line: line.event.hash,
        size_of=lambda line: len(note_of(held.contents[line.event.hash]).encode()),
    )
    versions, versions_cursor, after = _page(
        view.versions,
        window.versions,
        window.versions_cursor,
        _VERSION_BYTES,
        hash_of=lambda version: version.hash,
        size_of=lambda version: len(held.records[version.hash].content),
    )
    lowest = versions[0].number if versions and versions_cursor else 0
    named = [
        hash
        for hash in view.revisions
        if isinstance((body := held.contents[hash].body), RevisionRequest)
        and body.version >= lowest
        and (after is None or body.version < after.number)
    ]
    return Chosen(lines, versions, named if window.versions else (), events_cursor, versions_cursor)


def _page(
    items: Sequence[T],
    most: int,
    cursor: str,
    most_bytes: int,
    *,
    hash_of: Callable[[T], Hash],
    size_of: Callable[[T], int],
) -> tuple[Sequence[T], str, T | None]:
    """The last items before a cursor; where to go on; and the item that the cursor names."""
    end = len(items)
    if cursor:
        end = next((n for n, item in enumerate(items) if hash_of(item).hex() == cursor), -1)
        if end < 0:
            raise DaemonRefusal(
                "bad-value",
                "That is no cursor of this task.",
                "Begin without one.",
                detail={"field": "cursor"},
            )
    start, size = end, 0
    while start > 0 and end - start < most:
        size += size_of(items[start - 1])
        if size > most_bytes and start < end:
            break
        start -= 1
    following = hash_of(items[start]).hex() if 0 < start < end else ""
    return items[start:end], following, items[end] if cursor else None


def note_of(content: Content) -> str:
    """What was said with an event, beside its parts."""
    members = content.body.to_cbor()
    for key in ("note", "reason"):
        text = members.get(key)
        if isinstance(text, str) and text:
            return text
    if isinstance(content.body, RevisionRequest):
        return "; ".join(content.body.reasons)
    return ""
