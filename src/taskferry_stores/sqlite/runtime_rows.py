"""Runtimes, leases, and who was seen when, as SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias, assert_never

from taskferry_protocol.ids import AgentRef, Hash, Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.records import (
    Counted,
    DaemonResult,
    Done,
    DropRuntimes,
    Flow,
    LeaseRecord,
    NoteSeen,
    Order,
    PeerWord,
    Place,
    PurgeLeases,
    PutLeases,
    PutPeerWord,
    PutRuntime,
    RaiseFences,
    RuntimeChange,
    RuntimeId,
    RuntimeRecord,
    RuntimeStatus,
    Settled,
    WaitingItem,
)

from .facts import KnownReads
from .ledger import agent_numbers
from .rows import Column, select_with

Connection = sqlite3.Connection
Number: TypeAlias = Callable[[AgentRef], int]

# --- Reads --------------------------------------------------------------------------------------------------

_COLUMNS = "id, agent, program, key, name, status, since, bound_at, seen_at, expires_at, lease_ms"
_RUNTIMES = f"SELECT {_COLUMNS} FROM runtimes"  # noqa: S608


def _runtime(row: sqlite3.Row) -> RuntimeRecord:
    id, agent, program, key, name, status, since, bound_at, seen_at, expires_at, lease_ms = row
    return RuntimeRecord(
        RuntimeId(id), agent, program, key, name, RuntimeStatus(status), since, bound_at, seen_at, expires_at,
        lease_ms,
    )  # fmt: skip


def _runtimes(connection: Connection, agent: str | None) -> tuple[RuntimeRecord, ...]:
    where, values = ("", []) if agent is None else (" WHERE agent = ?", [agent])
    rows = connection.execute(f"{_RUNTIMES}{where} ORDER BY bound_at, id", values)
    return tuple([_runtime(row) for row in rows])


def _one_runtime(connection: Connection, runtime: RuntimeId) -> RuntimeRecord | None:
    row = connection.execute(f"{_RUNTIMES} WHERE id = ?", (runtime,)).fetchone()
    return None if row is None else _runtime(row)


def _leases(connection: Connection, agent: str, units: Collection[Hash]) -> dict[Hash, LeaseRecord]:
    rows = select_with(
        connection,
        "SELECT t.unit, t.agent, t.runtime, t.fence, t.at FROM keys k CROSS JOIN leases t"
        " ON t.unit = k.column1 AND t.agent = k.column2",
        [(unit, agent) for unit in units],
    )
    return {
        Hash(unit): LeaseRecord(Hash(unit), name, RuntimeId(runtime), fence, at)
        for unit, name, runtime, fence, at in rows
    }


#: SQLite's largest integer: every place is before it.
_HIGHEST = 2**63 - 1
_WAITING = (
    "SELECT t.n, t.hash, coalesce(t.task, t.hash), t.offered_at IS NOT NULL,"
    " t.read_at IS NOT NULL, t.told, l.runtime, l.fence, l.at FROM messages t"
    " LEFT JOIN leases l ON l.unit = coalesce(t.task, t.hash) AND l.agent = ?1"
    " WHERE t.mine IN (SELECT n FROM agents WHERE name = ?1) AND t.direction = 'in'"
    " AND t.inbox IN ('unread', 'read')"
)
_IN_ORDER = {
    Order.OLDEST_FIRST: "AND t.n > coalesce(?3, 0) ORDER BY t.n LIMIT ?2",
    Order.NEWEST_FIRST: f"AND t.n < coalesce(?3, {_HIGHEST}) ORDER BY t.n DESC LIMIT ?2",
}


def _waiting(
    connection: Connection,
    agent: str,
    limit: int,
    after: Place | None,
    order: Order,
    settled: Settled | None,
) -> tuple[WaitingItem, ...]:
    found = []
    left, values = _not_settled(settled)
    query = f"{_WAITING} {left} {_IN_ORDER[order]}"
    rows = connection.execute(query, (agent, limit, after, *values))
    for place, hash, unit, offered, read, told, *lease in rows:
        runtime, fence, at = lease
        held = None if runtime is None else LeaseRecord(Hash(unit), agent, RuntimeId(runtime), fence, at)
        marks = bool(offered), bool(read), told
        found.append(WaitingItem(Place(place), Hash(hash), Hash(unit), held, *marks))
    return tuple(found)


def _not_settled(settled: Settled | None) -> tuple[str, list[Column]]:
    """What is not settled, told apart before it is read: there may be very much that is."""
    if settled is None:
        return "", []
    known = -1 if settled.known is None else settled.known
    since = _HIGHEST if settled.since is None else settled.since
    others = ", ".join("?" * len(settled.others))
    return (
        "AND (l.runtime IS NULL OR NOT (l.runtime = ?4 AND t.n <= ?5 AND l.at <= ?6)"
        f" AND l.runtime NOT IN ({others}))",
        [settled.me, known, since, *sorted(settled.others)],
    )


def _unread(connection: Connection, agent: str, hashes: Collection[Hash]) -> frozenset[Hash]:
    rows = select_with(
        connection,
        "SELECT t.hash FROM keys k CROSS JOIN messages t ON t.hash = k.column1"
        " AND t.mine IN (SELECT n FROM agents WHERE name = k.column2)"
        " WHERE t.direction = 'in' AND t.inbox = 'unread'",
        [(hash, agent) for hash in hashes],
    )
    return frozenset(Hash(hash) for (hash,) in rows)


def _seen(connection: Connection) -> dict[str, Instant]:
    return dict(connection.execute("SELECT agent, at FROM agents_seen").fetchall())


def _words(connection: Connection, flows: Collection[Flow]) -> dict[Flow, PeerWord]:
    numbers = agent_numbers(connection, {agent for flow in flows for agent in (flow.from_, flow.to)})
    asked = {
        (numbers[flow.from_], numbers[flow.to]): flow
        for flow in flows
        if flow.from_ in numbers and flow.to in numbers
    }
    rows = select_with(
        connection,
        "SELECT t.mine, t.peer, t.tells, t.seen_at, t.said_at FROM keys k CROSS JOIN peer_words t"
        " ON t.mine = k.column1 AND t.peer = k.column2",
        list(asked),
    )
    found = {}
    for mine, peer, tells, seen_at, said_at in rows:
        flow = asked[mine, peer]
        found[flow] = PeerWord(flow.from_, flow.to, bool(tells), seen_at, said_at)
    return found


class SqliteRuntimeReads(KnownReads):
    """The reads of `runtimes_port.RuntimeReads`; a part of the daemon's store, which owns the engine."""

    async def runtimes(self, agent: str | None) -> tuple[RuntimeRecord, ...]:
        """Runtimes by when they were bound."""
        return await self._engine.read(lambda c: _runtimes(c, agent))

    async def runtime(self, runtime: RuntimeId) -> RuntimeRecord | None:
        """A runtime by its id."""
        return await self._engine.read(lambda c: _one_runtime(c, runtime))

    async def leases(self, agent: str, units: Collection[Hash]) -> Mapping[Hash, LeaseRecord]:
        """Leases by unit."""
        return await self._engine.read(lambda c: _leases(c, agent, units))

    async def waiting(
        self,
        agent: str,
        limit: int,
        after: Place | None = None,
        order: Order = Order.OLDEST_FIRST,
        settled: Settled | None = None,
    ) -> tuple[WaitingItem, ...]:
        """What an agent has not processed."""
        return await self._engine.read(lambda c: _waiting(c, agent, limit, after, order, settled))

    async def unread(self, agent: str, hashes: Collection[Hash]) -> frozenset[Hash]:
        """Those that an agent has not read."""
        return await self._engine.read(lambda c: _unread(c, agent, hashes))

    async def agents_seen(self) -> Mapping[str, Instant]:
        """When somebody last acted as each agent of ours."""
        return await self._whole(self._facts.agents_seen, _seen)

    async def peer_words(self, flows: Collection[Flow]) -> Mapping[Flow, PeerWord]:
        """What peers' daemons said last."""
        return await self._known(self._facts.words, flows, _words)


