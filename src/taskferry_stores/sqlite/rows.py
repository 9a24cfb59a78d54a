"""Between rows and records; and lists of keys in queries."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TypeAlias, TypeVar

from taskferry_protocol.ids import AccountId, AgentRef, Hash, Instant, LogPosition
from taskferry_protocol.records import (
    AccountRecord,
    CardRecord,
    EvidenceRecord,
    GrantRecord,
    Page,
    Place,
)

Column: TypeAlias = int | str | bytes | None
"""What a column holds."""
Row: TypeAlias = tuple[Column, ...]
T = TypeVar("T")

_STEPS = (1, 4, 16, 64, 256)
"""How many keys one query takes. Few sizes, so that SQLite's prepared statements are used again."""
_ROWS = (16, 8, 4, 2, 1)
"""How many rows one statement inserts; more of them gain little, and few shall not take many statements."""
_TOP = 1 << 64
_SIGN = 1 << 63


def to_signed(number: int) -> int:
    """An unsigned integer of 64 bits as the signed one with the same bits, which is what SQLite stores."""
    return number - _TOP if number >= _SIGN else number


def to_unsigned(number: int) -> int:
    """The inverse of `to_signed`."""
    return number + _TOP if number < 0 else number


def _pieces(keys: Iterable[Row]) -> Iterator[tuple[str, list[Column]]]:
    """Keys in pieces: for each the SQL `VALUES (…), …`, and its parameters.

    A piece is filled up with nulls, which equal nothing.
    """
    unique = list(dict.fromkeys(keys))
    for start in range(0, len(unique), _STEPS[-1]):
        piece = unique[start : start + _STEPS[-1]]
        size = next(step for step in _STEPS if step >= len(piece))
        width = len(piece[0])
        values = [value for key in piece for value in key]
        values += [None] * (width * (size - len(piece)))
        group = "(" + ",".join("?" * width) + ")"
        yield f"VALUES {','.join([group] * size)}", values


def select_in(
    connection: sqlite3.Connection, query: str, keys: Iterable[Row], tail: str = ""
) -> list[sqlite3.Row]:
    """All rows of `query … IN <keys> <tail>`, for keys of one column.

    The order of `tail` holds within a piece of the keys only.
    """
    found: list[sqlite3.Row] = []
    for values, parameters in _pieces(keys):
        found += connection.execute(f"{query} IN ({values}) {tail}", parameters).fetchall()
    return found


def select_with(connection: sqlite3.Connection, query: str, keys: Iterable[Row]) -> list[sqlite3.Row]:
    """All rows of a query that joins a table `keys` with columns `column1`, `column2` and so on.

    SQLite scans a table for `(a, b) IN (VALUES …)`, but looks each key up for `keys CROSS JOIN table ON …`.
    """
    found: list[sqlite3.Row] = []
    for values, parameters in _pieces(keys):
        found += connection.execute(f"WITH keys AS ({values}) {query}", parameters).fetchall()
    return found


def insert(connection: sqlite3.Connection, into: str, rows: Sequence[Row], otherwise: str = "") -> int:
    """Insert rows of one width into a table, named with its columns; how many were inserted or changed.

    Many at a time: a statement for each would give up and take back the interpreter's lock for each.
    `otherwise` says what to do where a row is there already.
    """
    done = made = 0
    for step in _ROWS:
        while len(rows) - done >= step:
            values = [value for row in rows[done : done + step] for value in row]
            made += connection.execute(_inserting(into, len(rows[0]), step, otherwise), values).rowcount
            done += step
    return made


@lru_cache(maxsize=128)
def _inserting(into: str, width: int, rows: int, otherwise: str) -> str:
    group = "(" + ",".join("?" * width) + ")"
    return f"INSERT INTO {into} VALUES {','.join([group] * rows)}{otherwise}"  # noqa: S608


