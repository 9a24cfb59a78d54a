"""What a peer's connection messages do here. Raising quarantines the message: it then has no effect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import attrs

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.audit import AuditKind
from taskferry_protocol.connections import EndKind, read_accept, read_end, read_request
from taskferry_protocol.crypto import Kind
from taskferry_protocol.documents import peek
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import Hash
from taskferry_protocol.inbound import Relation
from taskferry_protocol.messages import (
    ConnectionAccepted,
    ConnectionEnded,
    ConnectionRequested,
    GrantUpdated,
)
from taskferry_protocol.records import (
    ConnectionState,
    GrantRecord,
    InboxState,
    PeerConnection,
    PutGrant,
    RuleUse,
    SaveConnection,
)

from .accepting import accept_new
from .arrival import Arrival
from .bonds import Bond, bonds_between, closed_to_peer, last_word, relation
from .bounds import BOUNDS
from .connection_audit import audit_peer_step, ended_kind, grant_facts
from .grants import Allowance, read_allowance, within
from .identity_changes import stopped
from .invited import admit_invited, judge_invite
from .permitting import permit_no_more
from .publications import Publication, Subject, note
from .resending import offer_refused_again
from .rules import count_use, find_rule, wish_by

__all__ = ["take_acceptance", "take_end", "take_grant", "take_request"]

MOST_REQUESTS: Final = BOUNDS.requests
MOST_OF_ONE: Final = BOUNDS.requests_of_account


async def _log(arrival: Arrival) -> AccountLog:
    log = await arrival.draft.log(arrival.peer.account)
    if log is None:
        raise RemoteProtocolError(RejectCode.UNKNOWN_ACCOUNT, "its log is not held")
    return log


async def _bond(arrival: Arrival, request: Hash | None, states: Iterable[ConnectionState]) -> Bond:
    """The connection that a peer's statement is about, which is one of ours with that peer."""
    found = await arrival.draft.core.store.connections(() if request is None else (request,))
    record = found.get(request) if request is not None else None
    if record is None or (record.mine, record.peer) != (arrival.mine, arrival.peer):
        raise RemoteProtocolError(RejectCode.UNKNOWN_REQUEST, "no such request between these agents")
    if record.state not in states:
        raise RemoteProtocolError(RejectCode.UNKNOWN_REQUEST, f"that connection is {record.state.value} here")
    return Bond(record)


def _tell(arrival: Arrival, record: PeerConnection) -> None:
    arrival.draft.tell(
        "connection",
        record.mine.name,
        (arrival.hash,),
        state=record.state.value,
        id=record.request.hex(),
        **({"invite": record.invite_state} if record.invite_state else {}),
    )


async def take_request(arrival: Arrival, body: ConnectionRequested) -> str:
    """Note a peer's request; it waits for the owner, and wakes no agent.

    One that came through an invite is marked so, and accepted at once if the owner made the invite for that.
    What is given is the code of what is wrong with the invite that it names, or an empty text.
    """
    request = read_request(body.statement, await _log(arrival))
    if (request.from_, request.to) != (arrival.peer, arrival.mine):
        raise RemoteProtocolError(RejectCode.WRONG_SENDER, "a request for other agents than the envelope's")
    if request.expires_at <= arrival.draft.now:
        raise RemoteProtocolError(RejectCode.REQUEST_EXPIRED, "the request is over")
    if (await arrival.draft.core.store.connections((request.hash,))).get(request.hash) is not None:
        # Said anew in any number of envelopes it is one request, and kept once.
        return ""
    arrival.store(InboxState.QUIET)
    bonds = await bonds_between(arrival.draft.core.store, arrival.mine, arrival.peer)
    # Whoever is connected may send what the owner has said since: no rule or invite says it anew.
    is_connected = relation(bonds) is Relation.CONNECTED
    invite, state = None, ""
    if body.invite is not None and not is_connected:
        invite, state = await judge_invite(arrival.draft.core, body.invite, request, arrival.draft.now)
        if invite is None:
            _check_pause(arrival, bonds)
    if invite is not None and await stopped(arrival.draft.core.store, {arrival.peer.account}):
        # Whoever was invited may be somebody else by now: the owner looks at this request.
        invite, state = None, ""
    grant = read_allowance(body.grant, body.terms, await _log(arrival), request, grantor=arrival.peer)
    record = PeerConnection(
        request=request.hash,
        mine=arrival.mine,
        peer=arrival.peer,
        state=ConnectionState.REQUESTED_IN,
        request_raw=body.statement,
        created_at=arrival.draft.now,
        updated_at=arrival.draft.now,
        expires_at=request.expires_at,
        note=body.note,
        invite=body.invite.id if body.invite is not None else b"",
        invite_state=state,
        grants=(grant,),
    )
    # An invite that accepts does so below, on terms of its own.
    by_invite = invite is not None and invite.accepts
    if by_invite or is_connected or not await _accepted_by_rule(arrival, record, last_word(bonds)):
        if invite is None and not is_connected:
            await _check_room(arrival)
        arrival.draft.add(SaveConnection(record))
        _tell(arrival, record)
    await audit_peer_step(arrival.draft, AuditKind.CONNECTION_ASKED, record)
    if invite is None:
        return state
    await admit_invited(arrival.draft, record, invite, last_word(bonds))
    return ""


