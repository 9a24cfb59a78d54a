"""The daemon's queries about who is who and who may what."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable

from taskferry_protocol.ids import AccountId, Hash, Instant
from taskferry_protocol.records import (
    AccountRecord,
    ConnectionQuery,
    ConnectionState,
    Flow,
    IdempotencyRecord,
    InviteRecord,
    LocalAgent,
    Order,
    Page,
    PeerConnection,
    PinnedAccount,
    Place,
    TokenRecord,
    Trust,
)

from . import ledger
from .rows import agent_ref, page_of, select_in, select_with, singles, to_unsigned

Connection = sqlite3.Connection

_CONNECTIONS = (
    "SELECT c.n, c.request, a.account, a.name, b.account, b.name, c.state, c.request_raw, c.created_at,"
    " c.updated_at, c.expires_at, c.accept_raw, c.end_raw, c.end_kind, c.note, c.invite, c.invite_state,"
    " c.again_at, c.withdrawn, c.revision"
    " FROM connections c JOIN agents a ON a.n = c.mine JOIN agents b ON b.n = c.peer WHERE"
)


def _pinned(connection: Connection, records: Iterable[AccountRecord]) -> dict[AccountId, PinnedAccount]:
    found = {record.account: record for record in records}
    rows = select_in(connection, "SELECT id, trust, pinned_at FROM accounts WHERE id", singles(found))
    return {
        AccountId(id): PinnedAccount(found[AccountId(id)], Trust(trust), Instant(at))
        for id, trust, at in rows
    }


def accounts(connection: Connection, ids: Collection[AccountId]) -> dict[AccountId, PinnedAccount]:
    """Pinned accounts by id."""
    return _pinned(connection, ledger.accounts(connection, ids).values())


def accounts_named(connection: Connection, names: Collection[str]) -> dict[str, PinnedAccount]:
    """Pinned accounts by a name that they have claimed."""
    records = ledger.accounts_named(connection, names)
    pinned = _pinned(connection, records.values())
    return {name: pinned[record.account] for name, record in records.items()}


def all_accounts(connection: Connection, after: AccountId | None, limit: int) -> tuple[PinnedAccount, ...]:
    """Pinned accounts by rising id."""
    rows = connection.execute(
        "SELECT id FROM accounts WHERE id > ? ORDER BY id LIMIT ?", (after or b"", limit)
    )
    pinned = accounts(connection, [AccountId(id) for (id,) in rows])
    return tuple([pinned[account] for account in sorted(pinned)])


def own_account(connection: Connection) -> PinnedAccount | None:
    """The owner's own account."""
    row = connection.execute("SELECT id FROM accounts WHERE trust = 'own'").fetchone()
    return accounts(connection, row)[row[0]] if row else None


def local_agents(connection: Connection) -> tuple[LocalAgent, ...]:
    """Our agents by name."""
    rows = connection.execute("SELECT name, settings, created_at FROM local_agents ORDER BY name")
    return tuple([LocalAgent(name, settings, Instant(at)) for name, settings, at in rows])


def _connection_records(
    connection: Connection, rows: Collection[sqlite3.Row]
) -> list[tuple[Place, PeerConnection]]:
    ordered = sorted(rows, key=lambda row: int(row[0]))
    grants = ledger.grants_of(connection, [row[0] for row in ordered])
    records = []
    for n, request, account, name, peer, peer_name, state, request_raw, *rest in ordered:
        created_at, updated_at, expires_at, accept_raw, end_raw, end_kind, *more = rest
        note, invite, invite_state, again_at, taken_back, revision = more
        record = PeerConnection(
            request=Hash(request),
            mine=agent_ref(account, name),
            peer=agent_ref(peer, peer_name),
            state=ConnectionState(state),
            request_raw=request_raw,
            created_at=Instant(created_at),
            updated_at=Instant(updated_at),
            expires_at=Instant(expires_at),
            accept_raw=accept_raw,
            end_raw=end_raw,
            end_kind=end_kind,
            note=note,
            invite=invite,
            invite_state=invite_state,
            grants=grants.get(n, ()),
            again_at=again_at,
            taken_back=bool(taken_back),
            revision=revision,
        )
        records.append((Place(n), record))
    return records


def connections(connection: Connection, requests: Collection[Hash]) -> dict[Hash, PeerConnection]:
    """Connections by request."""
    rows = select_in(connection, f"{_CONNECTIONS} c.request", singles(requests))
    return {record.request: record for _, record in _connection_records(connection, rows)}


