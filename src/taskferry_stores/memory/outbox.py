"""The outbox of a daemon's store in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from taskferry_protocol.ids import AgentRef, Hash, Instant
from taskferry_protocol.records import OutboxRecord, OutboxState, Rung

from ..rules import LONGEST_DEFERRAL_MS
from .daemon_state import DaemonState
from .tables import grouped, pick

__all__ = ["MemoryOutboxReads"]


class _Held(Protocol):
    async def _begin(self) -> DaemonState: ...


class MemoryOutboxReads:
    """The reads of `outbox_port.OutboxReads`; a part of the daemon's store, which owns the state."""

    async def outbox(self: _Held, hashes: Collection[Hash]) -> Mapping[Hash, OutboxRecord]:
        """Outbox entries by hash."""
        return pick((await self._begin()).outbox, hashes)

    async def outbox_rungs(
        self: _Held, hashes: Collection[Hash]
    ) -> Mapping[Hash, tuple[tuple[str, Rung], ...]]:
        """How far the messages are whose entries are in the outbox."""
        state = await self._begin()
        held = pick(state.outbox, hashes)
        rungs = ((m.hash, (m.mine.name, m.rung)) for m in state.messages.values() if m.rung is not None)
        return {**dict.fromkeys(held, ()), **grouped(rungs, held)}

    async def outbox_due(
        self: _Held, now: Instant, limit: int, max_bytes: int, but: Collection[Hash] = ()
    ) -> tuple[OutboxRecord, ...]:
        """Waiting entries whose time has come."""
        state = await self._begin()
        held_up: set[AgentRef] = set()
        due: list[OutboxRecord] = []
        total = 0
        for entry in _in_order(state):
            if entry.state is not OutboxState.WAITING or entry.expires_at <= now:
                continue
            if now < entry.next_attempt_at <= now + LONGEST_DEFERRAL_MS:
                held_up.add(entry.to)
            if entry.to in held_up or entry.hash in but:
                continue
            total += len(entry.parcel)
            if len(due) == limit or (due and total > max_bytes):
                break
            due.append(entry)
        return tuple(due)

    async def outbox_for(
        self: _Held, recipients: Collection[AgentRef], cls: str, after: Instant
    ) -> frozenset[AgentRef]:
        """Those for whom something waits."""
        entries = (await self._begin()).outbox.values()
        waiting = [one for one in entries if one.state is OutboxState.WAITING and one.expires_at > after]
        return frozenset(one.to for one in waiting if one.cls == cls and one.to in recipients)

    async def outbox_expired(self: _Held, now: Instant, limit: int) -> tuple[OutboxRecord, ...]:
        """Entries whose time is over."""
        state = await self._begin()
        over = [entry for entry in _in_order(state) if entry.expires_at <= now]
        return tuple(sorted(over, key=lambda entry: entry.expires_at)[:limit])

    async def next_attempt(self: _Held) -> Instant | None:
        """When the next waiting entry is due."""
        state = await self._begin()
        waiting = [e for e in state.outbox.values() if e.state is OutboxState.WAITING]
        return min((entry.next_attempt_at for entry in waiting), default=None)

    async def outbox_waiting(self: _Held) -> int:
        """How much waits in the outbox."""
        state = await self._begin()
        return sum(1 for entry in state.outbox.values() if entry.state is OutboxState.WAITING)


def _in_order(state: DaemonState) -> list[OutboxRecord]:
    return sorted(state.outbox.values(), key=lambda entry: state.outbox_places[entry.hash])
