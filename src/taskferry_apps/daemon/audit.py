"""The owner's audit log, read, checked from its first entry, and exported."""

from __future__ import annotations

from typing import Final

import trio

from taskferry_protocol.audit import (
    AuditChain,
    AuditEnd,
    AuditEntry,
    AuditKind,
    ChainBroken,
    export_newest,
    follow,
    read_entry,
    require_whole,
)
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.records import AuditRow, Order, Place
from taskferry_stores.port import DaemonStore

from .audit_hours import audit_often
from .audit_port import AuditPage, AuditVerdict
from .core import Core
from .draft import Draft
from .mail import parse_cursor
from .names import require_owner
from .port import Caller, DaemonRefusal

__all__ = ["AuditBook"]

_PAGE: Final = 500
#: How far one answer looks for a subject.
_SCANNED_PAGES: Final = 10


class AuditBook:
    """Reads, checks and exports the log."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def entries(
        self, caller: Caller, kind: str, cursor: str, limit: int, subject: str = ""
    ) -> AuditPage:
        """Newest first."""
        require_owner(caller)
        most = max(1, min(limit, 200))
        if subject:
            return await self._about(subject, kind, parse_cursor(cursor), most)
        page = await self._core.store.audit_rows(kind or None, parse_cursor(cursor), most, Order.NEWEST_FIRST)
        entries = tuple(_readable(row) for row in page.items)
        return AuditPage(entries, str(page.next) if page.next is not None else "")

    async def _about(self, subject: str, kind: str, after: Place | None, most: int) -> AuditPage:
        """Entries about a subject, found by looking at one after the other."""
        wanted, found = subject.casefold(), list[AuditEntry]()
        for _ in range(_SCANNED_PAGES):
            page = await self._core.store.audit_rows(kind or None, after, _PAGE, Order.NEWEST_FIRST)
            for row in page.items:
                entry = _readable(row)
                words = (entry.note.subject, *(value for _, value in entry.note.facts))
                if any(wanted in str(word).casefold() for word in words):
                    found.append(entry)
                if len(found) == most:
                    return AuditPage(tuple(found), str(row.place))
            after = page.next
            if after is None:
                break
        return AuditPage(tuple(found), "" if after is None else str(after))

    async def verify(self, caller: Caller, expected: AuditEnd | None) -> AuditVerdict:
        """Follow the log from its first entry to its end."""
        require_owner(caller)
        chain = await self._core.store.audit_chain()
        try:
            await _follow(self._core.store, chain, expected)
        except ChainBroken as broken:
            return AuditVerdict(chain, broken.n, str(broken))
        return AuditVerdict(chain)

    async def export(self, caller: Caller) -> bytes:
        """The log as a file, after it was checked. Its export is written down first, and is in it."""
        require_owner(caller)
        core = self._core
        async with core.lock:
            draft = Draft(core)
            draft.audit(AuditKind.EXPORT, "audit log")
            await draft.commit()
        chain = await core.store.audit_chain()
        try:
            kept = await _follow(core.store, chain, None)
        except ChainBroken as broken:
            raise DaemonRefusal(
                "audit-broken",
                f"The audit log does not hold: {broken}",
                "Look into it with: taskferry audit verify",
                status=409,
            ) from broken
        owner = (await core.own_log()).state.name if core.account is not None else ""
        return export_newest(owner, core.now(), chain, kept)

    async def note_refused(self, caller: Caller, what: str, code: str) -> None:
        """A program asked for what it may not do."""
        core = self._core
        async with core.lock:
            draft = Draft(core)
            agents = ", ".join(sorted(caller.agents or ()))
            await audit_often(draft, AuditKind.REFUSAL, agents, code=code, asked=what, by="local program")
            await draft.commit()


def _readable(row: AuditRow) -> AuditEntry:
    try:
        return read_entry(row.raw)
    except RemoteProtocolError as error:
        raise DaemonRefusal(
            "audit-broken",
            f"Entry {row.place} of the audit log cannot be read: somebody has changed it.",
            "Look into it with: taskferry audit verify",
            status=409,
        ) from error


async def _follow(store: DaemonStore, chain: AuditChain, expected: AuditEnd | None) -> list[AuditEntry]:
    """Every entry of the chain, checked. Raises ChainBroken."""
    require_whole(chain)
    rows: list[tuple[bytes, str, int]] = []
    after: Place | None = Place(chain.base.n)
    while after is not None and after < chain.head.n:
        page = await store.audit_rows(None, after, _PAGE, Order.OLDEST_FIRST)
        rows.extend((row.raw, row.kind, row.place) for row in page.items)
        after = page.next
    return await trio.to_thread.run_sync(lambda: list(follow(chain, rows, expected)))
