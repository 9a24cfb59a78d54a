"""How much of the audit log is kept: old entries go, one says so, and the owner hears of it before."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.audit import AuditChain, AuditEntry, read_entry
from taskferry_protocol.audit_cuts import CUT, cut_note, due_cut
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.records import AppendAudit, Order, PruneAudit, PutSetting

from ..amounts import several
from .core import Core

__all__ = ["due_soon", "exported", "shorten", "shorten_by_number"]

_EXPORTED: Final = "audit-exported"
#: How long before entries go the owner is asked to export them.
SOON_MS: Final = 30 * DAY_MS


async def shorten(core: Core) -> None:
    """Take away some of what is older or more than the owner wants; an entry says up to where."""
    await _shorten(core, Instant(max(0, core.now() - core.bounds.audit_days * DAY_MS)))


async def shorten_by_number(core: Core) -> None:
    """The same of what is more alone, which needs no clock."""
    await _shorten(core, Instant(0))


async def _shorten(core: Core, before: Instant) -> None:
    keep = core.bounds.audit_entries
    async with core.lock:
        chain = await core.store.audit_chain()
        if due_cut(chain, await _oldest(core, 1), before=before, keep=keep) is None:
            return
        base = due_cut(chain, await _oldest(core, CUT), before=before, keep=keep)
        if base is None:
            return
        held = chain.head.n - chain.base.n
        await core.commit(
            (
                PruneAudit(Instant(0), held - (base.n - chain.base.n), base.n - chain.base.n),
                AppendAudit(cut_note(chain, base, core.now())),
            )
        )


async def _oldest(core: Core, most: int) -> list[AuditEntry]:
    """The first entries, as far as they can be read: what cannot is for a check to find."""
    page = await core.store.audit_rows(None, None, most, Order.OLDEST_FIRST)
    entries: list[AuditEntry] = []
    for row in page.items:
        try:
            entries.append(read_entry(row.raw))
        except RemoteProtocolError:
            break
    return entries


def exported(chain: AuditChain) -> PutSetting:
    """What is kept once the log was exported up to its end."""
    return PutSetting(_EXPORTED, b"%d" % chain.head.n)


async def due_soon(core: Core, chain: AuditChain) -> str:
    """What will go soon and is in no export, in words; "" where there is nothing."""
    kept = (await core.store.settings((_EXPORTED,))).get(_EXPORTED)
    entries = await _oldest(core, CUT)
    due, when = None, ""
    if chain.head.n - chain.base.n + CUT > core.bounds.audit_entries:
        due, when = chain.base.n + len(entries), "once there are a few more"
    else:
        before = Instant(max(0, core.now() + SOON_MS - core.bounds.audit_days * DAY_MS))
        end = due_cut(chain, entries, before=before, keep=core.bounds.audit_entries)
        if end is not None:
            due, when = end.n, f"within {SOON_MS // DAY_MS} days"
    if due is None or due <= int(kept or b"0"):
        return ""
    count = several(due - max(chain.base.n, int(kept or b"0")), "entry", "entries")
    return f"{count} that no export has will go {when}"