# --- Writes -------------------------------------------------------------------------------------------------


def apply(connection: Connection, change: RuntimeChange, number: Number) -> DaemonResult:
    """Make one change; `number` gives an agent's own."""
    execute, many = connection.execute, connection.executemany
    match change:
        case PutRuntime():
            one = change.runtime
            execute(
                f"INSERT OR REPLACE INTO runtimes ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (
                    *(one.id, one.agent, one.program, one.key, one.name, one.status, one.since),
                    *(one.bound_at, one.seen_at, one.expires_at, one.lease_ms),
                ),
            )
        case DropRuntimes():
            many("DELETE FROM runtimes WHERE id = ?", [(gone,) for gone in change.ids])
        case PutLeases():
            many(
                "INSERT OR REPLACE INTO leases (unit, agent, runtime, fence, at) VALUES (?, ?, ?, ?, ?)",
                [(each.unit, each.agent, each.runtime, each.fence, each.at) for each in change.leases],
            )
        case RaiseFences():
            raised = execute(
                "UPDATE leases SET fence = fence + 1, at = ? WHERE runtime = ?", (change.at, change.runtime)
            )
            return Counted(raised.rowcount)
        case PurgeLeases():
            gone = execute(
                "DELETE FROM leases WHERE (unit, agent) IN"
                " (SELECT unit, agent FROM leases WHERE at < ? ORDER BY at LIMIT ?)",
                (change.before, change.limit),
            )
            return Counted(gone.rowcount)
        case NoteSeen():
            execute(
                "INSERT INTO agents_seen (agent, at) VALUES (?, ?)"
                " ON CONFLICT (agent) DO UPDATE SET at = excluded.at WHERE excluded.at > at OR at > ?",
                (change.agent, change.at, change.at + DAY_MS),
            )
        case PutPeerWord():
            word = change.word
            execute(
                "INSERT INTO peer_words (mine, peer, tells, seen_at, said_at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (mine, peer) DO UPDATE SET tells = excluded.tells,"
                " seen_at = excluded.seen_at, said_at = excluded.said_at"
                " WHERE excluded.said_at >= said_at",
                (number(word.mine), number(word.peer), word.tells, word.seen_at, word.said_at),
            )
        case _:
            assert_never(change)
    return Done()
