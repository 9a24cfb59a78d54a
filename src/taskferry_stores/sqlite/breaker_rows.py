"""Breakers as SQL: what two agents exchanged lately, how their breaker stands, what it has stopped."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from typing import TypeAlias, assert_never

from taskferry_protocol.ids import AgentRef, Hash, Instant
from taskferry_protocol.records import (
    BreakerRecord,
    Counted,
    DaemonResult,
    Done,
    DropStopped,
    ExchangeRecord,
    Flow,
    ForgetExchanges,
    MessageRecord,
    PutBreaker,
)

from .ledger import agent_numbers
from .rows import agent_ref, select_with
from .traffic_rows import MESSAGES, message_record

Connection = sqlite3.Connection
Number: TypeAlias = Callable[[AgentRef], int]

# --- Reads --------------------------------------------------------------------------------------------------

_EXCHANGES = (
    "SELECT t.n, a.account, a.name, b.account, b.name, t.hash, t.at, t.inbound, t.talk, t.words"
    " FROM exchanges t JOIN agents a ON a.n = t.mine JOIN agents b ON b.n = t.peer"
)


def _exchange(row: sqlite3.Row) -> ExchangeRecord:
    _, account, name, peer, peer_name, hash, at, inbound, talk, words = row
    return ExchangeRecord(
        agent_ref(account, name),
        agent_ref(peer, peer_name),
        Hash(hash),
        Instant(at),
        bool(inbound),
        bool(talk),
        words,
    )


def exchanges(connection: Connection, flow: Flow, since: Instant, limit: int) -> tuple[ExchangeRecord, ...]:
    """The newest exchanges between two agents, oldest first."""
    numbers = agent_numbers(connection, (flow.from_, flow.to))
    rows = connection.execute(
        f"{_EXCHANGES} WHERE t.mine = ? AND t.peer = ? AND t.at > ? ORDER BY t.at DESC, t.n DESC LIMIT ?",
        (numbers.get(flow.from_), numbers.get(flow.to), since, limit),
    ).fetchall()
    return tuple([_exchange(row) for row in reversed(rows)])


def last_read(connection: Connection, flow: Flow, since: Instant) -> ExchangeRecord | None:
    """The newest talk from a peer that our agent has read."""
    numbers = agent_numbers(connection, (flow.from_, flow.to))
    row = connection.execute(
        f"{_EXCHANGES} JOIN messages m ON m.hash = t.hash AND m.mine = t.mine"
        " WHERE t.mine = ? AND t.peer = ? AND t.at > ? AND t.inbound AND t.talk AND m.read_at IS NOT NULL"
        " ORDER BY t.at DESC, t.n DESC LIMIT 1",
        (numbers.get(flow.from_), numbers.get(flow.to), since),
    ).fetchone()
    return None if row is None else _exchange(row)


_BREAKERS = (
    "SELECT a.account, a.name, b.account, b.name, t.code, t.tripped_at, t.held, t.size, t.latched,"
    " t.refused_until, t.looked_at"
)


def _breaker(row: sqlite3.Row) -> BreakerRecord:
    account, name, peer, peer_name, code, tripped_at, held, size, latched, refused_until, looked_at = row
    return BreakerRecord(
        agent_ref(account, name),
        agent_ref(peer, peer_name),
        code,
        tripped_at,
        held,
        size,
        bool(latched),
        refused_until,
        looked_at,
    )


def breakers(connection: Connection, flows: Collection[Flow]) -> dict[Flow, BreakerRecord]:
    """How breakers stand."""
    numbers = agent_numbers(connection, {agent for flow in flows for agent in (flow.from_, flow.to)})
    known = [(flow.from_, flow.to) for flow in flows if flow.from_ in numbers and flow.to in numbers]
    rows = select_with(
        connection,
        f"{_BREAKERS} FROM keys CROSS JOIN breakers t ON t.mine = column1 AND t.peer = column2"
        " JOIN agents a ON a.n = t.mine JOIN agents b ON b.n = t.peer",
        ((numbers[mine], numbers[peer]) for mine, peer in known),
    )
    found = [_breaker(row) for row in rows]
    return {Flow(breaker.mine, breaker.peer): breaker for breaker in found}


def breakers_tripped(connection: Connection, limit: int) -> tuple[BreakerRecord, ...]:
    """Those that tripped."""
    rows = connection.execute(
        f"{_BREAKERS} FROM breakers t JOIN agents a ON a.n = t.mine JOIN agents b ON b.n = t.peer"
        " WHERE t.code <> '' ORDER BY t.tripped_at, t.mine, t.peer LIMIT ?",
        (limit,),
    )
    return tuple([_breaker(row) for row in rows])


def stopped(connection: Connection, flow: Flow, limit: int) -> tuple[MessageRecord, ...]:
    """What is stopped between two agents."""
    numbers = agent_numbers(connection, (flow.from_, flow.to))
    rows = connection.execute(
        f"{MESSAGES} t.mine = ? AND t.peer = ? AND t.direction = 'in' AND t.inbox = 'stopped'"
        " ORDER BY t.n LIMIT ?",
        (numbers.get(flow.from_), numbers.get(flow.to), limit),
    )
    return tuple([message_record(row) for row in rows])


# --- Writes -------------------------------------------------------------------------------------------------


def apply(
    connection: Connection, change: ForgetExchanges | PutBreaker | DropStopped, number: Number
) -> DaemonResult:
    """Make one change; `number` gives an agent's own."""
    match change:
        case ForgetExchanges():
            gone = connection.execute(
                "DELETE FROM exchanges WHERE mine = ? AND peer = ?",
                (number(change.mine), number(change.peer)),
            )
            return Counted(gone.rowcount)
        case PutBreaker():
            _put(connection, change.breaker, number)
        case DropStopped():
            return Counted(sum(_drop(connection, change.agent, hash) for hash in change.hashes))
        case _:
            assert_never(change)
    return Done()


def _put(connection: Connection, breaker: BreakerRecord, number: Number) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO breakers (mine, peer, code, tripped_at, held, size, latched, refused_until,"
        " looked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(number(breaker.mine), number(breaker.peer), breaker.code, breaker.tripped_at, breaker.held),
            *(breaker.size, breaker.latched, breaker.refused_until, breaker.looked_at),
        ),
    )


def _drop(connection: Connection, agent: str, hash: Hash) -> int:
    done = connection.execute(
        "UPDATE messages SET inbox = 'dropped' WHERE hash = ? AND direction = 'in' AND inbox = 'stopped'"
        " AND mine IN (SELECT n FROM agents WHERE name = ?)",
        (hash, agent),
    )
    return done.rowcount
