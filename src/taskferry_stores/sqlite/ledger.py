"""Account logs, names, agents, cards, grants, rates, evidence and settings: tables that both schemas have."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable

from taskferry_protocol.ids import AccountId, AgentRef, Hash, Instant, LogPosition
from taskferry_protocol.records import (
    AccountRecord,
    AppendStatements,
    CardRecord,
    EvidenceRecord,
    Flow,
    GrantRecord,
    HoldAccount,
    Page,
    Place,
    PutCard,
    PutEvidence,
    RateRecord,
    ReleaseName,
)

from ..rules import EVIDENCE_OF_ONE, add_grant, card_to_store, require_name, require_position, unknown
from .rows import (
    account_record,
    agent_ref,
    as_bytes,
    as_int,
    card_record,
    evidence_record,
    grant_record,
    page_of,
    select_in,
    select_with,
    singles,
    to_signed,
)

Connection = sqlite3.Connection

# --- agents and their numbers -----------------------------------------------------------------------------


def agent_numbers(connection: Connection, agents: Iterable[AgentRef]) -> dict[AgentRef, int]:
    """The numbers of those agents that have one."""
    rows = select_with(
        connection,
        "SELECT account, name, n FROM keys CROSS JOIN agents ON account = column1 AND name = column2",
        ((agent.account, agent.name) for agent in agents),
    )
    return {agent_ref(account, name): n for account, name, n in rows}


def number_agents(connection: Connection, agents: Iterable[AgentRef]) -> dict[AgentRef, int]:
    """The numbers of agents, given to those that have none."""
    wanted = set(agents)
    known = agent_numbers(connection, wanted)
    if missing := wanted - known.keys():
        connection.executemany(
            "INSERT INTO agents (account, name) VALUES (?, ?)", [(a.account, a.name) for a in missing]
        )
        known |= agent_numbers(connection, missing)
    return known


def number_agent(connection: Connection, agent: AgentRef) -> int:
    """The number of one agent."""
    return number_agents(connection, (agent,))[agent]


# --- account logs -----------------------------------------------------------------------------------------


def append_statements(connection: Connection, change: AppendStatements) -> None:
    """Extend or begin a log, and claim its name."""
    row = connection.execute(
        "SELECT n, length, head FROM accounts WHERE id = ?", (change.account,)
    ).fetchone()
    require_position(LogPosition(row[1], Hash(row[2])) if row else None, change)
    owner = connection.execute(
        "SELECT a.id FROM names JOIN accounts a ON a.n = names.account WHERE names.name = ?", (change.name,)
    ).fetchone()
    require_name(AccountId(owner[0]) if owner else None, change)
    if change.keep + len(change.statements) != change.position.length:
        raise ValueError("the position's length is not the number of statements")
    values = (change.name, change.position.length, change.position.head)
    if row is None:
        (n,) = connection.execute(
            "INSERT INTO accounts (id, name, length, head, held) VALUES (?, ?, ?, ?, '') RETURNING n",
            (change.account, *values),
        ).fetchone()
    else:
        n = row[0]
        connection.execute("UPDATE accounts SET name = ?, length = ?, head = ? WHERE n = ?", (*values, n))
        connection.execute("DELETE FROM statements WHERE account = ? AND seq >= ?", (n, change.keep))
    connection.executemany(
        "INSERT INTO statements (account, seq, raw) VALUES (?, ?, ?)",
        [(n, change.keep + i, raw) for i, raw in enumerate(change.statements)],
    )
    connection.execute(
        "INSERT INTO names (name, account) VALUES (?, ?) ON CONFLICT DO NOTHING", (change.name, n)
    )


def release_name(connection: Connection, change: ReleaseName) -> None:
    """Free a name, and call the account that had it otherwise."""
    gone = connection.execute(
        "DELETE FROM names WHERE name = ? AND account = (SELECT n FROM accounts WHERE id = ?)",
        (change.name, change.account),
    )
    if gone.rowcount == 0:
        raise unknown("name of that account", change.name)
    connection.execute("UPDATE accounts SET name = ? WHERE id = ?", (change.shown_as, change.account))


def hold_account(connection: Connection, change: HoldAccount) -> None:
    """Set or lift an account's hold."""
    done = connection.execute("UPDATE accounts SET held = ? WHERE id = ?", (change.reason, change.account))
    if done.rowcount == 0:
        raise unknown("account", change.account)


