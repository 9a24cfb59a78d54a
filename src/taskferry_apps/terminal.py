"""How wide a terminal is, and sentences in lines that fit it. Without what takes long to import."""

from __future__ import annotations

import shutil
import textwrap
from typing import TextIO

__all__ = ["columns_of", "fitted_to"]


def columns_of(stream: TextIO) -> int | None:
    """The terminal's columns; None where the stream goes elsewhere, to be searched or cut by programs."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def fitted_to(columns: int | None, text: str, hanging: str = "") -> str:
    """Each line of `text` in lines of so many columns, since a terminal would break words, ids and commands.

    What follows a line's first begins with `hanging`. None: as it is.
    """
    if columns is None:
        return text
    return "\n".join(
        line
        if len(line) <= columns
        else textwrap.fill(
            line, columns, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
        )
        for line in text.split("\n")
    )
