"""Accepting a request, by the owner's hand or by a rule of the owner's: the same statements either way."""

from __future__ import annotations

import attrs

from taskferry_protocol.audit import AuditKind
from taskferry_protocol.connections import sign_accept
from taskferry_protocol.messages import ConnectionAccepted
from taskferry_protocol.records import ConnectionState, GrantRecord, PeerConnection, PutGrant, SaveConnection

from .bonds import Bond
from .connection_audit import audit_step, grant_facts
from .draft import Draft, Posted, Thread
from .grants import Wish, next_allowance
from .logbook import shown_log
from .publications import Publication, Subject, note

__all__ = ["accept_new", "accept_waiting"]


async def accept_waiting(draft: Draft, bond: Bond, wish: Wish, by: str = "owner") -> Posted:
    """Accept a request that is stored; `by` says on whose word, for the audit log.

    Raises DaemonRefusal where this device may not sign for the account.
    """
    accepted, grant, body = await _signed(draft, bond, wish)
    draft.add(SaveConnection(accepted), PutGrant(grant))
    await _written_down(draft, accepted, grant, by)
    return await _told(draft, accepted, body)


async def accept_new(draft: Draft, record: PeerConnection, wish: Wish, rule: str) -> Posted:
    """Store a request that has just come as accepted by a rule. Raises as `accept_waiting`."""
    accepted, grant, body = await _signed(draft, Bond(record), wish)
    draft.add(SaveConnection(attrs.evolve(accepted, grants=(*record.grants, grant))))
    await _written_down(draft, accepted, grant, f"rule {rule}")
    return await _told(draft, accepted, body)


async def _signed(
    draft: Draft, bond: Bond, wish: Wish
) -> tuple[PeerConnection, GrantRecord, ConnectionAccepted]:
    core, own = draft.core, await draft.own_log()
    raw = sign_accept(bond.request, at=draft.now, log=own.position, by=core.manage)
    grant = next_allowance(
        bond.request,
        bond.record.mine,
        wish,
        before=bond.given,
        log=own,
        by=core.manage,
        at=draft.now,
        entropy=core.entropy,
    )
    accepted = attrs.evolve(bond.record, state=ConnectionState.ACCEPTED, accept_raw=raw, updated_at=draft.now)
    return accepted, grant, ConnectionAccepted(raw, grant.raw, grant.terms, shown_log(own))


async def _written_down(draft: Draft, record: PeerConnection, grant: GrantRecord, by: str) -> None:
    await audit_step(draft, AuditKind.CONNECTION_ACCEPTED, record, by=by)
    await audit_step(draft, AuditKind.GRANT, record, by=by, **grant_facts(grant))


async def _told(draft: Draft, record: PeerConnection, body: ConnectionAccepted) -> Posted:
    await note(draft, Publication(Subject.CONNECTION, record.request))
    posted = await draft.post(body, record.mine, record.peer, Thread(draft.conversation()))
    draft.tell(
        "connection", record.mine.name, (posted.hash,), state=record.state.value, id=record.request.hex()
    )
    return posted
