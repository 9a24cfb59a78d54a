"""The audit log's rows, the same in both schemas."""

from __future__ import annotations

import sqlite3

from taskferry_protocol.audit import AuditChain, AuditEnd, AuditNote, chained
from taskferry_protocol.ids import Hash
from taskferry_protocol.records import AuditRow, Order, Page, Place, PruneAudit

from ..rules import audit_base
from .rows import page_of

Connection = sqlite3.Connection


def append(connection: Connection, note: AuditNote) -> Place:
    """Write a note down after the last entry; its number."""
    before = chain(connection)
    entry = chained(note, before.head)
    connection.execute("INSERT INTO audit (n, kind, raw) VALUES (?, ?, ?)", (entry.n, note.kind, entry.raw))
    connection.execute(
        "INSERT INTO audit_chain (one, base, base_hash, head, head_hash) VALUES (1, ?, ?, ?, ?)"
        " ON CONFLICT (one) DO UPDATE SET head = excluded.head, head_hash = excluded.head_hash",
        (before.base.n, before.base.hash, entry.n, entry.end.hash),
    )
    return Place(entry.n)


def prune(connection: Connection, change: PruneAudit) -> int:
    """Take the oldest entries away, and note where the log begins then; how many."""
    held = chain(connection)
    oldest = rows(connection, None, None, change.limit, Order.OLDEST_FIRST).items
    base, count = audit_base(held, oldest, change)
    if count:
        connection.execute("DELETE FROM audit WHERE n <= ?", (base.n,))
        connection.execute("UPDATE audit_chain SET base = ?, base_hash = ?", (base.n, base.hash))
    return count


def chain(connection: Connection) -> AuditChain:
    """Where the log begins and ends."""
    row = connection.execute(
        "SELECT base, base_hash, head, head_hash FROM audit_chain WHERE one = 1"
    ).fetchone()
    if row is None:
        return AuditChain()
    base, base_hash, head, head_hash = row
    return AuditChain(AuditEnd(base, Hash(base_hash)), AuditEnd(head, Hash(head_hash)))


def rows(
    connection: Connection, kind: str | None, after: Place | None, limit: int, order: Order
) -> Page[AuditRow]:
    """Entries by number, of one kind or of all."""
    newest = order is Order.NEWEST_FIRST
    start = after if after is not None else (1 << 62 if newest else 0)
    term = "" if kind is None else "AND kind = ?"
    found = connection.execute(
        f"SELECT n, kind, raw FROM audit WHERE n {'<' if newest else '>'} ? {term}"  # noqa: S608
        f" ORDER BY n {'DESC' if newest else 'ASC'} LIMIT ?",
        (start, *(() if kind is None else (kind,)), limit + 1),
    )
    records = [AuditRow(Place(n), kind, raw) for n, kind, raw in found]
    return page_of([(record.place, record) for record in records], limit)
