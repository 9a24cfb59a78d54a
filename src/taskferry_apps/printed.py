"""Words, ids and times as plain text for people: harmless in terminals, and in sentences on pages. Pure.

Whatever a peer wrote may hold control characters, terminal escapes or marks that turn text around: none
comes through.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Final

__all__ = ["ago", "clean", "clean_lines", "short"]

#: What acts, breaks lines, turns text around or shows nothing.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
#: What scripts and emoji need between their letters.
_JOINERS: Final = frozenset("\u200c\u200d")


def clean(text: object, *, most: int = 0) -> str:
    """`text` in one line, U+FFFD for what acts on a terminal or shows nothing; cut to `most` columns."""
    line = "".join(
        " " if character in "\n\r\t" else character if _harmless(character) else "\ufffd"
        for character in str(text)
    )
    return line if not most else _fitting(line, most)


def clean_lines(text: object) -> str:
    """`text` with its line breaks, without anything else that acts on a terminal."""
    return "\n".join(clean(line) for line in str(text).splitlines())


def _fitting(line: str, most: int) -> str:
    """`line`, or its beginning and a mark: letters of East Asia take two columns each."""
    ends, width = 0, 0
    for at, character in enumerate(line):
        width += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if width < most:
            ends = at + 1
        elif width > most:
            return line[:ends] + "…"
    return line


def _harmless(character: str) -> bool:
    return unicodedata.category(character) not in _UNSEEN or character in _JOINERS


def short(identifier: object) -> str:
    """The first characters of an id: enough to name it again on this machine."""
    return clean(identifier)[:8]


def ago(time: object, now: datetime | None = None) -> str:
    """`3 min ago`, `in 2 h`; "" for nothing. `time` is the API's RFC 3339 text."""
    if not isinstance(time, str) or not time:
        return ""
    try:
        seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(time)).total_seconds()
    except ValueError:
        return clean(time, most=24)
    amount, future = abs(seconds), seconds < -1
    for size, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if amount >= size:
            # What lies ahead is rounded: a deadline set to two hours is not shown as one.
            words = f"{round(amount / size) if future else int(amount // size)} {unit}"
            return f"in {words}" if future else f"{words} ago"
    return "soon" if future else "just now" if amount < 5 else f"{int(amount)} s ago"
