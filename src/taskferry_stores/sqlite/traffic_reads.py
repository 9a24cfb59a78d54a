"""The daemon's queries about messages, tasks, receipts, quarantine and the feed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from taskferry_protocol.ids import AgentRef, Hash, Instant
from taskferry_protocol.records import (
    DaemonStats,
    EventRecord,
    InboxCount,
    InboxState,
    MessageQuery,
    MessageRecord,
    Order,
    Page,
    Place,
    QuarantineLine,
    QuarantineRecord,
    ReceiptGot,
    ReceiptOwed,
    RelayCursor,
    SealedRecord,
    Seen,
    SeenKey,
    TaskCursor,
    TaskEventRecord,
    TaskPage,
    TaskQuery,
    TaskRecord,
)

from .ledger import agent_numbers
from .rows import Column, page_of, select_in, select_with, singles, to_signed
from .traffic_rows import (
    GOT,
    MESSAGE_STATES,
    MESSAGES,
    OWED,
    QUARANTINE,
    SEEN,
    TASK_EVENTS,
    TASKS,
    got_record,
    message_record,
    owed_record,
    page_of_tasks,
    quarantine_record,
    seen_record,
    task_event_record,
    task_record,
)

Connection = sqlite3.Connection
V = TypeVar("V")

_WAITING = frozenset({InboxState.UNREAD, InboxState.READ})


def _by_hash(
    rows: Iterable[sqlite3.Row], read: Callable[[sqlite3.Row], V], name: Callable[[V], Hash]
) -> dict[Hash, tuple[V, ...]]:
    """Records by a hash of theirs, in the order of the rows' first column."""
    found: dict[Hash, tuple[V, ...]] = {}
    for row in sorted(rows, key=lambda row: int(row[0])):
        record = read(row)
        found[name(record)] = (*found.get(name(record), ()), record)
    return found


def _between(agent: str | None, peer: AgentRef | None) -> tuple[list[str], list[Column]]:
    """What a query asks of its two sides; None means any."""
    terms, values = ["1"], list[Column]()
    if agent is not None:
        terms.append("t.mine IN (SELECT n FROM agents WHERE name = ?)")
        values.append(agent)
    if peer is not None:
        terms.append("t.peer = (SELECT n FROM agents WHERE account = ? AND name = ?)")
        values += [peer.account, peer.name]
    return terms, values


# --- messages ---------------------------------------------------------------------------------------------


def messages(connection: Connection, hashes: Collection[Hash]) -> dict[Hash, tuple[MessageRecord, ...]]:
    """Messages by hash."""
    rows = select_in(connection, f"{MESSAGES} t.hash", singles(hashes))
    return _by_hash(rows, message_record, lambda message: message.hash)


def message_states(connection: Connection, hashes: Collection[Hash]) -> dict[Hash, tuple[MessageRecord, ...]]:
    """Messages by hash, without what was said."""
    rows = select_in(connection, f"{MESSAGE_STATES} t.hash", singles(hashes))
    return _by_hash(rows, message_record, lambda message: message.hash)


def message_page(
    connection: Connection, query: MessageQuery, after: Place | None, limit: int, order: Order
) -> Page[MessageRecord]:
    """Messages by place."""
    newest = order is Order.NEWEST_FIRST
    terms, values = _between(query.agent, query.peer)
    if query.conv is not None:
        terms.append("t.conv = ?")
        values.append(query.conv)
    if query.task is not None:
        terms.append("t.task = ?")
        values.append(query.task)
    if query.direction is not None:
        terms.append("t.direction = ?")
        values.append(query.direction)
    if query.inbox:
        terms.append("t.direction = 'in'")
        terms.append(f"t.inbox IN ({', '.join('?' * len(query.inbox))})")
        values += sorted(query.inbox)
        if query.inbox <= _WAITING:
            # Said once more in the words of the partial index, which holds only what waits.
            terms.append("t.inbox IN ('unread', 'read')")
    if after is not None:
        terms.append("t.n < ?" if newest else "t.n > ?")
        values.append(after)
    rows = connection.execute(
        f"{MESSAGES} {' AND '.join(terms)} ORDER BY t.n {'DESC' if newest else 'ASC'} LIMIT ?",
        (*values, limit + 1),
    )
    records = [message_record(row) for row in rows]
    return page_of([(record.place, record) for record in records], limit)


def inbox_counts(connection: Connection, agents: Collection[str]) -> dict[str, InboxCount]:
    """What waits for our agents."""
    rows = select_in(
        connection,
        "SELECT a.name, sum(t.inbox = 'unread'), sum(t.inbox = 'read') FROM agents a"
        " CROSS JOIN messages t INDEXED BY messages_waiting ON t.mine = a.n"
        " AND t.direction = 'in' AND t.inbox IN ('unread', 'read')"
        " WHERE a.name",
        singles(agents),
        "GROUP BY a.name",
    )
    found = {name: InboxCount(unread, read) for name, unread, read in rows}
    return {agent: found.get(agent, InboxCount()) for agent in agents}


