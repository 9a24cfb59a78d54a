"""Setting a former agent apart from the next one of its name, as SQL: its number is given the other name."""

from __future__ import annotations

import sqlite3
from itertools import count
from typing import Final

from taskferry_protocol.former_names import former
from taskferry_protocol.ids import AgentRef
from taskferry_protocol.records.forgetting import SetApart

__all__ = ["set_apart"]

#: What stays with the name.
_OF_NAME: Final = (
    "UPDATE connections SET mine = ? WHERE mine = ?",
    "UPDATE connections SET peer = ? WHERE peer = ?",
    "UPDATE grants SET grantor = ? WHERE grantor = ?",
    "UPDATE rates SET from_agent = ? WHERE from_agent = ?",
    "UPDATE rates SET to_agent = ? WHERE to_agent = ?",
    "UPDATE cards SET agent = ? WHERE agent = ?",
    "UPDATE outbox SET target = ? WHERE target = ?",
    "UPDATE sequences SET target = ? WHERE target = ?",
    "UPDATE peer_words SET mine = ? WHERE mine = ?",
    "UPDATE peer_words SET peer = ? WHERE peer = ?",
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
        for stays in _OF_NAME:
            execute(stays, (fresh, row[0]))
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
