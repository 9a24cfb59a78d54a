"""What the changes' promises mean, as pure functions that every adapter uses alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from taskferry_protocol.audit import AuditChain, AuditEnd, read_entry
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.ids import AccountId, Hash, Instant, LogPosition
from taskferry_protocol.limits import DAY_MS, MINUTE_MS
from taskferry_protocol.records import (
    AccountRecord,
    AppendStatements,
    ApplicationRecord,
    AuditRow,
    CardRecord,
    GrantRecord,
    InboxState,
    InviteRecord,
    Mark,
    MessageRecord,
    PruneAudit,
    PublishedInvite,
    PublishInvite,
    PutCard,
    RedeemTicket,
    RelayCursor,
    Rung,
    SeenRecord,
    TicketRecord,
)

from .errors import ConflictKind, StoreConflict

GRANTS_OF_ONE_VERSION = 8
"""Different grants of one version prove a careless or hostile manager; more than this add nothing."""

EVIDENCE_OF_ONE = 8
"""Pairs kept against one device or account: the first proves it, and the rest would let it fill the disk."""
CONNECTIONS_OF_PAIR = 64
"""Lasting connections of two agents: all of them are read before the first mail between the two."""
NAMES_OF_ONE = 16
"""Names that one account may claim at a relay, where they are its own for ever."""
UNUSED_TICKETS = 16_384
"""Tickets that nobody has used yet; whoever asks for ever more of them fills no disk."""
LONGEST_DEFERRAL_MS = 15 * MINUTE_MS
"""Nobody defers a message for longer: what is to wait beyond it was deferred by a clock that was ahead."""
APPLICATIONS = 16_384
"""Applications that wait for somebody to open a link."""


def horizon(since: Instant) -> Instant:
    """Up to when what was counted `since`, a day ago at most, counts: what is later a clock was ahead for."""
    return Instant(since + 2 * DAY_MS)


def require_position(held: LogPosition | None, change: AppendStatements) -> None:
    """Refuse statements made for another end of the log than the one held (`log-moved`)."""
    if held != change.expected:
        raise StoreConflict(ConflictKind.LOG_MOVED, "the log ends elsewhere than the change expects")


def require_name(owner: AccountId | None, change: AppendStatements) -> None:
    """Refuse a name that another account has ever claimed (`name-taken`)."""
    if owner is not None and owner != change.account:
        raise StoreConflict(ConflictKind.NAME_TAKEN, f"the name {change.name!r} belongs to another account")


def require_few_connections(counts: Iterable[int], most: int) -> None:
    """Refuse one more connection of an account that has as many as it may (`too-many`)."""
    if any(count >= most for count in counts):
        raise StoreConflict(ConflictKind.TOO_MANY, f"an account may have {most} connections here")


def require_few_between(count: int) -> None:
    """Refuse one more connection that lasts between two agents (`too-many`)."""
    if count >= CONNECTIONS_OF_PAIR:
        raise StoreConflict(
            ConflictKind.TOO_MANY, f"two agents may have {CONNECTIONS_OF_PAIR} connections that last here"
        )


def require_few_names(count: int) -> None:
    """Refuse an account that has claimed more names than one may (`too-many`)."""
    if count > NAMES_OF_ONE:
        raise StoreConflict(ConflictKind.TOO_MANY, f"an account may claim {NAMES_OF_ONE} names")


def appended(held: AccountRecord | None, change: AppendStatements) -> AccountRecord:
    """The account after the change."""
    kept = held.statements[: change.keep] if held else ()
    statements = kept + change.statements
    if len(statements) != change.position.length:
        raise ValueError("the position's length is not the number of statements")
    return AccountRecord(change.account, change.name, change.position, statements, held.held if held else "")


def card_to_store(held: CardRecord | None, change: PutCard) -> CardRecord:
    """The card to hold from now on; `stale-version` if the offered one does not come later."""
    offered = change.card
    if held is None or held.raw in (offered.raw, change.instead_of):
        return offered
    if offered.version <= held.version:
        raise StoreConflict(ConflictKind.STALE_VERSION, f"a card of version {held.version} is held")
    return offered


def add_grant(held: Sequence[GrantRecord], offered: GrantRecord) -> tuple[GrantRecord, ...]:
    """The grants of one connection once `offered` is taken: per grantor, all of the highest version."""
    same = [grant for grant in held if grant.grantor == offered.grantor]
    version = max((grant.version for grant in same), default=0)
    if any(grant.raw == offered.raw for grant in same):
        # One that was shown by a relay came without its terms.
        return tuple(offered if g.raw == offered.raw and not g.terms else g for g in held)
    if offered.version < version:
        raise StoreConflict(ConflictKind.STALE_VERSION, f"a grant of version {version} is held")
    if offered.version == version and len(same) >= GRANTS_OF_ONE_VERSION:
        raise StoreConflict(ConflictKind.TOO_MANY, f"{len(same)} grants of version {version} are held")
    return (
        *(g for g in held if g.grantor != offered.grantor or g.version == offered.version),
        offered,
    )


def marked(message: MessageRecord, mark: Mark, at: Instant) -> MessageRecord:
    """The message with a mark, whose first time stands; the inbox state only rises."""
    if mark is Mark.OFFERED:
        return message if message.offered_at is not None else attrs.evolve(message, offered_at=at)
    inbox = message.inbox
    if mark is Mark.READ:
        if inbox is InboxState.UNREAD:
            inbox = InboxState.READ
        first = message.read_at if message.read_at is not None else at
        return attrs.evolve(message, inbox=inbox, read_at=first)
    if inbox in {InboxState.UNREAD, InboxState.READ}:
        inbox = InboxState.PROCESSED
    first = message.processed_at if message.processed_at is not None else at
    return attrs.evolve(message, inbox=inbox, processed_at=first)


def on_rung(message: MessageRecord, rung: Rung, code: str, at: Instant) -> MessageRecord:
    """The message on a rung. A recipient's signed word outranks whatever is heard of it later."""
    if message.rung is None or message.rung is Rung.DELIVERED:
        return message
    if rung is Rung.RELAYED:
        return attrs.evolve(message, rung=rung, code=code, relayed_at=at)
    if rung is Rung.DELIVERED:
        return attrs.evolve(message, rung=rung, code=code, delivered_at=at)
    return attrs.evolve(message, rung=rung, code=code)


