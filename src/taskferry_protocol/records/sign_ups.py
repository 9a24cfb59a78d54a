"""What a relay stores of those who are about to join: tickets, applications by e-mail, and their changes."""

from __future__ import annotations

import attrs

from ..ids import AccountId, Hash, Instant


@attrs.frozen
class TicketRecord:
    """A one-time ticket by its SHA-256; the ticket itself is nowhere.

    `name` is the owner name that it is for and that nobody else may claim while it is open; empty: any.
    `email` is a keyed digest of the address that it was sent to, empty if to none; `note` is the operator's.
    `account` is the one that it has brought in.
    """

    digest: Hash
    name: str
    created_at: Instant
    expires_at: Instant
    email: bytes = b""
    note: str = ""
    account: AccountId | None = None
    used_at: Instant | None = None


@attrs.frozen
class ApplicationRecord:
    """Somebody asked for a ticket by e-mail: the SHA-256 of the code in the link that was sent there."""

    digest: Hash
    name: str
    email: bytes
    expires_at: Instant


# --- Changes ----------------------------------------------------------------------------------------------


@attrs.frozen
class PutTicket:
    """Keep a new ticket.

    Conflict: `name-taken` if an account has claimed its name; `reserved` if another ticket, open at its
    `created_at`, has it; `too-many`.
    """

    ticket: TicketRecord


@attrs.frozen
class RedeemTicket:
    """Bind a ticket to the account, stored already, that comes in by it under `name`.

    Conflict: `unknown`; `ticket-used`; `ticket-over`; `wrong-name` if it is for another one; `reserved` if it
    is for any and another open ticket has this name.
    """

    digest: Hash
    account: AccountId
    name: str
    at: Instant


@attrs.frozen
class RequireUnreserved:
    """Change nothing. Conflict: `reserved` if an open ticket has this name."""

    name: str
    at: Instant


@attrs.frozen
class DropTicket:
    """Forget a ticket that was not used. Result: `Counted`, 0 if there is none."""

    digest: Hash


@attrs.frozen
class PutApplication:
    """Keep an application. Conflict: `too-many`."""

    application: ApplicationRecord


@attrs.frozen
class DropApplication:
    """Forget an application, if it is there."""

    digest: Hash


@attrs.frozen
class GrantApplication:
    """Turn an application into a ticket, once; an unused one that was sent to the same address goes.

    Conflict: `unknown` if the application is over or gone; as `PutTicket`.
    """

    digest: Hash
    ticket: TicketRecord


@attrs.frozen
class SweepSignUps:
    """Forget at most `limit` each of unused tickets and of applications that were over before `before`.

    Result: `Counted`, of both together.
    """

    before: Instant
    limit: int


SignUpChange = (
    PutTicket
    | RedeemTicket
    | RequireUnreserved
    | DropTicket
    | PutApplication
    | DropApplication
    | GrantApplication
    | SweepSignUps
)
