"""What a daemon's store answers about all that it keeps; a part of `port.DaemonStore`.

Every read costs about the same, however much is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from taskferry_protocol.ids import AgentRef, Hash, Instant
from taskferry_protocol.records import MessageRecord, Place, TaskCursor, TaskPage, TaskRecord
from taskferry_protocol.records.history import (
    CountsRecord,
    Found,
    MessageFilter,
    TalkRecord,
    TaskFilter,
    TrafficRecord,
)

__all__ = ["HistoryReads"]


class HistoryReads(Protocol):
    """Searches and figures. Traffic and conversations are of the messages whose class is in `TRAFFIC`."""

    async def tasks_filtered(self, query: TaskFilter, after: TaskCursor | None, limit: int) -> TaskPage:
        """Tasks, the last updated first. `asked` has to be empty."""

    async def tasks_saying(self, query: TaskFilter, after: Place | None, limit: int) -> Found[TaskRecord]:
        """Tasks in which the words of `asked` were said in one message, the last to say so first."""

    async def messages_filtered(
        self, query: MessageFilter, after: Place | None, limit: int
    ) -> Found[MessageRecord]:
        """Messages by place, newest first."""

    async def talks(
        self, agents: Collection[AgentRef], peer: AgentRef | None, after: Place | None, limit: int
    ) -> Found[TalkRecord]:
        """Conversations of these agents of ours (none: of all), the last spoken in first."""

    async def unread_in_tasks(
        self, tasks: Collection[tuple[Hash, AgentRef]]
    ) -> Mapping[tuple[Hash, AgentRef], int]:
        """How many messages about a task an agent of ours has not read; absent where none."""

    async def counts(self, agents: Collection[str]) -> CountsRecord:
        """How many tasks are `open`, and what waits in the inboxes of these agents of ours."""

    async def traffic(
        self, agents: Collection[AgentRef], since: Instant, until: Instant, step_ms: int
    ) -> tuple[TrafficRecord, ...]:
        """What went and came from `since`, before `until`, oldest first; quiet steps are left out.

        Steps are counted from `since`; both are multiples of `STEP_MS`.
        """

    async def index_history(self, limit: int) -> int:
        """Take at most `limit` messages of before these figures were kept into them; says how many.

        None are left when it says 0.
        """
