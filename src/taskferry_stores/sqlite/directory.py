"""The directory of public agents as SQL."""

from __future__ import annotations

import sqlite3
from typing import Final

from taskferry_protocol.ids import AgentRef
from taskferry_protocol.records import Place
from taskferry_protocol.records.operations import DirectoryEntry, DirectoryPage, DirectoryQuery, ListedAgent

from .ledger import number_agent
from .rows import card_record, to_signed, to_unsigned

Connection = sqlite3.Connection

_TOP: Final = 1 << 62
_ALL: Final = ("directory d", "d.n")


def list_agent(connection: Connection, entry: DirectoryEntry) -> None:
    """List an agent; it keeps its place."""
    agent = number_agent(connection, entry.agent)
    held = connection.execute("SELECT n, version FROM directory WHERE agent = ?", (agent,)).fetchone()
    if held is not None and to_unsigned(held[1]) > entry.version:
        return
    (n,) = connection.execute(
        "INSERT INTO directory (agent, version, text) VALUES (?, ?, ?) ON CONFLICT (agent)"
        " DO UPDATE SET version = excluded.version, text = excluded.text RETURNING n",
        (agent, to_signed(entry.version), entry.text),
    ).fetchone()
    connection.execute("DELETE FROM directory_words WHERE n = ?", (n,))
    connection.executemany(
        "INSERT INTO directory_words (word, n) VALUES (?, ?)", [(word, n) for word in entry.words]
    )


def unlist_agent(connection: Connection, agent: AgentRef) -> None:
    """Take an agent off the list."""
    found = connection.execute(
        "SELECT d.n FROM directory d JOIN agents g ON g.n = d.agent WHERE g.account = ? AND g.name = ?",
        (agent.account, agent.name),
    ).fetchone()
    if found is not None:
        connection.execute("DELETE FROM directory_words WHERE n = ?", found)
        connection.execute("DELETE FROM directory WHERE n = ?", found)


def directory(
    connection: Connection, query: DirectoryQuery, before: Place | None, limit: int, look: int
) -> DirectoryPage:
    """A page of the directory; of `look` agents at most."""
    words = sorted(query.words)
    first, others = words[:1], words[1:]
    # The first word leads to those that have it; without one, all are looked at.
    source, n = ("directory_words w JOIN directory d ON d.n = w.n AND w.word = ?", "w.n") if first else _ALL
    looked = f"SELECT d.n, d.agent, d.text FROM {source} WHERE {n} < ? ORDER BY {n} DESC LIMIT ?"  # noqa: S608
    window = (*first, before if before is not None else _TOP, look)
    also = " AND EXISTS (SELECT 1 FROM directory_words x WHERE x.n = l.n AND x.word = ?)" * len(others)
    rows = connection.execute(
        f"WITH looked AS ({looked})"  # noqa: S608 - the pieces are constants of this function
        " SELECT l.n, o.name, g.account, g.name, c.version, c.public, c.raw FROM looked l"
        " JOIN agents g ON g.n = l.agent JOIN accounts o ON o.id = g.account"
        " JOIN cards c ON c.agent = l.agent LEFT JOIN suspensions s ON s.account = o.n"
        " WHERE s.account IS NULL AND o.held = '' AND c.public"
        f" AND (? = '' OR instr(l.text, ?) OR instr('@' || o.name || '/' || g.name, ?)){also}"
        " ORDER BY l.n DESC LIMIT ?",
        (*window, query.text, query.text, query.text, *others, limit),
    ).fetchall()
    agents = tuple([ListedAgent(Place(n), owner, card_record(row)) for n, owner, *row in rows])
    if len(agents) == limit:
        return DirectoryPage(agents, agents[-1].place)
    end = f"SELECT count(*), min(n) FROM ({looked})"  # noqa: S608
    count, last = connection.execute(end, window).fetchone()
    return DirectoryPage(agents, Place(last) if count == look else None)
