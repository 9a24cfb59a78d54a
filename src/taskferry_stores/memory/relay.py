"""A relay's store in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Self, assert_never

import attrs
import trio

from taskferry_protocol.ids import AccountId, AgentRef, DeviceId, Hash, Instant, MessageId
from taskferry_protocol.records import (
    AccountRecord,
    AckMailbox,
    AgentPair,
    AppendAudit,
    AppendStatements,
    ApplicationRecord,
    CardRecord,
    ContactState,
    Counted,
    Done,
    DropApplication,
    DropSetting,
    DropTicket,
    EndConnection,
    EvidenceRecord,
    Expire,
    Flow,
    Generation,
    GrantApplication,
    HoldAccount,
    LogPage,
    MailboxItem,
    MailboxShare,
    MailboxUsage,
    NameKeys,
    NoticePut,
    Offset,
    Page,
    Place,
    Placed,
    PruneAudit,
    PublishedInvite,
    PublishInvite,
    PurgeInvites,
    PurgeSeen,
    PutApplication,
    PutCard,
    PutConnection,
    PutEvidence,
    PutGrant,
    PutNotice,
    PutSetting,
    PutTicket,
    RateRecord,
    RecordContact,
    RecordRate,
    RedeemTicket,
    RelayChange,
    RelayResult,
    RelayStats,
    RequireUnreserved,
    StoredConnection,
    StoreEnvelope,
    Sweep,
    SweepSignUps,
    TicketRecord,
    WithdrawInvite,
)
from taskferry_protocol.records.operations import (
    ListAgent,
    PutSignIn,
    ReleaseAccount,
    SuspendAccount,
    TakeSignIn,
    UnlistAgent,
)

from ..errors import ConflictKind, StoreClosed, StoreConflict
from ..rules import add_grant, require_few_names, unknown
from .audit import AuditReads, AuditTable
from .connections import connections_between, connections_of, linked_accounts, live, require_room_beside
from .invites import InviteTable
from .mailboxes import Mailboxes
from .operations import Elsewhere, OperatorReads, OperatorTables
from .sign_ups import SignUps
from .tables import Journal, Ledger, pick


class MemoryRelayStore(AuditReads, OperatorReads):
    """The relay's port over dictionaries."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._closed = False
        self._journal = Journal()
        self._ledger = Ledger(self._journal)
        self.audit = AuditTable(self._journal)
        self._connections: dict[Hash, StoredConnection] = {}
        self._contacts: dict[Flow, ContactState] = {}
        self._invites = InviteTable(self._journal)
        self._keys: dict[AccountId, frozenset[bytes]] = {}
        self._mailboxes = Mailboxes(self._journal)
        self._sign_ups = SignUps(self._journal, self._ledger.names)
        self.operations = OperatorTables(self._journal, self._ledger, self._mailboxes, self._keys)

    @property
    def generation(self) -> Generation:
        """The generation of all its mailboxes."""
        return self._generation

    async def renew_generation(self, generation: Generation) -> None:
        """Begin a new generation."""
        await self._begin()
        self._generation = generation

    async def _begin(self) -> Self:
        await trio.lowlevel.checkpoint()
        if self._closed:
            raise StoreClosed("the store is closed")
        return self

    async def commit(self, changes: Sequence[RelayChange]) -> tuple[RelayResult, ...]:
        """Make all the changes, in order, or none."""
        await self._begin()
        return self._journal.commit(self._apply, changes)

    def _apply(self, change: RelayChange) -> RelayResult:
        match change:
            case StoreEnvelope():
                return self._mailboxes.store(change)
            case AckMailbox():
                self._mailboxes.ack(change)
            case PutNotice():
                return NoticePut(self._mailboxes.deliver(change.device, change.notice, 0))
            case Expire():
                return self._mailboxes.expire(change)
            case Sweep():
                return Counted(0)
            case PurgeSeen():
                return self._mailboxes.purge(change)
            case AppendAudit():
                return Placed(self.audit.append(change.note))
            case PruneAudit():
                return Counted(self.audit.prune(change))
            case AppendStatements():
                self._ledger.append(change)
                owners = self._ledger.names.values()
                require_few_names(sum(owner == change.account for owner in owners))
            case HoldAccount():
                self._ledger.hold(change)
            case NameKeys():
                self._name_keys(change)
            case PutCard():
                self._ledger.put_card(change)
            case PutConnection():
                self._connect(change.connection, change.most)
            case EndConnection():
                self._end(change)
            case PutGrant():
                held = self._connections.get(change.grant.request)
                if held is None:
                    raise unknown("connection", change.grant.request)
                if held.end_raw:
                    raise StoreConflict(ConflictKind.ENDED, "the connection is ended")
                grants = add_grant(held.grants, change.grant)
                self._journal.put(self._connections, held.request, attrs.evolve(held, grants=grants))
            case RecordContact():
                self._journal.put(self._contacts, change.flow, change.contact)
            case PublishInvite() | WithdrawInvite() | PurgeInvites():
                return self._invites.apply(change)
            case RecordRate():
                self._journal.put(self._ledger.rates, change.flow, change.rate)
            case PutEvidence():
                self._ledger.put_evidence(change.evidence)
            case (
                PutTicket()
                | RedeemTicket()
                | RequireUnreserved()
                | DropTicket()
                | PutApplication()
                | DropApplication()
                | GrantApplication()
                | SweepSignUps()
            ):
                return self._sign_ups.apply(change)
            case (
                SuspendAccount() | ReleaseAccount() | PutSignIn() | TakeSignIn() | ListAgent() | UnlistAgent()
            ):
                return self.operations.apply(change)
            case PutSetting():
                self._journal.put(self._ledger.settings, change.key, change.value)
            case DropSetting():
                self._journal.drop(self._ledger.settings, change.key)
            case _:
                assert_never(change)
        return Done()

    def _name_keys(self, change: NameKeys) -> None:
        if change.account not in self._ledger.accounts:
            raise unknown("account", change.account)
        keys = self._keys.get(change.account, frozenset()) | change.keys
        self._journal.put(self._keys, change.account, keys)

    # --- connections -------------------------------------------------------------------------------------

    def _connect(self, connection: StoredConnection, most: int) -> None:
        held = self._connections.get(connection.request)
        if held is not None and held.end_raw:
            raise StoreConflict(ConflictKind.ENDED, "the connection is ended")
        if held is None:
            require_room_beside(self._connections, connection, most)
            self._journal.put(self._connections, connection.request, connection)

    def _end(self, change: EndConnection) -> None:
        held = self._connections.get(change.request)
        if held is None:
            raise unknown("connection", change.request)
        if not held.end_raw:
            self._journal.put(self._connections, change.request, attrs.evolve(held, end_raw=change.raw))

    # --- reads -------------------------------------------------------------------------------------------

    async def accounts(
        self, accounts: Collection[AccountId], longest: int | None = None
    ) -> Mapping[AccountId, AccountRecord]:
        """Account logs by id; of those with more than `longest` statements, none of their statements."""
        await self._begin()
        return self._ledger.by_id(accounts, longest)

    async def accounts_named(self, names: Collection[str]) -> Mapping[str, AccountRecord]:
        """Account logs by owner name."""
        await self._begin()
        return self._ledger.by_name(names)

    async def statements(self, account: AccountId, start: int, limit: int) -> LogPage | None:
        """A piece of a log by account."""
        await self._begin()
        return _page(self._ledger.accounts.get(account), start, limit)

    async def statements_named(self, name: str, start: int, limit: int) -> LogPage | None:
        """A piece of a log by owner name."""
        await self._begin()
        return _page(self._ledger.by_name([name]).get(name), start, limit)

    async def named_keys(
        self, keys: Collection[tuple[AccountId, bytes]]
    ) -> frozenset[tuple[AccountId, bytes]]:
        """Those of the keys that were named for the account."""
        await self._begin()
        return frozenset((account, key) for account, key in keys if key in self._keys.get(account, ()))

    async def accepted(
        self, ids: Collection[tuple[DeviceId, MessageId]]
    ) -> Mapping[tuple[DeviceId, MessageId], Hash]:
        """Hashes of what was stored under these ids."""
        await self._begin()
        seen = self._mailboxes.seen
        return {id: seen[id].hash for id in ids if id in seen}

    async def cards(self, agents: Collection[AgentRef]) -> Mapping[AgentRef, CardRecord]:
        """Cards by agent."""
        await self._begin()
        return pick(self._ledger.cards, agents)

    async def public_cards(self, after: AgentRef | None, limit: int) -> tuple[CardRecord, ...]:
        """Public cards by rising agent reference."""
        await self._begin()
        cards = (card for _, card in sorted(self._ledger.cards.items()) if card.public)
        return tuple([card for card in cards if after is None or card.agent > after][:limit])

    async def connections(
        self, pairs: Collection[AgentPair]
    ) -> Mapping[AgentPair, tuple[StoredConnection, ...]]:
        """Lasting connections between two agents."""
        await self._begin()
        return connections_between(live(self._connections), pairs)

    async def connections_by_request(self, requests: Collection[Hash]) -> Mapping[Hash, StoredConnection]:
        """Connections by request."""
        await self._begin()
        return pick(self._connections, requests)

    async def connections_of(
        self, account: AccountId, after: Hash | None, limit: int
    ) -> tuple[StoredConnection, ...]:
        """An account's connections by rising request."""
        await self._begin()
        return connections_of(self._connections, account, after)[:limit]

    async def linked(
        self, pairs: Collection[tuple[AccountId, AccountId]]
    ) -> frozenset[tuple[AccountId, AccountId]]:
        """Those of the pairs of accounts with agents connected."""
        await self._begin()
        return linked_accounts(live(self._connections), pairs)

    async def contacts(self, flows: Collection[Flow]) -> Mapping[Flow, ContactState]:
        """Contact states by flow."""
        await self._begin()
        return pick(self._contacts, flows)

    async def invites(self, ids: Collection[bytes]) -> Mapping[bytes, PublishedInvite]:
        """Published invites by id."""
        await self._begin()
        return pick(self._invites.rows, ids)

    async def rates(self, flows: Collection[Flow]) -> Mapping[Flow, RateRecord]:
        """Token buckets by flow."""
        await self._begin()
        return pick(self._ledger.rates, flows)

    async def mailbox(
        self, device: DeviceId, after: Offset, limit: int, max_bytes: int
    ) -> tuple[MailboxItem, ...]:
        """What waits for a device above an offset."""
        await self._begin()
        return self._mailboxes.read(device, after, limit, max_bytes)

    async def usage(self, devices: Collection[DeviceId]) -> Mapping[DeviceId, MailboxUsage]:
        """How full mailboxes are."""
        await self._begin()
        return pick(self._mailboxes.usage, devices)

    async def shares(
        self, devices: Collection[DeviceId]
    ) -> Mapping[DeviceId, Mapping[DeviceId, MailboxShare]]:
        """Whose mail waits."""
        await self._begin()
        return self._mailboxes.shares(devices)

    async def ticket(self, digest: Hash) -> TicketRecord | None:
        """A ticket by its SHA-256."""
        await self._begin()
        return self._sign_ups.tickets.get(digest)

    async def tickets(self, after: Hash | None, limit: int) -> tuple[TicketRecord, ...]:
        """Tickets by rising digest."""
        await self._begin()
        return self._sign_ups.listed(after, limit)

    async def reserved(self, names: Collection[str], at: Instant) -> frozenset[str]:
        """Those of the names that open tickets have."""
        await self._begin()
        return self._sign_ups.reserved(names, at)

    async def ticket_of_email(self, email: bytes) -> TicketRecord | None:
        """The used ticket that was sent to an address."""
        await self._begin()
        return self._sign_ups.of_email(email)

    async def application(self, digest: Hash) -> ApplicationRecord | None:
        """An application by the SHA-256 of its code."""
        await self._begin()
        return self._sign_ups.applications.get(digest)

    async def settings(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Settings by key."""
        await self._begin()
        return pick(self._ledger.settings, keys)

    async def evidence(self, after: Place, limit: int) -> Page[EvidenceRecord]:
        """Evidence in order."""
        await self._begin()
        return self._ledger.evidence_page(after, limit)

    async def stats(self) -> RelayStats:
        """Numbers for an operator."""
        await self._begin()
        return RelayStats(
            accounts=len(self._ledger.accounts),
            devices=len(self._mailboxes.usage),
            connections=sum(1 for _ in live(self._connections)),
            accepted=sum(self._mailboxes.places.values()),
            waiting=sum(usage.count for usage in self._mailboxes.usage.values()),
            waiting_bytes=sum(usage.bytes for usage in self._mailboxes.usage.values()),
        )

    def count_elsewhere(self) -> Elsewhere:
        """What the operator's numbers need of other tables."""
        agents = sum(agent.name != "" for agent in self._ledger.cards)
        return Elsewhere(agents, len(self._invites.rows), sum(1 for _ in live(self._connections)))

    async def aclose(self) -> None:
        """Let go of everything."""
        await trio.lowlevel.checkpoint()
        self._closed = True


def _page(held: AccountRecord | None, start: int, limit: int) -> LogPage | None:
    if held is None:
        return None
    return LogPage(held.account, held.position, held.statements[start : start + limit])
