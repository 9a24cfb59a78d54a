"""What an operator does with tickets, on the relay's store, whether or not the relay runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from taskferry_protocol.audit import RelayAuditKind
from taskferry_protocol.ids import Entropy, Instant
from taskferry_protocol.records import Counted, DropTicket, PutTicket, TicketRecord
from taskferry_protocol.tickets import TICKET_BYTES, make_ticket
from taskferry_stores.port import RelayStore

from .audit import ticket_audit
from .entrance import digest_of

__all__ = ["Made", "TicketOffice"]

_PAGE: Final = 256
_OPERATOR: Final = "operator"


@attrs.frozen
class Made:
    """A new ticket, to be shown once, and what is kept of it."""

    ticket: str = attrs.field(repr=False)
    record: TicketRecord


class TicketOffice:
    """Makes, lists and withdraws tickets."""

    def __init__(self, store: RelayStore, now: Callable[[], Instant], entropy: Entropy) -> None:
        self._store = store
        self._now = now
        self._entropy = entropy

    async def create(self, name: str, note: str, lifetime_ms: int) -> Made:
        """A ticket for one account under `name`, or under any if that is empty.

        Raises StoreConflict: name-taken, reserved, too-many.
        """
        ticket, now = make_ticket(self._entropy(TICKET_BYTES)), self._now()
        record = TicketRecord(digest_of(ticket), name, now, Instant(now + lifetime_ms), note=note)
        made = ticket_audit(RelayAuditKind.TICKET_MADE, record.digest, name, _OPERATOR, now)
        await self._store.commit([PutTicket(record), made])
        return Made(ticket, record)

    async def listed(self) -> list[tuple[TicketRecord, str]]:
        """All tickets that are kept, newest first, with the names that used ones brought in."""
        found: list[TicketRecord] = []
        while page := await self._store.tickets(found[-1].digest if found else None, _PAGE):
            found.extend(page)
        accounts = await self._store.accounts([t.account for t in found if t.account is not None])
        names = {id: record.name for id, record in accounts.items()}
        found.sort(key=lambda ticket: ticket.created_at, reverse=True)
        return [(t, names.get(t.account, "") if t.account is not None else "") for t in found]

    async def revoke(self, id: str) -> TicketRecord | None:
        """Withdraw the one unused ticket whose digest begins with `id` in hex; None if there is not one."""
        found = [ticket for ticket, _ in await self.listed() if ticket.digest.hex().startswith(id)]
        if len(found) != 1:
            return None
        ticket = found[0]
        (result,) = await self._store.commit([DropTicket(ticket.digest)])
        if not isinstance(result, Counted) or not result.count:
            return None
        kind = RelayAuditKind.TICKET_REVOKED
        await self._store.commit([ticket_audit(kind, ticket.digest, ticket.name, _OPERATOR, self._now())])
        return ticket
