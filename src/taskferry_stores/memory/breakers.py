"""Breakers in memory: what two agents exchanged lately, how their breaker stands, what it has stopped."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Protocol, assert_never

import attrs

from taskferry_protocol.ids import AgentRef, Hash, Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.records import (
    BreakerChange,
    BreakerRecord,
    Counted,
    CountExchange,
    DaemonResult,
    Direction,
    Done,
    DropStopped,
    ExchangeRecord,
    Flow,
    ForgetExchanges,
    InboxState,
    MessageRecord,
    PutBreaker,
)

from .tables import Journal, pick

if TYPE_CHECKING:
    from .daemon_state import DaemonState


class BreakerTables:
    """Dictionaries, and the one way to change them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.exchanges: dict[int, ExchangeRecord] = {}
        self.breakers: dict[Flow, BreakerRecord] = {}

    def between(self, mine: AgentRef, peer: AgentRef) -> list[tuple[int, ExchangeRecord]]:
        """What passed between two agents, by number."""
        return [(n, one) for n, one in self.exchanges.items() if (one.mine, one.peer) == (mine, peer)]

    def apply(self, change: BreakerChange, state: DaemonState) -> DaemonResult:
        """Make one change."""
        put, drop = self._journal.put, self._journal.drop
        match change:
            case CountExchange(exchange=new):
                for n, old in self.between(new.mine, new.peer):
                    if abs(old.at - new.at) >= DAY_MS:
                        drop(self.exchanges, n)
                put(self.exchanges, int(state.place("exchanges")), new)
            case ForgetExchanges():
                known = self.between(change.mine, change.peer)
                for n, _ in known:
                    drop(self.exchanges, n)
                return Counted(len(known))
            case PutBreaker(breaker=breaker):
                put(self.breakers, Flow(breaker.mine, breaker.peer), breaker)
            case DropStopped():
                return Counted(sum(_drop(state, change.agent, hash) for hash in change.hashes))
            case _:
                assert_never(change)
        return Done()


def _drop(state: DaemonState, agent: str, hash: Hash) -> int:
    message = state.messages.get((hash, agent))
    if message is None or not _is_stopped(message):
        return 0
    state.journal.put(state.messages, (hash, agent), attrs.evolve(message, inbox=InboxState.DROPPED))
    return 1


def _is_stopped(message: MessageRecord) -> bool:
    return message.direction is Direction.IN and message.inbox is InboxState.STOPPED


class _Held(Protocol):
    async def _begin(self) -> DaemonState: ...


class MemoryBreakerReads:
    """The reads of `breakers_port.BreakerReads`; a part of the daemon's store, which owns the state."""

    async def exchanges(self: _Held, flow: Flow, since: Instant, limit: int) -> tuple[ExchangeRecord, ...]:
        """The newest exchanges between two agents, oldest first."""
        known = (await self._begin()).breaker_tables.between(flow.from_, flow.to)
        late = sorted((one.at, n, one) for n, one in known if one.at > since)
        return tuple([one for _, _, one in late[-limit:]]) if limit else ()

    async def last_read(self: _Held, flow: Flow, since: Instant) -> ExchangeRecord | None:
        """The newest talk from a peer that our agent has read."""
        state = await self._begin()
        known = state.breaker_tables.between(flow.from_, flow.to)
        for _, _, one in sorted(((one.at, n, one) for n, one in known if one.at > since), reverse=True):
            message = state.messages.get((one.hash, one.mine.name))
            if one.inbound and one.talk and message is not None and message.read_at is not None:
                return one
        return None

    async def breakers(self: _Held, flows: Collection[Flow]) -> Mapping[Flow, BreakerRecord]:
        """How breakers stand."""
        return pick((await self._begin()).breaker_tables.breakers, flows)

    async def breakers_tripped(self: _Held, limit: int) -> tuple[BreakerRecord, ...]:
        """Those that tripped."""
        known = (await self._begin()).breaker_tables.breakers.values()
        tripped = sorted((b for b in known if b.code), key=lambda b: (b.tripped_at or 0, b.mine, b.peer))
        return tuple(tripped[:limit])

    async def stopped(self: _Held, flow: Flow, limit: int) -> tuple[MessageRecord, ...]:
        """What is stopped between two agents."""
        messages = (await self._begin()).messages.values()
        found = [m for m in messages if (m.mine, m.peer) == (flow.from_, flow.to) and _is_stopped(m)]
        return tuple(sorted(found, key=lambda m: m.place)[:limit])
