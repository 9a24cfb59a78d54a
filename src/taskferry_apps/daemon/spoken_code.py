"""A safety code as an owner types it: what cannot be one is a slip of the pen, and no alarm."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from taskferry_protocol.safety import DIGITS, WORDS, typed_code
from taskferry_protocol.words import WORDS as KNOWN

from .port import DaemonRefusal

__all__ = ["refuse_unlike_a_code"]

_AGAIN: Final = "Ask the other owner to read all of it once more."
#: Longer than any word of the list; what is longer is not repeated.
_SHOWN: Final = 24


def refuse_unlike_a_code(typed: str) -> None:
    """Nothing for 24 words of the list, or sixty digits. DaemonRefusal(bad-value) for anything else.

    Two accounts have another code only in such words or digits; so whoever is refused here has been told of
    no impostor.
    """
    parts = typed_code(typed)
    if parts and parts[0].isalpha():
        unknown = next((word for word in parts if word not in KNOWN), None)
        if unknown is not None:
            near = get_close_matches(unknown, KNOWN, 3, 0.6)
            perhaps = f"It may be {' or '.join(near)}. " if near else ""
            raise _unlike(f"{unknown[:_SHOWN]} is not on the list of safety words.", f"{perhaps}{_AGAIN}")
        if len(parts) != WORDS:
            raise _unlike(f"A safety code has {WORDS} words; this has {len(parts)}.", _AGAIN)
        return
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise _unlike(f"A safety code is {WORDS} words, or {DIGITS} digits.", _AGAIN)
    if len(parts) != DIGITS:
        raise _unlike(f"A safety code has {DIGITS} digits; this has {len(parts)}.", _AGAIN)


def _unlike(message: str, next_step: str) -> DaemonRefusal:
    return DaemonRefusal("bad-value", message, next_step, detail={"field": "code"})
