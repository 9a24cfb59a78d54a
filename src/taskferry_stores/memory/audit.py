"""The audit log in memory, the same for relay and daemon."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from taskferry_protocol.audit import AuditChain, AuditNote, chained
from taskferry_protocol.records import AuditRow, Order, Page, Place, PruneAudit

from ..rules import audit_base
from .tables import Journal, page


class AuditTable:
    """Entries by number, and where the log begins and ends."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._rows: dict[Place, AuditRow] = {}
        self._chain: dict[None, AuditChain] = {}

    @property
    def chain(self) -> AuditChain:
        """Where the log begins and ends."""
        return self._chain.get(None, AuditChain())

    def append(self, note: AuditNote) -> Place:
        """Write a note down after the last entry; its number."""
        before = self.chain
        entry = chained(note, before.head)
        place = Place(entry.n)
        self._journal.put(self._rows, place, AuditRow(place, note.kind, entry.raw))
        self._journal.put(self._chain, None, AuditChain(before.base, entry.end))
        return place

    def prune(self, change: PruneAudit) -> int:
        """Take the oldest entries away, and note where the log begins then; how many."""
        oldest = [row for _, row in sorted(self._rows.items())[: change.limit]]
        base, count = audit_base(self.chain, oldest, change)
        for row in oldest[:count]:
            self._journal.drop(self._rows, row.place)
        if count:
            self._journal.put(self._chain, None, AuditChain(base, self.chain.head))
        return count

    def rows(self, kind: str | None, after: Place | None, limit: int, order: Order) -> Page[AuditRow]:
        """Entries by number, of one kind or of all."""
        newest = order is Order.NEWEST_FIRST
        ordered = sorted(self._rows.items(), reverse=newest)
        return page(
            (
                (place, row)
                for place, row in ordered
                if kind in {None, row.kind}
                and (after is None or (place < after if newest else place > after))
            ),
            limit,
        )


class _HasAudit(Protocol):
    @property
    def audit(self) -> AuditTable: ...


class AuditReads(ABC):
    """The part of both ports that reads the audit log."""

    @abstractmethod
    async def _begin(self) -> _HasAudit: ...

    async def audit_rows(
        self, kind: str | None, after: Place | None, limit: int, order: Order
    ) -> Page[AuditRow]:
        """Audit entries by number."""
        return (await self._begin()).audit.rows(kind, after, limit, order)

    async def audit_chain(self) -> AuditChain:
        """Where the audit log begins and ends."""
        return (await self._begin()).audit.chain
