"""The daemon's history, as `history_port.HistoryService` promises it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

import attrs
import trio

from taskferry_protocol.ids import AgentRef, ConversationId, Instant
from taskferry_protocol.links import Role
from taskferry_protocol.messages import decode_content
from taskferry_protocol.records import Direction, InboxState, Place, TaskRecord
from taskferry_protocol.records.history import (
    STEP_MS,
    Found,
    MessageFilter,
    OpenTasks,
    TalkRecord,
    TaskFilter,
)
from taskferry_protocol.search_words import asked_words
from taskferry_protocol.task_table import FINAL_STATES
from taskferry_protocol.tasks import TaskState

from .core import Core
from .describe import message_views
from .describe_tasks import task_summaries, turn_of, with_progress
from .history_port import (
    AgentFigures,
    ConversationView,
    FoundConversations,
    FoundMessages,
    FoundTasks,
    HistoryCounts,
    MessageSearch,
    TaskSearch,
    TrafficBar,
)
from .lines import line_of
from .listing import parse_task_cursor, task_cursor, task_query
from .mail import MOST, parse_cursor
from .names import agent_read, handle_of, may_use, named_peer, require_owner
from .port import Caller, DaemonRefusal
from .taskbook import is_of_former
from .views import TaskSummary
from .visibility import UNSEEN, shown_rows, without_hidden

__all__ = ["History"]

MOST_BARS: Final = 200
#: What an agent is not shown is not searched for it either: to find it would be to read it.
_UNSEEN: Final = UNSEEN | {InboxState.HELD}
_FILL_BATCH: Final = 250
#: Between two batches: whoever commits goes first.
_FILL_PAUSE_S: Final = 0.1


class History:
    """Reads for callers."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def run(self) -> None:
        """Take what was stored before there was an index into it, step by step. Raises the store's errors."""
        while await self._core.store.index_history(_FILL_BATCH):  # noqa: ASYNC110 - it does not wait for anything
            await trio.sleep(_FILL_PAUSE_S)

    # --- Figures

    async def counts(self, caller: Caller) -> HistoryCounts:
        """How many tasks are open, and what waits."""
        require_owner(caller)
        core = self._core
        names = [agent.name for agent in await core.store.agents()]
        counted = await core.store.counts(names)
        waiting = counted.inbox
        # An end that the other side has not confirmed is an end all the same.
        open_tasks = [row for row in counted.open if row.state not in FINAL_STATES]
        agents = []
        for name in names:
            of_agent = [row for row in open_tasks if row.mine.name == name]
            mine, theirs = _turns(of_agent)
            agents.append(
                AgentFigures(
                    agent=await handle_of(core, core.agent(name)),
                    states=_states(of_agent),
                    waiting_for_me=mine,
                    waiting_for_peer=theirs,
                    unread=waiting[name].unread,
                    read=waiting[name].read,
                )
            )
        mine, theirs = _turns(open_tasks)
        return HistoryCounts(
            states=_states(open_tasks),
            waiting_for_me=mine,
            waiting_for_peer=theirs,
            unread=sum(count.unread for count in waiting.values()),
            read=sum(count.read for count in waiting.values()),
            agents=tuple(agents),
        )

    async def traffic(self, caller: Caller, since: Instant, step_ms: int) -> tuple[TrafficBar, ...]:
        """What went and came, step by step."""
        require_owner(caller)
        if step_ms < STEP_MS or step_ms % STEP_MS:
            raise DaemonRefusal(
                "bad-value",
                "A step is a whole number of quarters of an hour.",
                f"Give a multiple of {STEP_MS} ms.",
                detail={"field": "step_ms"},
            )
        now = self._core.now()
        start = max(0, since - since % STEP_MS)
        count = -(-(now + 1 - start) // step_ms)
        if count > MOST_BARS:
            raise DaemonRefusal(
                "bad-value",
                f"That would be {count} bars, and at most {MOST_BARS} are told.",
                "Begin later, or take longer steps.",
                detail={"field": "since"},
            )
        until = Instant(start + max(count, 0) * step_ms)
        rows = await self._core.store.traffic((), Instant(start), until, step_ms)
        bars = {row.at: TrafficBar(**attrs.asdict(row)) for row in rows}
        starts = [Instant(at) for at in range(start, until, step_ms)]
        return tuple(bars.get(at, TrafficBar(at)) for at in starts)

    # --- Lists

    async def tasks(self, caller: Caller, search: TaskSearch, cursor: str, limit: int) -> FoundTasks:
        """Tasks, the newest first."""
        asked = asked_words(search.text)
        agents = await self._agents(caller, search.agent)
        standings = _standings(search)
        if asked is None or agents is None or (standings is not None and not standings):
            return FoundTasks((), "")
        query = TaskFilter(
            asked=asked,
            agents=agents,
            peer=await named_peer(self._core, search.peer, "peer") if search.peer else None,
            standings=standings or frozenset(),
            since=search.since,
            until=search.until,
            unseen=frozenset() if caller.is_owner else _UNSEEN,
        )
        rows, following, cut = await self._find(query, cursor, max(1, min(limit, MOST)))
        rows = tuple(
            row for row in await shown_rows(self._core, caller, rows) if may_use(caller, row.mine.name)
        )
        shown = await task_summaries(self._core, rows)
        if caller.is_owner:
            shown = _with_progress(shown, rows)
        if "created" in search.states and "sent" not in search.states:
            shown = tuple(summary for summary in shown if summary.state != "sent")
        return FoundTasks(shown, following, cut)

    async def under_way(self, caller: Caller, limit: int) -> tuple[TaskSummary, ...]:
        """Tasks that somebody has to move, those that wait for us first."""
        require_owner(caller)
        rows: list[TaskRecord] = []
        for turn in ("me", "peer"):
            if len(rows) < limit:
                standings = _standings(TaskSearch(waiting_for=turn)) or frozenset()
                page = await self._core.store.tasks_filtered(
                    TaskFilter(standings=standings), None, limit - len(rows)
                )
                rows += [row for row in page.items if not is_of_former(row)]
        return _with_progress(await task_summaries(self._core, rows), rows)

    async def _find(
        self, query: TaskFilter, cursor: str, limit: int
    ) -> tuple[tuple[TaskRecord, ...], str, bool]:
        store = self._core.store
        if query.asked.is_empty:
            page = await store.tasks_filtered(query, parse_task_cursor(cursor), limit)
            return page.items, task_cursor(page.next), False
        found = await store.tasks_saying(query, parse_cursor(cursor), limit)
        return found.items, _cursor(found.next), found.cut

    async def messages(self, caller: Caller, search: MessageSearch, cursor: str, limit: int) -> FoundMessages:
        """Messages, the newest first."""
        asked = asked_words(search.text)
        agents = await self._agents(caller, search.agent)
        if asked is None or agents is None:
            return FoundMessages((), "")
        query = MessageFilter(
            asked=asked,
            agents=agents,
            peer=await named_peer(self._core, search.peer, "peer") if search.peer else None,
            conv=_conversation(search.conversation),
            direction=_direction(search.direction),
            inbox=frozenset({InboxState.UNREAD}) if search.unread else frozenset(),
            unseen=frozenset() if caller.is_owner else _UNSEEN,
        )
        found = await self._core.store.messages_filtered(
            query, parse_cursor(cursor), max(1, min(limit, MOST))
        )
        views = await message_views(self._core, await without_hidden(self._core, caller, found.items))
        return FoundMessages(views, _cursor(found.next), found.cut)

    async def conversations(
        self, caller: Caller, agent: str, peer: str, cursor: str, limit: int
    ) -> FoundConversations:
        """Conversations, the last spoken in first."""
        require_owner(caller)
        core = self._core
        found: Found[TalkRecord] = await core.store.talks(
            await self._agents(caller, agent) or (),
            await named_peer(core, peer, "peer") if peer else None,
            parse_cursor(cursor),
            max(1, min(limit, MOST)),
        )
        views = []
        for talk in found.items:
            last = talk.last
            views.append(
                ConversationView(
                    id=last.conv,
                    mine=await handle_of(core, last.mine),
                    peer=await handle_of(core, last.peer),
                    line=line_of(decode_content(last.content).body),
                    type=last.type,
                    direction=last.direction.value,
                    at=last.stored_at,
                    messages=talk.messages,
                    unread=talk.unread,
                    task=last.task,
                )
            )
        return FoundConversations(tuple(views), _cursor(found.next), found.cut)

    async def _agents(self, caller: Caller, agent: str) -> frozenset[AgentRef] | None:
        """The agents that count, empty for all; None if there is none that the caller may act as."""
        if agent:
            return frozenset({await agent_read(self._core, caller, agent)})
        if caller.agents is None:
            return frozenset()
        return frozenset(self._core.agent(name) for name in caller.agents) or None


def _with_progress(shown: Sequence[TaskSummary], rows: Sequence[TaskRecord]) -> tuple[TaskSummary, ...]:
    return tuple(with_progress(*pair) for pair in zip(shown, rows, strict=True))


def _states(rows: Collection[OpenTasks]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row.state] += row.count
    return dict(counts)


def _turns(rows: Collection[OpenTasks]) -> tuple[int, int]:
    """How many wait for us, and how many for the peer."""
    turns = [(turn_of(row.role, row.state), row.count) for row in rows]
    return sum(n for turn, n in turns if turn == "me"), sum(n for turn, n in turns if turn == "peer")


def _standings(search: TaskSearch) -> frozenset[tuple[str, str]] | None:
    """The pairs of role and state that are asked for; None for any. Raises DaemonRefusal(bad-value)."""
    if search.waiting_for not in {"", "me", "peer"}:
        raise DaemonRefusal("bad-value", "A task waits for me or for peer.", detail={"field": "waiting_for"})
    states: set[str] = set()
    for state in search.states or {""}:
        states |= task_query(Caller(None), None, state, search.role).states
    if not states and not search.role and not search.waiting_for:
        return None
    pairs = (
        (role.value, state)
        for role in Role
        for state in states or {*(state.value for state in TaskState), "unknown"}
    )
    return frozenset(
        (role, state)
        for role, state in pairs
        if search.role in {"", role} and search.waiting_for in {"", turn_of(role, state)}
    )


def _conversation(text: str) -> ConversationId | None:
    if not text:
        return None
    try:
        if len(text) == 32 and text.isascii():
            return ConversationId(bytes.fromhex(text))
    except ValueError:
        pass
    raise DaemonRefusal(
        "bad-value",
        "The id of a conversation is 32 hexadecimal digits.",
        "Copy the id from a list.",
        detail={"field": "conversation"},
    )


def _direction(text: str) -> Direction | None:
    if not text:
        return None
    if text not in {direction.value for direction in Direction}:
        raise DaemonRefusal("bad-value", "A direction is in, out or copy.", detail={"field": "direction"})
    return Direction(text)


def _cursor(place: Place | None) -> str:
    return "" if place is None else str(place)
