"""The daemon's figures and conversations as SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from taskferry_protocol.ids import AgentRef, Instant
from taskferry_protocol.records import InboxCount, Place
from taskferry_protocol.records.history import CountsRecord, Found, OpenTasks, TalkRecord, TrafficRecord

from . import history_rows
from .history_reads import LATEST, each, numbers_of
from .ledger import agent_numbers
from .rows import Column, agent_ref, select_in, select_with, singles
from .traffic_rows import MESSAGES, message_record

Connection = sqlite3.Connection


# --- conversations ----------------------------------------------------------------------------------------


def talks(
    connection: Connection,
    agents: Collection[AgentRef],
    peer: AgentRef | None,
    after: Place | None,
    limit: int,
) -> Found[TalkRecord]:
    """Conversations, the last spoken in first."""
    whose = numbers_of(connection, agents, peer)
    if whose is None:
        return Found((), None)
    numbers, other = whose
    terms, values = ["t.last < ?"], list[Column]([after if after is not None else LATEST])
    if other is not None:
        terms.append("t.peer = ?")
        values.append(other)
    found: list[tuple[int, int, int, bytes, int]] = []
    for agent in each(numbers):
        mine = "" if agent is None else " AND +t.mine = ?" if other is not None else " AND t.mine = ?"
        found += connection.execute(
            "SELECT t.last, t.mine, t.peer, t.conv, t.messages FROM talks t"  # noqa: S608
            f" WHERE {' AND '.join(terms)}{mine} ORDER BY t.last DESC LIMIT ?",
            (*values, *([] if agent is None else [agent]), limit + 1),
        )
    found.sort(reverse=True)
    shown = found[:limit]
    last = {
        record.place: record
        for record in map(
            message_record, select_in(connection, f"{MESSAGES} t.n", singles([r[0] for r in shown]))
        )
    }
    unread = {
        (mine, other, conv): count
        for mine, other, conv, count in select_with(
            connection,
            "SELECT t.mine, t.peer, t.conv, count(*) FROM keys CROSS JOIN messages t"
            " INDEXED BY messages_unread_in_talk ON t.mine = column1 AND t.peer = column2"
            " AND t.conv = column3 AND t.direction = 'in' AND t.inbox = 'unread'"
            " GROUP BY t.mine, t.peer, t.conv",
            [row[1:4] for row in shown],
        )
    }
    records = [TalkRecord(row[4], unread.get(row[1:4], 0), last[Place(row[0])]) for row in shown]
    following = Place(shown[-1][0]) if len(found) > limit else None
    return Found(tuple(records), following, following is None and not history_rows.is_filled(connection))


# --- figures ----------------------------------------------------------------------------------------------


def counts(connection: Connection, agents: Collection[str]) -> CountsRecord:
    """How many tasks are not over, and what waits."""
    open_tasks: list[OpenTasks] = []
    waiting = {agent: {"unread": 0, "read": 0} for agent in agents}
    rows = connection.execute(
        "SELECT 'open', a.account, a.name, c.role, c.state, c.count FROM"  # noqa: S608
        " (SELECT mine, role, state, count(*) AS count FROM tasks WHERE open GROUP BY mine, role, state) c"
        " JOIN agents a ON a.n = c.mine"
        " UNION ALL SELECT 'inbox', a.account, a.name, '', t.inbox, count(*) FROM agents a"
        " CROSS JOIN messages t INDEXED BY messages_waiting ON t.mine = a.n"
        " AND t.direction = 'in' AND t.inbox IN ('unread', 'read')"
        f" WHERE a.name IN ({', '.join('?' * len(waiting)) or 'NULL'}) GROUP BY a.n, t.inbox"
        " ORDER BY 3, 4, 5",
        list(waiting),
    )
    for what, account, name, role, state, count in rows:
        if what == "open":
            open_tasks.append(OpenTasks(agent_ref(account, name), role, state, count))
        else:
            waiting[name][state] += count
    inbox = {agent: InboxCount(**held) for agent, held in waiting.items()}
    return CountsRecord(tuple(open_tasks), inbox)


def traffic(
    connection: Connection, agents: Collection[AgentRef], since: Instant, until: Instant, step_ms: int
) -> tuple[TrafficRecord, ...]:
    """What went and came, by steps."""
    numbers = agent_numbers(connection, agents)
    if agents and not numbers:
        return ()
    span = next(span for span in history_rows.SPANS_MS if not since % span and not step_ms % span)
    mine = f"AND mine IN ({', '.join('?' * len(numbers))})" if agents else ""
    rows = connection.execute(
        "SELECT at - (at - ?1) % ?3 AS step, sum(messages_sent), sum(messages_received), sum(events_sent),"  # noqa: S608
        " sum(events_received) FROM traffic WHERE span = ?4 AND at >= ?1 AND at < ?2"
        f" {mine} GROUP BY step ORDER BY step",
        (since, until, step_ms, span, *numbers.values()),
    )
    return tuple([TrafficRecord(Instant(at), *counts) for at, *counts in rows])
