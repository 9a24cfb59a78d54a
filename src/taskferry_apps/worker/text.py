"""What commands and peers wrote, made harmless for a reason or a line; and set apart as data for a model."""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["fenced", "harmless", "tail"]

_TURNING: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def harmless(text: str) -> str:
    """`text` with line breaks and tabs, and without what acts on a terminal or turns text around."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(
        letter
        if letter in "\n\t"
        or (unicodedata.category(letter) not in ("Cc", "Cs", "Co") and letter not in _TURNING)
        else "\ufffd"
        for letter in text
    )


def tail(data: bytes, most: int) -> str:
    """The last lines of a command's output, of `most` characters together at most; harmless."""
    lines: list[str] = []
    left = most
    for line in reversed(harmless(data.decode(errors="replace")).strip().split("\n")):
        if len(line) > left:
            if not lines:
                lines.append("…" + line[-left:])
            break
        lines.append(line)
        left -= len(line) + 1
    return "\n".join(reversed(lines)).strip()


def fenced(text: str) -> str:
    """`text` between two lines that it does not hold itself, so that it cannot pretend to have ended."""
    marks = max(3, _longest_run(text) + 1)
    return f"{'`' * marks}text\n{text}\n{'`' * marks}"


def _longest_run(text: str) -> int:
    longest = run = 0
    for letter in text:
        run = run + 1 if letter == "`" else 0
        longest = max(longest, run)
    return longest
