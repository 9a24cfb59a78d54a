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
)
from taskferry_protocol.audit_cuts import require_told
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.records import AuditRow, Order, Place
from taskferry_stores.port import DaemonStore

from .audit_hours import audit_often
from .audit_keeping import exported
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
_NOTHING_LEFT: Final = (
    "The log begins after what was exported then: nothing of that is left here to compare. Keep the export."
)


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
        try:
            chain, _ = await _followed(self._core.store, expected)
        except _Broken as broken:
            return AuditVerdict(broken.chain, broken.n, str(broken))
        if expected is not None and expected.n < chain.base.n:
            return AuditVerdict(chain, text=_NOTHING_LEFT)
        return AuditVerdict(chain)

    async def export(self, caller: Caller) -> bytes:
        """The log as a file, after it was checked. Its export is written down first, and is in it."""
        require_owner(caller)
        core = self._core
        async with core.lock:
            draft = Draft(core)
            draft.audit(AuditKind.EXPORT, "audit log")
            await draft.commit()
        try:
            chain, kept = await _followed(core.store, None)
        except ChainBroken as broken:
            raise DaemonRefusal(
                "audit-broken",
                f"The audit log does not hold: {broken}",
                "Look into it with: taskferry audit verify",
                status=409,
            ) from broken
        async with core.lock:
            await core.commit((exported(chain),))
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


class _Broken(ChainBroken):
    """As it is, of a chain that was read."""

    def __init__(self, chain: AuditChain, broken: ChainBroken) -> None:
        super().__init__(broken.n, str(broken))
        self.chain = chain


async def _followed(store: DaemonStore, expected: AuditEnd | None) -> tuple[AuditChain, list[AuditEntry]]:
    """The chain and every entry of it, checked. Raises _Broken."""
    while True:
        chain = await store.audit_chain()
        rows = await _rows(store, chain)
        # What was taken away while the rest was read is not missing.
        if (await store.audit_chain()).base == chain.base:
            break
    since = expected if expected is not None and expected.n >= chain.base.n else None

    def follow_all() -> list[AuditEntry]:
        entries = list(follow(chain, rows, since))
        require_told(chain, entries)
        return entries

    try:
        return chain, await trio.to_thread.run_sync(follow_all)
    except ChainBroken as broken:
        raise _Broken(chain, broken) from broken


async def _rows(store: DaemonStore, chain: AuditChain) -> list[tuple[bytes, str, int]]:
    rows: list[tuple[bytes, str, int]] = []
    after: Place | None = Place(chain.base.n)
    while after is not None and after < chain.head.n:
        page = await store.audit_rows(None, after, _PAGE, Order.OLDEST_FIRST)
        rows.extend((row.raw, row.kind, row.place) for row in page.items)
        after = page.next
    return rows
