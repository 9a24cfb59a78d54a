"""How many accounts may begin from one network in an hour, counted in memory."""

from __future__ import annotations

from typing import Final

import attrs

from taskferry_protocol.errors import EnvelopeRejected, RejectCode
from taskferry_protocol.ids import Instant
from taskferry_transports.loopback import is_loopback

from .hourly import HourlyBudget, next_hour_ms
from .networks import networks_of

__all__ = ["Allowance", "SignUpBudget"]

#: A site is an office or a street of households: one neighbour who overdoes it leaves the others a share.
SITE_TIMES: Final = 2
#: A provider has many customers, few of whom sign up in the same hour. Three hundred with the usual sixty:
#: whoever holds a whole provider's network still leaves everybody else most of a relay's mails.
PROVIDER_TIMES: Final = 5


@attrs.frozen
class Allowance:
    """Tries in an hour: of one address (of IPv6 a /64), of a site (/24, /48), of a provider (/16, /32)."""

    customer: int
    site: int
    provider: int

    @classmethod
    def of(cls, customer: int, site: int | None = None, provider: int | None = None) -> Allowance:
        """As many as are said; of the wider networks twice and five times a customer's where nothing is."""
        return cls(
            customer,
            SITE_TIMES * customer if site is None else site,
            PROVIDER_TIMES * customer if provider is None else provider,
        )


class SignUpBudget:
    """Counts tries by address and by the networks around it; this machine's own programs are not counted.

    A try counts whether or not it comes to an account: folding what a stranger brings is what costs. One that
    is refused here counts nowhere, so that nobody uses up the network's tries with those beyond their own.
    """

    def __init__(self, allowance: Allowance) -> None:
        self._customers = HourlyBudget(allowance.customer)
        self._sites = HourlyBudget(allowance.site)
        self._providers = HourlyBudget(allowance.provider)

    def limit(self, allowance: Allowance) -> None:
        """Let so many in from now on; what was counted stands."""
        self._customers.limit(allowance.customer)
        self._sites.limit(allowance.site)
        self._providers.limit(allowance.provider)

    def spend(self, peer: str, now: Instant) -> None:
        """One more try. Raises EnvelopeRejected(rate-limited), with the time until the next hour."""
        if is_loopback(peer):
            return
        networks = networks_of(peer)
        counted = (
            (self._customers, networks.customer, "address"),
            (self._sites, networks.site, "network"),
            (self._providers, networks.provider, "provider's network"),
        )
        for budget, key, what in counted:
            if not budget.has_room(key, now):
                raise EnvelopeRejected(
                    RejectCode.RATE_LIMITED,
                    f"too many new accounts from this {what}; come back later",
                    detail={"retry_after": next_hour_ms(now)},
                )
        for budget, key, _ in counted:
            budget.spend(key, now)
