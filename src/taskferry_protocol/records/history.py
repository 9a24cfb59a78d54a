"""What is asked of a daemon's history, and the figures that a store keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Generic, TypeVar

import attrs

from ..ids import AgentRef, ConversationId, Instant
from ..messages import MessageClass
from ..search_words import ANYTHING, Asked
from .base import Place
from .traffic import Direction, InboxCount, InboxState, MessageRecord

__all__ = [
    "STEP_MS",
    "TRAFFIC",
    "CountsRecord",
    "Found",
    "MessageFilter",
    "OpenTasks",
    "TalkRecord",
    "TaskFilter",
    "TrafficRecord",
]

T_co = TypeVar("T_co", covariant=True)

TRAFFIC: Final = frozenset({MessageClass.MESSAGE.value, MessageClass.TASK.value, MessageClass.ARTIFACT.value})
"""The classes that figures count: what agents say to each other."""
STEP_MS: Final = 15 * 60 * 1_000
"""Traffic is counted by quarters of an hour, which is what the clocks of the world differ by."""


@attrs.frozen
class TaskFilter:
    """Which tasks; empty or None means any. `standings` are pairs of our role and the state.

    `asked` is about what was said in them, and what stands in an inbox as `unseen` was not said. Updates are
    from `since` to `until`, both inclusive.
    """

    asked: Asked = ANYTHING
    agents: frozenset[AgentRef] = frozenset()
    peer: AgentRef | None = None
    standings: frozenset[tuple[str, str]] = frozenset()
    since: Instant | None = None
    until: Instant | None = None
    unseen: frozenset[InboxState] = frozenset()


@attrs.frozen
class MessageFilter:
    """Which messages; empty or None means any. `inbox` is about inbound ones, and lets no other pass."""

    asked: Asked = ANYTHING
    agents: frozenset[AgentRef] = frozenset()
    peer: AgentRef | None = None
    conv: ConversationId | None = None
    direction: Direction | None = None
    inbox: frozenset[InboxState] = frozenset()
    unseen: frozenset[InboxState] = frozenset()


@attrs.frozen
class Found(Generic[T_co]):
    """Some of what was asked for, newest first, and where to go on, None at the end.

    `cut` says that there may be more than a store looked through in one go, or has an index of.
    """

    items: tuple[T_co, ...]
    next: Place | None
    cut: bool = False


@attrs.frozen
class OpenTasks:
    """How many of the tasks that are `open` stand so with one of our agents."""

    mine: AgentRef
    role: str
    state: str
    count: int


@attrs.frozen
class CountsRecord:
    """How much is under way and waits, as of one moment: `open` by agent, role and state."""

    open: tuple[OpenTasks, ...]
    inbox: Mapping[str, InboxCount]
    """By the name of an agent of ours; all that were asked for."""


@attrs.frozen
class TrafficRecord:
    """What was sent and received in the step that begins at `at`; task events are counted apart."""

    at: Instant
    messages_sent: int = 0
    messages_received: int = 0
    events_sent: int = 0
    events_received: int = 0


@attrs.frozen
class TalkRecord:
    """A conversation of an agent of ours with a peer: how many messages, how many unread, the last one."""

    messages: int
    unread: int
    last: MessageRecord
