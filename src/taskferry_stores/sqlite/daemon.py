"""A daemon's store in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import trio

from taskferry_protocol.audit import AuditChain
from taskferry_protocol.ids import AccountId, AgentRef, Hash, Instant
from taskferry_protocol.records import (
    AuditRow,
    CardRecord,
    DaemonChange,
    DaemonResult,
    DaemonStats,
    EventRecord,
    EvidenceRecord,
    Flow,
    IdempotencyRecord,
    InboxCount,
    InviteRecord,
    LocalAgent,
    MessageQuery,
    MessageRecord,
    Order,
    OutboxRecord,
    Page,
    PeerConnection,
    PinnedAccount,
    Place,
    QuarantineLine,
    QuarantineRecord,
    RateRecord,
    ReceiptGot,
    ReceiptOwed,
    RelayCursor,
    Rung,
    SealedRecord,
    Seen,
    SeenKey,
    StoreReport,
    TaskCursor,
    TaskEventRecord,
    TaskPage,
    TaskQuery,
    TaskRecord,
    TokenRecord,
)

from ..errors import StoreFailed
from . import audit, daemon_reads, ledger, outbox_reads, traffic_reads
from .breaker_reads import SqliteBreakerReads
from .daemon_writes import DaemonWriter
from .engine import Engine
from .examining import examine, examine_index
from .facts import Facts
from .files import IntegrityCheck, OpenFile, Tuning, copy_database, open_file
from .gate_reads import SqliteGateReads
from .history import SqliteHistoryReads
from .migrations import load_schema
from .runtime_rows import SqliteRuntimeReads

APPLICATION_ID = 0x54464431
"""`TFD1` in the file's header."""
TUNING = Tuning(readers=2, cache_bytes=48 * 1024 * 1024, erase=True)
"""Keys stand in it, so what is deleted is overwritten."""


@asynccontextmanager
async def open_daemon_store(
    path: Path, *, check: IntegrityCheck = IntegrityCheck.NONE
) -> AsyncIterator[SqliteDaemonStore]:
    """Open or create the daemon's store at `path`.

    Raises a kind of `StoreUnavailable`, `StoreCorrupt`, `StoreFull` or `StoreFailed`.
    """
    schema = load_schema("daemon", APPLICATION_ID)
    file = await trio.to_thread.run_sync(partial(open_file, path, schema, TUNING, check))
    store = SqliteDaemonStore(file)
    try:
        yield store
    finally:
        await store.aclose()


