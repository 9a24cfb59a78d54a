"""The relay's queries: each takes a connection and gives records."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable

from taskferry_protocol.ids import AccountId, DeviceId, Hash, Instant, LogPosition, MessageId
from taskferry_protocol.records import (
    AgentPair,
    ContactState,
    Flow,
    Generation,
    LogPage,
    MailboxEntry,
    MailboxItem,
    MailboxNotice,
    MailboxShare,
    MailboxUsage,
    Notice,
    Offset,
    PublishedInvite,
    RelayStats,
    StoredConnection,
)

from .ledger import agent_numbers, flow_numbers, grants_of
from .mailboxes import find_wrap
from .rows import agent_ref, select_in, select_with, singles

Connection = sqlite3.Connection

_CONNECTIONS = (
    "SELECT c.n, c.request, f.account, f.name, t.account, t.name, c.request_raw, c.accept_raw, c.end_raw"
    " FROM connections c JOIN agents f ON f.n = c.from_agent JOIN agents t ON t.n = c.to_agent WHERE"
)

_LASTING = (
    "SELECT i.n FROM keys CROSS JOIN connections i"
    " ON i.from_agent = column1 AND i.to_agent = column2 AND i.end_raw = x''"
)


def generation(connection: Connection) -> Generation | None:
    """The generation, once one is written."""
    row = connection.execute("SELECT value FROM about WHERE key = 'generation'").fetchone()
    return Generation(row[0]) if row else None


def _records(connection: Connection, rows: Iterable[sqlite3.Row]) -> list[StoredConnection]:
    ordered = sorted(rows, key=lambda row: int(row[0]))
    grants = grants_of(connection, [row[0] for row in ordered])
    return [
        StoredConnection(
            Hash(request),
            agent_ref(account, name),
            agent_ref(other, other_name),
            request_raw,
            accept_raw,
            grants.get(n, ()),
            end_raw,
        )
        for n, request, account, name, other, other_name, request_raw, accept_raw, end_raw in ordered
    ]


def connections(
    connection: Connection, pairs: Collection[AgentPair]
) -> dict[AgentPair, tuple[StoredConnection, ...]]:
    """Lasting connections between two agents."""
    numbers = agent_numbers(connection, {agent for pair in pairs for agent in (pair.low, pair.high)})
    known = [(numbers[p.low], numbers[p.high]) for p in pairs if p.low in numbers and p.high in numbers]
    both_ways = known + [(high, low) for low, high in known]
    rows = select_with(connection, f"{_CONNECTIONS} c.n IN ({_LASTING})", both_ways)
    found: dict[AgentPair, tuple[StoredConnection, ...]] = {}
    for record in _records(connection, rows):
        pair = AgentPair.of(record.from_, record.to)
        found[pair] = (*found.get(pair, ()), record)
    return found


def connections_by_request(
    connection: Connection, requests: Collection[Hash]
) -> dict[Hash, StoredConnection]:
    """Connections by request, ended ones too."""
    rows = select_in(connection, f"{_CONNECTIONS} c.request", singles(requests))
    return {record.request: record for record in _records(connection, rows)}


def connections_of(
    connection: Connection, account: AccountId, after: Hash | None, limit: int
) -> tuple[StoredConnection, ...]:
    """An account's connections by rising request, ended ones too."""
    query = (
        "SELECT c.request FROM agents a CROSS JOIN connections c ON c.from_agent = a.n"
        " WHERE a.account = ?1 AND c.request > ?2 UNION"
        " SELECT c.request FROM agents a CROSS JOIN connections c ON c.to_agent = a.n"
        " WHERE a.account = ?1 AND c.request > ?2 ORDER BY request LIMIT ?3"
    )
    wanted = [Hash(request) for (request,) in connection.execute(query, (account, after or b"", limit))]
    found = connections_by_request(connection, wanted)
    return tuple([found[request] for request in wanted])


def linked(
    connection: Connection, pairs: Collection[tuple[AccountId, AccountId]]
) -> frozenset[tuple[AccountId, AccountId]]:
    """Those of the pairs of accounts with agents connected, whichever asked.

    The connections of the first account of each pair are gone through once, however many are asked about.
    """
    live: set[tuple[AccountId, AccountId]] = set()
    for mine, theirs in (("from_agent", "to_agent"), ("to_agent", "from_agent")):
        query = (
            "SELECT DISTINCT one, t.account FROM (SELECT DISTINCT column1 AS one FROM keys)"  # noqa: S608
            f" CROSS JOIN agents f ON f.account = one CROSS JOIN connections c ON c.{mine} = f.n"
            f" AND c.end_raw = x'' CROSS JOIN agents t ON t.n = c.{theirs}"
            " WHERE (one, t.account) IN (SELECT column1, column2 FROM keys)"
        )
        rows = select_with(connection, query, pairs)
        live.update([(one, other) for one, other in rows])
    return frozenset(pair for pair in pairs if pair in live)


def statements(connection: Connection, account: AccountId, start: int, limit: int) -> LogPage | None:
    """A piece of a log by account."""
    query = "SELECT n, id, length, head FROM accounts WHERE id = ?"
    row = connection.execute(query, (account,)).fetchone()
    return _page(connection, row, start, limit)


def statements_named(connection: Connection, name: str, start: int, limit: int) -> LogPage | None:
    """A piece of a log by owner name."""
    query = "SELECT n, id, length, head FROM names JOIN accounts ON n = account WHERE names.name = ?"
    row = connection.execute(query, (name,)).fetchone()
    return _page(connection, row, start, limit)


