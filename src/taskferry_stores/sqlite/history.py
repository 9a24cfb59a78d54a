"""The reads of `history_port.HistoryReads` over one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping

from taskferry_protocol.ids import AgentRef, Hash, Instant
from taskferry_protocol.records import (
    DaemonChange,
    DaemonResult,
    MessageRecord,
    Place,
    TaskCursor,
    TaskPage,
    TaskRecord,
)
from taskferry_protocol.records.history import (
    CountsRecord,
    Found,
    MessageFilter,
    TalkRecord,
    TaskFilter,
    TrafficRecord,
)

from . import history_figures, history_reads, history_rows
from .engine import Engine


class SqliteHistoryReads:
    """A part of the daemon's store, which owns the engine."""

    _engine: Engine[DaemonChange, DaemonResult]

    async def tasks_filtered(self, query: TaskFilter, after: TaskCursor | None, limit: int) -> TaskPage:
        """Tasks, the last updated first."""
        return await self._engine.read(lambda c: history_reads.tasks_filtered(c, query, after, limit))

    async def tasks_saying(self, query: TaskFilter, after: Place | None, limit: int) -> Found[TaskRecord]:
        """Tasks in which words were said, the last to say so first."""
        return await self._engine.read(lambda c: history_reads.tasks_saying(c, query, after, limit))

    async def messages_filtered(
        self, query: MessageFilter, after: Place | None, limit: int
    ) -> Found[MessageRecord]:
        """Messages by place, newest first."""
        return await self._engine.read(lambda c: history_reads.messages_filtered(c, query, after, limit))

    async def talks(
        self, agents: Collection[AgentRef], peer: AgentRef | None, after: Place | None, limit: int
    ) -> Found[TalkRecord]:
        """Conversations, the last spoken in first."""
        return await self._engine.read(lambda c: history_figures.talks(c, agents, peer, after, limit))

    async def unread_in_tasks(
        self, tasks: Collection[tuple[Hash, AgentRef]]
    ) -> Mapping[tuple[Hash, AgentRef], int]:
        """How many messages about tasks are not read."""
        return await self._engine.read(lambda c: history_reads.unread_in_tasks(c, tasks))

    async def counts(self, agents: Collection[str]) -> CountsRecord:
        """How many tasks are not over, and what waits."""
        return await self._engine.read(lambda c: history_figures.counts(c, agents))

    async def traffic(
        self, agents: Collection[AgentRef], since: Instant, until: Instant, step_ms: int
    ) -> tuple[TrafficRecord, ...]:
        """What went and came, by steps."""
        return await self._engine.read(lambda c: history_figures.traffic(c, agents, since, until, step_ms))

    async def index_history(self, limit: int) -> int:
        """Take messages of before into the index and the figures."""
        done = 0

        def fill(connection: sqlite3.Connection) -> None:
            nonlocal done
            done = history_rows.fill(connection, limit)

        await self._engine.alone(fill, limit)
        return done