async def _check_room(arrival: Arrival) -> None:
    """Refuse what nobody would ever look at: a relay makes as many strangers as it likes.

    And an account as many agents: no one of them fills the place of all.
    """
    store, now = arrival.draft.core.store, arrival.draft.now
    for account, most, whose in (
        (arrival.peer.account, MOST_OF_ONE, " of that account"),
        (None, MOST_REQUESTS, ""),
    ):
        if await store.requests_held(account, now) >= most:
            text = f"{most} requests{whose} wait for the owner already, or were taken back"
            raise RemoteProtocolError(RejectCode.CONTACT_LIMIT, text)


def _check_pause(arrival: Arrival, bonds: Sequence[Bond]) -> None:
    """Refuse one who was declined and names an invite that is none: a true one outranks the pause."""
    closed = closed_to_peer(bonds)
    if closed is not None and arrival.draft.now < closed:
        raise RemoteProtocolError(RejectCode.CONTACT_LIMIT, f"declined, and may ask again from {closed} on")


async def _accepted_by_rule(arrival: Arrival, record: PeerConnection, said: Allowance | None) -> bool:
    """Accept at once what a standing rule of the owner's accepts, on a device that may sign for it."""
    draft, mine = arrival.draft, arrival.mine.name
    if draft.core.keys.device.manage is None:
        return False
    rule = await find_rule(draft, arrival.peer, mine, RuleUse.CONNECTION)
    if rule is None:
        return False
    wish = within(wish_by(rule), said, rule.created_at)
    await accept_new(draft, record, wish, rule.id.hex()[:16])
    count_use(draft, rule, RuleUse.CONNECTION, record.request, mine)
    return True


async def take_acceptance(arrival: Arrival, body: ConnectionAccepted) -> None:
    """A peer's owner has accepted our request."""
    log = await _log(arrival)
    claim = peek(body.statement, Kind.CONNECTION_ACCEPT)
    states = {ConnectionState.REQUESTED_OUT, ConnectionState.EXPIRED, ConnectionState.ACCEPTED}
    bond = await _bond(arrival, claim.request, states)
    read_accept(body.statement, log, bond.request)
    if arrival.decision.envelope.header.created_at > bond.request.expires_at:
        # The time in an acceptance is its signer's claim. Mail lives a month at most, and tells better.
        raise RemoteProtocolError(RejectCode.REQUEST_EXPIRED, "sent when the request was over")
    grant = read_allowance(body.grant, body.terms, log, bond.request, arrival.peer, bond.record.grants)
    accepted = attrs.evolve(
        bond.record,
        state=ConnectionState.ACCEPTED,
        accept_raw=body.statement,
        updated_at=arrival.draft.now,
    )
    arrival.store(InboxState.UNREAD)
    arrival.draft.add(SaveConnection(accepted), PutGrant(grant))
    if bond.record.state is not ConnectionState.ACCEPTED:
        await permit_no_more(arrival.draft, Bond(accepted))
    await offer_refused_again(arrival.draft, accepted.mine, accepted.peer)
    _tell(arrival, accepted)
    await audit_peer_step(arrival.draft, AuditKind.CONNECTION_ACCEPTED, accepted)
    await audit_peer_step(arrival.draft, AuditKind.GRANT, accepted, **grant_facts(grant))


async def take_end(arrival: Arrival, body: ConnectionEnded) -> None:
    """A peer's owner declines our request, or ends the connection. Ended here already: nothing new."""
    claim = peek(body.statement, Kind.CONNECTION_END)
    bond = await _bond(arrival, claim.request, frozenset(ConnectionState))
    end = read_end(body.statement, await _log(arrival), bond.request)
    if bond.record.state is ConnectionState.ENDED:
        return
    arrival.store(InboxState.UNREAD)
    ended = attrs.evolve(
        bond.record,
        state=ConnectionState.ENDED,
        end_raw=body.statement,
        end_kind=end.kind.value,
        updated_at=arrival.draft.now,
        again_at=body.again if end.kind is EndKind.DECLINED else None,
    )
    ended = attrs.evolve(ended, taken_back=Bond(ended).taken_back)
    arrival.draft.add(SaveConnection(ended))
    if bond.record.accept_raw:
        # A relay that withholds this end from others must not be able to say that it never heard of it.
        await note(arrival.draft, Publication(Subject.END, ended.request))
    _tell(arrival, ended)
    await audit_peer_step(arrival.draft, ended_kind(end.kind), ended)


async def take_grant(arrival: Arrival, body: GrantUpdated) -> None:
    """A peer's owner allows us more or less than before."""
    log = await _log(arrival)
    claim = peek(body.grant, Kind.GRANT)
    states = {ConnectionState.ACCEPTED, ConnectionState.EXPIRED, ConnectionState.REQUESTED_OUT}
    bond = await _bond(arrival, claim.request, states)
    grant: GrantRecord = read_allowance(
        body.grant, body.terms, log, bond.request, arrival.peer, bond.record.grants
    )
    arrival.store(InboxState.QUIET)
    arrival.draft.add(PutGrant(grant))
    await offer_refused_again(arrival.draft, bond.record.mine, bond.record.peer)
    _tell(arrival, bond.record)
    await audit_peer_step(arrival.draft, AuditKind.PERMISSION_CHANGED, bond.record, **grant_facts(grant))
