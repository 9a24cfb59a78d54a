"""How things look in a terminal: tables, times, states, and peers' text made harmless.

Whatever a peer wrote may hold control characters, terminal escapes or marks that turn text around: none
reaches the terminal. rich is imported when something is drawn, not before.
"""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["ago", "clean", "console", "facts", "short", "state_style", "table"]

#: One colour a state, the same wherever it is shown.
_STYLES: Final = {
    "created": "dim",
    "sent": "cyan",
    "accepted": "blue",
    "working": "blue",
    "submitted": "magenta",
    "resubmitted": "magenta",
    "revision_requested": "yellow",
    "completed": "green",
    "declined": "red",
    "cancelled": "red",
    "expired": "red",
    "failed": "red",
    "queued": "dim",
    "relayed": "cyan",
    "delivered": "green",
    "requested_in": "yellow",
    "requested_out": "cyan",
    "ended": "red",
    "unread": "yellow",
    "read": "cyan",
    "processed": "dim",
}
#: Columns that give way when a table is too wide for the terminal; a name or a state is never broken.
_WRAPPED: Final = frozenset({"about", "name", "note", "parts", "reason", "tagline", "title"})
_TURNING: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean(text: object, *, most: int = 0) -> str:
    """`text` in one line, without anything that acts on a terminal; cut to `most` characters if given."""
    line = "".join(
        " " if character in "\n\r\t" else character if _harmless(character) else "\ufffd"
        for character in str(text)
    )
    return line if not most or len(line) <= most else line[: most - 1] + "…"


def clean_lines(text: object) -> str:
    """`text` with its line breaks, without anything else that acts on a terminal."""
    return "\n".join(clean(line) for line in str(text).splitlines())


def _harmless(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cs", "Co") and character not in _TURNING


def state_style(state: str) -> str:
    """The style of a state's word; "" for one without a colour."""
    return _STYLES.get(state, "")


def short(identifier: object) -> str:
    """The first characters of an id: enough to name it again on this machine."""
    return clean(identifier)[:10]


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


def console() -> Console:
    """A console on standard output: colours on a terminal alone, and lines of 100 columns elsewhere."""
    from rich.console import Console

    width = shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100
    return Console(highlight=False, emoji=False, markup=False, width=width, soft_wrap=False)


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str, state: str = "state") -> None:
    """Print a table for people; column `state` is coloured, `empty` says what to do if there is no row."""
    from rich.table import Table
    from rich.text import Text

    listed = [list(row) for row in rows]
    out = console()
    if not listed:
        out.print(empty)
        return
    drawn = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for header in headers:
        drawn.add_column(header.upper(), overflow="fold", no_wrap=header not in _WRAPPED)
    for row in listed:
        drawn.add_row(
            *(
                Text(cell, state_style(cell.split(" ")[0]) if header == state else "")
                for header, cell in zip(headers, row, strict=True)
            )
        )
    out.print(drawn)


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Print name and value in two columns; empty values are left out."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    drawn.add_column(style="dim", no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, value in pairs:
        if value:
            drawn.add_row(name, Text(value, state_style(value.split(" ")[0]) if name == "state" else ""))
    console().print(drawn)