def update(connection: sqlite3.Connection, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Set columns of rows that are found by the first of them, many at a time.

    The last few go one by one: joining them with a list costs four times what writing one does.
    """
    done, step = 0, _ROWS[0]
    while len(rows) - done >= step:
        values = [value for row in rows[done : done + step] for value in row]
        connection.execute(_updating(table, tuple(columns), step), values)
        done += step
    if done < len(rows):
        connection.executemany(_updating_one(table, tuple(columns)), rows[done:])


@lru_cache(maxsize=32)
def _updating(table: str, columns: tuple[str, ...], rows: int) -> str:
    group = "(" + ",".join("?" * len(columns)) + ")"
    key, *others = columns
    named = ", ".join(f"{name} = keys.column{at}" for at, name in enumerate(others, 2))
    return (
        f"WITH keys AS (VALUES {','.join([group] * rows)}) UPDATE {table}"  # noqa: S608
        f" SET {named} FROM keys WHERE {table}.{key} = keys.column1"
    )


@lru_cache(maxsize=8)
def _updating_one(table: str, columns: tuple[str, ...]) -> str:
    key, *others = columns
    named = ", ".join(f"{name} = ?{at}" for at, name in enumerate(others, 2))
    return f"UPDATE {table} SET {named} WHERE {key} = ?1"  # noqa: S608


def update_with(
    connection: sqlite3.Connection, table: str, changed: str, found: str, rows: Sequence[Row]
) -> None:
    """Change what each row of keys finds, many at a time; `column1` and so on are the key's in both texts."""
    done = 0
    for step in _ROWS:
        while len(rows) - done >= step:
            values = [value for row in rows[done : done + step] for value in row]
            connection.execute(_updating_with(table, changed, found, len(rows[0]), step), values)
            done += step


@lru_cache(maxsize=32)
def _updating_with(table: str, changed: str, found: str, width: int, rows: int) -> str:
    group = "(" + ",".join("?" * width) + ")"
    keys = f"WITH keys AS (VALUES {','.join([group] * rows)})"
    return f"{keys} UPDATE {table} SET {changed} FROM keys WHERE {found}"  # noqa: S608


def singles(keys: Collection[Column] | Collection[bytes] | Collection[str]) -> Iterator[Row]:
    """Keys of one column."""
    return ((key,) for key in keys)


def page_of(rows: Sequence[tuple[Place, T]], limit: int) -> Page[T]:
    """A page out of up to `limit` + 1 rows."""
    more = rows[limit - 1][0] if len(rows) > limit else None
    return Page(tuple([record for _, record in rows[:limit]]), more)


def account_record(row: Sequence[Column], statements: Sequence[bytes]) -> AccountRecord:
    """An account from (id, name, length, head, held)."""
    account, name, length, head, held = row
    return AccountRecord(
        AccountId(as_bytes(account)),
        as_text(name),
        LogPosition(as_int(length), Hash(as_bytes(head))),
        tuple(statements),
        as_text(held),
    )


@lru_cache(maxsize=1_024)
def agent_ref(account: Column, name: Column) -> AgentRef:
    """An agent from its account and name; remembered, since most rows name one of a few."""
    return AgentRef(AccountId(as_bytes(account)), as_text(name))


def card_record(row: Sequence[Column]) -> CardRecord:
    """A card from (account, name, version, public, raw)."""
    account, name, version, public, raw = row
    return CardRecord(agent_ref(account, name), to_unsigned(as_int(version)), bool(public), as_bytes(raw))


def grant_record(row: Sequence[Column]) -> GrantRecord:
    """A grant from (request, account, name, version, raw, terms)."""
    request, account, name, version, raw, terms = row
    return GrantRecord(
        Hash(as_bytes(request)),
        agent_ref(account, name),
        to_unsigned(as_int(version)),
        as_bytes(raw),
        as_bytes(terms),
    )


def evidence_record(row: Sequence[Column]) -> EvidenceRecord:
    """Evidence from (place, kind, subject, first, second, at)."""
    place, kind, subject, first, second, at = row
    return EvidenceRecord(
        as_text(kind),
        as_bytes(subject),
        as_bytes(first),
        as_bytes(second),
        Instant(as_int(at)),
        Place(as_int(place)),
    )


def as_int(value: Column) -> int:
    """A column that the schema says is an integer."""
    assert isinstance(value, int)  # noqa: S101 - the tables are STRICT
    return value


def as_text(value: Column) -> str:
    """A column that the schema says is text."""
    assert isinstance(value, str)  # noqa: S101
    return value


def as_bytes(value: Column) -> bytes:
    """A column that the schema says is a blob."""
    assert isinstance(value, bytes)  # noqa: S101
    return value
