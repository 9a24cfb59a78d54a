"""How often a device, and an account, may look things up or change them: each is a page read, or a write.

Counted over all its sessions, or whoever comes in anew would begin anew.
"""

from __future__ import annotations

from typing import Final, TypeVar

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
from taskferry_protocol.ids import AccountId, DeviceId, Instant
from taskferry_protocol.rates import RateState, take

from .limits import USUAL, RelayLimits
from .lru import Lru

__all__ = ["LookUps"]

K = TypeVar("K", AccountId, DeviceId)

#: Most accounts have fewer devices, and none of the others is kept waiting by one that was stolen.
OF_ACCOUNT: Final = 4
HELD: Final = USUAL.senders_held
_READS = (GetAccount, FindAccount, GetInvite, ListConnections, GetCard, GetPresence)


class LookUps:
    """What is left to each device, and to each account, of its calls."""

    def __init__(self, limits: RelayLimits) -> None:
        self._reads = _Rates(limits.lookups)
        self._changes = _Rates(limits.changes)

    def count(
        self, account: AccountId | None, device: DeviceId, request: CallRequest, now: Instant
    ) -> Refusal | None:
        """Count a call; the refusal of one too many. `account` is None for a visitor, who has none."""
        rates = self._reads if isinstance(request, _READS) else self._changes
        return rates.count(account, device, now)


class _Rates:
    """A rate for each device and one for each account, of which what a device is refused takes nothing."""

    def __init__(self, of_device: int) -> None:
        self._of_device = of_device
        self._of_account = OF_ACCOUNT * of_device
        self._devices: Lru[DeviceId, RateState] = Lru(HELD)
        self._accounts: Lru[AccountId, RateState] = Lru(HELD)

    def count(self, account: AccountId | None, device: DeviceId, now: Instant) -> Refusal | None:
        refusal = _count(self._devices, device, self._of_device, now)
        if refusal is None and account is not None:
            refusal = _count(self._accounts, account, self._of_account, now)
        return refusal


def _count(counted: Lru[K, RateState], key: K, rate: int, now: Instant) -> Refusal | None:
    state, wait = take(counted.get(key) or RateState.full(rate, now), rate, now)
    counted.put(key, state)
    if not wait:
        return None
    return Refusal(RejectCode.RATE_LIMITED, Detail(retry_after=wait, text=f"{rate} a minute are allowed"))
