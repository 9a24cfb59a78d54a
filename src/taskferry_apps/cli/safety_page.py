"""A safety code as a terminal shows it, in both forms, and as an owner types it in."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from .render import clean, columns
from .text_input import read_text
from .values import texts

__all__ = ["ask_for_code", "code_lines"]

_INDENT = "    "
#: Columns of the longest word of the list, and of the gap after it.
_WORD, _GAP = 8, 2
#: Words in a row: each divides 24, so that all rows are alike.
_ROWS = (6, 4, 3, 2, 1)
_GROUPS = (4, 3, 2, 1)
_GROUP = 5
#: Where the output is no terminal.
_USUAL = 80


def code_lines(peer: Mapping[str, object]) -> tuple[list[str], list[str]]:
    """The rows of the safety words and of the digits of a peer in the API's form."""
    room = (columns() or _USUAL) - len(_INDENT)
    words, groups = list(map(clean, texts(peer, "safety_words"))), clean(peer.get("safety_code")).split()
    return _rows(words, _WORD, _ROWS, room), _rows(groups, _GROUP, _GROUPS, room)


def _rows(cells: list[str], width: int, sizes: tuple[int, ...], room: int) -> list[str]:
    size = next((size for size in sizes if size * (width + _GAP) - _GAP <= room), 1)
    rows = [cells[at : at + size] for at in range(0, len(cells), size)]
    return [_INDENT + (" " * _GAP).join(cell.ljust(width) for cell in row).rstrip() for row in rows]


def ask_for_code(peer: Mapping[str, object]) -> str:
    """What the owner types in for the other's code, in one line or several. Shows this side's before.

    Without a terminal it is all of standard input.
    """
    words, digits = code_lines(peer)
    click.echo("This side's safety words:", err=True)
    for line in words:
        click.echo(line, err=True)
    click.echo("The same as digits:", err=True)
    for line in digits:
        click.echo(line, err=True)
    if not sys.stdin.isatty():
        return read_text("Give the words or digits with --code instead.")
    typed = str(click.prompt("The words (or digits) that the other owner reads", err=True))
    while (more := _missing(typed)) > 0:
        typed += " " + str(click.prompt(f"{more} more", err=True))
    return typed


def _missing(typed: str) -> int:
    """How many words or digits are to come still."""
    from taskferry_protocol.safety import DIGITS, WORDS, typed_code

    parts = typed_code(typed)
    return (WORDS if parts and parts[0].isalpha() else DIGITS) - len(parts)