def require_same_seen(held: SeenRecord | None, offered: SeenRecord) -> bool:
    """Whether a decision on the same envelope is held; `equivocation` if it was on another one."""
    if held is not None and held.hash != offered.hash:
        raise StoreConflict(ConflictKind.EQUIVOCATION, "another envelope was seen under this id or number")
    return held is not None


def require_revision(held: int, offered: int, what: str) -> None:
    """Refuse a record made from another revision than the one held, 0 for none (`revision`)."""
    if held != offered:
        raise StoreConflict(ConflictKind.REVISION, f"the {what} is at revision {held}, not {offered}")


def invite_to_publish(held: PublishedInvite | None, others: int, change: PublishInvite) -> bool:
    """Whether the invite is new; `exists` or `too-many` where it may not be kept.

    `others` are the account's invites that are not over at the change's time.
    """
    if held is not None and held != change.invite:
        raise StoreConflict(ConflictKind.EXISTS, "another invite is kept under this id")
    if held is None and others >= change.most:
        raise StoreConflict(ConflictKind.TOO_MANY, f"an account may have {change.most} invites here")
    return held is None


def require_usable(invite: InviteRecord | None, at: Instant) -> InviteRecord:
    """An invite through which one more request may come; `unknown` or `invite-used` otherwise."""
    if invite is None:
        raise StoreConflict(ConflictKind.UNKNOWN, "there is no such invite")
    if invite.revoked or at >= invite.expires_at or invite.used >= invite.uses:
        raise StoreConflict(ConflictKind.INVITE_USED, "the invite is used up, revoked or over")
    return invite


def is_open(ticket: TicketRecord, at: Instant) -> bool:
    """Whether an account may still come in by the ticket, which keeps its name until then."""
    return ticket.account is None and at < ticket.expires_at


def redeemed(ticket: TicketRecord | None, change: RedeemTicket) -> TicketRecord:
    """The ticket bound to its account; `unknown`, `ticket-used`, `ticket-over` or `wrong-name` otherwise."""
    if ticket is None:
        raise unknown("ticket", change.digest)
    if ticket.account is not None:
        raise StoreConflict(ConflictKind.TICKET_USED, "the ticket has brought an account in")
    if not is_open(ticket, change.at):
        raise StoreConflict(ConflictKind.TICKET_OVER, "the ticket is over")
    if ticket.name not in ("", change.name):
        raise StoreConflict(ConflictKind.WRONG_NAME, f"the ticket is for the name {ticket.name!r}")
    return attrs.evolve(ticket, account=change.account, used_at=change.at)


def require_room(count: int, most: int, what: str) -> None:
    """Refuse one more where there are `most` already (`too-many`)."""
    if count >= most:
        raise StoreConflict(ConflictKind.TOO_MANY, f"{most} {what} are held")


def require_unreserved(reserved: bool, name: str) -> None:
    """Refuse a name that an open ticket has (`reserved`)."""
    if reserved:
        raise StoreConflict(ConflictKind.RESERVED, f"the name {name!r} is kept for the holder of a ticket")


def require_unclaimed(claimed: bool, name: str) -> None:
    """Refuse a ticket for a name that an account has ever claimed (`name-taken`)."""
    if claimed:
        raise StoreConflict(ConflictKind.NAME_TAKEN, f"the name {name!r} belongs to an account")


def require_waiting(application: ApplicationRecord | None, digest: Hash, at: Instant) -> ApplicationRecord:
    """An application that is not over (`unknown` otherwise)."""
    if application is None or at >= application.expires_at:
        raise unknown("application", digest)
    return application


def cursor_to_store(held: RelayCursor | None, offered: RelayCursor) -> RelayCursor:
    """The cursor to hold: within a generation it never goes back."""
    if held is not None and held.generation == offered.generation and held.offset > offered.offset:
        return held
    return offered


def audit_base(held: AuditChain, oldest: Sequence[AuditRow], change: PruneAudit) -> tuple[AuditEnd, int]:
    """Where an audit log begins once its old entries are gone, of `oldest`, and how many they are.

    What cannot be read any more is not taken: it is for a check to find.
    """
    base, count = held.base, 0
    for row in oldest:
        try:
            entry = read_entry(row.raw)
        except RemoteProtocolError:
            break
        if row.place > held.head.n - change.keep and entry.note.at >= change.before:
            break
        base, count = entry.end, count + 1
    return base, count


def unknown(what: str, key: bytes | Hash | str) -> StoreConflict:
    """The conflict of a change to something that is not there."""
    name = key if isinstance(key, str) else key.hex()[:16]
    return StoreConflict(ConflictKind.UNKNOWN, f"there is no {what} {name}")
