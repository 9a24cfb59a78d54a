"""What is kept for searches and figures, written in the transaction that stores the message."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from taskferry_protocol.ids import Hash
from taskferry_protocol.records.history import STEP_MS, TRAFFIC
from taskferry_protocol.search_words import Asked, indexed_words
from taskferry_protocol.values import value

Connection = sqlite3.Connection

# A private character, which is a part of no word.
_MARK: Final = "\ue000"
SPANS_MS: Final = (4 * STEP_MS, STEP_MS)
"""Of how long traffic is kept: a year of days is read by hours, where the clock's offset lets it."""
_LINES: Final = (
    "SELECT t.n, t.mine, t.peer, t.direction, t.cls, t.conv, t.task, t.stored_at, s.content"
    " FROM messages t JOIN sealed s ON s.hash = t.hash WHERE"
)


@value
class Line:
    """A stored message as far as it is found and counted. `mine` and `peer` are the agents' numbers."""

    n: int
    mine: int
    peer: int
    direction: str
    cls: str
    conv: bytes
    task: bytes | None
    stored_at: int
    content: bytes

    @property
    def words(self) -> str:
        """What is indexed; "" for nothing.

        What is taken out again has to be the same: a version that makes other words indexes everything anew.
        """
        words = indexed_words(self.content)
        if not words:
            return ""
        marks = [f"{_MARK}m{self.mine}", f"{_MARK}p{self.peer}"]
        if self.task is not None:
            marks += [f"{_MARK}k", _task_mark(self.task)]
        return " ".join([*sorted(words), *marks])


def add_all(connection: Connection, lines: Sequence[Line]) -> None:
    """Take messages that were just stored into the index and the figures."""
    _count(connection, lines)
    _index(connection, lines)


def move(connection: Connection, old: int, new: int) -> None:
    """A message was stored anew under another number: it is found there, and counted once."""
    (line,) = _lines(connection, "t.n = ?", (new,))
    below = _below(connection)
    if below is not None and old < below:
        add_all(connection, [line])
        return
    words = line.words
    if words:
        connection.execute("INSERT INTO search (search, rowid, words) VALUES ('delete', ?, ?)", (old, words))
        _index(connection, [line])
    connection.execute(
        "UPDATE talks SET last = ? WHERE mine = ? AND peer = ? AND conv = ?",
        (line.n, line.mine, line.peer, line.conv),
    )


def forget(connection: Connection, n: int) -> None:
    """A message that no figure counts is about to go: it is found no more."""
    below = _below(connection)
    (line,) = _lines(connection, "t.n = ?", (n,))
    if line.words and (below is None or n >= below):
        connection.execute(
            "INSERT INTO search (search, rowid, words) VALUES ('delete', ?, ?)", (n, line.words)
        )


def fill(connection: Connection, limit: int) -> int:
    """Take messages of before, the newest first; says how many."""
    below = _below(connection)
    if below is None:
        return 0
    lines = _lines(connection, "t.n < ? ORDER BY t.n DESC LIMIT ?", (below, limit))
    add_all(connection, lines)
    if len(lines) < limit:
        connection.execute("DELETE FROM history_fill")
    else:
        connection.execute("UPDATE history_fill SET below = ?", (lines[-1].n,))
    return len(lines)


def is_filled(connection: Connection) -> bool:
    """Whether all messages are in the index."""
    return _below(connection) is None


def match_of(asked: Asked, mine: Collection[int], peer: int | None) -> str:
    """The query for the index: every word is quoted, so that none is an operator; marks narrow it."""
    terms = [_quoted(word) for word in asked.words]
    if asked.prefix:
        terms.append(f"{_quoted(asked.prefix)}*")
    if mine:
        terms.append(_any_of(f"{_MARK}m{number}" for number in sorted(mine)))
    if peer is not None:
        terms.append(_quoted(f"{_MARK}p{peer}"))
    return " AND ".join(terms)


def match_in_tasks(match: str, tasks: Collection[Hash]) -> str:
    """A query narrowed to what was said in these tasks; in any, if none is named."""
    marks = {_task_mark(task) for task in tasks} or {f"{_MARK}k"}
    return f"{match} AND {_any_of(sorted(marks))}"


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'


def _any_of(marks: Iterable[str]) -> str:
    return "(" + " OR ".join(map(_quoted, marks)) + ")"


def _task_mark(task: bytes) -> str:
    # Half of the id: two tasks that share it only cost a look.
    return f"{_MARK}t{task[:16].hex()}"


def _lines(connection: Connection, where: str, values: tuple[int, ...]) -> list[Line]:
    return [Line(*row) for row in connection.execute(f"{_LINES} {where}", values)]


def _below(connection: Connection) -> int | None:
    row = connection.execute("SELECT below FROM history_fill WHERE one = 1").fetchone()
    return int(row[0]) if row else None


def _index(connection: Connection, lines: Iterable[Line]) -> None:
    rows = [(line.n, words) for line in lines if (words := line.words)]
    connection.executemany("INSERT INTO search (rowid, words) VALUES (?, ?)", rows)


def _count(connection: Connection, lines: Iterable[Line]) -> None:
    talks: dict[tuple[int, int, bytes], tuple[int, int]] = {}
    traffic: dict[tuple[int, int, int], list[int]] = {}
    for line in lines:
        if line.cls not in TRAFFIC:
            continue
        talk = (line.mine, line.peer, line.conv)
        last, messages = talks.get(talk, (0, 0))
        talks[talk] = (max(last, line.n), messages + 1)
        column = (line.direction == "in") + 2 * (line.task is not None)
        for span in SPANS_MS:
            counts = traffic.setdefault((span, line.stored_at - line.stored_at % span, line.mine), [0] * 4)
            counts[column] += 1
    connection.executemany(
        "INSERT INTO talks (mine, peer, conv, last, messages) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
        " SET messages = messages + excluded.messages, last = max(last, excluded.last)",
        [(*talk, *counted) for talk, counted in talks.items()],
    )
    connection.executemany(
        "INSERT INTO traffic (span, at, mine, messages_sent, messages_received, events_sent, events_received)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " messages_sent = messages_sent + excluded.messages_sent,"
        " messages_received = messages_received + excluded.messages_received,"
        " events_sent = events_sent + excluded.events_sent,"
        " events_received = events_received + excluded.events_received",
        [(*slot, *counts) for slot, counts in traffic.items()],
    )
