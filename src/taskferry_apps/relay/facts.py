"""What the relay knows without asking its store each time: bounded caches, filled in batches.

Nothing in here is the truth: all of it is rebuilt from the store, and dropped by the change that touches it.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping
from typing import Final

import attrs

from taskferry_protocol.accounts import AccountLog, refold
from taskferry_protocol.admission import (
    Admission,
    AdmissionFacts,
    Admitted,
    Load,
    MailboxLimits,
    Prior,
    RelayConnection,
    admit,
)
from taskferry_protocol.envelope import Envelope, Header, Wrap
from taskferry_protocol.ids import AccountId, AgentRef, DeviceId, Instant
from taskferry_protocol.lanes import Lane
from taskferry_protocol.messages import MessageClass
from taskferry_protocol.rates import RateState
from taskferry_protocol.records import (
    AccountRecord,
    AgentPair,
    ContactState,
    Flow,
    RateRecord,
    RecordRate,
)
from taskferry_stores.port import RelayStore

from .in_force import connection_for, is_limited
from .limits import USUAL
from .lru import Lru
from .usage import Landing, Usages

__all__ = ["NO_PRIOR", "Account", "Facts", "View"]

STATEMENTS_HELD: Final = USUAL.statements_held_bytes
ROUTES_HELD: Final = USUAL.routes_held
#: What a statement costs in memory beside its bytes, in bytes.
_STATEMENT_COST: Final = 128
_SERVICE: Final = frozenset({MessageClass.RECEIPT, MessageClass.CONNECTION, MessageClass.ACCOUNT})
NO_PRIOR: Final = Prior()
"""Of an envelope that was not looked up, as most are not."""
#: Between two agents who have a grant, contact plays no part.
_NO_CONTACT: Final = ContactState()


@attrs.frozen
class Account:
    """An account's folded log, and why its traffic is stopped, if it is."""

    log: AccountLog
    held: str


class _Route:
    """One flow: what connects its ends, and what was spent of its rate."""

    __slots__ = ("acquainted", "connection", "contact", "ends", "flow", "is_limited", "rate", "reverse")

    def __init__(self, flow: Flow, connection: RelayConnection | None, acquainted: bool) -> None:
        self.flow = flow
        self.ends = (flow.from_, flow.to)
        self.connection = connection
        self.is_limited = is_limited(connection)
        self.acquainted = acquainted
        self.contact = _NO_CONTACT
        self.reverse = _NO_CONTACT
        self.rate: RateState | None = None


_Ends = tuple[AgentRef, AgentRef]


