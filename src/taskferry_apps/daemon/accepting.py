"""Accepting a connection request within a draft, by the owner's word now or by one given before."""

from __future__ import annotations

import attrs

from taskferry_protocol.audit import AuditKind
from taskferry_protocol.connections import sign_accept
from taskferry_protocol.messages import ConnectionAccepted
from taskferry_protocol.records import ConnectionState, PutGrant, SaveConnection

from .bonds import Bond
from .connection_audit import audit_step, grant_facts
from .draft import Draft, Posted, Thread
from .grants import changed, next_allowance, welcome
from .port import GrantChange
from .publications import Publication, Subject, note

__all__ = ["accept_request"]


async def accept_request(draft: Draft, bond: Bond, change: GrantChange, *, by: str) -> Posted:
    """Accept a peer's request; what it may send is the default, changed by `change`.

    `by` says on whose word, for the audit log.
    Raises DaemonRefusal where this device may not sign for the account, or `change` asks for the impossible.
    """
    core = draft.core
    record, own = bond.record, await draft.own_log()
    raw = sign_accept(bond.request, at=draft.now, log=own.position, by=core.manage)
    grant = next_allowance(
        bond.request,
        record.mine,
        changed(welcome(), change),
        before=bond.given,
        log=own,
        by=core.manage,
        at=draft.now,
        entropy=core.entropy,
    )
    accepted = attrs.evolve(record, state=ConnectionState.ACCEPTED, accept_raw=raw, updated_at=draft.now)
    draft.add(SaveConnection(accepted), PutGrant(grant))
    await note(draft, Publication(Subject.CONNECTION, record.request))
    body = ConnectionAccepted(raw, grant.raw, grant.terms, own.statements)
    posted = await draft.post(body, record.mine, record.peer, Thread(draft.conversation()))
    draft.tell(
        "connection",
        record.mine.name,
        (posted.hash,),
        state=accepted.state.value,
        id=record.request.hex(),
    )
    await audit_step(draft, AuditKind.CONNECTION_ACCEPTED, record, by=by)
    await audit_step(draft, AuditKind.GRANT, record, by=by, **grant_facts(grant))
    return posted
