"""What a relay's operator asks and changes, as SQL. Lists cost a query, never one for each row."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import Final, assert_never

from taskferry_protocol.ids import AccountId, DeviceId, Hash, Instant
from taskferry_protocol.records import Counted, Done
from taskferry_protocol.records.operations import (
    AccountLine,
    AccountQuery,
    ListAgent,
    MailboxLine,
    OperatorChange,
    PutSignIn,
    RelayOverview,
    ReleaseAccount,
    Standing,
    SuspendAccount,
    Suspension,
    SuspensionList,
    TakeSignIn,
    UnlistAgent,
    WaitingMailbox,
)

from ..rules import unknown
from .directory import list_agent, unlist_agent
from .relay_reads import stats
from .rows import select_in, singles

Connection = sqlite3.Connection

#: After every text that begins with the prefix before it: names are ASCII.
_AFTER_ALL: Final = "\x7f"
_ACCOUNT: Final = "a.id, a.name, a.held, s.reason, s.at"
#: When the first envelope that waits in a mailbox was taken; `d` is the device.
_OLDEST: Final = (
    "(SELECT f.at FROM mailbox m JOIN seen f ON f.n = m.envelope"
    " WHERE m.device = d.n AND m.offset > d.acked AND m.envelope IS NOT NULL ORDER BY m.offset LIMIT 1)"
)


#: Where accounts of a state come from, and the column of their name. A former name is listed for nobody.
_LISTED: Final = {
    Standing.ALL: ("names w JOIN accounts a ON a.n = w.account AND a.name = w.name", "w.name"),
    Standing.SUSPENDED: ("suspensions t CROSS JOIN accounts a ON a.n = t.account", "a.name"),
    Standing.HELD: ("(SELECT * FROM accounts WHERE held <> '') a", "a.name"),
}


def apply(connection: Connection, change: OperatorChange) -> Done | Counted:
    """Make one change."""
    match change:
        case SuspendAccount(suspension=suspension):
            _suspend(connection, suspension)
        case ReleaseAccount():
            gone = connection.execute(
                "DELETE FROM suspensions WHERE account = (SELECT n FROM accounts WHERE id = ?)",
                (change.account,),
            )
            if gone.rowcount:
                connection.execute("UPDATE suspensions_version SET n = n + 1")
            return Counted(gone.rowcount)
        case PutSignIn():
            _put_sign_in(connection, change)
        case TakeSignIn():
            gone = connection.execute(
                "DELETE FROM sign_ins WHERE digest = ? AND expires_at > ?", (change.digest, change.at)
            )
            return Counted(gone.rowcount)
        case ListAgent(entry=entry):
            list_agent(connection, entry)
        case UnlistAgent(agent=agent):
            unlist_agent(connection, agent)
        case _:
            assert_never(change)
    return Done()


def _suspend(connection: Connection, suspension: Suspension) -> None:
    row = connection.execute("SELECT n FROM accounts WHERE id = ?", (suspension.account,)).fetchone()
    if row is None:
        raise unknown("account", suspension.account)
    connection.execute(
        "INSERT OR REPLACE INTO suspensions (account, reason, at) VALUES (?, ?, ?)",
        (row[0], suspension.reason, suspension.at),
    )
    connection.execute("UPDATE suspensions_version SET n = n + 1")


def _put_sign_in(connection: Connection, change: PutSignIn) -> None:
    connection.execute("DELETE FROM sign_ins WHERE expires_at <= ?", (change.at,))
    connection.execute(
        "DELETE FROM sign_ins WHERE digest IN"
        " (SELECT digest FROM sign_ins ORDER BY expires_at DESC, digest LIMIT -1 OFFSET ?)",
        (change.most - 1,),
    )
    connection.execute(
        "INSERT OR REPLACE INTO sign_ins (digest, expires_at) VALUES (?, ?)",
        (change.digest, change.expires_at),
    )


def has_sign_in(connection: Connection, digest: Hash, at: Instant) -> bool:
    """Whether a one-time link is good."""
    query = "SELECT 1 FROM sign_ins WHERE digest = ? AND expires_at > ?"
    return connection.execute(query, (digest, at)).fetchone() is not None


def suspensions(connection: Connection, known: int | None) -> SuspensionList | None:
    """All suspensions, unless they are known."""
    (version,) = connection.execute("SELECT n FROM suspensions_version").fetchone()
    if version == known:
        return None
    rows = connection.execute(
        "SELECT a.id, s.reason, s.at FROM suspensions s JOIN accounts a ON a.n = s.account"
    )
    return SuspensionList(
        version, tuple([Suspension(AccountId(id), reason, Instant(at)) for id, reason, at in rows])
    )


def account_lines(
    connection: Connection, query: AccountQuery, after: str, limit: int
) -> tuple[AccountLine, ...]:
    """Accounts by rising name, with what waits for them."""
    source, name = _LISTED[query.state]
    where = f"WHERE {name} >= ?1 AND {name} < ?2 AND {name} > ?3"
    rows = connection.execute(
        f"WITH listed AS MATERIALIZED (SELECT a.n, {_ACCOUNT} FROM {source}"  # noqa: S608 - constants of this module
        f" LEFT JOIN suspensions s ON s.account = a.n {where} ORDER BY {name} LIMIT ?4)"
        " SELECT a.id, a.name, a.held, a.reason, a.at, coalesce(sum(d.count), 0), coalesce(sum(d.bytes), 0),"
        f" min(CASE WHEN d.count > 0 THEN {_OLDEST} END) FROM listed a"
        " LEFT JOIN account_keys k ON k.account = a.n LEFT JOIN devices d ON d.id = k.key"
        " GROUP BY a.n ORDER BY a.name",
        (query.prefix, query.prefix + _AFTER_ALL, after, limit),
    )
    lines = []
    for id, owner, held, reason, at, count, size, oldest in rows:
        suspension = None if reason is None else Suspension(AccountId(id), reason, Instant(at))
        lines.append(AccountLine(AccountId(id), owner, held, suspension, count, size, _instant(oldest)))
    return tuple(lines)


_MAILBOX: Final = (
    f"SELECT d.id, a.id, coalesce(a.name, ''), d.count, d.bytes, CASE WHEN d.count > 0 THEN {_OLDEST} END"  # noqa: S608
    " FROM {} LEFT JOIN accounts a ON a.n = (SELECT min(k.account) FROM account_keys k WHERE k.key = d.id)"
)


def _mailbox(row: sqlite3.Row) -> MailboxLine:
    device, account, name, count, size, oldest = row
    whose = None if account is None else AccountId(account)
    return MailboxLine(DeviceId(device), whose, name, count, size, _instant(oldest))


def mailbox_lines(connection: Connection, devices: Collection[DeviceId]) -> tuple[MailboxLine, ...]:
    """Mailboxes of these devices."""
    rows = select_in(
        connection, f"{_MAILBOX.format('devices d')} WHERE d.last > 0 AND d.id", singles(devices)
    )
    return tuple(map(_mailbox, rows))


def fullest_mailboxes(connection: Connection, limit: int) -> tuple[MailboxLine, ...]:
    """The mailboxes with the most entries."""
    fullest = "(SELECT * FROM devices WHERE count > 0 ORDER BY count DESC, bytes DESC, id LIMIT ?) d"
    rows = connection.execute(
        f"{_MAILBOX.format(fullest)} ORDER BY d.count DESC, d.bytes DESC, d.id", (limit,)
    )
    return tuple(map(_mailbox, rows))


def waiting_mailboxes(connection: Connection, look: int) -> tuple[WaitingMailbox, ...]:
    """At most `look` mailboxes that hold something."""
    rows = connection.execute(
        f"SELECT d.count, {_OLDEST} FROM (SELECT n, acked, count FROM devices WHERE count > 0 LIMIT ?) d",  # noqa: S608
        (look,),
    )
    return tuple([WaitingMailbox(count, _instant(oldest)) for count, oldest in rows])


def overview(connection: Connection) -> RelayOverview:
    """Sums over accounts and devices, never over envelopes."""

    def one(query: str) -> int:
        (value,) = connection.execute(query).fetchone()
        return int(value)

    known = stats(connection)
    oldest = connection.execute(
        "SELECT f.at FROM envelopes e JOIN seen f ON f.n = e.n ORDER BY e.n LIMIT 1"
    ).fetchone()
    return RelayOverview(
        known.accounts,
        one("SELECT count(*) FROM suspensions"),
        one("SELECT count(*) FROM accounts WHERE held <> ''"),
        known.devices,
        one("SELECT count(*) FROM cards"),
        one("SELECT count(*) FROM directory"),
        one("SELECT count(*) FROM invites"),
        known.connections,
        known.accepted,
        known.waiting,
        known.waiting_bytes,
        one("SELECT count(*) FROM devices WHERE count > 0"),
        _instant(oldest[0]) if oldest is not None else None,
    )


def _instant(at: int | None) -> Instant | None:
    return None if at is None else Instant(at)
