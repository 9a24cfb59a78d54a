"""What another device of this owner has said about a connection: done here too, answered to nobody."""

from __future__ import annotations

import attrs

from taskferry_protocol.connections import read_accept, read_end, read_request
from taskferry_protocol.crypto import Kind
from taskferry_protocol.documents import peek
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import Hash
from taskferry_protocol.messages import (
    ConnectionAccepted,
    ConnectionEnded,
    ConnectionRequested,
    GrantUpdated,
)
from taskferry_protocol.records import ConnectionState, PeerConnection, PutGrant, SaveConnection

from .arrival import Arrival
from .bonds import Bond
from .grants import read_allowance

__all__ = ["take_connection_copy"]

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
    if bond is None or not bond.asked_by_peer or bond.record.state is ConnectionState.ENDED:
        return
    read_accept(body.statement, own, bond.request)
    grant = read_allowance(body.grant, body.terms, own, bond.request, arrival.peer, bond.record.grants)
    # Accepted here, too: of what the two allow, what both do counts, as at the peer's.
    arrival.draft.add(PutGrant(grant))
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


async def _ended(arrival: Arrival, body: ConnectionEnded) -> None:
    bond = await _bond(arrival, peek(body.statement, Kind.CONNECTION_END).request)
    if bond is None or bond.record.state is ConnectionState.ENDED:
        return
    end = read_end(body.statement, await arrival.draft.own_log(), bond.request)
    ended = attrs.evolve(
        bond.record,
        state=ConnectionState.ENDED,
        end_raw=body.statement,
        end_kind=end.kind.value,
        updated_at=arrival.draft.now,
    )
    arrival.draft.add(SaveConnection(ended))
    _tell(arrival, ended)


async def _granted(arrival: Arrival, body: GrantUpdated) -> None:
    bond = await _bond(arrival, peek(body.grant, Kind.GRANT).request)
    if bond is None or bond.record.state is ConnectionState.ENDED:
        return
    own = await arrival.draft.own_log()
    grant = read_allowance(body.grant, body.terms, own, bond.request, arrival.peer, bond.record.grants)
    arrival.draft.add(PutGrant(grant))
    _tell(arrival, bond.record)
