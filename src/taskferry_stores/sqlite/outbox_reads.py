"""The daemon's queries about what waits to be sent."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from taskferry_protocol.ids import AgentRef, Hash, Instant
from taskferry_protocol.records import OutboxRecord, Rung

from ..rules import LONGEST_DEFERRAL_MS
from .ledger import agent_numbers
from .rows import select_in, singles
from .traffic_rows import OUTBOX, outbox_record

Connection = sqlite3.Connection

_HELD_UP = (
    "SELECT 1 FROM outbox e WHERE e.state = 'waiting' AND e.target = t.target"
    " AND e.n < t.n AND e.next_attempt_at > ?1 AND e.next_attempt_at <= ?3 AND e.expires_at > ?1"
)


def outbox(connection: Connection, hashes: Collection[Hash]) -> dict[Hash, OutboxRecord]:
    """Outbox entries by hash."""
    rows = select_in(connection, f"{OUTBOX} t.hash", singles(hashes))
    return {record.hash: record for record in map(outbox_record, rows)}


def outbox_rungs(
    connection: Connection, hashes: Collection[Hash]
) -> dict[Hash, tuple[tuple[str, Rung], ...]]:
    """How far the messages are whose entries are in the outbox."""
    rows = select_in(
        connection,
        "SELECT o.hash, a.name, m.rung FROM outbox o LEFT JOIN messages m ON m.hash = o.hash"
        " LEFT JOIN agents a ON a.n = m.mine WHERE o.hash",
        singles(hashes),
    )
    found: dict[Hash, tuple[tuple[str, Rung], ...]] = {}
    for hash, name, rung in rows:
        known = found.setdefault(hash, ())
        if rung is not None:
            found[hash] = (*known, (name, Rung(rung)))
    return found


def outbox_due(
    connection: Connection, now: Instant, limit: int, max_bytes: int, but: Collection[Hash]
) -> tuple[OutboxRecord, ...]:
    """Waiting entries whose time has come, and that no earlier one to the same target holds up."""
    others = f" AND t.hash NOT IN ({', '.join(f'?{n}' for n in range(4, 4 + len(but)))})" if but else ""
    rows = connection.execute(
        f"{OUTBOX} t.state = 'waiting' AND t.expires_at > ?1"
        f" AND (t.next_attempt_at <= ?1 OR t.next_attempt_at > ?3)"
        f" AND NOT EXISTS ({_HELD_UP}){others} ORDER BY t.n LIMIT ?2",
        (now, limit, now + LONGEST_DEFERRAL_MS, *but),
    )
    due: list[OutboxRecord] = []
    total = 0
    for entry in map(outbox_record, rows):
        total += len(entry.parcel)
        if due and total > max_bytes:
            break
        due.append(entry)
    rows.close()
    return tuple(due)


def outbox_for(
    connection: Connection, recipients: Collection[AgentRef], cls: str, after: Instant
) -> frozenset[AgentRef]:
    """Those for whom something waits."""
    numbers = {n: agent for agent, n in agent_numbers(connection, recipients).items()}
    rows = select_in(
        connection,
        "SELECT DISTINCT target, cls, expires_at FROM outbox WHERE state = 'waiting' AND target",
        singles(list(numbers)),
    )
    return frozenset(numbers[n] for n, of, expires_at in rows if of == cls and expires_at > after)


def outbox_expired(connection: Connection, now: Instant, limit: int) -> tuple[OutboxRecord, ...]:
    """Entries whose time is over."""
    rows = connection.execute(f"{OUTBOX} t.expires_at <= ? ORDER BY t.expires_at, t.n LIMIT ?", (now, limit))
    return tuple([outbox_record(row) for row in rows])


def next_attempt(connection: Connection) -> Instant | None:
    """When the next waiting entry is due."""
    query = "SELECT min(next_attempt_at) FROM outbox WHERE state = 'waiting'"
    (at,) = connection.execute(query).fetchone()
    return None if at is None else Instant(at)


def outbox_waiting(connection: Connection) -> int:
    """How much waits in the outbox."""
    (count,) = connection.execute("SELECT count(*) FROM outbox WHERE state = 'waiting'").fetchone()
    return int(count)
