"""What another device of this owner has said about a connection: done here too, answered to nobody."""

from __future__ import annotations

import attrs

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.audit import AuditKind
from taskferry_protocol.connections import ConnectionEnd, EndKind, read_accept, read_end, read_request
from taskferry_protocol.crypto import Kind
from taskferry_protocol.documents import peek
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import Hash, Instant, LogPosition
from taskferry_protocol.messages import (
    ConnectionAccepted,
    ConnectionEnded,
    ConnectionRequested,
    GrantUpdated,
)
from taskferry_protocol.permissions import newer_grant, recall_grant
from taskferry_protocol.records import ConnectionState, GrantRecord, PeerConnection, PutGrant, SaveConnection

from .arrival import Arrival
from .bonds import Bond
from .connection_audit import audit_copied_step, ended_kind, grant_facts
from .draft import Draft
from .ending import block_beside
from .grants import read_allowance
from .lifting import is_lifted, outlasts
from .publications import Publication, Subject, note
from .words_apart import note_apart

__all__ = ["accepted_in_vain", "note_end", "take_connection_copy"]

#: In a copy, the sender is our agent and the recipient the peer's.


async def take_connection_copy(
    arrival: Arrival, body: ConnectionRequested | ConnectionAccepted | ConnectionEnded | GrantUpdated
) -> None:
    """Do what our other device did. Raises RemoteProtocolError for what does not hold together."""
    match body:
        case ConnectionRequested():
            await _requested(arrival, body)
        case ConnectionAccepted():
            await _accepted(arrival, body)
        case ConnectionEnded():
            await _ended(arrival, body)
        case GrantUpdated():
            await _granted(arrival, body)
    arrival.store_copy()


def _tell(arrival: Arrival, record: PeerConnection) -> None:
    arrival.draft.tell(
        "connection",
        record.mine.name,
        (arrival.hash,),
        state=record.state.value,
        id=record.request.hex(),
    )


async def _requested(arrival: Arrival, body: ConnectionRequested) -> None:
    draft, own = arrival.draft, await arrival.draft.own_log()
    request = read_request(body.statement, own)
    if (request.from_, request.to) != (arrival.peer, arrival.mine):
        raise RemoteProtocolError(RejectCode.WRONG_SENDER, "a request for other agents than the envelope's")
    if (await draft.core.store.connections((request.hash,))).get(request.hash) is not None:
        return
    _check_same_agent(arrival, own, request.log)
    record = PeerConnection(
        request=request.hash,
        mine=arrival.peer,
        peer=arrival.mine,
        state=ConnectionState.REQUESTED_OUT,
        request_raw=body.statement,
        created_at=draft.now,
        updated_at=draft.now,
        expires_at=request.expires_at,
        note=body.note,
        grants=(read_allowance(body.grant, body.terms, own, request, arrival.peer),),
    )
    draft.add(SaveConnection(record))
    _tell(arrival, record)
    await audit_copied_step(draft, AuditKind.CONNECTION_ASKED, record)


def _check_same_agent(arrival: Arrival, own: AccountLog, said_at: LogPosition) -> None:
    """Nothing if our agent is the one that was spoken for. Raises RemoteProtocolError(unknown-agent)."""
    if own.began_after(arrival.peer.name, said_at):
        raise RemoteProtocolError(RejectCode.UNKNOWN_AGENT, "of an agent that was withdrawn since")


async def _bond(arrival: Arrival, request: Hash | None) -> Bond | None:
    """Ours with that peer; None where this device does not know of it."""
    found = await arrival.draft.core.store.connections(() if request is None else (request,))
    record = found.get(request) if request is not None else None
    if record is None:
        return None
    if (record.mine, record.peer) != (arrival.peer, arrival.mine):
        raise RemoteProtocolError(RejectCode.WRONG_PARTY, "about a connection with somebody else")
    return Bond(record)


async def _accepted(arrival: Arrival, body: ConnectionAccepted) -> None:
    own = await arrival.draft.own_log()
    bond = await _bond(arrival, peek(body.statement, Kind.CONNECTION_ACCEPT).request)
    if bond is None or not bond.asked_by_peer:
        return
    accept = read_accept(body.statement, own, bond.request)
    if bond.record.state is ConnectionState.ENDED:
        if not bond.record.accept_raw:
            ended = await accepted_in_vain(arrival.draft, bond.record, body.statement)
            arrival.draft.add(SaveConnection(ended))
        return
    _check_same_agent(arrival, own, accept.log)
    grant = read_allowance(body.grant, body.terms, own, bond.request, arrival.peer)
    if not await _counts(arrival, bond, grant):
        return
    # Accepted here, too: of what the two allow, what both do counts, as at the peer's.
    arrival.draft.add(PutGrant(grant))
    await audit_copied_step(arrival.draft, AuditKind.CONNECTION_ACCEPTED, bond.record)
    await audit_copied_step(arrival.draft, AuditKind.GRANT, bond.record, **grant_facts(grant))
    if bond.record.state is ConnectionState.ACCEPTED:
        _tell(arrival, bond.record)
        return
    accepted = attrs.evolve(
        bond.record,
        state=ConnectionState.ACCEPTED,
        accept_raw=body.statement,
        updated_at=arrival.draft.now,
    )
    arrival.draft.add(SaveConnection(accepted))
    _tell(arrival, accepted)