def accounts_by_number(
    connection: Connection, numbers: Iterable[int], long: Collection[int] = ()
) -> dict[int, AccountRecord]:
    """Account logs by number; of the `long` ones, none of their statements."""
    keys = [(n,) for n in numbers]
    logs: dict[int, list[bytes]] = {}
    short = [(n,) for (n,) in keys if n not in long] if long else keys
    for n, raw in select_in(
        connection, "SELECT account, raw FROM statements WHERE account", short, "ORDER BY account, seq"
    ):
        logs.setdefault(n, []).append(raw)
    rows = select_in(connection, "SELECT n, id, name, length, head, held FROM accounts WHERE n", keys)
    return {n: account_record(row, logs.get(n, ())) for n, *row in rows}


def accounts(
    connection: Connection, ids: Collection[AccountId], longest: int | None = None
) -> dict[AccountId, AccountRecord]:
    """Account logs by id; of those with more than `longest` statements, none of their statements."""
    rows = select_in(connection, "SELECT n, length FROM accounts WHERE id", singles(ids))
    long = [n for n, length in rows if longest is not None and length > longest]
    found = accounts_by_number(connection, (n for n, _ in rows), long)
    return {record.account: record for record in found.values()}


def accounts_named(connection: Connection, names: Collection[str]) -> dict[str, AccountRecord]:
    """Account logs by a name that they have claimed."""
    rows = select_in(connection, "SELECT name, account FROM names WHERE name", singles(names))
    found = accounts_by_number(connection, {n for _, n in rows})
    return {name: found[n] for name, n in rows}


# --- cards ------------------------------------------------------------------------------------------------

_CARDS = "SELECT a.account, a.name, c.version, c.public, c.raw FROM cards c JOIN agents a ON a.n = c.agent"


def cards(connection: Connection, agents: Iterable[AgentRef]) -> dict[AgentRef, CardRecord]:
    """Cards by agent."""
    rows = select_with(
        connection,
        "SELECT a.account, a.name, c.version, c.public, c.raw FROM keys"
        " CROSS JOIN agents a ON a.account = column1 AND a.name = column2"
        " CROSS JOIN cards c ON c.agent = a.n",
        ((agent.account, agent.name) for agent in agents),
    )
    return {card.agent: card for card in map(card_record, rows)}


def public_cards(connection: Connection, after: AgentRef | None, limit: int) -> tuple[CardRecord, ...]:
    """Public cards by rising agent reference."""
    start = (after.account, after.name) if after is not None else (b"", "")
    rows = connection.execute(
        f"{_CARDS} WHERE c.public AND (a.account, a.name) > (?, ?) ORDER BY a.account, a.name LIMIT ?",
        (*start, limit),
    )
    return tuple([card_record(row) for row in rows])


def put_card(connection: Connection, change: PutCard) -> None:
    """Store a card of a higher version, or in the place of the one that it names."""
    agent = change.card.agent
    card = card_to_store(cards(connection, (agent,)).get(agent), change)
    n = number_agent(connection, card.agent)
    connection.execute(
        "INSERT OR REPLACE INTO cards (agent, version, public, raw) VALUES (?, ?, ?, ?)",
        (n, to_signed(card.version), card.public, card.raw),
    )


# --- grants -----------------------------------------------------------------------------------------------


def grants_of(connection: Connection, numbers: Iterable[int]) -> dict[int, tuple[GrantRecord, ...]]:
    """Grants by the number of their connection, in the order in which they came."""
    rows = select_in(
        connection,
        "SELECT g.n, g.connection, c.request, a.account, a.name, g.version, g.raw, g.terms FROM grants g"
        " JOIN connections c ON c.n = g.connection JOIN agents a ON a.n = g.grantor WHERE g.connection",
        ((n,) for n in numbers),
    )
    found: dict[int, tuple[GrantRecord, ...]] = {}
    for _, n, *row in sorted(rows, key=lambda row: as_int(row[0])):
        found[n] = (*found.get(n, ()), grant_record(row))
    return found


