"""Setting a former agent apart from the next one of its name, as SQL: its number is given the other name."""

from __future__ import annotations

import sqlite3
from itertools import count
from typing import Final

from taskferry_protocol.former_names import former
from taskferry_protocol.ids import AgentRef
from taskferry_protocol.records.forgetting import SetApart

__all__ = ["set_apart"]

#: What stays with the name: tables and their columns.
_OF_NAME: Final = (
    ("connections", "mine"),
    ("connections", "peer"),
    ("grants", "grantor"),
    ("rates", "from_agent"),
    ("rates", "to_agent"),
    ("cards", "agent"),
    ("outbox", "target"),
    ("sequences", "target"),
    ("peer_words", "mine"),
    ("peer_words", "peer"),
)


def set_apart(connection: sqlite3.Connection, change: SetApart) -> None:
    """Make the change. It takes the time of what stays, not of the history that goes along."""
    execute, name = connection.execute, change.agent.name
    names = (former(change.agent, number) for number in count(change.number))
    free = next(agent.name for agent in names if _number(connection, agent) is None)
    row = _number(connection, change.agent)
    if row is not None:
        execute("UPDATE agents SET name = ? WHERE n = ?", (free, row[0]))
        (fresh,) = execute(
            "INSERT INTO agents (account, name) VALUES (?, ?) RETURNING n", (change.agent.account, name)
        ).fetchone()
        for table, column in _OF_NAME:
            execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (fresh, row[0]))  # noqa: S608
        execute("UPDATE tasks SET open = 0 WHERE mine = ? AND open", row)
        execute("UPDATE tasks SET open = 0 WHERE peer = ? AND open", row)
        execute("DELETE FROM receipts_owed WHERE mine = ?", row)
    execute("UPDATE approvals SET agent = ? WHERE agent = ?", (free, name))
    execute("UPDATE events SET agent = ? WHERE agent = ?", (free, name))
    execute("DELETE FROM leases WHERE agent = ?", (name,))
    execute("DELETE FROM agents_seen WHERE agent = ?", (name,))


def _number(connection: sqlite3.Connection, agent: AgentRef) -> tuple[int] | None:
    query = "SELECT n FROM agents WHERE account = ? AND name = ?"
    row: tuple[int] | None = connection.execute(query, (agent.account, agent.name)).fetchone()
    return row
