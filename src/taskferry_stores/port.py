"""What a store is: the ports that every adapter of this package obeys.

`commit` is all or nothing and returns once everything is durable, one result a change, in order.
It raises `StoreConflict` if a comparison fails, and then nothing is stored.
A caller that is cancelled while its commit is under way waits for it to finish, and gets its results, so that
it can do what follows from them; one whose commit has not begun takes it back.
Reads see every commit that returned before they began.
They are batched: one call costs a fixed number of queries, however much is asked for.
What is not there is absent from the answer. Records come back equal to what was stored.
Other errors are in `errors`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from taskferry_protocol.audit import AuditChain
from taskferry_protocol.ids import AccountId, AgentRef, DeviceId, Hash, Instant, MessageId
from taskferry_protocol.records import (
    AccountRecord,
    AgentPair,
    ApplicationRecord,
    AuditRow,
    CardRecord,
    ContactState,
    DaemonChange,
    DaemonResult,
    DaemonStats,
    EventRecord,
    EvidenceRecord,
    Flow,
    Generation,
    IdempotencyRecord,
    InboxCount,
    InviteRecord,
    LocalAgent,
    LogPage,
    MailboxItem,
    MailboxShare,
    MailboxUsage,
    MessageQuery,
    MessageRecord,
    Offset,
    Order,
    Page,
    PeerConnection,
    PinnedAccount,
    Place,
    PublishedInvite,
    QuarantineLine,
    QuarantineRecord,
    RateRecord,
    ReceiptGot,
    ReceiptOwed,
    RelayChange,
    RelayCursor,
    RelayResult,
    RelayStats,
    SealedRecord,
    Seen,
    SeenKey,
    StoredConnection,
    StoreReport,
    TaskCursor,
    TaskEventRecord,
    TaskPage,
    TaskQuery,
    TaskRecord,
    TicketRecord,
    TokenRecord,
)

from .breakers_port import BreakerReads
from .errors import (
    ConflictKind,
    StoreClosed,
    StoreConflict,
    StoreCorrupt,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreTooNew,
    StoreUnavailable,
    WrongStore,
)
from .gates_port import GateReads
from .history_port import HistoryReads
from .operations_port import OperatorReads
from .outbox_port import OutboxReads
from .runtimes_port import RuntimeReads

__all__ = [
    "ConflictKind",
    "DaemonStore",
    "RelayStore",
    "StoreClosed",
    "StoreConflict",
    "StoreCorrupt",
    "StoreError",
    "StoreFailed",
    "StoreFull",
    "StoreLocked",
    "StoreReadOnly",
    "StoreTooNew",
    "StoreUnavailable",
    "WrongStore",
]


class RelayStore(OperatorReads, Protocol):
    """The truth of one relay."""

    @property
    def generation(self) -> Generation:
        """The generation of all its mailboxes."""

    async def renew_generation(self, generation: Generation) -> None:
        """Begin a new generation, as is due after an older copy of the store was put back."""

    async def commit(self, changes: Sequence[RelayChange]) -> tuple[RelayResult, ...]:
        """Make all the changes, in order, or none."""

    async def accounts(
        self, accounts: Collection[AccountId], longest: int | None = None
    ) -> Mapping[AccountId, AccountRecord]:
        """Account logs by id; of those with more than `longest` statements, none of their statements."""

    async def accounts_named(self, names: Collection[str]) -> Mapping[str, AccountRecord]:
        """Account logs by owner name; a former name still leads to the account that once claimed it."""

    async def statements(self, account: AccountId, start: int, limit: int) -> LogPage | None:
        """At most `limit` statements of a log from index `start` on, read alone; None for no such account."""

    async def statements_named(self, name: str, start: int, limit: int) -> LogPage | None:
        """As `statements`, for the account that has ever claimed this name."""

    async def named_keys(
        self, keys: Collection[tuple[AccountId, bytes]]
    ) -> frozenset[tuple[AccountId, bytes]]:
        """Those of the keys that were named for the account."""

    async def accepted(
        self, ids: Collection[tuple[DeviceId, MessageId]]
    ) -> Mapping[tuple[DeviceId, MessageId], Hash]:
        """Hashes of the envelopes that were stored under these ids by these devices, while remembered."""

    async def cards(self, agents: Collection[AgentRef]) -> Mapping[AgentRef, CardRecord]:
        """Cards by agent."""

    async def public_cards(self, after: AgentRef | None, limit: int) -> tuple[CardRecord, ...]:
        """Public cards by rising agent reference, after one."""

    async def connections(
        self, pairs: Collection[AgentPair]
    ) -> Mapping[AgentPair, tuple[StoredConnection, ...]]:
        """The connections between two agents that are not ended, in the order in which they were stored."""

    async def connections_by_request(self, requests: Collection[Hash]) -> Mapping[Hash, StoredConnection]:
        """Connections by the hash of their request, ended ones too."""

    async def connections_of(
        self, account: AccountId, after: Hash | None, limit: int
    ) -> tuple[StoredConnection, ...]:
        """An account's connections by rising hash of their request, ended ones too."""

    async def linked(
        self, pairs: Collection[tuple[AccountId, AccountId]]
    ) -> frozenset[tuple[AccountId, AccountId]]:
        """Those of the pairs of accounts that have agents connected with each other now."""

    async def contacts(self, flows: Collection[Flow]) -> Mapping[Flow, ContactState]:
        """Contact states by flow."""

    async def invites(self, ids: Collection[bytes]) -> Mapping[bytes, PublishedInvite]:
        """Published invites by id, also those that are over and not yet forgotten."""

    async def rates(self, flows: Collection[Flow]) -> Mapping[Flow, RateRecord]:
        """Token buckets by flow."""

    async def mailbox(
        self, device: DeviceId, after: Offset, limit: int, max_bytes: int
    ) -> tuple[MailboxItem, ...]:
        """What waits for a device above an offset, by rising offset; never what it has acknowledged.

        At most `limit` items and `max_bytes` of envelopes and wraps, but always one if there is one.
        """

    async def usage(self, devices: Collection[DeviceId]) -> Mapping[DeviceId, MailboxUsage]:
        """How full mailboxes are. A device that never had an entry is absent."""

    async def shares(
        self, devices: Collection[DeviceId]
    ) -> Mapping[DeviceId, Mapping[DeviceId, MailboxShare]]:
        """Whose mail waits: by mailbox, what is from each sending device. Takes time linear in what waits."""

    async def ticket(self, digest: Hash) -> TicketRecord | None:
        """A ticket by its SHA-256."""

    async def tickets(self, after: Hash | None, limit: int) -> tuple[TicketRecord, ...]:
        """Tickets by rising digest, after one; used ones too, and unused ones until they are swept."""

    async def reserved(self, names: Collection[str], at: Instant) -> frozenset[str]:
        """Those of the names that open tickets have."""

    async def ticket_of_email(self, email: bytes) -> TicketRecord | None:
        """The ticket, used already, that was sent to an e-mail address, given by its keyed digest."""

    async def application(self, digest: Hash) -> ApplicationRecord | None:
        """An application by the SHA-256 of its code; it may be over."""

    async def settings(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Settings by key."""

    async def evidence(self, after: Place, limit: int) -> Page[EvidenceRecord]:
        """Evidence in the order in which it was kept."""

    async def audit_rows(
        self, kind: str | None, after: Place | None, limit: int, order: Order
    ) -> Page[AuditRow]:
        """Audit entries by number, of one kind or of all."""

    async def audit_chain(self) -> AuditChain:
        """Where the audit log begins and ends."""

    async def stats(self) -> RelayStats:
        """Numbers for an operator; may read a little, never everything."""

    async def aclose(self) -> None:
        """Finish the commit under way and let go of everything. Idempotent; later calls are `StoreClosed`."""


class DaemonStore(GateReads, RuntimeReads, BreakerReads, HistoryReads, OutboxReads, Protocol):
    """The truth of one daemon."""

    async def commit(self, changes: Sequence[DaemonChange]) -> tuple[DaemonResult, ...]:
        """Make all the changes, in order, or none."""

    async def accounts(self, accounts: Collection[AccountId]) -> Mapping[AccountId, PinnedAccount]:
        """Pinned accounts by id, the owner's own among them."""

    async def accounts_named(self, names: Collection[str]) -> Mapping[str, PinnedAccount]:
        """Pinned accounts by owner name; a former name still leads to the account that once claimed it."""

    async def all_accounts(self, after: AccountId | None, limit: int) -> tuple[PinnedAccount, ...]:
        """Pinned accounts by rising id, after one."""

    async def own_account(self) -> PinnedAccount | None:
        """The account with trust `own`, if one is pinned."""

    async def cards(self, agents: Collection[AgentRef]) -> Mapping[AgentRef, CardRecord]:
        """Cards by agent, ours and peers'."""

    async def agents(self) -> tuple[LocalAgent, ...]:
        """Our agents by name."""

    async def connections(self, requests: Collection[Hash]) -> Mapping[Hash, PeerConnection]:
        """Connections by the hash of their request."""

    async def connections_with(self, flows: Collection[Flow]) -> Mapping[Flow, tuple[PeerConnection, ...]]:
        """All connections between agents of ours (`from_`) and peers (`to`), as first stored, newest last."""

    async def connections_of(self, agent: str | None, after: Place, limit: int) -> Page[PeerConnection]:
        """Connections of one agent of ours, or of all, in the order in which they were first stored."""

    async def rates(self, flows: Collection[Flow]) -> Mapping[Flow, RateRecord]:
        """Token buckets by flow."""

    async def messages(self, hashes: Collection[Hash]) -> Mapping[Hash, tuple[MessageRecord, ...]]:
        """Messages by hash: one record for each of our agents that has it."""

    async def message_states(self, hashes: Collection[Hash]) -> Mapping[Hash, tuple[MessageRecord, ...]]:
        """The same without what was said, which may be long: each content is empty."""

    async def message_page(
        self, query: MessageQuery, after: Place | None, limit: int, order: Order
    ) -> Page[MessageRecord]:
        """Messages by place, after one in that order; None begins at the end that the order begins with."""

    async def inbox_counts(self, agents: Collection[str]) -> Mapping[str, InboxCount]:
        """What waits for our agents; all that were asked for are in the answer."""

    async def sealed(self, hashes: Collection[Hash]) -> Mapping[Hash, SealedRecord]:
        """Envelopes with their Ks, by hash."""

    async def sequences(self, targets: Collection[AgentRef]) -> Mapping[AgentRef, int]:
        """The last number used towards targets; absent where none was."""

    async def tasks(self, tasks: Collection[Hash]) -> Mapping[Hash, tuple[TaskRecord, ...]]:
        """Tasks by id: one record for each side that is ours."""

    async def task_page(self, query: TaskQuery, after: TaskCursor | None, limit: int) -> TaskPage:
        """Tasks, the last updated first."""

    async def task_events(self, tasks: Collection[Hash]) -> Mapping[Hash, tuple[TaskEventRecord, ...]]:
        """All events held of tasks, with their content, in the order in which they were stored."""

    async def tasks_overdue(
        self, now: Instant, limit: int, after: TaskRecord | None = None
    ) -> tuple[TaskRecord, ...]:
        """Open tasks whose deadline is not after now, the earliest deadline first; those after that one."""

    async def next_deadline(self, after: Instant) -> Instant | None:
        """The earliest deadline of an open task that is later than that."""

    async def receipts_owed(self, limit: int) -> tuple[ReceiptOwed, ...]:
        """What is still to be said, oldest first."""

    async def receipts_got(self, hashes: Collection[Hash]) -> Mapping[Hash, tuple[ReceiptGot, ...]]:
        """What recipients said of messages, in the order in which it came."""

    async def quarantine(self, hashes: Collection[Hash]) -> Mapping[Hash, QuarantineRecord]:
        """Quarantined items by hash."""

    async def quarantine_page(self, after: Place | None, limit: int, order: Order) -> Page[QuarantineRecord]:
        """Quarantined items by place, as in `message_page`."""

    async def quarantine_lines(self) -> tuple[QuarantineLine, ...]:
        """All quarantined items, oldest first, by what they take. Their number is the daemon's to bound."""

    async def seen(self, keys: Collection[SeenKey]) -> Mapping[SeenKey, Seen]:
        """What was decided on before; all that were asked for are in the answer."""

    async def cursor(self, relay: str) -> RelayCursor | None:
        """How far the mailbox at a relay is taken."""

    async def cursors(self) -> tuple[RelayCursor, ...]:
        """How far the mailboxes at all relays are taken, by origin."""

    async def tokens(self) -> tuple[TokenRecord, ...]:
        """All local credentials, revoked ones too, by when they were made."""

    async def token(self, digest: bytes) -> TokenRecord | None:
        """A credential by the SHA-256 of its secret."""

    async def answers(self, scope: str, keys: Collection[str]) -> Mapping[str, IdempotencyRecord]:
        """What was answered to requests under these keys."""

    async def invites(self) -> tuple[InviteRecord, ...]:
        """All invites, by when they were made."""

    async def invite(self, invite: bytes) -> InviteRecord | None:
        """An invite by its id."""

    async def settings(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Settings by key."""

    async def evidence(self, after: Place, limit: int) -> Page[EvidenceRecord]:
        """Evidence in the order in which it was kept."""

    async def events(
        self, after: Place, limit: int, agents: Collection[str] | None = None
    ) -> Page[EventRecord]:
        """The feed after a place, of some agents or (None) of everything. `next` is never None here.

        It is the place to read on from, past what was left out, so that a follower never looks twice.
        """

    async def feed_bounds(self) -> tuple[Place, Place]:
        """The places of the oldest line still there (if none is: of the next one) and of the newest ever."""

    async def audit_rows(
        self, kind: str | None, after: Place | None, limit: int, order: Order
    ) -> Page[AuditRow]:
        """Audit entries by number, of one kind or of all."""

    async def audit_chain(self) -> AuditChain:
        """Where the audit log begins and ends."""

    async def examine(self) -> StoreReport:
        """How the store is; reads all of it."""

    async def stats(self) -> DaemonStats:
        """Numbers for `doctor`. Counts rows, which takes milliseconds at a million of them."""

    async def aclose(self) -> None:
        """Finish the commit under way and let go of everything. Idempotent; later calls are `StoreClosed`."""
