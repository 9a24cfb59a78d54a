"""Whether a relay's database holds together: its pages, its schema, its accounts' rows, its mailboxes.

All of it is read, inside one snapshot, and nothing is written.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator
from typing import Final

from .mailboxes import find_wrap
from .migrations import Schema, apply_steps

__all__ = ["faults_of_relay", "has_shape_of"]

#: Further damaged pages are not named one by one.
NAMED: Final = 8
GENERATION_BYTES: Final = 16

#: What must not be there, and how it is said of so many.
_ROWS: Final = (
    (
        "SELECT count(*) FROM devices WHERE acked > last OR swept > acked OR count < 0 OR bytes < 0",
        "mailboxes whose cursor lies beyond their end",
    ),
    (
        "SELECT count(*) FROM devices d LEFT JOIN (SELECT m.device AS n, count(*) AS c, sum(m.size) AS b"
        " FROM mailbox m JOIN devices x ON x.n = m.device WHERE m.offset > x.acked GROUP BY m.device) w"
        " ON w.n = d.n WHERE d.count <> coalesce(w.c, 0) OR d.bytes <> coalesce(w.b, 0)",
        "mailboxes that count something else than they hold",
    ),
    (
        "SELECT count(*) FROM mailbox m LEFT JOIN devices d ON d.n = m.device"
        " WHERE d.n IS NULL OR m.offset > d.last",
        "entries that are in no mailbox, or beyond its end",
    ),
    (
        "SELECT count(*) FROM mailbox m JOIN devices d ON d.n = m.device"
        " LEFT JOIN envelopes e ON e.n = m.envelope LEFT JOIN seen s ON s.n = m.envelope"
        " WHERE m.offset > d.acked AND m.envelope IS NOT NULL AND (e.n IS NULL OR s.n IS NULL)",
        "entries whose envelope is missing",
    ),
    (
        "SELECT count(*) FROM accounts a WHERE a.length <> (SELECT count(*) FROM statements s"
        " WHERE s.account = a.n) OR a.length <> (SELECT coalesce(max(seq), -1) + 1 FROM statements s"
        " WHERE s.account = a.n)",
        "account logs with statements missing",
    ),
    (
        "SELECT count(*) FROM accounts a LEFT JOIN names w ON w.name = a.name WHERE w.account IS NOT a.n",
        "accounts without their name",
    ),
)


def faults_of_relay(connection: sqlite3.Connection, schema: Schema) -> tuple[str, ...]:
    """What is wrong, each in a few words; nothing for a sound database of this schema."""
    damaged = [row for (row,) in connection.execute(f"PRAGMA integrity_check({NAMED})") if row != "ok"]
    if damaged:
        # What else would be found follows from this.
        return tuple([f"the file is damaged: {words}" for words in damaged])
    return tuple(_faults(connection, schema))


def _faults(connection: sqlite3.Connection, schema: Schema) -> Iterator[str]:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not has_shape_of(connection, Schema(schema.name, schema.application_id, schema.steps[:version])):
        yield f"its tables are not those of schema {version}"
        return
    dangling = connection.execute("SELECT count(*) FROM pragma_foreign_key_check()").fetchone()[0]
    if dangling:
        yield f"{dangling} rows that point nowhere"
    held = connection.execute("SELECT value FROM about WHERE key = 'generation'").fetchone()
    if held is None or len(held[0]) != GENERATION_BYTES:
        yield "it has no generation"
    for query, words in _ROWS:
        (count,) = connection.execute(query).fetchone()
        if count:
            yield f"{count} {words}"
    lacking = _without_wrap(connection)
    if lacking:
        yield f"{lacking} entries without a key for their device"


def _without_wrap(connection: sqlite3.Connection) -> int:
    lacking = 0
    for device, wraps in connection.execute(
        "SELECT m.device, e.wraps FROM mailbox m JOIN devices d ON d.n = m.device"
        " JOIN envelopes e ON e.n = m.envelope WHERE m.offset > d.acked"
    ):
        try:
            find_wrap(wraps, device)
        except (LookupError, struct.error):
            lacking += 1
    return lacking


def has_shape_of(connection: sqlite3.Connection, schema: Schema) -> bool:
    """Whether a database has the tables and indices of a schema, as they were made, and nothing else."""
    fresh = sqlite3.connect(":memory:", isolation_level=None)
    try:
        apply_steps(fresh, schema)
        return _shape(connection) == _shape(fresh)
    finally:
        fresh.close()


def _shape(connection: sqlite3.Connection) -> set[tuple[str, str, str]]:
    # SQLite's own tables, such as what ANALYZE leaves, are nobody's schema.
    rows = connection.execute(
        "SELECT type, name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    )
    found = {(kind, name): text for kind, name, text in rows}
    virtual = [name for (_, name), text in found.items() if text.startswith("CREATE VIRTUAL TABLE")]
    behind = tuple([f"{name}_" for name in virtual])
    # What stands behind an index of words is made by SQLite, by each release in its own words.
    return {(kind, name, "" if name.startswith(behind) else text) for (kind, name), text in found.items()}
