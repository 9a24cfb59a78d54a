"""A daemon's store in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeVar

import attrs
import trio

from taskferry_protocol.ids import AccountId, AgentRef, Hash, Instant
from taskferry_protocol.records import (
    AccountRecord,
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
    OutboxState,
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
    Trust,
)

from ..errors import StoreClosed
from .audit import AuditReads
from .breakers import MemoryBreakerReads
from .daemon_state import DaemonState
from .gates import MemoryGateReads
from .history import MemoryHistoryReads
from .outbox import MemoryOutboxReads
from .queries import asked_message, asked_task, inbox_counts, page_of_tasks, quarantine_lines
from .runtimes import MemoryRuntimeReads
from .tables import grouped, page, pick

V = TypeVar("V")


def _ordered(rows: Iterable[tuple[Place, V]], after: Place | None, order: Order) -> list[tuple[Place, V]]:
    """Rows by place in an order, after a place in that order."""
    newest = order is Order.NEWEST_FIRST
    ordered = sorted(rows, key=lambda row: row[0], reverse=newest)
    return [r for r in ordered if after is None or (r[0] < after if newest else r[0] > after)]


class MemoryDaemonStore(
    AuditReads,
    MemoryGateReads,
    MemoryRuntimeReads,
    MemoryBreakerReads,
    MemoryHistoryReads,
    MemoryOutboxReads,
):
    """The daemon's port over dictionaries."""

    def __init__(self) -> None:
        self._state = DaemonState()
        self._closed = False

    async def _begin(self) -> DaemonState:
        await trio.lowlevel.checkpoint()
        if self._closed:
            raise StoreClosed("the store is closed")
        return self._state

    async def commit(self, changes: Sequence[DaemonChange]) -> tuple[DaemonResult, ...]:
        """Make all the changes, in order, or none."""
        state = await self._begin()
        return state.journal.commit(state.apply, changes)

    # --- who is who --------------------------------------------------------------------------------------

    def _pinned(self, record: AccountRecord) -> PinnedAccount:
        trust, at = self._state.trust[record.account]
        return PinnedAccount(record, trust, Instant(at))

    async def accounts(self, accounts: Collection[AccountId]) -> Mapping[AccountId, PinnedAccount]:
        """Pinned accounts by id."""
        state = await self._begin()
        found = pick(state.ledger.accounts, accounts)
        return {account: self._pinned(record) for account, record in found.items()}

    async def accounts_named(self, names: Collection[str]) -> Mapping[str, PinnedAccount]:
        """Pinned accounts by owner name."""
        state = await self._begin()
        return {name: self._pinned(record) for name, record in state.ledger.by_name(names).items()}

    async def all_accounts(self, after: AccountId | None, limit: int) -> tuple[PinnedAccount, ...]:
        """Pinned accounts by rising id."""
        state = await self._begin()
        ids = sorted(a for a in state.ledger.accounts if after is None or a > after)
        return tuple([self._pinned(state.ledger.accounts[account]) for account in ids[:limit]])

    async def own_account(self) -> PinnedAccount | None:
        """The owner's own account."""
        state = await self._begin()
        own = [account for account, (trust, _) in state.trust.items() if trust is Trust.OWN]
        return self._pinned(state.ledger.accounts[own[0]]) if own else None

    async def cards(self, agents: Collection[AgentRef]) -> Mapping[AgentRef, CardRecord]:
        """Cards by agent."""
        return pick((await self._begin()).ledger.cards, agents)

    async def agents(self) -> tuple[LocalAgent, ...]:
        """Our agents by name."""
        state = await self._begin()
        return tuple([agent for _, agent in sorted(state.agents.items())])

    async def connections(self, requests: Collection[Hash]) -> Mapping[Hash, PeerConnection]:
        """Connections by request."""
        return pick((await self._begin()).connections, requests)

    async def connections_with(self, flows: Collection[Flow]) -> Mapping[Flow, tuple[PeerConnection, ...]]:
        """Connections between agents of ours and peers."""
        state = await self._begin()
        rows = [(state.connection_places[c.request], c) for c in state.connections.values()]
        ordered = [c for _, c in sorted(rows, key=lambda row: row[0])]
        return grouped(((Flow(c.mine, c.peer), c) for c in ordered), flows)

    async def connections_of(self, agent: str | None, after: Place, limit: int) -> Page[PeerConnection]:
        """Connections of one agent of ours, or of all."""
        state = await self._begin()
        asked = [c for c in state.connections.values() if agent in {None, c.mine.name}]
        rows = ((state.connection_places[c.request], c) for c in asked)
        return page(_ordered(rows, after, Order.OLDEST_FIRST), limit)

    async def rates(self, flows: Collection[Flow]) -> Mapping[Flow, RateRecord]:
        """Token buckets by flow."""
        return pick((await self._begin()).ledger.rates, flows)

    async def tokens(self) -> tuple[TokenRecord, ...]:
        """All local credentials."""
        state = await self._begin()
        return tuple(sorted(state.tokens.values(), key=lambda t: (t.created_at, t.digest)))

    async def token(self, digest: bytes) -> TokenRecord | None:
        """A credential by digest."""
        return (await self._begin()).tokens.get(digest)

    async def answers(self, scope: str, keys: Collection[str]) -> Mapping[str, IdempotencyRecord]:
        """What was answered under keys."""
        kept = (await self._begin()).answers
        return {key: kept[scope, key] for key in keys if (scope, key) in kept}

    async def invites(self) -> tuple[InviteRecord, ...]:
        """All invites."""
        state = await self._begin()
        return tuple(sorted(state.invites.values(), key=lambda i: (i.created_at, i.id)))

    async def invite(self, invite: bytes) -> InviteRecord | None:
        """An invite by its id."""
        return (await self._begin()).invites.get(invite)

    async def settings(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Settings by key."""
        return pick((await self._begin()).ledger.settings, keys)

    async def evidence(self, after: Place, limit: int) -> Page[EvidenceRecord]:
        """Evidence in order."""
        return (await self._begin()).ledger.evidence_page(after, limit)

    # --- messages ----------------------------------------------------------------------------------------

    async def messages(self, hashes: Collection[Hash]) -> Mapping[Hash, tuple[MessageRecord, ...]]:
        """Messages by hash."""
        state = await self._begin()
        return grouped(((m.hash, m) for m in state.messages.values()), hashes)

    async def message_states(self, hashes: Collection[Hash]) -> Mapping[Hash, tuple[MessageRecord, ...]]:
        """Messages by hash, without what was said."""
        found = await self.messages(hashes)
        return {hash: tuple(attrs.evolve(m, content=b"") for m in held) for hash, held in found.items()}

    async def message_page(
        self, query: MessageQuery, after: Place | None, limit: int, order: Order
    ) -> Page[MessageRecord]:
        """Messages by place."""
        state = await self._begin()
        rows = ((m.place, m) for m in state.messages.values() if asked_message(query, m))
        return page(_ordered(rows, after, order), limit)

    async def inbox_counts(self, agents: Collection[str]) -> Mapping[str, InboxCount]:
        """What waits for our agents."""
        return inbox_counts((await self._begin()).messages.values(), agents)

    async def sealed(self, hashes: Collection[Hash]) -> Mapping[Hash, SealedRecord]:
        """Envelopes with their Ks."""
        return pick((await self._begin()).sealed, hashes)

    async def quarantine_lines(self) -> tuple[QuarantineLine, ...]:
        """All quarantined items, oldest first, by what they take."""
        return quarantine_lines((await self._begin()).quarantine.values())

    async def seen(self, keys: Collection[SeenKey]) -> Mapping[SeenKey, Seen]:
        """What was decided on before."""
        state = await self._begin()
        return {key: state.decisions.find(key) for key in keys}

    async def cursor(self, relay: str) -> RelayCursor | None:
        """How far the mailbox at a relay is taken."""
        return (await self._begin()).cursors.get(relay)

    async def cursors(self) -> tuple[RelayCursor, ...]:
        """How far the mailboxes at all relays are taken."""
        held = (await self._begin()).cursors
        return tuple(held[relay] for relay in sorted(held))

    async def quarantine(self, hashes: Collection[Hash]) -> Mapping[Hash, QuarantineRecord]:
        """Quarantined items by hash."""
        return pick((await self._begin()).quarantine, hashes)

    async def quarantine_page(self, after: Place | None, limit: int, order: Order) -> Page[QuarantineRecord]:
        """Quarantined items by place."""
        rows = ((item.place, item) for item in (await self._begin()).quarantine.values())
        return page(_ordered(rows, after, order), limit)

    # --- the outbox and receipts -------------------------------------------------------------------------

    async def sequences(self, targets: Collection[AgentRef]) -> Mapping[AgentRef, int]:
        """The last number used towards targets."""
        return pick((await self._begin()).sequences, targets)

    async def receipts_owed(self, limit: int) -> tuple[ReceiptOwed, ...]:
        """What is still to be said."""
        state = await self._begin()
        return tuple(sorted(state.owed.values(), key=lambda owed: owed.place)[:limit])

    async def receipts_got(self, hashes: Collection[Hash]) -> Mapping[Hash, tuple[ReceiptGot, ...]]:
        """What recipients said of messages."""
        state = await self._begin()
        return grouped(((got.hash, got) for got in state.got.values()), hashes)

    # --- tasks and the feed ------------------------------------------------------------------------------

    async def tasks(self, tasks: Collection[Hash]) -> Mapping[Hash, tuple[TaskRecord, ...]]:
        """Tasks by id."""
        state = await self._begin()
        return grouped(((task.task, task) for _, task in sorted(state.tasks.items())), tasks)

    async def task_page(self, query: TaskQuery, after: TaskCursor | None, limit: int) -> TaskPage:
        """Tasks, the last updated first."""
        state = await self._begin()
        asked = (task for task in state.tasks.values() if asked_task(query, task))
        return page_of_tasks(asked, after, limit)

    async def task_events(self, tasks: Collection[Hash]) -> Mapping[Hash, tuple[TaskEventRecord, ...]]:
        """All events held of tasks."""
        state = await self._begin()
        rows = grouped(((event.task, event) for event in state.task_events.values()), tasks)
        return {
            task: tuple([attrs.evolve(e, content=state.sealed[e.hash].content) for e in events])
            for task, events in rows.items()
        }

    async def tasks_overdue(
        self, now: Instant, limit: int, after: TaskRecord | None = None
    ) -> tuple[TaskRecord, ...]:
        """Open tasks past their deadline."""
        state = await self._begin()
        rows = [(t.deadline, key) for key, t in state.tasks.items() if t.open and t.deadline is not None]
        start = (after.deadline, (after.task, after.role)) if after is not None else (-1, (b"", ""))
        found = [row for row in sorted(rows) if row[0] <= now and row > start]
        return tuple([state.tasks[key] for _, key in found[:limit]])

    async def next_deadline(self, after: Instant) -> Instant | None:
        """The earliest deadline of an open task that is later than that."""
        state = await self._begin()
        deadlines = [t.deadline for t in state.tasks.values() if t.open and t.deadline is not None]
        return min((at for at in deadlines if at > after), default=None)

    async def events(
        self, after: Place, limit: int, agents: Collection[str] | None = None
    ) -> Page[EventRecord]:
        """The feed after a place."""
        state = await self._begin()
        newest = Place(state.counters.get("events", 0))
        rows = [(p, e) for p, e in sorted(state.events.items()) if p > after]
        found = page([row for row in rows if agents is None or row[1].agent in agents], limit)
        return Page(found.items, found.next or Place(max(after, newest)))

    async def feed_bounds(self) -> tuple[Place, Place]:
        """The places of the oldest line and of the newest."""
        state = await self._begin()
        newest = state.counters.get("events", 0)
        return min(state.events, default=Place(newest + 1)), Place(newest)

    async def examine(self) -> StoreReport:
        """There is no file that could be damaged."""
        await self._begin()
        return StoreReport("ok", 0, 0)

    async def stats(self) -> DaemonStats:
        """Numbers for `doctor`."""
        state = await self._begin()
        waiting = [e.expires_at for e in state.outbox.values() if e.state is OutboxState.WAITING]
        relayed = sum(1 for e in state.outbox.values() if e.state is OutboxState.RELAYED)
        return DaemonStats(
            accounts=len(state.ledger.accounts),
            messages=len(state.messages),
            tasks=len(state.tasks),
            outbox_waiting=len(state.outbox) - relayed,
            outbox_relayed=relayed,
            quarantined=len(state.quarantine),
            receipts_owed=len(state.owed),
            waiting_until=min(waiting, default=None),
        )

    async def aclose(self) -> None:
        """Let go of everything."""
        await trio.lowlevel.checkpoint()
        self._closed = True
