"""The daemon's searches and figures as SQL.

A query walks along one index in the order of the answer, tests what the index does not say, and stops after
so many rows: it says that it was cut, and where to go on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from itertools import islice, product
from typing import Any, Final, TypeVar

from taskferry_protocol.ids import AgentRef, Hash
from taskferry_protocol.links import Role
from taskferry_protocol.records import (
    MessageRecord,
    Place,
    TaskCursor,
    TaskPage,
    TaskRecord,
)
from taskferry_protocol.records.history import (
    Found,
    MessageFilter,
    TaskFilter,
)
from taskferry_protocol.task_table import TaskState

from . import history_rows
from .ledger import agent_numbers
from .rows import Column, agent_ref, select_in, select_with, singles
from .traffic_rows import MESSAGES, TASKS, message_record, page_of_tasks, task_record

Connection = sqlite3.Connection
T = TypeVar("T")

WALKED_ROWS: Final = 2_000
"""So many rows are looked at for one page; reading them takes some ten milliseconds on a cold disk."""
WALKS: Final = 128
"""So many walks are one statement; SQLite joins 500 at most."""
LATEST: Final = Place((1 << 63) - 1)
_EVERY_STANDING: Final = frozenset((role.value, state) for role in Role for state in (*TaskState, "unknown"))


# --- messages ---------------------------------------------------------------------------------------------


def messages_filtered(
    connection: Connection, query: MessageFilter, after: Place | None, limit: int
) -> Found[MessageRecord]:
    """Messages by place, newest first."""
    whose = numbers_of(connection, query.agents, query.peer)
    if whose is None:
        return Found((), None)
    mine, peer = whose
    start = after if after is not None else LATEST
    columns = "t.n, t.mine, t.peer, t.direction, t.conv, t.inbox"
    if not query.asked.is_empty:
        match = history_rows.match_of(query.asked, mine, peer)
        lead = (
            f"SELECT {columns} FROM search f CROSS JOIN messages t ON t.n = f.rowid"  # noqa: S608
            " WHERE f.search MATCH ? AND f.rowid < ? ORDER BY f.rowid DESC"
        )
        values: list[Column] = [match, start]
    else:
        terms, values = _lead_of(query, mine, peer)
        lead = f"SELECT {columns} FROM messages t WHERE {terms} AND t.n < ? ORDER BY t.n DESC"  # noqa: S608
        values.append(start)
    tests, tested = _tests_of(query, mine, peer)
    rows = connection.execute(
        f"SELECT w.n, {tests} FROM ({lead} LIMIT {WALKED_ROWS}) w",  # noqa: S608 - our own words alone
        (*tested, *values),
    )
    walk = _Walk(rows)
    places = [Place(n) for n, _ in islice((row for row in walk if row[1]), limit + 1)]
    rows.close()
    following = places[limit - 1] if len(places) > limit else None
    cut = False
    if following is None:
        following = walk.end
        cut = following is not None or not (query.asked.is_empty or history_rows.is_filled(connection))
    held = {
        record.place: record
        for record in map(message_record, select_in(connection, f"{MESSAGES} t.n", singles(places[:limit])))
    }
    return Found(tuple(held[place] for place in places[:limit]), following, cut)


class _Walk:
    """What a walk comes by as it goes, whether it is asked for or not, each row after its place."""

    def __init__(self, rows: Iterator[tuple[int, ...]]) -> None:
        self._rows = rows
        self._last = self._looked_at = 0

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for row in self._rows:
            # A message between two agents of ours may stand for both sides of a task.
            self._looked_at += row[0] != self._last
            self._last = row[0]
            yield row

    @property
    def end(self) -> Place | None:
        """The last place of a walk that is over, if it may go on there."""
        return Place(self._last) if self._looked_at == WALKED_ROWS else None


def _lead_of(query: MessageFilter, mine: list[int], peer: int | None) -> tuple[str, list[Column]]:
    """Along which index to walk: that of what there is least of."""
    if query.inbox == {"unread"}:
        return "t.direction = 'in' AND t.inbox = 'unread'", []
    if query.conv is not None:
        return "t.conv = ?", [query.conv]
    if peer is not None:
        return "t.peer = ?", [peer]
    if len(mine) == 1:
        return "t.mine = ?", [mine[0]]
    return "1", []


def _tests_of(query: MessageFilter, mine: list[int], peer: int | None) -> tuple[str, list[Column]]:
    terms, values = ["1"], list[Column]()
    if query.agents:
        terms.append(f"w.mine IN ({', '.join('?' * len(mine))})")
        values += mine
    if peer is not None:
        terms.append("w.peer = ?")
        values.append(peer)
    if query.conv is not None:
        terms.append("w.conv = ?")
        values.append(query.conv)
    if query.direction is not None:
        terms.append("w.direction = ?")
        values.append(query.direction)
    if query.inbox:
        terms.append(f"w.direction = 'in' AND w.inbox IN ({', '.join('?' * len(query.inbox))})")
        values += sorted(query.inbox)
    if query.unseen:
        terms.append(f"w.inbox NOT IN ({', '.join('?' * len(query.unseen))})")
        values += sorted(query.unseen)
    return " AND ".join(terms), values


# --- tasks ------------------------------------------------------------------------------------------------


def tasks_filtered(
    connection: Connection, query: TaskFilter, after: TaskCursor | None, limit: int
) -> TaskPage:
    """Tasks, the last updated first: out of one walk for each agent and standing."""
    whose = numbers_of(connection, query.agents, query.peer)
    if whose is None:
        return TaskPage((), None)
    mine, peer = whose
    standings = query.standings
    if peer is not None and not standings:
        standings = _EVERY_STANDING
    terms, values = _updated_when(query)
    if peer is not None:
        terms.append("t.peer = ?")
        values.append(peer)
    if after is not None:
        terms.append("(t.updated_at, t.task, t.role) < (?, ?, ?)")
        values += [after.updated_at, after.task, after.role]
    walks: list[tuple[str, list[Column]]] = []
    for agent, standing in product(each(mine), each(standings)):
        narrowed, narrow = [*terms], [*values]
        if agent is not None:
            narrowed.append("t.mine = ?")
            narrow.append(agent)
        if standing is not None:
            narrowed.append("t.role = ? AND t.state = ?")
            narrow += standing
        walk = (
            f"SELECT t.updated_at, t.task, t.role FROM tasks t WHERE {' AND '.join(narrowed)}"  # noqa: S608
            " ORDER BY t.updated_at DESC, t.task DESC, t.role DESC LIMIT ?"
        )
        walks.append((f"SELECT * FROM ({walk})", [*narrow, limit + 1]))  # noqa: S608
    found: list[TaskRecord] = []
    for first in range(0, len(walks), WALKS):
        some = walks[first : first + WALKS]
        rows = connection.execute(
            f"WITH w AS (SELECT * FROM ({' UNION ALL '.join(walk for walk, _ in some)})"  # noqa: S608
            f" ORDER BY 1 DESC, 2 DESC, 3 DESC LIMIT ?) {TASKS.replace(' FROM ', ' FROM w CROSS JOIN ')}"
            " t.task = w.task AND t.role = w.role",
            [*(value for _, narrow in some for value in narrow), limit + 1],
        )
        found += map(task_record, rows)
    found.sort(key=lambda record: (record.updated_at, record.task, record.role), reverse=True)
    return page_of_tasks(found, limit)


def tasks_saying(
    connection: Connection, query: TaskFilter, after: Place | None, limit: int
) -> Found[TaskRecord]:
    """Tasks in which words were said, the last to say so first."""
    whose = numbers_of(connection, query.agents, query.peer)
    if whose is None:
        return Found((), None)
    mine, peer = whose
    said = history_rows.match_of(query.asked, mine, peer)
    lead = (
        "SELECT t.n, t.task, t.mine, t.inbox FROM search f CROSS JOIN messages t ON t.n = f.rowid"
        " WHERE f.search MATCH ? AND f.rowid < ? ORDER BY f.rowid DESC"
    )
    values: list[Column] = [history_rows.match_in_tasks(said, ()), after if after is not None else LATEST]
    tests, tested = _task_tests(query)
    rows = connection.execute(
        f"SELECT w.n, t.task, t.role FROM ({lead} LIMIT {WALKED_ROWS}) w"  # noqa: S608
        f" LEFT JOIN tasks t ON t.task = w.task AND +t.mine = w.mine AND {tests}",
        (*values, *tested),
    )
    walk = _Walk(rows)
    said_in = ((n, task, role) for n, task, role in walk if task is not None)
    shown: dict[tuple[bytes, str], Place] = {}
    known: set[tuple[bytes, str]] = set()
    while len(shown) <= limit:
        piece = {(task, role): Place(n) for n, task, role in _fresh(said_in, known, limit + 1 - len(shown))}
        if not piece:
            break
        for key in _said_later(connection, said, query, piece, after):
            del piece[key]
        shown |= piece
    rows.close()
    places = list(shown.values())
    following = places[limit - 1] if len(places) > limit else None
    cut = False
    if following is None:
        following = walk.end
        cut = following is not None or not history_rows.is_filled(connection)
    return Found(tuple(_tasks(connection, list(shown)[:limit])), following, cut)


def _fresh(
    rows: Iterator[tuple[int, bytes, str]], known: set[tuple[bytes, str]], count: int
) -> Iterator[tuple[int, bytes, str]]:
    """The first `count` rows of tasks that were not there before."""

    def fresh() -> Iterator[tuple[int, bytes, str]]:
        for n, task, role in rows:
            if (task, role) not in known:
                known.add((task, role))
                yield n, task, role

    return islice(fresh(), count)


def _said_later(
    connection: Connection,
    said: str,
    query: TaskFilter,
    tasks: Collection[tuple[bytes, str]],
    after: Place | None,
) -> list[tuple[bytes, str]]:
    """Those of the tasks that stand on an earlier page, since the words were said in them later as well."""
    if after is None:
        return []
    hidden = sorted(query.unseen)
    rows = connection.execute(
        "SELECT DISTINCT k.task, k.role FROM search f CROSS JOIN messages t ON t.n = f.rowid"  # noqa: S608
        " CROSS JOIN tasks k ON k.task = t.task AND +k.mine = t.mine WHERE f.search MATCH ? AND f.rowid >= ?"
        f" AND t.inbox NOT IN ({', '.join('?' * len(hidden))})",
        (history_rows.match_in_tasks(said, [Hash(task) for task, _ in tasks]), after, *hidden),
    )
    return [(task, role) for task, role in rows if (task, role) in tasks]


def _task_tests(query: TaskFilter) -> tuple[str, list[Column]]:
    terms, values = _updated_when(query)
    if query.standings:
        terms.append(f"(t.role, t.state) IN (VALUES {', '.join(['(?, ?)'] * len(query.standings))})")
        values += [word for standing in sorted(query.standings) for word in standing]
    if query.unseen:
        terms.append(f"w.inbox NOT IN ({', '.join('?' * len(query.unseen))})")
        values += sorted(query.unseen)
    return " AND ".join(terms), values


def _updated_when(query: TaskFilter) -> tuple[list[str], list[Column]]:
    terms, values = ["1"], list[Column]()
    if query.since is not None:
        terms.append("t.updated_at >= ?")
        values.append(query.since)
    if query.until is not None:
        terms.append("t.updated_at <= ?")
        values.append(query.until)
    return terms, values


def _tasks(connection: Connection, keys: list[tuple[bytes, str]]) -> list[TaskRecord]:
    """Tasks by id and role, in this order."""
    rows = select_in(connection, f"{TASKS} t.task", singles([task for task, _ in keys]))
    held = {(record.task, record.role): record for record in map(task_record, rows)}
    return [held[Hash(task), role] for task, role in keys]


def unread_in_tasks(
    connection: Connection, tasks: Collection[tuple[Hash, AgentRef]]
) -> dict[tuple[Hash, AgentRef], int]:
    """How many messages about tasks are not read."""
    rows = select_with(
        connection,
        "SELECT t.task, a.account, a.name, count(*) FROM keys"
        " CROSS JOIN agents a ON a.account = column2 AND a.name = column3 CROSS JOIN messages t"
        " INDEXED BY messages_unread_in_task ON t.task = column1 AND t.mine = a.n"
        " AND t.direction = 'in' AND t.inbox = 'unread' GROUP BY t.task, t.mine",
        ((task, mine.account, mine.name) for task, mine in tasks),
    )
    return {(Hash(task), agent_ref(account, name)): count for task, account, name, count in rows}


# --- whose ------------------------------------------------------------------------------------------------


def each(narrow: Collection[T]) -> Collection[T | None]:
    """One walk for each, or one for all."""
    return narrow or (None,)


def numbers_of(
    connection: Connection, agents: Collection[AgentRef], peer: AgentRef | None
) -> tuple[list[int], int | None] | None:
    """The numbers of our agents and of the peer that a query names; None where nothing can be of these.

    Who has no number has neither sent nor received.
    """
    numbers = agent_numbers(connection, {*agents, *([] if peer is None else [peer])})
    mine = [numbers[agent] for agent in agents if agent in numbers]
    if (agents and not mine) or (peer is not None and peer not in numbers):
        return None
    return mine, None if peer is None else numbers[peer]