class Facts:
    """The caches of one relay."""

    def __init__(
        self, store: RelayStore, limits: MailboxLimits, suspended: Container[AccountId] = frozenset()
    ) -> None:
        self._store = store
        self._suspended = suspended
        self._limits = limits
        self._accounts: Lru[AccountId, Account] = Lru(STATEMENTS_HELD)
        self._routes: Lru[_Ends, _Route] = Lru(ROUTES_HELD)
        self._usages = Usages(store, limits)
        # Kept beside the routes, which whoever is connected can have read anew. Lost ones were fuller.
        self._service: Lru[_Ends, RateState] = Lru(ROUTES_HELD)
        self._unsaved: dict[Flow, RateState] = {}
        # Rises with every change, so that what was read before one is not taken for what holds after it.
        self._version = 0

    # --- accounts

    async def account(self, account: AccountId) -> Account | None:
        """One account, if the relay knows it."""
        held = self._accounts.get(account)
        if held is None:
            await self._load_accounts({account})
            held = self._accounts.get(account)
        return held

    def is_suspended(self, account: AccountId) -> bool:
        """Whether the operator has stopped the account."""
        return account in self._suspended

    def knows_device(self, account: AccountId, device: DeviceId) -> bool:
        """Whether the account is held folded, and the device is or was one of its."""
        held = self._accounts.get(account)
        return held is not None and device in held.log.state.devices

    async def accounts(self, accounts: Collection[AccountId]) -> dict[AccountId, Account]:
        """Those of the accounts that the relay knows, read together where they are not held."""
        missing = {account for account in accounts if self._accounts.get(account) is None}
        if missing:
            await self._load_accounts(missing)
        held = {account: self._accounts.get(account) for account in accounts}
        return {account: found for account, found in held.items() if found is not None}

    async def _load_accounts(self, accounts: Collection[AccountId]) -> None:
        version = -1
        records: Collection[AccountRecord] = ()
        while version != self._version:
            version = self._version
            records = (await self._store.accounts(accounts)).values()
        for record in records:
            if self._accounts.get(record.account) is None:
                log = refold(record.statements)
                self._hold(record.account, Account(log, record.held))

    def account_changed(self, account: AccountId, log: AccountLog, held: str) -> None:
        """The store holds another log or hold from now on."""
        self._version += 1
        self._hold(account, Account(log, held))

    def _hold(self, id: AccountId, account: Account) -> None:
        # By bytes: a log of the largest statements is a hundred times one of the usual.
        self._accounts.put(id, account, sum([len(raw) + _STATEMENT_COST for raw in account.log.statements]))

    def forget_account(self, account: AccountId) -> None:
        """Read the account anew when it is next needed."""
        self._version += 1
        self._accounts.drop(account)

    # --- what many parcels need

    async def prepare(self, sender: AccountId, headers: Iterable[Header]) -> None:
        """Load whatever deciding on these envelopes needs and is not held, in few queries."""
        accounts: set[AccountId] = set()
        ends: set[_Ends] = set()
        targets: set[AgentRef] = set()
        if self._accounts.get(sender) is None:
            accounts.add(sender)
        last: tuple[AgentRef, AgentRef] | None = None
        for header in headers:
            to = header.to
            if last == (header.from_, to):
                continue
            last = (header.from_, to)
            if to not in targets:
                targets.add(to)
                if self._accounts.get(to.account) is None:
                    accounts.add(to.account)
            pair = (header.from_, to)
            if pair not in ends and self._routes.get(pair) is None:
                ends.add(pair)
        if accounts:
            await self._load_accounts(accounts)
        if ends:
            await self._load_routes(ends)
        await self._load_usage(sender, targets)

    async def _load_routes(self, ends: Collection[_Ends]) -> None:
        version = -1
        routes: list[_Route] = []
        while version != self._version:
            version = self._version
            routes = await self._read_routes(ends)
        for route in routes:
            if self._routes.get(route.ends) is None:
                self._routes.put(route.ends, route)

    async def _read_routes(self, ends: Collection[_Ends]) -> list[_Route]:
        foreign = [Flow(a, b) for a, b in ends if a.account != b.account]
        back = [Flow(flow.to, flow.from_) for flow in foreign]
        if not foreign:
            return [_Route(Flow(a, b), None, acquainted=False) for a, b in ends]
        connections = await self._store.connections(
            {AgentPair.of(flow.from_, flow.to) for flow in foreign if flow.from_.name}
        )
        accounts = {(flow.from_.account, flow.to.account) for flow in foreign if not flow.from_.name}
        linked = await self._store.linked(accounts) if accounts else frozenset()
        contacts = await self._store.contacts({*foreign, *back})
        rates = await self._store.rates(foreign)
        routes = []
        for a, b in ends:
            flow = Flow(a, b)
            known = connections.get(AgentPair.of(a, b), ())
            route = _Route(flow, connection_for(known, b), (a.account, b.account) in linked)
            route.contact = contacts.get(flow, _NO_CONTACT)
            route.reverse = contacts.get(Flow(b, a), _NO_CONTACT)
            saved = rates.get(flow)
            route.rate = None if saved is None else RateState(saved.tokens_milli, saved.at)
            route.rate = self._unsaved.get(flow, route.rate)
            routes.append(route)
        return routes

    async def _load_usage(self, sender: AccountId, targets: Iterable[AgentRef]) -> None:
        devices: set[DeviceId] = set()
        for to in targets:
            account = self._accounts.get(to.account)
            if account is not None:
                devices.update([served.id for served in account.log.state.serving(to.name)])
        own = self._accounts.get(sender)
        await self._usages.load(None if own is None else own.log, devices)

    def view(self, account: AccountId, device: DeviceId) -> View:
        """The facts about one session's envelopes, good until the caller waits for something."""
        return View(self, account, device)

    # --- what decisions and commits change

    def contact_changed(self, flow: Flow, contact: ContactState) -> None:
        """A contact state that is about to be stored."""
        route = self._routes.get((flow.from_, flow.to))
        if route is not None:
            route.contact = contact
        route = self._routes.get((flow.to, flow.from_))
        if route is not None:
            route.reverse = contact

    def unsaved_rates(self) -> list[RecordRate]:
        """The buckets that changed since the last call, to be committed with what they were spent on."""
        changes = [
            RecordRate(flow, RateRecord(rate.tokens_milli, rate.at)) for flow, rate in self._unsaved.items()
        ]
        self._unsaved.clear()
        return changes

    def landed(self, landing: Landing) -> None:
        """A commit ended: what was pending is stored, or came to nothing."""
        self._usages.landed(landing)

    def went_out(self, device: DeviceId) -> None:
        """Less waits for a device."""
        self._usages.went_out(device)

    def forget_between(self, one: AccountId, other: AccountId) -> None:
        """A connection or grant between agents of these accounts changed."""
        self._version += 1
        pair = {one, other}
        self._routes.drop_where([ends for ends in self._routes if {ends[0].account, ends[1].account} == pair])

    def forget_all(self) -> None:
        """A commit came to nothing: whatever was changed in here for it was not."""
        self._version += 1
        self._accounts.clear()
        self._routes.clear()
        self._unsaved.clear()


