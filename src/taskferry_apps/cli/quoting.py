"""What others wrote, shown so that it can be nothing else: every line behind a bar, and nothing in it unseen.

No text reaches the margin: lines are broken here and not by the terminal, and no character moves the cursor.
What is cut is said outside the bar, in characters, with the command that shows the rest.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final

import click

from ..amounts import counted
from .render import columns

__all__ = ["Quoter", "quoted_rows", "visible"]

_BAR: Final = "  | "
#: Where the output is no terminal; it may be shown on one later.
_USUAL: Final = 80
_LEAST_ROOM: Final = 12
#: Rows of one text, and of all texts of one page, unless everything is asked for.
_ROWS, _ALL_ROWS = 120, 300
#: Categories of what acts, or has no shape of its own.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
#: Characters without a shape that Unicode counts among letters and marks, and what it keeps free for more.
_SHAPELESS: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2065\u2800\u3164\uffa0"
    "\u180b\u180c\u180d\u180e\u180f\ufff0\ufff1\ufff2\ufff3\ufff4\ufff5\ufff6\ufff7\ufff8"
    "\ufe00\ufe01\ufe02\ufe03\ufe04\ufe05\ufe06\ufe07\ufe08\ufe09\ufe0a\ufe0b\ufe0c\ufe0d\ufe0e\ufe0f"
)
_JOINER, _NON_JOINER = "\u200d", "\u200c"
_SELECTORS: Final = frozenset("\ufe0e\ufe0f")
_OF_KEYS: Final = frozenset("#*0123456789")


def visible(text: str) -> tuple[str, int]:
    """`text` with U+FFFD for every character that nobody sees or that acts on a terminal; how many those are.

    A model reads such characters, and a whole letter can be written in them. Line breaks stay, tabs become
    spaces; what shapes an emoji or a letter of the scripts that need it stays where it does that.
    """
    shown: list[str] = []
    hidden = 0
    before = ""
    for line in text.splitlines(keepends=True):
        body = line.rstrip("\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029")
        for character in body:
            if character == "\t":
                shown.append("    ")
            elif _is_seen(character, before):
                shown.append(character)
            else:
                shown.append("\ufffd")
                hidden += 1
            before = character
        if body != line:
            shown.append("\n")
    return "".join(shown), hidden


def _is_seen(character: str, before: str) -> bool:
    if " " <= character <= "~":
        return True
    if character in _SELECTORS:
        return before in _OF_KEYS or (before != "" and unicodedata.category(before) in {"So", "Sm"})
    if character in {_JOINER, _NON_JOINER}:
        kind = unicodedata.category(before) if before else ""
        shapes = kind in {"Lo", "Mn", "Mc"} and before not in _SHAPELESS
        return shapes or (character == _JOINER and (kind in {"So", "Sk"} or before == "\ufe0f"))
    return (
        unicodedata.category(character) not in _UNSEEN
        and character not in _SHAPELESS
        and not 0xE0000 <= ord(character) <= 0xE0FFF
    )


def quoted_rows(text: str, room: int) -> Iterator[tuple[str, int]]:
    """The rows of a visible text, each of at most `room` columns; and how many of its characters it holds."""
    for line in text.split("\n"):
        rest = line
        while True:
            row = _fitting(rest, room)
            rest = rest[len(row) :]
            yield row, len(row) + (not rest)
            if not rest:
                break


def _fitting(line: str, room: int) -> str:
    used = 0
    for at, character in enumerate(line):
        used += _wide(character)
        if used > room:
            space = line.rfind(" ", 0, at)
            return line[: space + 1] if space > 0 else line[: max(1, at)]
    return line


def _wide(character: str) -> int:
    """Columns, where terminals differ the most that one takes."""
    if character <= "~":
        return 1
    wide = unicodedata.east_asian_width(character) in "AFW" or unicodedata.category(character) == "So"
    return 2 if wide else 1


class Quoter:
    """Prints texts of others; `rest` is the command that shows what this one cuts, empty to cut nothing."""

    def __init__(self, rest: str = "") -> None:
        self._rest = rest
        self._left = _ALL_ROWS
        self._room = max(_LEAST_ROOM, (columns() or _USUAL) - len(_BAR) - 1)

    def show(self, name: str, text: object) -> None:
        """A heading of ours, and the text behind its bar; nothing for an empty text."""
        shown, hidden = visible(str(text or ""))
        if not shown:
            return
        click.secho(name, bold=True)
        self._rows(shown)
        if hidden:
            many = "One character here" if hidden == 1 else f"{hidden:,} characters here"
            click.secho(f"  ! {many} cannot be seen; agents read them. Shown as \ufffd.", fg="yellow")

    def _rows(self, text: str) -> None:
        allowed = min(_ROWS, self._left) if self._rest else None
        left = len(text)
        for number, (row, size) in enumerate(quoted_rows(text, self._room)):
            if number == allowed:
                click.secho(
                    f"  Not shown of this: {counted(left, 'more character', 'more characters')}. All of it:",
                    fg="yellow",
                )
                click.secho(f"  {self._rest}", fg="yellow")
                break
            click.echo(f"{_BAR}{row}".rstrip())
            left -= size
        else:
            number += 1
        self._left -= number