class SqliteDaemonStore(SqliteGateReads, SqliteRuntimeReads, SqliteBreakerReads, SqliteHistoryReads):
    """The daemon's port over one file."""

    def __init__(self, file: OpenFile) -> None:
        self._engine = Engine[DaemonChange, DaemonResult](file, DaemonWriter())
        self._facts = Facts()

    async def failed(self) -> StoreFailed:
        """Wait until the store refuses all further work; why."""
        return await self._engine.failed()

    async def commit(self, changes: Sequence[DaemonChange]) -> tuple[DaemonResult, ...]:
        """Make all the changes, in order, or none."""
        with self._facts.touched_by(changes):
            return await self._engine.commit(changes)

    async def aclose(self) -> None:
        """Finish the commit under way and close the file."""
        await self._engine.aclose()

    async def copy_to(self, path: Path) -> None:
        """A consistent copy in a new file of mode 0600, while the store is used. Raises the port's errors."""
        await self._engine.read(lambda connection: copy_database(connection, path))

    # --- who is who --------------------------------------------------------------------------------------

    async def accounts(self, accounts: Collection[AccountId]) -> Mapping[AccountId, PinnedAccount]:
        """Pinned accounts by id."""
        return await self._known(self._facts.accounts, accounts, daemon_reads.accounts)

    async def accounts_named(self, names: Collection[str]) -> Mapping[str, PinnedAccount]:
        """Pinned accounts by owner name."""
        return await self._known(self._facts.named, names, daemon_reads.accounts_named)

    async def all_accounts(self, after: AccountId | None, limit: int) -> tuple[PinnedAccount, ...]:
        """Pinned accounts by rising id."""
        return await self._engine.read(lambda c: daemon_reads.all_accounts(c, after, limit))

    async def own_account(self) -> PinnedAccount | None:
        """The owner's own account."""
        return await self._engine.read(daemon_reads.own_account)

    async def cards(self, agents: Collection[AgentRef]) -> Mapping[AgentRef, CardRecord]:
        """Cards by agent."""
        return await self._engine.read(lambda c: ledger.cards(c, agents))

    async def agents(self) -> tuple[LocalAgent, ...]:
        """Our agents by name."""
        return await self._whole(self._facts.agents, daemon_reads.local_agents)

    async def connections(self, requests: Collection[Hash]) -> Mapping[Hash, PeerConnection]:
        """Connections by request."""
        return await self._known(self._facts.connections, requests, daemon_reads.connections)

    async def connections_with(self, flows: Collection[Flow]) -> Mapping[Flow, tuple[PeerConnection, ...]]:
        """Connections between agents of ours and peers."""
        return await self._known(self._facts.bonds, flows, daemon_reads.connections_with)

    async def connections_of(self, agent: str | None, after: Place, limit: int) -> Page[PeerConnection]:
        """Connections of one agent of ours, or of all."""
        return await self._engine.read(lambda c: daemon_reads.connections_of(c, agent, after, limit))

    async def rates(self, flows: Collection[Flow]) -> Mapping[Flow, RateRecord]:
        """Token buckets by flow."""
        return await self._known(self._facts.rates, flows, ledger.rates)

    async def tokens(self) -> tuple[TokenRecord, ...]:
        """All local credentials."""
        return await self._engine.read(daemon_reads.tokens)

    async def token(self, digest: bytes) -> TokenRecord | None:
        """A credential by digest."""
        return (await self._known(self._facts.tokens, (digest,), daemon_reads.tokens_of)).get(digest)

    async def answers(self, scope: str, keys: Collection[str]) -> Mapping[str, IdempotencyRecord]:
        """What was answered under keys."""
        return await self._engine.read(lambda c: daemon_reads.answers(c, scope, keys))

    async def invites(self) -> tuple[InviteRecord, ...]:
        """All invites."""
        return await self._engine.read(daemon_reads.invites)

    async def invite(self, invite: bytes) -> InviteRecord | None:
        """An invite by its id."""
        return await self._engine.read(lambda c: daemon_reads.invite_record(c, invite))

    async def settings(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Settings by key."""
        return await self._known(self._facts.settings, keys, ledger.settings)

    async def evidence(self, after: Place, limit: int) -> Page[EvidenceRecord]:
        """Evidence in order."""
        return await self._engine.read(lambda c: ledger.evidence_page(c, after, limit))

    # --- messages ----------------------------------------------------------------------------------------

    async def messages(self, hashes: Collection[Hash]) -> Mapping[Hash, tuple[MessageRecord, ...]]:
        """Messages by hash."""
        return await self._engine.read(lambda c: traffic_reads.messages(c, hashes))

    async def message_states(self, hashes: Collection[Hash]) -> Mapping[Hash, tuple[MessageRecord, ...]]:
        """Messages by hash, without what was said."""
        return await self._engine.read(lambda c: traffic_reads.message_states(c, hashes))

    async def message_page(
        self, query: MessageQuery, after: Place | None, limit: int, order: Order
    ) -> Page[MessageRecord]:
        """Messages by place."""
        return await self._engine.read(lambda c: traffic_reads.message_page(c, query, after, limit, order))

    async def inbox_counts(self, agents: Collection[str]) -> Mapping[str, InboxCount]:
        """What waits for our agents."""
        return await self._engine.read(lambda c: traffic_reads.inbox_counts(c, agents))

    async def sealed(self, hashes: Collection[Hash]) -> Mapping[Hash, SealedRecord]:
        """Envelopes with their Ks."""
        return await self._engine.read(lambda c: traffic_reads.sealed(c, hashes))

    async def quarantine_lines(self) -> tuple[QuarantineLine, ...]:
        """All quarantined items, oldest first, by what they take."""
        return await self._engine.read(traffic_reads.quarantine_lines)

    async def seen(self, keys: Collection[SeenKey]) -> Mapping[SeenKey, Seen]:
        """What was decided on before."""
        return await self._engine.read(lambda c: traffic_reads.seen(c, keys))

    async def cursor(self, relay: str) -> RelayCursor | None:
        """How far the mailbox at a relay is taken."""
        return await self._engine.read(lambda c: traffic_reads.cursor(c, relay))

    async def cursors(self) -> tuple[RelayCursor, ...]:
        """How far the mailboxes at all relays are taken."""
        return await self._engine.read(traffic_reads.cursors)

    async def quarantine(self, hashes: Collection[Hash]) -> Mapping[Hash, QuarantineRecord]:
        """Quarantined items by hash."""
        return await self._engine.read(lambda c: traffic_reads.quarantine(c, hashes))

    async def quarantine_page(self, after: Place | None, limit: int, order: Order) -> Page[QuarantineRecord]:
        """Quarantined items by place."""
        return await self._engine.read(lambda c: traffic_reads.quarantine_page(c, after, limit, order))

    # --- the outbox and receipts -------------------------------------------------------------------------

    async def outbox(self, hashes: Collection[Hash]) -> Mapping[Hash, OutboxRecord]:
        """Outbox entries by hash."""
        return await self._engine.read(lambda c: outbox_reads.outbox(c, hashes))

    async def outbox_rungs(self, hashes: Collection[Hash]) -> Mapping[Hash, tuple[tuple[str, Rung], ...]]:
        """How far the messages are whose entries are in the outbox."""
        return await self._engine.read(lambda c: outbox_reads.outbox_rungs(c, hashes))

    async def outbox_due(
        self, now: Instant, limit: int, max_bytes: int, but: Collection[Hash] = ()
    ) -> tuple[OutboxRecord, ...]:
        """Waiting entries whose time has come."""
        return await self._engine.read(lambda c: outbox_reads.outbox_due(c, now, limit, max_bytes, but))

    async def outbox_for(
        self, recipients: Collection[AgentRef], cls: str, after: Instant
    ) -> frozenset[AgentRef]:
        """Those for whom something waits."""
        return await self._engine.read(lambda c: outbox_reads.outbox_for(c, recipients, cls, after))

    async def outbox_expired(self, now: Instant, limit: int) -> tuple[OutboxRecord, ...]:
        """Entries whose time is over."""
        return await self._engine.read(lambda c: outbox_reads.outbox_expired(c, now, limit))

    async def next_attempt(self) -> Instant | None:
        """When the next waiting entry is due."""
        return await self._engine.read(outbox_reads.next_attempt)

    async def sequences(self, targets: Collection[AgentRef]) -> Mapping[AgentRef, int]:
        """The last number used towards targets."""
        return await self._known(self._facts.sequences, targets, traffic_reads.sequences)

    async def receipts_owed(self, limit: int) -> tuple[ReceiptOwed, ...]:
        """What is still to be said."""
        return await self._engine.read(lambda c: traffic_reads.receipts_owed(c, limit))

    async def receipts_got(self, hashes: Collection[Hash]) -> Mapping[Hash, tuple[ReceiptGot, ...]]:
        """What recipients said of messages."""
        return await self._engine.read(lambda c: traffic_reads.receipts_got(c, hashes))

    # --- tasks and the feed ------------------------------------------------------------------------------

    async def tasks(self, tasks: Collection[Hash]) -> Mapping[Hash, tuple[TaskRecord, ...]]:
        """Tasks by id."""
        return await self._engine.read(lambda c: traffic_reads.tasks(c, tasks))

    async def task_page(self, query: TaskQuery, after: TaskCursor | None, limit: int) -> TaskPage:
        """Tasks, the last updated first."""
        return await self._engine.read(lambda c: traffic_reads.task_page(c, query, after, limit))

    async def task_events(self, tasks: Collection[Hash]) -> Mapping[Hash, tuple[TaskEventRecord, ...]]:
        """All events held of tasks."""
        return await self._engine.read(lambda c: traffic_reads.task_events(c, tasks))

    async def tasks_overdue(
        self, now: Instant, limit: int, after: TaskRecord | None = None
    ) -> tuple[TaskRecord, ...]:
        """Open tasks past their deadline."""
        return await self._engine.read(lambda c: traffic_reads.tasks_overdue(c, now, limit, after))

    async def next_deadline(self, after: Instant) -> Instant | None:
        """The earliest deadline of an open task that is later than that."""
        return await self._engine.read(lambda c: traffic_reads.next_deadline(c, after))

    async def events(
        self, after: Place, limit: int, agents: Collection[str] | None = None
    ) -> Page[EventRecord]:
        """The feed after a place."""
        return await self._engine.read(lambda c: traffic_reads.events(c, after, limit, agents))

    async def feed_bounds(self) -> tuple[Place, Place]:
        """The places of the oldest line and of the newest."""
        return await self._engine.read(traffic_reads.feed_bounds)

    async def audit_rows(
        self, kind: str | None, after: Place | None, limit: int, order: Order
    ) -> Page[AuditRow]:
        """Audit entries by number."""
        return await self._engine.read(lambda c: audit.rows(c, kind, after, limit, order))

    async def audit_chain(self) -> AuditChain:
        """Where the audit log begins and ends."""
        return await self._engine.read(audit.chain)

    async def examine(self) -> StoreReport:
        """How the file is; reads all of it, and holds commits up while it reads the index of words."""
        report = await self._engine.read(examine)
        if report.verdict != "ok":
            return report
        verdict = ""

        def look(connection: sqlite3.Connection) -> None:
            nonlocal verdict
            verdict = examine_index(connection)

        await self._engine.alone(look)
        return attrs.evolve(report, verdict=verdict)

    async def outbox_waiting(self) -> int:
        """How much waits in the outbox."""
        return await self._engine.read(outbox_reads.outbox_waiting)

    async def stats(self) -> DaemonStats:
        """Numbers for `doctor`."""
        return await self._engine.read(traffic_reads.stats)