def _page(connection: Connection, row: sqlite3.Row | None, start: int, limit: int) -> LogPage | None:
    if row is None:
        return None
    n, account, length, head = row
    found = connection.execute(
        "SELECT raw FROM statements WHERE account = ? AND seq >= ? AND seq < ? ORDER BY seq",
        (n, min(start, length), min(start, length) + limit),
    )
    pieces = tuple([raw for (raw,) in found])
    return LogPage(AccountId(account), LogPosition(length, Hash(head)), pieces)


def named_keys(
    connection: Connection, keys: Collection[tuple[AccountId, bytes]]
) -> frozenset[tuple[AccountId, bytes]]:
    """Those of the keys that were named for the account."""
    rows = select_with(
        connection,
        "SELECT column1, column2 FROM keys CROSS JOIN accounts a ON a.id = column1"
        " CROSS JOIN account_keys k ON k.account = a.n AND k.key = column2",
        keys,
    )
    return frozenset((AccountId(account), key) for account, key in rows)


def accepted(
    connection: Connection, ids: Collection[tuple[DeviceId, MessageId]]
) -> dict[tuple[DeviceId, MessageId], Hash]:
    """Hashes of what was stored under these ids by these devices."""
    known = select_in(
        connection, "SELECT id, n FROM devices WHERE id", singles([device for device, _ in ids])
    )
    numbers = {DeviceId(id): n for id, n in known}
    keys = {(numbers[device], id): (device, id) for device, id in ids if device in numbers}
    query = "SELECT device, id, hash FROM keys CROSS JOIN seen ON device = column1 AND id = column2"
    rows = select_with(connection, query, keys)
    return {keys[n, id]: Hash(hash) for n, id, hash in rows}


def contacts(connection: Connection, flows: Collection[Flow]) -> dict[Flow, ContactState]:
    """Contact states by flow."""
    keys = flow_numbers(connection, flows)
    query = (
        "SELECT from_agent, to_agent, sent, answered FROM keys CROSS JOIN contacts"
        " ON from_agent = column1 AND to_agent = column2"
    )
    rows = select_with(connection, query, keys)
    return {keys[one, other]: ContactState(sent, bool(answered)) for one, other, sent, answered in rows}


def mailbox(
    connection: Connection, device: DeviceId, after: Offset, limit: int, max_bytes: int
) -> tuple[MailboxItem, ...]:
    """What waits for a device above an offset, at least one item if there is one."""
    rows = connection.execute(
        "SELECT m.offset, m.size, m.hash, m.code, d.n, e.wraps, e.raw FROM devices d"
        " JOIN mailbox m ON m.device = d.n LEFT JOIN envelopes e ON e.n = m.envelope"
        " WHERE d.id = ? AND m.offset > ? AND m.offset > d.acked ORDER BY m.offset LIMIT ?",
        (device, after, limit),
    )
    items: list[MailboxItem] = []
    total = 0
    for offset, size, hash, code, n, wraps, raw in rows:
        total += size
        if items and total > max_bytes:
            break
        if raw is None:
            items.append(MailboxNotice(Offset(offset), Notice(Hash(hash), code)))
        else:
            items.append(MailboxEntry(Offset(offset), raw, find_wrap(wraps, n)))
    rows.close()
    return tuple(items)


def usage(connection: Connection, devices: Collection[DeviceId]) -> dict[DeviceId, MailboxUsage]:
    """How full mailboxes are."""
    rows = select_in(
        connection,
        "SELECT id, count, bytes, last, acked FROM devices WHERE last > 0 AND id",
        singles(devices),
    )
    return {
        DeviceId(id): MailboxUsage(count, size, Offset(last), Offset(acked))
        for id, count, size, last, acked in rows
    }


def shares(
    connection: Connection, devices: Collection[DeviceId]
) -> dict[DeviceId, dict[DeviceId, MailboxShare]]:
    """What waits in each mailbox, by sending device."""
    rows = select_with(
        connection,
        "SELECT d.id, f.id, count(*), sum(m.size) FROM keys CROSS JOIN devices d ON d.id = column1"
        " CROSS JOIN mailbox m ON m.device = d.n AND m.offset > d.acked"
        " CROSS JOIN seen s ON s.n = m.envelope CROSS JOIN devices f ON f.n = s.device GROUP BY d.n, f.n",
        singles(devices),
    )
    found: dict[DeviceId, dict[DeviceId, MailboxShare]] = {}
    for device, sender, count, size in rows:
        found.setdefault(DeviceId(device), {})[DeviceId(sender)] = MailboxShare(count, size)
    return found


def invites(connection: Connection, ids: Collection[bytes]) -> dict[bytes, PublishedInvite]:
    """Published invites by id."""
    rows = select_in(
        connection,
        "SELECT i.id, a.account, a.name, i.expires_at, i.raw FROM invites i JOIN agents a ON a.n = i.agent"
        " WHERE i.id",
        singles(ids),
    )
    return {
        id: PublishedInvite(id, agent_ref(account, name), Instant(expires_at), raw)
        for id, account, name, expires_at, raw in rows
    }


def stats(connection: Connection) -> RelayStats:
    """Sums over accounts, devices and connections, never over envelopes."""
    (accounts,) = connection.execute("SELECT count(*) FROM accounts").fetchone()
    (live,) = connection.execute("SELECT count(*) FROM connections WHERE end_raw = x''").fetchone()
    (devices,) = connection.execute("SELECT count(*) FROM devices WHERE last > 0").fetchone()
    sums = "SELECT coalesce(sum(place), 0), coalesce(sum(count), 0), coalesce(sum(bytes), 0) FROM devices"
    accepted, waiting, waiting_bytes = connection.execute(sums).fetchone()
    return RelayStats(accounts, devices, live, accepted, waiting, waiting_bytes)
