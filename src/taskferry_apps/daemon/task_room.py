"""How much one task may hold: all of it is read with each event, while nothing else is done."""

from __future__ import annotations

from typing import Final

from .bounds import BOUNDS
from .taskbook import Held

__all__ = ["has_room", "is_full"]

_BYTES: Final = BOUNDS.task_bytes
_EVENTS: Final = BOUNDS.task_events - BOUNDS.task_events_spare
_WORD: Final = BOUNDS.task_word_bytes


def is_full(held: Held) -> bool:
    """Whether it has so many events that this side signs none any more but what ends it.

    The other side sets aside what comes beyond: the end has to fit, and what was on its way meanwhile.
    """
    return len(held.records) >= _EVENTS


def has_room(held: Held, size: int) -> bool:
    """Whether an event whose content has `size` bytes still fits; a few words do, and so can end the task."""
    return size <= _WORD or size + sum(len(record.content) for record in held.records.values()) <= _BYTES
