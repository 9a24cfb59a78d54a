"""Runtimes, leases, and who was seen when, in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final, Protocol, assert_never

import attrs

from taskferry_protocol.ids import AgentRef, Hash, Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.records import (
    Counted,
    DaemonResult,
    Direction,
    Done,
    DropRuntimes,
    Flow,
    InboxState,
    LeaseRecord,
    MarkMessages,
    MessageRecord,
    NoteSeen,
    Order,
    OweReceipt,
    PeerWord,
    Place,
    PurgeLeases,
    PutLeases,
    PutPeerWord,
    PutRuntime,
    RaiseFences,
    ReceiptOwed,
    RuntimeChange,
    RuntimeId,
    RuntimeRecord,
    Settled,
    WaitingItem,
)

from .tables import Journal

if TYPE_CHECKING:
    from .daemon_state import DaemonState

_UNPROCESSED: Final = frozenset({InboxState.UNREAD, InboxState.READ})


class RuntimeTables:
    """Dictionaries, and the one way to change them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.runtimes: dict[RuntimeId, RuntimeRecord] = {}
        self.leases: dict[tuple[Hash, str], LeaseRecord] = {}
        self.seen: dict[str, Instant] = {}
        self.words: dict[tuple[AgentRef, AgentRef], PeerWord] = {}

    def tell(self, state: DaemonState, message: MessageRecord, change: MarkMessages) -> None:
        """Owe the sender of an inbound message a receipt of a mark that it was not told of."""
        if message.direction is Direction.IN and message.told < change.mark.order:
            owed = ReceiptOwed(message.hash, message.mine, message.peer, change.mark.value, "", change.at)
            state.apply(OweReceipt(owed))
            told = attrs.evolve(message, told=change.mark.order)
            self._journal.put(state.messages, (message.hash, message.mine.name), told)

    def apply(self, change: RuntimeChange) -> DaemonResult:
        """Make one change."""
        put, drop = self._journal.put, self._journal.drop
        match change:
            case PutRuntime():
                put(self.runtimes, change.runtime.id, change.runtime)
            case DropRuntimes():
                for gone in change.ids:
                    drop(self.runtimes, gone)
            case PutLeases():
                for lease in change.leases:
                    put(self.leases, (lease.unit, lease.agent), lease)
            case RaiseFences():
                held = [lease for lease in self.leases.values() if lease.runtime == change.runtime]
                for lease in held:
                    raised = attrs.evolve(lease, fence=lease.fence + 1, at=change.at)
                    put(self.leases, (lease.unit, lease.agent), raised)
                return Counted(len(held))
            case PurgeLeases():
                old = sorted((lease.at, key) for key, lease in self.leases.items())
                over = [key for at, key in old if at < change.before][: change.limit]
                for key in over:
                    drop(self.leases, key)
                return Counted(len(over))
            case NoteSeen():
                if not change.at <= self.seen.get(change.agent, -1) <= change.at + DAY_MS:
                    put(self.seen, change.agent, change.at)
            case PutPeerWord():
                word = change.word
                known = self.words.get((word.mine, word.peer))
                if known is None or known.said_at <= word.said_at:
                    put(self.words, (word.mine, word.peer), word)
            case _:
                assert_never(change)
        return Done()


class _Held(Protocol):
    async def _begin(self) -> DaemonState: ...


class MemoryRuntimeReads:
    """The reads of `runtimes_port.RuntimeReads`; a part of the daemon's store, which owns the state."""

    async def runtimes(self: _Held, agent: str | None) -> tuple[RuntimeRecord, ...]:
        """Runtimes by when they were bound."""
        found = (await self._begin()).runtime_tables.runtimes.values()
        mine = [runtime for runtime in found if agent in {None, runtime.agent}]
        return tuple(sorted(mine, key=lambda runtime: (runtime.bound_at, runtime.id)))

    async def runtime(self: _Held, runtime: RuntimeId) -> RuntimeRecord | None:
        """A runtime by its id."""
        return (await self._begin()).runtime_tables.runtimes.get(runtime)

    async def leases(self: _Held, agent: str, units: Collection[Hash]) -> Mapping[Hash, LeaseRecord]:
        """Leases by unit."""
        held = (await self._begin()).runtime_tables.leases
        return {unit: held[unit, agent] for unit in units if (unit, agent) in held}

    async def waiting(
        self: _Held,
        agent: str,
        limit: int,
        after: Place | None = None,
        order: Order = Order.OLDEST_FIRST,
        settled: Settled | None = None,
    ) -> tuple[WaitingItem, ...]:
        """What an agent has not processed."""
        state = await self._begin()
        mine = [m for m in state.messages.values() if m.mine.name == agent and m.direction is Direction.IN]
        newest = order is Order.NEWEST_FIRST
        rows = sorted((m for m in mine if m.inbox in _UNPROCESSED), key=lambda m: m.place, reverse=newest)
        if after is not None:
            rows = [m for m in rows if (m.place < after if newest else m.place > after)]
        held = state.runtime_tables.leases
        if settled is not None:
            rows = [m for m in rows if not settled.has(m.place, held.get((m.task or m.hash, agent)))]
        return tuple(
            WaitingItem(
                m.place,
                m.hash,
                m.task or m.hash,
                held.get((m.task or m.hash, agent)),
                m.offered_at is not None,
                m.read_at is not None,
                m.told,
            )
            for m in rows[:limit]
        )

    async def unread(self: _Held, agent: str, hashes: Collection[Hash]) -> frozenset[Hash]:
        """Those that an agent has not read."""
        held = (await self._begin()).messages
        found = [held[hash, agent] for hash in hashes if (hash, agent) in held]
        return frozenset(
            m.hash for m in found if m.direction is Direction.IN and m.inbox is InboxState.UNREAD
        )

    async def agents_seen(self: _Held) -> Mapping[str, Instant]:
        """When somebody last acted as each agent of ours."""
        return dict((await self._begin()).runtime_tables.seen)

    async def peer_words(self: _Held, flows: Collection[Flow]) -> Mapping[Flow, PeerWord]:
        """What peers' daemons said last."""
        words = (await self._begin()).runtime_tables.words
        return {flow: words[flow.from_, flow.to] for flow in flows if (flow.from_, flow.to) in words}
