"""The daemon's history: lists that search, and figures, at a cost that does not grow with what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs

from taskferry_protocol.ids import ConversationId, Hash, Instant

from .port import Caller
from .views import MessageView, TaskSummary

__all__ = [
    "AgentFigures",
    "ConversationView",
    "FoundConversations",
    "FoundMessages",
    "FoundTasks",
    "HistoryCounts",
    "HistoryService",
    "MessageSearch",
    "TaskSearch",
    "TrafficBar",
]


@attrs.frozen
class TaskSearch:
    """Which tasks. Empty or None leaves a filter out; agents and peers are named as everywhere.

    `text` is words, in any writing: all of them have to stand in what one side said at once (or in the title,
    the brief), the last one at least begins so. `states` are those of lists, `created` among them.
    `since` and `until` are about the last update, both inclusive. `waiting_for` is whose turn it is.
    """

    text: str = ""
    states: frozenset[str] = frozenset()
    role: str = ""
    """requester or worker: what our agent is in it."""
    agent: str = ""
    peer: str = ""
    since: Instant | None = None
    until: Instant | None = None
    waiting_for: str = ""
    """me or peer."""


@attrs.frozen
class MessageSearch:
    """Which messages, as in `TaskSearch`."""

    text: str = ""
    agent: str = ""
    peer: str = ""
    conversation: str = ""
    """Its id in full, 32 hexadecimal digits."""
    direction: str = ""
    """in, out or copy."""
    unread: bool = False


@attrs.frozen
class FoundTasks:
    """Some tasks, and the cursor to go on from ("" at the end).

    `cut` says that the page ends early, perhaps empty, because very much had to be looked through, or
    because the index is still being built: the cursor, where there is one, leads on.
    """

    tasks: tuple[TaskSummary, ...]
    cursor: str
    cut: bool = False


@attrs.frozen
class FoundMessages:
    """Some messages; the rest as in `FoundTasks`."""

    messages: tuple[MessageView, ...]
    cursor: str
    cut: bool = False


@attrs.frozen
class ConversationView:
    """A conversation of one of our agents with one peer. `line` is the beginning of what was said last."""

    id: ConversationId
    mine: str
    peer: str
    line: str
    type: str
    direction: str
    """Of what was said last."""
    at: Instant
    messages: int
    unread: int
    task: Hash | None = None
    """The task that was spoken of last."""


@attrs.frozen
class FoundConversations:
    """Some conversations, the last spoken in first; the rest as in `FoundTasks`."""

    conversations: tuple[ConversationView, ...]
    cursor: str
    cut: bool = False


@attrs.frozen
class AgentFigures:
    """How one agent stands: open tasks by state, those whose turn it is, and what waits in its inbox."""

    agent: str
    """`@owner/name`."""
    states: Mapping[str, int]
    waiting_for_me: int
    waiting_for_peer: int
    unread: int
    read: int
    """Read and not yet processed."""


@attrs.frozen
class HistoryCounts:
    """The sums over all agents, and each agent's figures by name."""

    states: Mapping[str, int]
    """Open tasks by state; a state that none is in may be absent. A request not yet sent is `sent`."""
    waiting_for_me: int
    waiting_for_peer: int
    unread: int
    read: int
    agents: tuple[AgentFigures, ...]


@attrs.frozen
class TrafficBar:
    """What went and came in one step of time, which begins at `at`. Task events are no messages here."""

    at: Instant
    messages_sent: int = 0
    messages_received: int = 0
    events_sent: int = 0
    events_received: int = 0


class HistoryService(Protocol):
    """Reads over all that is kept. Each is cheap, however long the history; raises `DaemonRefusal`."""

    async def counts(self, caller: Caller) -> HistoryCounts:
        """The owner's: how many tasks are open, and what waits."""

    async def traffic(self, caller: Caller, since: Instant, step_ms: int) -> tuple[TrafficBar, ...]:
        """The owner's: what went and came from `since` until now, oldest first, quiet steps as zeros.

        `since` is rounded down, and `step_ms` has to be a multiple of 900,000, a quarter of an hour.
        At most 200 bars: refusal `bad-value` where more are asked for. Whole hours from a full hour on cost
        least. What was stored before an update, and is still being indexed, is not in it.
        """

    async def tasks(self, caller: Caller, search: TaskSearch, cursor: str, limit: int) -> FoundTasks:
        """The last updated first; with words, the last in which they were said first. At most 200."""

    async def under_way(self, caller: Caller, limit: int) -> tuple[TaskSummary, ...]:
        """Tasks that somebody has to move, those that wait for us first, each the newest first."""

    async def messages(self, caller: Caller, search: MessageSearch, cursor: str, limit: int) -> FoundMessages:
        """Newest first, what is said in tasks too; at most 200. Nothing is marked as read."""

    async def conversations(
        self, caller: Caller, agent: str, peer: str, cursor: str, limit: int
    ) -> FoundConversations:
        """The owner's: one row a conversation, the last spoken in first; "" for any agent or peer."""
