"""How many bytes one task may hold: all of them are read with each event, while nothing else is done."""

from __future__ import annotations

from typing import Final

from .bounds import BOUNDS
from .taskbook import Held

__all__ = ["has_room"]

_BYTES: Final = BOUNDS.task_bytes
_WORD: Final = BOUNDS.task_word_bytes


def has_room(held: Held, size: int) -> bool:
    """Whether an event whose content has `size` bytes still fits; a few words do, and so can end the task."""
    return size <= _WORD or size + sum(len(record.content) for record in held.records.values()) <= _BYTES