async def accepted_in_vain(draft: Draft, ended: PeerConnection, accept: bytes) -> PeerConnection:
    """What had ended here before another device accepted it: the relay has it from that one, and is told."""
    await note(draft, Publication(Subject.CONNECTION, ended.request), Publication(Subject.END, ended.request))
    return attrs.evolve(ended, accept_raw=accept, updated_at=draft.now)


async def note_end(draft: Draft, ended: PeerConnection) -> None:
    """Note that the relay is to hear of an end that another device said, where it may have the connection.

    That one may not have known that it stood, and then tells the relay of no end.
    """
    if ended.accept_raw:
        await note(draft, Publication(Subject.END, ended.request))


async def _ended(arrival: Arrival, body: ConnectionEnded) -> None:
    bond = await _bond(arrival, peek(body.statement, Kind.CONNECTION_END).request)
    if bond is None:
        return
    end = read_end(body.statement, await arrival.draft.own_log(), bond.request)
    again = body.again if end.kind is EndKind.DECLINED else None
    if bond.record.state is ConnectionState.ENDED:
        await _ended_twice(arrival, bond, end, again)
        return
    ended = attrs.evolve(
        bond.record,
        state=ConnectionState.ENDED,
        end_raw=body.statement,
        end_kind=end.kind.value,
        updated_at=arrival.draft.now,
        again_at=again,
    )
    arrival.draft.add(SaveConnection(ended))
    await note_end(arrival.draft, ended)
    _tell(arrival, ended)
    await audit_copied_step(arrival.draft, ended_kind(end.kind), ended)
    if end.kind is EndKind.BLOCKED:
        await block_beside(arrival.draft, bond, end.at)


async def _ended_twice(arrival: Arrival, bond: Bond, end: ConnectionEnd, again: Instant | None) -> None:
    """Ended here, too: of the two words, the one that keeps the peer out for longer counts, as there."""
    record = bond.record
    until = record.again_at if bond.ended_by_us and record.again_at is not None else 0
    if end.kind is EndKind.BLOCKED:
        counts = outlasts(end, bond)
    else:
        is_open = not bond.blocked_by_us and not is_lifted(bond)
        counts = is_open and again is not None and again > until
    if not counts:
        return
    ended = attrs.evolve(
        record,
        end_raw=end.raw,
        end_kind=end.kind.value,
        updated_at=arrival.draft.now,
        again_at=again,
        # Whoever had taken the request back is kept out by this owner's word from now on.
        taken_back=False,
    )
    arrival.draft.add(SaveConnection(ended))
    _tell(arrival, ended)
    await audit_copied_step(arrival.draft, ended_kind(end.kind), ended)
    if end.kind is EndKind.BLOCKED:
        await block_beside(arrival.draft, bond, end.at)


async def _granted(arrival: Arrival, body: GrantUpdated) -> None:
    bond = await _bond(arrival, peek(body.grant, Kind.GRANT).request)
    if bond is None or bond.record.state is ConnectionState.ENDED:
        return
    own = await arrival.draft.own_log()
    grant = read_allowance(body.grant, body.terms, own, bond.request, arrival.peer)
    if not await _counts(arrival, bond, grant):
        return
    arrival.draft.add(PutGrant(grant))
    _tell(arrival, bond.record)
    facts = grant_facts(grant)
    await audit_copied_step(arrival.draft, AuditKind.PERMISSION_CHANGED, bond.record, **facts)


async def _counts(arrival: Arrival, bond: Bond, grant: GrantRecord) -> bool:
    """Whether it counts, and is not overtaken on its way, or said while its machine was away.

    What is lost by it, or of it, is noted. Raises as `newer_grant` does where it does not follow.
    """
    await note_apart(arrival.draft, bond, grant, arrival.decision.envelope.device)
    if bond.given is None:
        return True
    if grant.version < bond.given.grant.version:
        return False
    newer_grant(bond.given.grant, recall_grant(grant.raw))
    return True
