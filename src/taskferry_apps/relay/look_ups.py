"""How often one session may look things up or change them: each is a page that is read, or a write."""

from __future__ import annotations

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
from taskferry_protocol.ids import Instant
from taskferry_protocol.rates import RateState, take

from .limits import RelayLimits

__all__ = ["LookUps"]

_READS = (GetAccount, FindAccount, GetInvite, ListConnections, GetCard, GetPresence)


class LookUps:
    """What is left to one session of its calls."""

    __slots__ = ("_changes", "_limits", "_reads")

    def __init__(self, limits: RelayLimits, now: Instant) -> None:
        self._limits = limits
        self._reads = RateState.full(limits.lookups, now)
        self._changes = RateState.full(limits.changes, now)

    def count(self, request: CallRequest, now: Instant) -> Refusal | None:
        """Count a call; the refusal of one too many."""
        if isinstance(request, _READS):
            rate = self._limits.lookups
            self._reads, wait = take(self._reads, rate, now)
        else:
            rate = self._limits.changes
            self._changes, wait = take(self._changes, rate, now)
        if not wait:
            return None
        return Refusal(RejectCode.RATE_LIMITED, Detail(retry_after=wait, text=f"{rate} a minute are allowed"))
