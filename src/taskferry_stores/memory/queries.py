"""What queries for messages, tasks and the quarantine ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from taskferry_protocol.records import (
    Direction,
    EventRecord,
    InboxCount,
    InboxState,
    MessageQuery,
    MessageRecord,
    Place,
    PruneEvents,
    QuarantineLine,
    QuarantineRecord,
    TaskCursor,
    TaskPage,
    TaskQuery,
    TaskRecord,
)


def asked_message(query: MessageQuery, message: MessageRecord) -> bool:
    """Whether a query asks for this message."""
    return (
        query.agent in {None, message.mine.name}
        and query.peer in {None, message.peer}
        and query.conv in {None, message.conv}
        and query.task in {None, message.task}
        and query.direction in {None, message.direction}
        and (not query.inbox or (message.direction is Direction.IN and message.inbox in query.inbox))
    )


def asked_task(query: TaskQuery, task: TaskRecord) -> bool:
    """Whether a query asks for this task."""
    return (
        query.agent in {None, task.mine.name}
        and query.peer in {None, task.peer}
        and query.role in {None, task.role}
        and (not query.states or task.state in query.states)
    )


def page_of_tasks(tasks: Iterable[TaskRecord], after: TaskCursor | None, limit: int) -> TaskPage:
    """The first of these tasks after a place, the last updated first."""
    listed = sorted(tasks, key=_place_in_list, reverse=True)
    rest = [task for task in listed if after is None or _place_in_list(task) < after]
    more = _place_in_list(rest[limit - 1]) if len(rest) > limit else None
    return TaskPage(tuple(rest[:limit]), more)


def _place_in_list(task: TaskRecord) -> TaskCursor:
    return TaskCursor(task.updated_at, task.task, task.role)


def inbox_counts(messages: Iterable[MessageRecord], agents: Collection[str]) -> dict[str, InboxCount]:
    """What waits in the inboxes of these agents."""
    states = Counter((m.mine.name, m.inbox) for m in messages if m.direction is Direction.IN)
    return {
        agent: InboxCount(states[agent, InboxState.UNREAD], states[agent, InboxState.READ])
        for agent in agents
    }


def quarantine_lines(items: Iterable[QuarantineRecord]) -> tuple[QuarantineLine, ...]:
    """What quarantined items take, oldest first."""
    return tuple(
        QuarantineLine(item.hash, item.code, len(item.envelope) + len(item.sealed), item.device is not None)
        for item in sorted(items, key=lambda item: item.place)
    )


def too_old(events: Mapping[Place, EventRecord], last: int, change: PruneEvents) -> list[Place]:
    """Which lines of the feed go: the oldest, those beyond what is kept and those from before a time."""
    gone: list[Place] = []
    for place in sorted(events):
        if len(gone) == change.limit or (place > last - change.keep and events[place].at >= change.before):
            break
        gone.append(place)
    return gone
