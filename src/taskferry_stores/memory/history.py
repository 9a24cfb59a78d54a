"""Searches and figures of a daemon's store in memory: everything is looked at each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol, TypeVar

import attrs

from taskferry_protocol.ids import AgentRef, Hash, Instant
from taskferry_protocol.records import (
    Direction,
    InboxState,
    MessageRecord,
    Place,
    TaskCursor,
    TaskPage,
    TaskRecord,
)
from taskferry_protocol.records.history import (
    TRAFFIC,
    CountsRecord,
    Found,
    MessageFilter,
    OpenTasks,
    TalkRecord,
    TaskFilter,
    TrafficRecord,
)
from taskferry_protocol.search_words import Asked, indexed_words, is_met

from .daemon_state import DaemonState
from .queries import inbox_counts, page_of_tasks

__all__ = ["MemoryHistoryReads"]

_T = TypeVar("_T")


class _Held(Protocol):
    async def _begin(self) -> DaemonState: ...


class MemoryHistoryReads:
    """The reads of `history_port.HistoryReads`; a part of the daemon's store, which owns the state."""

    async def tasks_filtered(
        self: _Held, query: TaskFilter, after: TaskCursor | None, limit: int
    ) -> TaskPage:
        """Tasks, the last updated first."""
        state = await self._begin()
        asked = (task for task in state.tasks.values() if _asked_task(query, task))
        return page_of_tasks(asked, after, limit)

    async def tasks_saying(
        self: _Held, query: TaskFilter, after: Place | None, limit: int
    ) -> Found[TaskRecord]:
        """Tasks in which words were said, the last to say so first."""
        state = await self._begin()
        said: dict[tuple[Hash, str], Place] = {}
        for message in _newest(state.messages.values()):
            if message.task is None or message.inbox in query.unseen or not _says(query.asked, message):
                continue
            for role in ("requester", "worker"):
                task = state.tasks.get((message.task, role))
                if task is not None and task.mine == message.mine and _asked_task(query, task):
                    said.setdefault((message.task, role), message.place)
        rows = [(place, state.tasks[key]) for key, place in said.items()]
        return _found([row for row in rows if after is None or row[0] < after], limit)

    async def messages_filtered(
        self: _Held, query: MessageFilter, after: Place | None, limit: int
    ) -> Found[MessageRecord]:
        """Messages by place, newest first."""
        state = await self._begin()
        asked = [m for m in _newest(state.messages.values()) if after is None or m.place < after]
        return _found([(m.place, m) for m in asked if _asked_message(query, m)], limit)

    async def talks(
        self: _Held, agents: Collection[AgentRef], peer: AgentRef | None, after: Place | None, limit: int
    ) -> Found[TalkRecord]:
        """Conversations, the last spoken in first."""
        state = await self._begin()
        talks: dict[tuple[AgentRef, AgentRef, bytes], TalkRecord] = {}
        for message in _newest(state.messages.values()):
            if not _is_traffic(message) or (agents and message.mine not in agents):
                continue
            if peer not in {None, message.peer}:
                continue
            key = (message.mine, message.peer, message.conv)
            held = talks.get(key, TalkRecord(0, 0, message))
            unread = held.unread + _is_unread(message)
            talks[key] = attrs.evolve(held, messages=held.messages + 1, unread=unread)
        rows = [(talk.last.place, talk) for talk in talks.values()]
        return _found([row for row in rows if after is None or row[0] < after], limit)

    async def unread_in_tasks(
        self: _Held, tasks: Collection[tuple[Hash, AgentRef]]
    ) -> Mapping[tuple[Hash, AgentRef], int]:
        """How many messages about tasks are not read."""
        messages = (await self._begin()).messages.values()
        unread = Counter((m.task, m.mine) for m in messages if m.task is not None and _is_unread(m))
        return {key: unread[key] for key in tasks if unread[key]}

    async def counts(self: _Held, agents: Collection[str]) -> CountsRecord:
        """How many tasks are not over, and what waits."""
        state = await self._begin()
        counts = Counter((task.mine, task.role, task.state) for task in state.tasks.values() if task.open)
        ordered = sorted(counts.items(), key=lambda row: (row[0][0].name, row[0][1:]))
        return CountsRecord(
            tuple(OpenTasks(*key, count) for key, count in ordered),
            inbox_counts(state.messages.values(), agents),
        )

    async def traffic(
        self: _Held, agents: Collection[AgentRef], since: Instant, until: Instant, step_ms: int
    ) -> tuple[TrafficRecord, ...]:
        """What went and came, by steps."""
        bars: dict[int, TrafficRecord] = {}
        state = await self._begin()
        begun = max(since, state.counted_from.get(None, since))
        for message in state.messages.values():
            if not begun <= message.stored_at < until or not _is_traffic(message):
                continue
            if agents and message.mine not in agents:
                continue
            at = message.stored_at - (message.stored_at - since) % step_ms
            bars[at] = _counted(bars.get(at, TrafficRecord(Instant(at))), message)
        return tuple(bars[at] for at in sorted(bars))

    async def index_history(self: _Held, limit: int) -> int:
        """There is nothing from before."""
        await self._begin()
        return 0


def _newest(messages: Iterable[MessageRecord]) -> list[MessageRecord]:
    return sorted(messages, key=lambda message: message.place, reverse=True)


def _found(rows: list[tuple[Place, _T]], limit: int) -> Found[_T]:
    rows.sort(key=lambda row: row[0], reverse=True)
    following = rows[limit - 1][0] if len(rows) > limit else None
    return Found(tuple(item for _, item in rows[:limit]), following)


def _says(asked: Asked, message: MessageRecord) -> bool:
    return asked.is_empty or is_met(asked, indexed_words(message.content))


def _is_unread(message: MessageRecord) -> bool:
    return message.direction is Direction.IN and message.inbox is InboxState.UNREAD


def _is_traffic(message: MessageRecord) -> bool:
    return message.cls in TRAFFIC


def _asked_task(query: TaskFilter, task: TaskRecord) -> bool:
    return (
        (not query.agents or task.mine in query.agents)
        and query.peer in {None, task.peer}
        and (not query.standings or (task.role, task.state) in query.standings)
        and (query.since is None or task.updated_at >= query.since)
        and (query.until is None or task.updated_at <= query.until)
    )


def _asked_message(query: MessageFilter, message: MessageRecord) -> bool:
    return (
        (not query.agents or message.mine in query.agents)
        and query.peer in {None, message.peer}
        and query.conv in {None, message.conv}
        and query.direction in {None, message.direction}
        and (not query.inbox or (message.direction is Direction.IN and message.inbox in query.inbox))
        and message.inbox not in query.unseen
        and _says(query.asked, message)
    )


def _counted(bar: TrafficRecord, message: MessageRecord) -> TrafficRecord:
    received = message.direction is Direction.IN
    if message.task is None:
        messages_sent, messages_received = (
            bar.messages_sent + (not received),
            bar.messages_received + received,
        )
        return attrs.evolve(bar, messages_sent=messages_sent, messages_received=messages_received)
    events_sent, events_received = bar.events_sent + (not received), bar.events_received + received
    return attrs.evolve(bar, events_sent=events_sent, events_received=events_received)
