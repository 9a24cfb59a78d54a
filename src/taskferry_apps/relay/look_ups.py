"""How often one session may look things up: each is a page that is read from the disk."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.calls import CallRequest, FindAccount, GetAccount, GetInvite, ListConnections
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Detail, Refusal
from taskferry_protocol.ids import Instant
from taskferry_protocol.rates import RateState, take

__all__ = ["LOOKUPS", "LookUps"]

#: Accounts, invites and lists of connections that a session may look up in a minute, each a page read from
#: the disk: more than a daemon needs that comes back to a relay and asks after everybody whom it knows.
LOOKUPS: Final = 600


class LookUps:
    """What is left to one session of its look-ups."""

    __slots__ = ("_left",)

    def __init__(self, now: Instant) -> None:
        self._left = RateState.full(LOOKUPS, now)

    def count(self, request: CallRequest, now: Instant) -> Refusal | None:
        """Count a call, if it is a look-up; the refusal of one too many."""
        if not isinstance(request, GetAccount | FindAccount | GetInvite | ListConnections):
            return None
        self._left, wait = take(self._left, LOOKUPS, now)
        if not wait:
            return None
        return Refusal(
            RejectCode.RATE_LIMITED, Detail(retry_after=wait, text=f"{LOOKUPS} a minute are allowed")
        )