def connections_with(
    connection: Connection, flows: Collection[Flow]
) -> dict[Flow, tuple[PeerConnection, ...]]:
    """Connections between agents of ours and peers."""
    keys = ledger.flow_numbers(connection, flows)
    between = "SELECT i.n FROM keys CROSS JOIN connections i ON i.mine = column1 AND i.peer = column2"
    rows = select_with(connection, f"{_CONNECTIONS} c.n IN ({between})", keys)
    found: dict[Flow, tuple[PeerConnection, ...]] = {}
    for _, record in _connection_records(connection, rows):
        flow = Flow(record.mine, record.peer)
        found[flow] = (*found.get(flow, ()), record)
    return found


def connections_of(
    connection: Connection, agent: str | None, after: Place, limit: int
) -> Page[PeerConnection]:
    """Connections of one agent of ours, or of all."""
    one = "" if agent is None else "AND a.name = ?"
    rows = connection.execute(
        f"{_CONNECTIONS} c.n > ? {one} ORDER BY c.n LIMIT ?",
        (after, *([] if agent is None else [agent]), limit + 1),
    ).fetchall()
    return page_of(_connection_records(connection, rows), limit)


def connection_page(
    connection: Connection, query: ConnectionQuery, after: Place | None, limit: int, order: Order
) -> Page[PeerConnection]:
    """Connections by place."""
    newest, states = order is Order.NEWEST_FIRST, sorted(query.states)
    asked = [
        *(["c.n < ?" if newest else "c.n > ?"] if after is not None else []),
        *(["a.name = ?"] if query.agent is not None else []),
        *([f"c.state IN ({', '.join('?' * len(states))})"] if states else []),
    ]
    values = [value for value in (after, query.agent) if value is not None]
    rows = connection.execute(
        f"{_CONNECTIONS} {' AND '.join(asked) or 'true'} ORDER BY c.n {'DESC' if newest else 'ASC'} LIMIT ?",
        (*values, *states, limit + 1),
    ).fetchall()
    found = _connection_records(connection, rows)
    return page_of(found[::-1] if newest else found, limit)


def requests_over(connection: Connection, now: Instant, limit: int) -> tuple[PeerConnection, ...]:
    """Requests that wait for an answer and whose time is over."""
    rows = connection.execute(
        f"{_CONNECTIONS} c.state IN ('requested_in', 'requested_out') AND c.expires_at <= ?"
        " ORDER BY c.expires_at, c.n LIMIT ?",
        (now, limit),
    ).fetchall()
    found = [record for _, record in _connection_records(connection, rows)]
    return tuple(sorted(found, key=lambda record: record.expires_at))


_TOKENS = "SELECT digest, label, scope, agents, created_at, revoked_at FROM tokens"


def _token_record(row: sqlite3.Row) -> TokenRecord:
    digest, label, scope, agents, created_at, revoked_at = row
    return TokenRecord(digest, label, scope, tuple(json.loads(agents)), Instant(created_at), revoked_at)


def tokens(connection: Connection) -> tuple[TokenRecord, ...]:
    """All local credentials."""
    return tuple([_token_record(row) for row in connection.execute(f"{_TOKENS} ORDER BY created_at, digest")])


def tokens_of(connection: Connection, digests: Collection[bytes]) -> dict[bytes, TokenRecord]:
    """Credentials by digest."""
    found = map(_token_record, select_in(connection, f"{_TOKENS} WHERE digest", singles(digests)))
    return {token.digest: token for token in found}


def answers(connection: Connection, scope: str, keys: Collection[str]) -> dict[str, IdempotencyRecord]:
    """What was answered under keys."""
    rows = select_with(
        connection,
        "SELECT t.scope, t.key, t.digest, t.response, t.expires_at FROM keys CROSS JOIN answers t"
        " ON t.scope = column1 AND t.key = column2",
        ((scope, key) for key in keys),
    )
    return {row[1]: IdempotencyRecord(*row) for row in rows}


_INVITES = (
    "SELECT id, agent, raw, secret, uses, expires_at, created_at, used, revoked, note, accepts, permissions"
    " FROM invites"
)


def _invite_record(row: sqlite3.Row) -> InviteRecord:
    id, agent, raw, secret, uses, expires_at, created_at, used, revoked, note, accepts, permissions = row
    return InviteRecord(
        id,
        agent,
        raw,
        secret,
        to_unsigned(uses),
        Instant(expires_at),
        Instant(created_at),
        used,
        bool(revoked),
        note,
        bool(accepts),
        permissions,
    )


def invite_record(connection: Connection, invite: bytes) -> InviteRecord | None:
    """An invite by its id."""
    row = connection.execute(f"{_INVITES} WHERE id = ?", (invite,)).fetchone()
    return _invite_record(row) if row else None


def invites(connection: Connection) -> tuple[InviteRecord, ...]:
    """All invites."""
    return tuple([_invite_record(row) for row in connection.execute(f"{_INVITES} ORDER BY created_at, id")])
