"""The handoff file of a task (spec/tasks.md section 4): everything that proves it, and nothing else."""

from __future__ import annotations

from taskferry_protocol.audit import AuditKind
from taskferry_protocol.envelope import parse_envelope
from taskferry_protocol.former_names import of_name
from taskferry_protocol.handoff import Kept, export_handoff
from taskferry_protocol.ids import Hash
from taskferry_protocol.records import ConnectionState, TaskRecord

from .audit_hours import audit_often
from .bonds import bonds_between
from .core import Core
from .draft import Draft
from .names import not_found
from .port import Caller
from .taskbook import Held

__all__ = ["export_task", "handoff_of"]

_CONSENTED = frozenset({ConnectionState.ACCEPTED, ConnectionState.ENDED})


async def export_task(core: Core, caller: Caller, held: Held, role: str) -> bytes:
    """The file of a task that is held, as seen from one of its sides. That it was made is written down."""
    row = next((row for row in held.rows if row.role == role), None)
    if row is None:
        raise not_found("task")
    async with core.lock:
        draft = Draft(core)
        by = "owner" if caller.is_owner else "local program"
        await audit_often(draft, AuditKind.EXPORT, f"task {held.task.hex()[:16]}", by=by)
        await draft.commit()
    return await handoff_of(core, held, row)


async def handoff_of(core: Core, held: Held, row: TaskRecord) -> bytes:
    """The same, for this machine itself. Raises LocalProtocolError for stored events that do not open."""
    hashes = [event.hash for event in held.events]
    sealed = await core.store.sealed(hashes)
    got = await core.store.receipts_got(hashes)
    receipts: list[Hash] = []
    for found in got.values():
        receipts.extend(item.receipt for item in found if item.receipt not in receipts)
    proofs = await core.store.sealed(receipts)
    events = tuple(Kept(sealed[hash].envelope, sealed[hash].key) for hash in hashes)
    senders = {parse_envelope(kept.envelope).header.from_.account for kept in events}
    accounts = senders | {row.mine.account, row.peer.account}
    logs = [log for account in sorted(accounts) if (log := await core.logs.get(account)) is not None]
    connection: tuple[bytes, bytes] | None = None
    for bond in await bonds_between(core.store, of_name(row.mine), of_name(row.peer)):
        # Of a former agent there may be later ones, which are the next agent's.
        is_later = bond.record.created_at > row.created_at and connection is not None
        if bond.record.state in _CONSENTED and bond.record.accept_raw and not is_later:
            connection = (bond.record.request_raw, bond.record.accept_raw)
    return export_handoff(
        held.task,
        logs=logs,
        events=events,
        connection=connection,
        receipts=tuple(Kept(proofs[hash].envelope, proofs[hash].key) for hash in receipts if hash in proofs),
        at=core.now(),
    )
