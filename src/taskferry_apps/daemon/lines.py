"""A line about what was said, for lists."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.messages import Body, RevisionRequest, TaskRequest

__all__ = ["LINE_CHARS", "line_of", "one_line"]

LINE_CHARS: Final = 160
"""As much of a text as a list has room for."""


def one_line(text: str, most: int) -> str:
    """The beginning of a text, at most `most` characters, white space run together."""
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def line_of(body: Body) -> str:
    """The beginning of what a message says; "" where it says nothing in words."""
    match body:
        case TaskRequest():
            said = body.title
        case RevisionRequest():
            said = "; ".join(body.reasons)
        case _:
            texts = (getattr(body, name, "") for name in ("text", "note", "reason"))
            said = next((text for text in texts if isinstance(text, str) and text), "")
    return one_line(said, LINE_CHARS)