def sealed(connection: Connection, hashes: Collection[Hash]) -> dict[Hash, SealedRecord]:
    """Envelopes with their Ks."""
    query = "SELECT hash, envelope, key, content FROM sealed WHERE hash"
    rows = select_in(connection, query, singles(hashes))
    return {Hash(hash): SealedRecord(Hash(hash), *rest) for hash, *rest in rows}


def seen(connection: Connection, keys: Collection[SeenKey]) -> dict[SeenKey, Seen]:
    """What was decided on before."""
    numbers = agent_numbers(connection, {key.to for key in keys})
    by = "SELECT i.n FROM keys CROSS JOIN seen i ON i.device = column1 AND"
    ids = select_with(
        connection, f"{SEEN} t.n IN ({by} i.id = column2)", ((key.device, key.id) for key in keys)
    )
    by_id = {(record.device, record.id): record for record in map(seen_record, ids)}
    sequences = [(k.device, numbers[k.to], to_signed(k.seq)) for k in keys if k.to in numbers]
    rows = select_with(connection, f"{SEEN} t.n IN ({by} i.target = column2 AND i.seq = column3)", sequences)
    by_seq = {(record.device, record.to, record.seq): record for record in map(seen_record, rows)}
    return {
        key: Seen(by_id.get((key.device, key.id)), by_seq.get((key.device, key.to, key.seq))) for key in keys
    }


def cursor(connection: Connection, relay: str) -> RelayCursor | None:
    """How far the mailbox at a relay is taken."""
    query = "SELECT relay, generation, offset FROM cursors WHERE relay = ?"
    row = connection.execute(query, (relay,)).fetchone()
    return RelayCursor(*row) if row else None


def cursors(connection: Connection) -> tuple[RelayCursor, ...]:
    """How far the mailboxes at all relays are taken, by origin."""
    rows = connection.execute("SELECT relay, generation, offset FROM cursors ORDER BY relay")
    return tuple(RelayCursor(*row) for row in rows)


def quarantine(connection: Connection, hashes: Collection[Hash]) -> dict[Hash, QuarantineRecord]:
    """Quarantined items by hash."""
    rows = select_in(connection, f"{QUARANTINE} t.hash", singles(hashes))
    return {record.hash: record for record in map(quarantine_record, rows)}


def quarantine_lines(connection: Connection) -> tuple[QuarantineLine, ...]:
    """All quarantined items, oldest first, by what they take; no envelope is read for it."""
    rows = connection.execute(
        "SELECT hash, code, length(envelope) + length(sealed), device IS NOT NULL FROM quarantine ORDER BY n"
    )
    return tuple(QuarantineLine(Hash(hash), code, size, bool(proven)) for hash, code, size, proven in rows)


def quarantine_page(
    connection: Connection, after: Place | None, limit: int, order: Order
) -> Page[QuarantineRecord]:
    """Quarantined items by place."""
    newest = order is Order.NEWEST_FIRST
    start = after if after is not None else (1 << 62 if newest else 0)
    rows = connection.execute(
        f"{QUARANTINE} t.n {'<' if newest else '>'} ? ORDER BY t.n {'DESC' if newest else 'ASC'} LIMIT ?",
        (start, limit + 1),
    )
    records = [quarantine_record(row) for row in rows]
    return page_of([(record.place, record) for record in records], limit)


# --- numbers and receipts ---------------------------------------------------------------------------------


def sequences(connection: Connection, targets: Collection[AgentRef]) -> dict[AgentRef, int]:
    """The last number used towards targets."""
    numbers = {n: agent for agent, n in agent_numbers(connection, targets).items()}
    rows = select_in(connection, "SELECT target, seq FROM sequences WHERE target", singles(list(numbers)))
    return {numbers[target]: seq for target, seq in rows}


def receipts_owed(connection: Connection, limit: int) -> tuple[ReceiptOwed, ...]:
    """What is still to be said."""
    rows = connection.execute(f"{OWED} 1 ORDER BY t.n LIMIT ?", (limit,))
    return tuple([owed_record(row) for row in rows])


def receipts_got(connection: Connection, hashes: Collection[Hash]) -> dict[Hash, tuple[ReceiptGot, ...]]:
    """What recipients said of messages."""
    rows = select_in(connection, f"{GOT} hash", singles(hashes))
    return _by_hash(rows, got_record, lambda got: got.hash)