def replace_grants(connection: Connection, n: int, grants: Iterable[GrantRecord]) -> None:
    """Give a connection these grants and no others."""
    connection.execute("DELETE FROM grants WHERE connection = ?", (n,))
    for grant in grants:
        grantor = number_agent(connection, grant.grantor)
        connection.execute(
            "INSERT INTO grants (connection, grantor, version, raw, terms) VALUES (?, ?, ?, ?, ?)",
            (n, grantor, to_signed(grant.version), grant.raw, grant.terms),
        )


def put_grant(connection: Connection, n: int, offered: GrantRecord) -> None:
    """Store a grant of a connection."""
    held = grants_of(connection, (n,)).get(n, ())
    grants = add_grant(held, offered)
    if grants != held:
        replace_grants(connection, n, grants)


# --- rates, evidence, settings ----------------------------------------------------------------------------


def flow_numbers(connection: Connection, flows: Collection[Flow]) -> dict[tuple[int, int], Flow]:
    """Flows by the numbers of their agents; flows with an agent that has none are left out."""
    numbers = agent_numbers(connection, {agent for flow in flows for agent in (flow.from_, flow.to)})
    return {
        (numbers[flow.from_], numbers[flow.to]): flow
        for flow in flows
        if flow.from_ in numbers and flow.to in numbers
    }


def record_rate(connection: Connection, from_: int, to: int, rate: RateRecord) -> None:
    """Replace the token bucket from one agent, by its number, to another."""
    connection.execute(
        "INSERT OR REPLACE INTO rates (from_agent, to_agent, tokens_milli, at) VALUES (?, ?, ?, ?)",
        (from_, to, rate.tokens_milli, rate.at),
    )


def rates(connection: Connection, flows: Collection[Flow]) -> dict[Flow, RateRecord]:
    """Token buckets by flow."""
    keys = flow_numbers(connection, flows)
    query = (
        "SELECT from_agent, to_agent, tokens_milli, at FROM keys CROSS JOIN rates"
        " ON from_agent = column1 AND to_agent = column2"
    )
    rows = select_with(connection, query, keys)
    return {keys[one, other]: RateRecord(tokens, Instant(at)) for one, other, tokens, at in rows}


def put_evidence(connection: Connection, change: PutEvidence) -> None:
    """Keep evidence, once."""
    evidence = change.evidence
    pair = (evidence.kind, evidence.subject, evidence.first, evidence.second)
    known = connection.execute(
        "SELECT 1 FROM evidence WHERE kind = ? AND subject = ? AND first = ? AND second = ?", pair
    ).fetchone()
    (count,) = connection.execute(
        "SELECT count(*) FROM evidence WHERE subject = ?", (evidence.subject,)
    ).fetchone()
    if known is None and count < EVIDENCE_OF_ONE:
        connection.execute(
            "INSERT INTO evidence (kind, subject, first, second, at) VALUES (?, ?, ?, ?, ?)",
            (*pair, evidence.at),
        )


def evidence_page(connection: Connection, after: Place, limit: int) -> Page[EvidenceRecord]:
    """Evidence by place."""
    rows = connection.execute(
        "SELECT place, kind, subject, first, second, at FROM evidence WHERE place > ? ORDER BY place LIMIT ?",
        (after, limit + 1),
    )
    records = [evidence_record(row) for row in rows]
    return page_of([(record.place, record) for record in records], limit)


def put_setting(connection: Connection, key: str, value: bytes) -> None:
    """Store a setting."""
    connection.execute("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", (key, value))


def drop_setting(connection: Connection, key: str) -> None:
    """Forget a setting."""
    connection.execute("DELETE FROM settings WHERE key = ?", (key,))


def settings(connection: Connection, keys: Collection[str]) -> dict[str, bytes]:
    """Settings by key."""
    rows = select_in(connection, "SELECT key, value FROM settings WHERE key", singles(keys))
    return {str(key): as_bytes(value) for key, value in rows}
