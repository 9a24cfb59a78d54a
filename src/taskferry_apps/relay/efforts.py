"""How long a frame takes to read, told by what came of it; and slow ones one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from taskferry_protocol.accounts import Steps
from taskferry_protocol.ids import Instant
from taskferry_protocol.sessions import ParcelsReceived, RelayEvent, RelaySession, Step

from .folding import Turns

__all__ = ["SLOW_BYTES", "effort", "is_slow", "receive"]

#: A byte for the general reader may be an item of its own, which takes some 1.5 microseconds.
_GENERAL: Final = 8
#: So much of mail for one device is read together; what counts as much takes the general reader some 12 ms.
SLOW_BYTES: Final = 65_536


def effort(frame: bytes, events: Sequence[RelayEvent]) -> int:
    """Bytes of mail for one device that take as long: that has a quick reader, and all else the general."""
    first = events[0] if events else None
    quick = isinstance(first, ParcelsReceived) and isinstance(first.parcels[0], tuple)
    return len(frame) if quick else _GENERAL * len(frame)


def is_slow(frame: bytes, cost: int) -> bool:
    """Whether the general reader took long for it."""
    return len(frame) < cost >= SLOW_BYTES


async def receive(
    session: RelaySession, frame: bytes, now: Callable[[], Instant], turns: Turns, slow: bool
) -> Step[RelayEvent]:
    """Take a frame; a large one of a link that has sent `slow` ones, when it is its turn.

    There is one in each round of the loop: however many links send them, everybody else waits for one.
    """
    if slow and len(frame) * _GENERAL >= SLOW_BYTES:
        return await turns.work(_receiving(session, frame, now))
    return session.receive(frame, now=now())


def _receiving(session: RelaySession, frame: bytes, now: Callable[[], Instant]) -> Steps[Step[RelayEvent]]:
    yield from ()
    return session.receive(frame, now=now())
