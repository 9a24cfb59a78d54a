"""How often one device may look things up or change them: each is a page that is read, or a write.

Counted over all its sessions, or whoever comes in anew would begin anew.
"""

from __future__ import annotations

from typing import Final

from taskferry_protocol.calls import (
    CallRequest,
    FindAccount,
    GetAccount,
    GetCard,
    GetInvite,
    GetPresence,
    ListConnections,
)
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Detail, Refusal
from taskferry_protocol.ids import DeviceId, Instant
from taskferry_protocol.rates import RateState, take

from .limits import USUAL, RelayLimits
from .lru import Lru

__all__ = ["LookUps"]

HELD: Final = USUAL.senders_held
_READS = (GetAccount, FindAccount, GetInvite, ListConnections, GetCard, GetPresence)


class LookUps:
    """What is left to each device of its calls."""

    def __init__(self, limits: RelayLimits) -> None:
        self._limits = limits
        self._reads: Lru[DeviceId, RateState] = Lru(HELD)
        self._changes: Lru[DeviceId, RateState] = Lru(HELD)

    def count(self, device: DeviceId, request: CallRequest, now: Instant) -> Refusal | None:
        """Count a call; the refusal of one too many."""
        is_read = isinstance(request, _READS)
        rate = self._limits.lookups if is_read else self._limits.changes
        counted = self._reads if is_read else self._changes
        state, wait = take(counted.get(device) or RateState.full(rate, now), rate, now)
        counted.put(device, state)
        if not wait:
            return None
        return Refusal(RejectCode.RATE_LIMITED, Detail(retry_after=wait, text=f"{rate} a minute are allowed"))
