"""Facts about the envelopes of one session, and the decisions on them, until something is waited for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.admission import (
    Admission,
    AdmissionFacts,
    Admitted,
    Load,
    Prior,
    RelayConnection,
    admit,
)
from taskferry_protocol.envelope import Envelope, Header, Wrap
from taskferry_protocol.frame_items import Refusal
from taskferry_protocol.ids import AccountId, AgentRef, DeviceId, Instant
from taskferry_protocol.lanes import Lane
from taskferry_protocol.likeness import Like
from taskferry_protocol.messages import MessageClass
from taskferry_protocol.rates import RateState
from taskferry_protocol.records import ContactState, Flow, StoreEnvelope

from .in_force import is_limited

if TYPE_CHECKING:
    from .facts import Facts

__all__ = ["NO_CONTACT", "NO_PRIOR", "Account", "Ends", "Found", "Route", "View"]

_SERVICE: Final = frozenset({MessageClass.RECEIPT, MessageClass.CONNECTION, MessageClass.ACCOUNT})
NO_PRIOR: Final = Prior()
"""Of an envelope that was not looked up, as most are not."""
#: Between two agents who have a grant, contact plays no part.
NO_CONTACT: Final = ContactState()
_NOBODY: Final[frozenset[AccountId]] = frozenset()

Ends = tuple[AgentRef, AgentRef]
"""Who sends, and to whom."""


@attrs.frozen
class Account:
    """An account's folded log, and why its traffic is stopped, if it is."""

    log: AccountLog
    held: str


@attrs.frozen
class Found:
    """The accounts that were looked up, None where there is none, and after how many changes.

    Not all of them need still be held.
    """

    version: int
    accounts: Mapping[AccountId, Account | None]


class Route:
    """One flow: what connects its ends, and what was spent of its rate."""

    __slots__ = ("acquainted", "connection", "contact", "ends", "flow", "is_limited", "rate", "reverse")

    def __init__(self, flow: Flow, connection: RelayConnection | None, acquainted: bool) -> None:
        self.flow = flow
        self.ends = (flow.from_, flow.to)
        self.connection = connection
        self.is_limited = is_limited(connection)
        self.acquainted = acquainted
        self.contact = NO_CONTACT
        self.reverse = NO_CONTACT
        self.rate: RateState | None = None


class View:
    """Facts about envelopes of one session. Most of a batch goes one way, which is looked up once."""

    __slots__ = (
        "_account",
        "_device",
        "_ends",
        "_facts",
        "_found",
        "_gone",
        "_held",
        "_lane",
        "_recipient",
        "_route",
        "_sender",
        "_shares",
        "_suspended",
        "_tried",
        "_usual",
    )

    def __init__(self, facts: Facts, account: AccountId, device: DeviceId, found: Found) -> None:
        self._facts = facts
        self._found = found
        self._account = account
        self._device = device
        self._gone = False
        self._sender = self._find(account)
        self._recipient: Account | None = None
        self._route: Route | None = None
        self._held = self._suspended = _NOBODY
        self._shares: Mapping[DeviceId, Load] = {}
        self._ends: Ends | None = None
        self._lane: Lane | None = None
        self._tried = False
        # Whether the last decision was the lane's.
        self._usual = False

    def decide(
        self, envelope: Envelope, wraps: tuple[Wrap, ...], prior: Prior, now: Instant
    ) -> Admission | None:
        """The decision on one envelope; None if something that `prepare` loaded was dropped meanwhile.

        `now` is the same each time: what was found for one envelope of a way holds for the next.
        """
        header = envelope.header
        self._usual = False
        if self._ends != (header.from_, header.to):
            self._turn(header.from_, header.to)
        known: AdmissionFacts | None = None
        if prior is NO_PRIOR:
            if not self._tried:
                known = self.of(header, prior)
                if known is None:
                    return None
                self._tried, self._lane = True, Lane.of(envelope, wraps, known, now)
            lane, route = self._lane, self._route
            if lane is not None and route is not None:
                admission = lane.admit(envelope, wraps, route.rate)
                if admission is not None:
                    self._usual = True
                    return admission
        known = known or self.of(header, prior)
        return None if known is None else admit(envelope, wraps, known, now=now)

    def carry(self, likes: Sequence[Like]) -> Sequence[StoreEnvelope | Refusal]:
        """The decisions on envelopes like the one asked about last, noted already.

        On as many of the first of them as are of the usual kind; none if that one was not.
        """
        lane, route = self._lane, self._route
        if lane is None or route is None or not self._usual:
            return ()
        decided, rate = lane.carry(likes, route.rate)
        stored = [change for change in decided if isinstance(change, StoreEnvelope)]
        if stored:
            size = sum([len(change.envelope) + len(change.entries[0][1]) for change in stored])
            devices = [device for device, _ in stored[0].entries]
            self._facts._usages.decided_alike(self._account, devices, len(stored), size)
            self._spend(route, rate)
        return decided

    def of(self, header: Header, prior: Prior) -> AdmissionFacts | None:
        """The facts about one envelope; None if something that `prepare` loaded was dropped meanwhile."""
        # Tuples compare by identity first, and the same names are mostly the same objects.
        if self._ends != (header.from_, header.to):
            self._turn(header.from_, header.to)
        sender, recipient, route = self._sender, self._recipient, self._route
        if sender is None or route is None or self._gone:
            return None
        return AdmissionFacts(
            self._account,
            self._device,
            sender.log,
            None if recipient is None else recipient.log,
            self._held,
            route.connection,
            route.acquainted,
            route.contact,
            route.reverse,
            route.rate,
            self._facts._usages.totals,
            prior,
            self._facts._limits,
            self._facts._service.get((header.from_, header.to)) if header.cls in _SERVICE else None,
            self._shares,
            self._suspended,
        )

    def _turn(self, from_: AgentRef, to: AgentRef) -> None:
        facts, sender = self._facts, self._sender
        self._ends = (from_, to)
        self._lane, self._tried = None, False
        self._route = facts._routes.get((from_, to))
        self._recipient = sender if to.account == self._account else self._find(to.account)
        both = (sender, self._recipient)
        self._held = frozenset(a.log.account for a in both if a is not None and a.held) or _NOBODY
        stopped = facts._suspended
        self._suspended = frozenset(a for a in (self._account, to.account) if a in stopped) or _NOBODY
        self._shares = {}
        if self._recipient is not None and to.account != self._account:
            served = self._recipient.log.state.serving(to.name)
            self._shares = facts._usages.shares(self._account, [device.id for device in served])

    def _find(self, account: AccountId) -> Account | None:
        """The account as it is held, or as it was found if nothing has changed since; None for nobody's."""
        held = self._facts._accounts.get(account)
        if held is not None:
            return held
        looked_up = self._found.accounts
        found = looked_up.get(account)
        if account not in looked_up or (found is not None and self._found.version != self._facts._version):
            # It may have been dropped because it changed.
            self._gone = True
        return found

    def note(self, admitted: Admitted) -> None:
        """Count what the envelope asked about last costs and fills; it is committed later."""
        facts, route = self._facts, self._route
        facts._usages.decided(self._account, len(admitted.envelope.raw), admitted.entries)
        if route is None:
            return
        self._spend(route, admitted.rate)
        if admitted.service is not None:
            facts._service.put(route.ends, admitted.service)

    def _spend(self, route: Route, rate: RateState | None) -> None:
        if rate is not None:
            route.rate = rate
            if route.is_limited:
                self._facts._flows.rates[route.flow] = rate
