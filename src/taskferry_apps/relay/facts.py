"""What the relay knows without asking its store each time: bounded caches, filled in batches.

Nothing in here is the truth: all of it is rebuilt from the store, and dropped by the change that touches it.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Sequence
from typing import Final

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.admission import (
    MailboxLimits,
)
from taskferry_protocol.envelope import Header
from taskferry_protocol.ids import AccountId, AgentRef, DeviceId
from taskferry_protocol.rates import RateState
from taskferry_protocol.records import (
    AgentPair,
    ContactState,
    Flow,
    RecordContact,
    RecordRate,
)
from taskferry_stores.port import RelayStore

from .account_reads import AccountReads
from .flow_states import FlowStates
from .folding import Turns
from .held_accounts import HeldAccounts
from .in_force import connection_for
from .limits import USUAL
from .lru import Lru
from .reading import STRANGERS, Reader, Reads
from .routes import Routes
from .usage import Landing, Usages
from .view import NO_CONTACT, Account, Ends, Route, View

__all__ = ["Facts"]

STATEMENTS_HELD: Final = USUAL.statements_held_bytes
ROUTES_HELD: Final = USUAL.routes_held


class Facts:
    """The caches of one relay."""

    def __init__(
        self,
        store: RelayStore,
        limits: MailboxLimits,
        reads: Reads,
        suspended: Container[AccountId] = frozenset(),
    ) -> None:
        self._store = store
        self.reads: Final = reads
        """What was read for whom."""
        self._suspended = suspended
        self._limits = limits
        self._accounts = HeldAccounts(STATEMENTS_HELD)
        self.turns: Final = Turns()
        """In which logs are folded."""
        self._logs = AccountReads(store, reads, self._accounts, self.turns)
        self._routes = Routes(ROUTES_HELD)
        self._usages = Usages(store, limits)
        # Kept beside the routes, which whoever is connected can have read anew. Lost ones were fuller.
        self._service: Lru[Ends, RateState] = Lru(ROUTES_HELD)
        self._flows = FlowStates()

    # --- accounts

    async def account(self, account: AccountId, reader: Reader | None) -> Account | None:
        """One account, if the relay knows it; who asks pays for what has to be read.

        Raises RemoteProtocolError(rate-limited) where the reader has nothing left.
        """
        while (held := self._accounts.get(account)) is None:
            self.reads.check(reader)
            if await self._logs.load({account}, reader):
                return None
        return held

    def wait_ms(self, sender: Reader, to: AccountId) -> int:
        """How long an envelope has to wait for which a log would be read; 0 if it need not. In ms."""
        if self._accounts.get(sender.account) is not None and self._accounts.get(to) is not None:
            return 0
        return self.reads.wait_ms(sender)

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
            await self._logs.load(missing)
        held = {account: self._accounts.get(account) for account in accounts}
        return {account: found for account, found in held.items() if found is not None}

    async def shown(self, accounts: Collection[AccountId]) -> dict[AccountId, Account]:
        """As `accounts`, for people whom nobody knows: each account has so much read of its own for them.

        Who has nothing left and is not held is not among them.
        """
        found: dict[AccountId, Account] = {}
        for id in accounts:
            if self._accounts.get(id) is None:
                await self._logs.load({id}, Reader(id, STRANGERS))
            account = self._accounts.get(id)
            if account is not None:
                found[id] = account
        return found

    def account_changed(self, account: AccountId, log: AccountLog, held: str) -> None:
        """The store holds another log or hold from now on."""
        self._logs.changed(account)
        self._accounts.put(account, Account(log, held))

    def forget_account(self, account: AccountId) -> None:
        """Read the account anew when it is next needed."""
        self._logs.changed(account)
        self._accounts.drop(account)

    # --- what many parcels need

    async def prepare(self, reader: Reader, headers: Iterable[Header]) -> Collection[AccountId]:
        """Load whatever deciding on these envelopes needs and is not held, in few queries.

        Gives the accounts among them that nobody has here. Logs are read while the sender has any reads left.
        """
        accounts: set[AccountId] = set()
        ends: set[Ends] = set()
        targets: set[AgentRef] = set()
        sender = reader.account
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
        nobodys: Collection[AccountId] = ()
        if accounts:
            nobodys = await self._logs.load(accounts, reader)
        if ends:
            await self._load_routes(ends)
        await self._load_usage(sender, targets)
        return nobodys

    async def _load_routes(self, ends: Collection[Ends]) -> None:
        foreign = [Flow(a, b) for a, b in ends if a.account != b.account]
        back = [Flow(flow.to, flow.from_) for flow in foreign]
        routes: list[Route] = []
        is_stale = True
        while is_stale:
            with self._flows.reading([*foreign, *back]) as reading, self._routes.looking(ends) as look:
                routes = await self._read_routes(ends, foreign, back)
            is_stale = reading.is_stale or look.is_stale
        for route in routes:
            if self._routes.get(route.ends) is None:
                self._routes.put(route)

    async def _read_routes(
        self, ends: Collection[Ends], foreign: Sequence[Flow], back: Sequence[Flow]
    ) -> list[Route]:
        if not foreign:
            return [Route(Flow(a, b), None, acquainted=False) for a, b in ends]
        connections = await self._store.connections(
            {AgentPair.of(flow.from_, flow.to) for flow in foreign if flow.from_.name}
        )
        accounts = {(flow.from_.account, flow.to.account) for flow in foreign if not flow.from_.name}
        linked = await self._store.linked(accounts) if accounts else frozenset()
        contacts = await self._store.contacts({*foreign, *back})
        rates = await self._store.rates(foreign)
        states = self._flows
        routes = []
        for a, b in ends:
            flow = Flow(a, b)
            known = connections.get(AgentPair.of(a, b), ())
            route = Route(flow, connection_for(known, b), (a.account, b.account) in linked)
            reverse = Flow(b, a)
            route.contact = states.contact(flow, contacts.get(flow, NO_CONTACT))
            route.reverse = states.contact(reverse, contacts.get(reverse, NO_CONTACT))
            route.rate = states.rate(flow, rates.get(flow))
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

    def view(self, account: AccountId, device: DeviceId, nobodys: Collection[AccountId]) -> View:
        """The facts about one session's envelopes, good until the caller waits for something."""
        return View(self, account, device, nobodys)

    # --- what decisions and commits change

    def contact_changed(self, flow: Flow, contact: ContactState) -> None:
        """A contact state that is about to be stored."""
        self._flows.contact_changed(flow, contact)
        route = self._routes.get((flow.from_, flow.to))
        if route is not None:
            route.contact = contact
        route = self._routes.get((flow.to, flow.from_))
        if route is not None:
            route.reverse = contact

    def unsaved_rates(self) -> list[RecordRate]:
        """The rates that were spent of since the last call, to be committed with what they were spent on."""
        return self._flows.unsaved_rates()

    def written(self, contacts: Iterable[RecordContact]) -> None:
        """The commit under way has ended, with these contact states in it."""
        self._flows.written(contacts)

    def came_to_nothing(self, contacts: Iterable[RecordContact]) -> None:
        """These contact states are not stored after all."""
        self._flows.came_to_nothing(contacts)
        for change in contacts:
            self._routes.drop((change.flow.from_, change.flow.to))
            self._routes.drop((change.flow.to, change.flow.from_))

    def landed(self, landing: Landing) -> None:
        """A commit ended: what was pending is stored, or came to nothing."""
        self._usages.landed(landing)

    def went_out(self, device: DeviceId) -> None:
        """Less waits for a device."""
        self._usages.went_out(device)

    def forget_between(self, one: AccountId, other: AccountId) -> None:
        """A connection or grant between agents of these accounts changed."""
        self._routes.drop_between(one, other)

    def forget_all(self) -> None:
        """A commit came to nothing: whatever was changed in here for it was not."""
        self._logs.all_changed()
        self._accounts.clear()
        self._routes.clear()
        self._flows.forget()
