"""Tickets and applications in a relay's file: queries that give records, and changes as SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from typing import assert_never

from taskferry_protocol.ids import AccountId, Hash, Instant
from taskferry_protocol.records import (
    ApplicationRecord,
    Counted,
    Done,
    DropApplication,
    DropTicket,
    GrantApplication,
    PutApplication,
    PutTicket,
    RedeemTicket,
    RequireUnreserved,
    SignUpChange,
    SweepSignUps,
    TicketRecord,
)

from .. import rules
from .rows import select_in, singles

Connection = sqlite3.Connection

_TICKET = (
    "SELECT t.digest, t.name, t.created_at, t.expires_at, t.email, t.note, a.id, t.used_at"
    " FROM tickets t LEFT JOIN accounts a ON a.n = t.account WHERE"
)


def _record(row: sqlite3.Row) -> TicketRecord:
    digest, name, created_at, expires_at, email, note, account, used_at = row
    return TicketRecord(
        Hash(digest),
        name,
        Instant(created_at),
        Instant(expires_at),
        email,
        note,
        None if account is None else AccountId(account),
        None if used_at is None else Instant(used_at),
    )


def ticket(connection: Connection, digest: Hash) -> TicketRecord | None:
    """A ticket by its SHA-256."""
    row = connection.execute(f"{_TICKET} t.digest = ?", (digest,)).fetchone()
    return None if row is None else _record(row)


def tickets(connection: Connection, after: Hash | None, limit: int) -> tuple[TicketRecord, ...]:
    """Tickets by rising digest."""
    rows = connection.execute(f"{_TICKET} t.digest > ? ORDER BY t.digest LIMIT ?", (after or b"", limit))
    return tuple([_record(row) for row in rows])


def reserved(connection: Connection, names: Collection[str], at: Instant) -> frozenset[str]:
    """Those of the names that open tickets have."""
    query = "SELECT name, max(expires_at) FROM tickets WHERE account IS NULL AND name"
    rows = select_in(connection, query, singles([name for name in names if name]), "GROUP BY name")
    return frozenset(name for name, until in rows if until > at)


def ticket_of_email(connection: Connection, email: bytes) -> TicketRecord | None:
    """The used ticket that was sent to an address."""
    query = f"{_TICKET} t.email = ? AND t.email <> x'' AND t.account IS NOT NULL ORDER BY t.digest LIMIT 1"
    row = connection.execute(query, (email,)).fetchone() if email else None
    return None if row is None else _record(row)


def application(connection: Connection, digest: Hash) -> ApplicationRecord | None:
    """An application by the SHA-256 of its code."""
    query = "SELECT name, email, expires_at FROM applications WHERE digest = ?"
    row = connection.execute(query, (digest,)).fetchone()
    return None if row is None else ApplicationRecord(digest, row[0], row[1], Instant(row[2]))


def apply(connection: Connection, change: SignUpChange) -> Done | Counted:
    """Make one change."""
    match change:
        case PutTicket():
            _put_ticket(connection, change.ticket)
        case RedeemTicket():
            _redeem(connection, change)
        case RequireUnreserved():
            _require_unreserved(connection, change.name, change.at)
        case DropTicket():
            query = "DELETE FROM tickets WHERE digest = ? AND account IS NULL"
            return Counted(connection.execute(query, (change.digest,)).rowcount)
        case PutApplication():
            _put_application(connection, change.application)
        case DropApplication():
            connection.execute("DELETE FROM applications WHERE digest = ?", (change.digest,))
        case GrantApplication():
            held = application(connection, change.digest)
            rules.require_waiting(held, change.digest, change.ticket.created_at)
            connection.execute("DELETE FROM applications WHERE digest = ?", (change.digest,))
            connection.execute(
                "DELETE FROM tickets WHERE email = ? AND email <> x'' AND account IS NULL",
                (change.ticket.email,),
            )
            _put_ticket(connection, change.ticket)
        case SweepSignUps():
            return _sweep(connection, change)
        case _:
            assert_never(change)
    return Done()


def _put_ticket(connection: Connection, record: TicketRecord) -> None:
    (count,) = connection.execute("SELECT count(*) FROM tickets WHERE account IS NULL").fetchone()
    rules.require_room(count, rules.UNUSED_TICKETS, "unused tickets")
    if record.name:
        row = connection.execute("SELECT 1 FROM names WHERE name = ?", (record.name,)).fetchone()
        rules.require_unclaimed(row is not None, record.name)
        _require_unreserved(connection, record.name, record.created_at)
    connection.execute(
        "INSERT INTO tickets (digest, name, created_at, expires_at, email, note) VALUES (?, ?, ?, ?, ?, ?)",
        (record.digest, record.name, record.created_at, record.expires_at, record.email, record.note),
    )


def _require_unreserved(connection: Connection, name: str, at: Instant) -> None:
    rules.require_unreserved(bool(reserved(connection, [name], at)), name)


def _redeem(connection: Connection, change: RedeemTicket) -> None:
    record = rules.redeemed(ticket(connection, change.digest), change)
    if not record.name:
        _require_unreserved(connection, change.name, change.at)
    connection.execute(
        "UPDATE tickets SET account = (SELECT n FROM accounts WHERE id = ?), used_at = ? WHERE digest = ?",
        (change.account, change.at, change.digest),
    )


def _put_application(connection: Connection, record: ApplicationRecord) -> None:
    (count,) = connection.execute("SELECT count(*) FROM applications").fetchone()
    rules.require_room(count, rules.APPLICATIONS, "applications")
    connection.execute(
        "INSERT INTO applications (digest, name, email, expires_at) VALUES (?, ?, ?, ?)",
        (record.digest, record.name, record.email, record.expires_at),
    )


def _sweep(connection: Connection, change: SweepSignUps) -> Counted:
    of_tickets = (
        "DELETE FROM tickets WHERE digest IN"
        " (SELECT digest FROM tickets WHERE account IS NULL AND expires_at < ? LIMIT ?)"
    )
    of_applications = (
        "DELETE FROM applications WHERE digest IN"
        " (SELECT digest FROM applications WHERE expires_at < ? LIMIT ?)"
    )
    bounds = (change.before, change.limit)
    return Counted(sum(connection.execute(query, bounds).rowcount for query in (of_tickets, of_applications)))
