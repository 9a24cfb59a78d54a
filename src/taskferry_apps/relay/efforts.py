"""How long a frame takes to read, told by what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from taskferry_protocol.sessions import ParcelsReceived, RelayEvent

__all__ = ["effort"]

#: A byte for the general reader may be an item of its own, which takes some 1.5 microseconds.
_GENERAL: Final = 8


def effort(frame: bytes, events: Sequence[RelayEvent]) -> int:
    """Bytes of mail for one device that take as long: that has a quick reader, and all else the general."""
    first = events[0] if events else None
    quick = isinstance(first, ParcelsReceived) and isinstance(first.parcels[0], tuple)
    return len(frame) if quick else _GENERAL * len(frame)