class View:
    """Facts about envelopes of one session. Most of a batch goes one way, which is looked up once."""

    __slots__ = (
        "_account",
        "_device",
        "_ends",
        "_facts",
        "_held",
        "_lane",
        "_recipient",
        "_route",
        "_sender",
        "_shares",
        "_suspended",
        "_tried",
    )

    def __init__(self, facts: Facts, account: AccountId, device: DeviceId) -> None:
        self._facts = facts
        self._account = account
        self._device = device
        self._sender = facts._accounts.get(account)
        self._recipient: Account | None = None
        self._route: _Route | None = None
        self._held = self._suspended = _NOBODY
        self._shares: Mapping[DeviceId, Load] = {}
        self._ends: _Ends | None = None
        self._lane: Lane | None = None
        self._tried = False

    def decide(
        self, envelope: Envelope, wraps: tuple[Wrap, ...], prior: Prior, now: Instant
    ) -> Admission | None:
        """The decision on one envelope; None if something that `prepare` loaded was dropped meanwhile.

        `now` is the same each time: what was found for one envelope of a way holds for the next.
        """
        header = envelope.header
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
                    return admission
        known = known or self.of(header, prior)
        return None if known is None else admit(envelope, wraps, known, now=now)

    def of(self, header: Header, prior: Prior) -> AdmissionFacts | None:
        """The facts about one envelope; None if something that `prepare` loaded was dropped meanwhile."""
        # Tuples compare by identity first, and the same names are mostly the same objects.
        if self._ends != (header.from_, header.to):
            self._turn(header.from_, header.to)
        sender, recipient, route = self._sender, self._recipient, self._route
        if sender is None or route is None:
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
        self._recipient = sender if to.account == self._account else facts._accounts.get(to.account)
        both = (sender, self._recipient)
        self._held = frozenset(a.log.account for a in both if a is not None and a.held) or _NOBODY
        stopped = facts._suspended
        self._suspended = frozenset(a for a in (self._account, to.account) if a in stopped) or _NOBODY
        self._shares = {}
        if self._recipient is not None and to.account != self._account:
            served = self._recipient.log.state.serving(to.name)
            self._shares = facts._usages.shares(self._account, [device.id for device in served])

    def note(self, admitted: Admitted) -> None:
        """Count what the envelope asked about last costs and fills; it is committed later."""
        facts, route = self._facts, self._route
        facts._usages.decided(self._account, len(admitted.envelope.raw), admitted.entries)
        if route is None:
            return
        if admitted.rate is not None:
            route.rate = admitted.rate
            if route.is_limited:
                facts._unsaved[route.flow] = admitted.rate
        if admitted.service is not None:
            facts._service.put(route.ends, admitted.service)


_NOBODY: Final[frozenset[AccountId]] = frozenset()
