"""How many accounts may begin from one network address in an hour, counted in memory."""

from __future__ import annotations

import ipaddress
from typing import Final

from taskferry_protocol.errors import EnvelopeRejected, RejectCode
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import MINUTE_MS
from taskferry_transports.loopback import is_loopback

__all__ = ["SignUpBudget", "customer"]

HOUR_MS: Final = 60 * MINUTE_MS
#: Addresses counted in one hour; once there are more, strangers from further ones wait for the next.
ADDRESSES: Final = 65_536
#: What a provider gives to one customer.
_CUSTOMER_BITS: Final = 64


class SignUpBudget:
    """Counts tries by address; this machine's own programs are not counted.

    A try counts whether or not it comes to an account: folding what a stranger brings is what costs.
    """

    def __init__(self, per_hour: int) -> None:
        self._per_hour = per_hour
        self._hour = 0
        self._tries: dict[str, int] = {}

    def spend(self, peer: str, now: Instant) -> None:
        """One more try. Raises EnvelopeRejected(rate-limited), with the time until the next hour."""
        if is_loopback(peer):
            return
        hour = now // HOUR_MS
        if hour != self._hour:
            self._hour = hour
            self._tries.clear()
        address = customer(peer)
        tries = self._tries.get(address, 0)
        if tries >= self._per_hour or (not tries and len(self._tries) >= ADDRESSES):
            raise EnvelopeRejected(
                RejectCode.RATE_LIMITED,
                "too many new accounts from this address; come back later",
                detail={"retry_after": HOUR_MS - now % HOUR_MS},
            )
        self._tries[address] = tries + 1

    def give_back(self, peer: str, now: Instant) -> None:
        """A try that cost nothing after all; nothing where its hour is over."""
        address = customer(peer)
        if now // HOUR_MS == self._hour and self._tries.get(address, 0):
            self._tries[address] -= 1


def customer(peer: str) -> str:
    """The address as it is counted: of IPv6 only what a provider gives to a customer."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv4Address):
        return peer
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address.packed, _CUSTOMER_BITS), strict=False))