# --- tasks and the feed -----------------------------------------------------------------------------------


def tasks(connection: Connection, ids: Collection[Hash]) -> dict[Hash, tuple[TaskRecord, ...]]:
    """Tasks by id, the sides by name."""
    found: dict[Hash, tuple[TaskRecord, ...]] = {}
    rows = select_in(connection, f"{TASKS} t.task", singles(ids))
    for record in sorted(map(task_record, rows), key=lambda task: task.role):
        found[record.task] = (*found.get(record.task, ()), record)
    return found


def task_page(connection: Connection, query: TaskQuery, after: TaskCursor | None, limit: int) -> TaskPage:
    """Tasks, the last updated first."""
    terms, values = _between(query.agent, query.peer)
    if query.role is not None:
        terms.append("t.role = ?")
        values.append(query.role)
    if query.states:
        terms.append(f"t.state IN ({', '.join('?' * len(query.states))})")
        values += sorted(query.states)
    if after is not None:
        terms.append("(t.updated_at, t.task, t.role) < (?, ?, ?)")
        values += [after.updated_at, after.task, after.role]
    rows = connection.execute(
        f"{TASKS} {' AND '.join(terms)} ORDER BY t.updated_at DESC, t.task DESC, t.role DESC LIMIT ?",
        (*values, limit + 1),
    )
    return page_of_tasks([task_record(row) for row in rows], limit)


def task_events(connection: Connection, ids: Collection[Hash]) -> dict[Hash, tuple[TaskEventRecord, ...]]:
    """All events held of tasks."""
    rows = select_in(connection, f"{TASK_EVENTS} t.task", singles(ids))
    return _by_hash(rows, task_event_record, lambda event: event.task)


def tasks_overdue(
    connection: Connection, now: Instant, limit: int, after: TaskRecord | None
) -> tuple[TaskRecord, ...]:
    """Open tasks past their deadline."""
    start = (after.deadline, after.task, after.role) if after is not None else (-1, b"", "")
    rows = connection.execute(
        f"{TASKS} t.open AND t.deadline IS NOT NULL AND t.deadline <= ?"
        " AND (t.deadline, t.task, t.role) > (?, ?, ?) ORDER BY t.deadline, t.task, t.role LIMIT ?",
        (now, *start, limit),
    )
    return tuple([task_record(row) for row in rows])


def next_deadline(connection: Connection, after: Instant) -> Instant | None:
    """The earliest deadline of an open task that is later than that."""
    query = "SELECT min(deadline) FROM tasks WHERE open AND deadline > ?"
    (deadline,) = connection.execute(query, (after,)).fetchone()
    return None if deadline is None else Instant(deadline)


def events(
    connection: Connection, after: Place, limit: int, agents: Collection[str] | None
) -> Page[EventRecord]:
    """The feed after a place; `next` is past what was left out."""
    term = "" if agents is None else f"AND agent IN ({', '.join('?' * len(agents))})"
    rows = connection.execute(
        f"SELECT kind, agent, refs, text, at, place FROM events WHERE place > ? {term}"  # noqa: S608
        " ORDER BY place LIMIT ?",
        (after, *(agents or ()), limit + 1),
    )
    records = []
    for kind, agent, refs, text, at, place in rows:
        hashes = tuple(Hash(refs[i : i + 32]) for i in range(0, len(refs), 32))
        records.append(EventRecord(kind, agent, hashes, text, Instant(at), Place(place)))
    found = page_of([(record.place, record) for record in records], limit)
    return Page(found.items, found.next or Place(max(after, feed_bounds(connection)[1])))


def feed_bounds(connection: Connection) -> tuple[Place, Place]:
    """The places of the oldest line and of the newest."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    newest = row[0] if row else 0
    (oldest,) = connection.execute("SELECT min(place) FROM events").fetchone()
    return Place(oldest if oldest is not None else newest + 1), Place(newest)


def stats(connection: Connection) -> DaemonStats:
    """Numbers for `doctor`."""
    tables = ("accounts", "messages", "tasks", "quarantine", "receipts_owed")
    counts = {
        table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
        for table in tables
    }
    states = dict(connection.execute("SELECT state, count(*) FROM outbox GROUP BY state").fetchall())
    query = "SELECT min(expires_at) FROM outbox WHERE state = 'waiting'"
    (until,) = connection.execute(query).fetchone()
    return DaemonStats(
        accounts=counts["accounts"],
        messages=counts["messages"],
        tasks=counts["tasks"],
        outbox_waiting=states.get("waiting", 0),
        outbox_relayed=states.get("relayed", 0),
        quarantined=counts["quarantine"],
        receipts_owed=counts["receipts_owed"],
        waiting_until=None if until is None else Instant(until),
    )
