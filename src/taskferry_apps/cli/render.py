"""How things look in a terminal: tables, times, states, and peers' text made harmless.

Whatever a peer wrote may hold control characters, terminal escapes or marks that turn text around: none
reaches the terminal.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import click
from rich.cells import cell_len

from ..printed import ago, clean, clean_lines, short
from ..terminal import columns_of, fitted_to

__all__ = [
    "ago",
    "clean",
    "clean_lines",
    "columns",
    "facts",
    "fitted",
    "sentence_lines",
    "short",
    "table",
    "table_lines",
]

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
    "held": "yellow",
    "suspended": "red",
    "unread": "yellow",
    "read": "cyan",
    "processed": "dim",
    "verified": "green",
    "pinned": "cyan",
    "unverified": "yellow",
    "changed": "red",
}
#: Columns of longer text: they give way first when a table is too wide for the terminal.
_YIELDING: Final = frozenset({"about", "name", "note", "parts", "reason", "tagline", "title"})
#: Columns of a sentence, where the terminal has as many.
_READABLE: Final = 98


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str, state: str = "state") -> None:
    """Print a table for people; column `state` is coloured, `empty` says what to do if there is no row."""
    listed = [list(row) for row in rows]
    if not listed:
        click.echo(empty)
        return
    for line in table_lines(headers, listed, columns(), state=state):
        click.echo(line)


def table_lines(
    headers: Sequence[str], rows: Sequence[Sequence[str]], width: int | None, *, state: str = "state"
) -> Iterator[str]:
    """The lines of a table that fits into `width` columns; None: each row in one line, however long.

    Where it is too wide, columns go beneath their row, each with its name: longer texts first, then the last
    ones; as many share a line as fit there. No cell is broken, for ids and names are there to be copied, but
    one that has several of them, between them.
    """
    widths = [
        max(cell_len(header), *(cell_len(row[at]) for row in rows)) for at, header in enumerate(headers)
    ]
    beside = list(range(len(headers)))
    yielding = [at for at in beside if headers[at] in _YIELDING]
    yielding += [at for at in reversed(beside) if at not in yielding]
    while width is not None and len(beside) > 1 and _joined(widths, beside) > width:
        beside.remove(yielding.pop(0))
    # The longer texts last, where they have a line of their own.
    beneath = sorted(
        (at for at in range(len(headers)) if at not in beside), key=lambda at: headers[at] in _YIELDING
    )

    def line(cells: Sequence[str], style: Callable[[int, str], str]) -> str:
        padding = ("" if at == beside[-1] else " " * (widths[at] + 2 - cell_len(cells[at])) for at in beside)
        return "".join(
            style(at, cells[at]) + blank for at, blank in zip(beside, padding, strict=True)
        ).rstrip()

    yield line([header.upper() for header in headers], lambda _, cell: click.style(cell, bold=True))
    for row in rows:
        yield line(row, lambda at, cell: _coloured(cell) if headers[at] == state else cell)
        yield from _packed([(headers[at], row[at]) for at in beneath if row[at]], width)


def _packed(named: Sequence[tuple[str, str]], width: int | None) -> Iterator[str]:
    """Cells with their names, in lines of `width` columns."""
    line, used = "", 0
    for name, cell in named:
        size = cell_len(name) + 2 + cell_len(cell)
        if line and width is not None and used + 3 + size > width:
            yield line
            line = ""
        line, used = (f"{line}   ", used + 3) if line else ("    ", 4)
        first, *others = _broken(cell, width, used + len(name) + 2)
        line += f"{click.style(f'{name}:', dim=True)} {first}"
        used += size
        for further in others:
            yield line
            line, used = f"      {further}", 6 + cell_len(further)
    if line:
        yield line


def _broken(cell: str, width: int | None, used: int) -> list[str]:
    """A cell in lines: one with several of a thing, where it fits into none, is broken between them."""
    if width is None or used + cell_len(cell) <= width or ", " not in cell:
        return [cell]
    blanks = " " * (used - 6)
    wrapped = textwrap.wrap(
        blanks + cell, width - 6, drop_whitespace=False, break_long_words=False, break_on_hyphens=False
    )
    return [line.strip() for line in wrapped if line.strip()] or [cell]


def sentence_lines(sentence: str, indent: str) -> list[str]:
    """A sentence, indented, in lines that fit the terminal, and elsewhere in lines that people can read.

    No line ends at a no-break space, so that a command stays in one piece; it is shown as a space.
    """
    width = min(_READABLE, columns() or _READABLE)
    lines = textwrap.wrap(
        sentence, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False
    )
    return [line.replace("\xa0", " ") for line in lines]


def fitted(text: str, hanging: str = "") -> str:
    """`text` in lines that fit the terminal, further ones after `hanging`; elsewhere as it is."""
    return fitted_to(columns(), text, hanging)


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Print name and value in two columns; empty values are left out."""
    told = [(name, value) for name, value in pairs if value]
    margin = max((len(name) for name, _ in told), default=0) + 2
    width = columns()
    for name, value in told:
        room = max(24, width - margin) if width is not None else len(value) + 1
        first, *others = textwrap.wrap(value, room, break_long_words=False, break_on_hyphens=False) or [""]
        shown = _coloured(first) if name == "state" else first
        click.echo(click.style(name, dim=True) + " " * (margin - len(name)) + shown)
        for further in others:
            click.echo(" " * margin + further)


def columns() -> int | None:
    """The columns of the terminal that standard output is; None where it goes elsewhere."""
    return columns_of(sys.stdout)


def _joined(widths: Sequence[int], columns: Sequence[int]) -> int:
    return sum(widths[at] for at in columns) + 2 * (len(columns) - 1)


def _coloured(state: str) -> str:
    """A state's word in its colour; as it is if it has none."""
    style = _STYLES.get(state.split(" ", maxsplit=1)[0])
    if style is None:
        return state
    return click.style(state, dim=True) if style == "dim" else click.style(state, fg=style)
