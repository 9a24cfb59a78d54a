"""Tickets and applications in memory."""

from __future__ import annotations

from collections.abc import Collection, Container
from typing import assert_never

from taskferry_protocol.ids import Hash, Instant
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
from .tables import Journal


class SignUps:
    """Those who are about to join. `claimed` are the names that accounts have."""

    def __init__(self, journal: Journal, claimed: Container[str]) -> None:
        self._journal = journal
        self._claimed = claimed
        self.tickets: dict[Hash, TicketRecord] = {}
        self.applications: dict[Hash, ApplicationRecord] = {}

    def apply(self, change: SignUpChange) -> Done | Counted:
        """Make one change."""
        match change:
            case PutTicket():
                self._put_ticket(change.ticket)
            case RedeemTicket():
                ticket = rules.redeemed(self.tickets.get(change.digest), change)
                if not ticket.name:
                    self._require_unreserved(change.name, change.at)
                self._journal.put(self.tickets, change.digest, ticket)
            case RequireUnreserved():
                self._require_unreserved(change.name, change.at)
            case DropTicket():
                held = self.tickets.get(change.digest)
                dropped = held is not None and held.account is None
                return Counted(int(dropped and self._journal.drop(self.tickets, change.digest)))
            case PutApplication():
                rules.require_room(len(self.applications), rules.APPLICATIONS, "applications")
                self._journal.put(self.applications, change.application.digest, change.application)
            case DropApplication():
                self._journal.drop(self.applications, change.digest)
            case GrantApplication():
                waiting = self.applications.get(change.digest)
                rules.require_waiting(waiting, change.digest, change.ticket.created_at)
                self._journal.drop(self.applications, change.digest)
                self._replace_tickets(change.ticket.email)
                self._put_ticket(change.ticket)
            case SweepSignUps():
                return self._sweep(change)
            case _:
                assert_never(change)
        return Done()

    def reserved(self, names: Collection[str], at: Instant) -> frozenset[str]:
        """Those of the names that open tickets have."""
        held = {ticket.name for ticket in self.tickets.values() if rules.is_open(ticket, at)}
        return frozenset(name for name in names if name and name in held)

    def of_email(self, email: bytes) -> TicketRecord | None:
        """The used ticket that was sent to an address."""
        used = (t for _, t in sorted(self.tickets.items()) if t.account is not None)
        return next((ticket for ticket in used if email and ticket.email == email), None)

    def listed(self, after: Hash | None, limit: int) -> tuple[TicketRecord, ...]:
        """Tickets by rising digest."""
        later = (t for digest, t in sorted(self.tickets.items()) if after is None or digest > after)
        return tuple(later)[:limit]

    def _replace_tickets(self, email: bytes) -> None:
        earlier = [d for d, t in self.tickets.items() if email and t.email == email and t.account is None]
        for digest in earlier:
            self._journal.drop(self.tickets, digest)

    def _put_ticket(self, ticket: TicketRecord) -> None:
        unused = sum(held.account is None for held in self.tickets.values())
        rules.require_room(unused, rules.UNUSED_TICKETS, "unused tickets")
        if ticket.name:
            rules.require_unclaimed(ticket.name in self._claimed, ticket.name)
            self._require_unreserved(ticket.name, ticket.created_at)
        self._journal.put(self.tickets, ticket.digest, ticket)

    def _require_unreserved(self, name: str, at: Instant) -> None:
        rules.require_unreserved(bool(self.reserved([name], at)), name)

    def _sweep(self, change: SweepSignUps) -> Counted:
        over = [d for d, t in self.tickets.items() if t.account is None and t.expires_at < change.before]
        gone = [d for d, a in self.applications.items() if a.expires_at < change.before]
        for digest in over[: change.limit]:
            self._journal.drop(self.tickets, digest)
        for digest in gone[: change.limit]:
            self._journal.drop(self.applications, digest)
        return Counted(len(over[: change.limit]) + len(gone[: change.limit]))
