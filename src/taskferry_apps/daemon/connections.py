"""What the owner and its agents do about connections: ask, accept, end, change what a peer may send."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import attrs

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.audit import AuditKind
from taskferry_protocol.connections import EndKind, read_request, sign_accept, sign_end, sign_request
from taskferry_protocol.ids import AgentRef, Handle, Hash, Instant
from taskferry_protocol.messages import (
    ConnectionAccepted,
    ConnectionEnded,
    ConnectionRequested,
    GrantUpdated,
)
from taskferry_protocol.records import ConnectionState, PeerConnection, PutGrant, SaveConnection, Trust

from .bonds import Bond, bonds_between, find_bond
from .connection_audit import audit_step, ended_kind, grant_facts
from .core import Core
from .draft import LIFETIME_MS, Draft, Posted, Thread
from .grants import answering, changed, next_allowance, welcome, wish_of
from .names import own_agent, parse_peer, require_owner
from .port import Caller, DaemonRefusal, GrantChange
from .publications import Publication, Subject, note
from .shares import account_items, share

__all__ = ["Connections", "LookUp", "Step"]

LookUp = Callable[[Handle], Awaitable[AccountLog]]
"""Finds the account log behind a handle, asking the relay where it is not held, or raises DaemonRefusal."""

NONCE_BYTES: Final = 16
_LIVE: Final = frozenset(
    {ConnectionState.ACCEPTED, ConnectionState.REQUESTED_IN, ConnectionState.REQUESTED_OUT}
)


@attrs.frozen
class Step:
    """A connection as it stands after a step, and the message that told the peer, if one did."""

    bond: Bond
    message: Hash | None


class Connections:
    """Signs what connections are made of."""

    def __init__(self, core: Core, look_up: LookUp) -> None:
        self._core = core
        self._look_up = look_up

    async def request(self, caller: Caller, mine: str, peer: str, note_text: str) -> Step:
        """Ask for a connection, with a grant that lets the peer answer. Asked already: that request."""
        core = self._core
        handle = parse_peer(peer)
        agent = await own_agent(core, caller, mine)
        theirs = await self._look_up(handle)
        async with core.lock:
            draft = Draft(core)
            held = await core.logs.get(theirs.account)
            if held is None:
                draft.take_log(None, theirs)
                # Before the peer can answer: our other devices hear the answer, too.
                name, statements = theirs.state.name, theirs.statements
                await share(draft, account_items(theirs.account, name, statements, Trust.UNVERIFIED))
            elif theirs.state.length > held.state.length:
                draft.take_log(held, theirs)
            to = AgentRef(theirs.account, handle.agent)
            _check_other(agent, to)
            for bond in reversed(await bonds_between(core.store, agent, to)):
                if bond.record.state in _LIVE and bond.request.expires_at > draft.now:
                    return self._same(bond)
            request, message = await self._ask(draft, caller, agent, to, note_text)
            await draft.commit()
        return await self._step(request, message)

    def _same(self, bond: Bond) -> Step:
        if bond.record.state is ConnectionState.REQUESTED_IN:
            raise DaemonRefusal(
                "conflict",
                "That agent has asked for a connection already; it waits for your owner.",
                "The owner accepts it with: taskferry approve ID",
                status=409,
                detail={"state": bond.record.state.value},
            )
        return Step(bond, None)

    async def _ask(
        self, draft: Draft, caller: Caller, mine: AgentRef, peer: AgentRef, text: str
    ) -> tuple[Hash, Hash]:
        core = self._core
        own = await draft.own_log()
        raw = sign_request(
            mine,
            peer,
            at=draft.now,
            expires_at=Instant(draft.now + LIFETIME_MS),
            nonce=core.entropy(NONCE_BYTES),
            log=own.position,
            by=core.manage,
        )
        request = read_request(raw, own)
        grant = next_allowance(
            request,
            mine,
            answering(),
            before=None,
            log=own,
            by=core.manage,
            at=draft.now,
            entropy=core.entropy,
        )
        record = PeerConnection(
            request=request.hash,
            mine=mine,
            peer=peer,
            state=ConnectionState.REQUESTED_OUT,
            request_raw=raw,
            created_at=draft.now,
            updated_at=draft.now,
            expires_at=request.expires_at,
            note=text,
            grants=(grant,),
        )
        draft.add(SaveConnection(record))
        by = "owner" if caller.is_owner else "local program"
        await audit_step(draft, AuditKind.CONNECTION_ASKED, record, by=by)
        body = ConnectionRequested(raw, grant.raw, grant.terms, text, own.statements)
        posted = await draft.post(body, mine, peer, Thread(draft.conversation()))
        draft.tell("connection", mine.name, (posted.hash,), state="requested_out", id=request.hash.hex())
        return request.hash, posted.hash

    async def accept(self, caller: Caller, named: str | tuple[str, str], change: GrantChange) -> Step:
        """Accept a peer's request; what it may send is the default, changed by `change`."""
        require_owner(caller)
        core = self._core
        async with core.lock:
            draft = Draft(core)
            bond = await find_bond(core, caller, named, frozenset({ConnectionState.REQUESTED_IN}))
            if bond.request.expires_at <= draft.now:
                raise DaemonRefusal(
                    "request-expired",
                    "That request is over.",
                    "Ask the other side to request a connection again.",
                    status=409,
                )
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
            accepted = attrs.evolve(
                record, state=ConnectionState.ACCEPTED, accept_raw=raw, updated_at=draft.now
            )
            draft.add(SaveConnection(accepted), PutGrant(grant))
            await note(draft, Publication(Subject.CONNECTION, record.request))
            body = ConnectionAccepted(raw, grant.raw, grant.terms, own.statements)
            posted = await self._post(draft, body, bond)
            self._tell(draft, bond, posted, ConnectionState.ACCEPTED)
            await audit_step(draft, AuditKind.CONNECTION_ACCEPTED, record, by="owner")
            await audit_step(draft, AuditKind.GRANT, record, by="owner", **grant_facts(grant))
            await draft.commit()
        return await self._step(record.request, posted.hash)

    async def end(self, caller: Caller, named: str | tuple[str, str], kind: str, reason: str) -> Step:
        """Decline a request, or revoke or block a connection."""
        require_owner(caller)
        core = self._core
        try:
            end_kind = EndKind(kind)
        except ValueError:
            raise DaemonRefusal(
                "bad-value", "An end is declined, revoked or blocked.", detail={"field": "kind"}
            ) from None
        states = frozenset({ConnectionState.REQUESTED_IN}) if end_kind is EndKind.DECLINED else _LIVE
        async with core.lock:
            draft = Draft(core)
            bond = await find_bond(core, caller, named, states)
            record, own = bond.record, await draft.own_log()
            raw = sign_end(
                bond.request, record.mine, end_kind, at=draft.now, log=own.position, by=core.manage
            )
            ended = attrs.evolve(
                record,
                state=ConnectionState.ENDED,
                end_raw=raw,
                end_kind=end_kind.value,
                updated_at=draft.now,
            )
            draft.add(SaveConnection(ended))
            if record.accept_raw:
                await note(draft, Publication(Subject.END, record.request))
            posted = await self._post(draft, ConnectionEnded(raw, reason), bond)
            self._tell(draft, bond, posted, ConnectionState.ENDED)
            await audit_step(draft, ended_kind(end_kind), record, by="owner")
            await draft.commit()
        return await self._step(record.request, posted.hash)

    async def permit(self, caller: Caller, named: str | tuple[str, str], change: GrantChange) -> Step:
        """Sign the next version of what the peer may send, and tell peer and relay."""
        require_owner(caller)
        core = self._core
        async with core.lock:
            draft = Draft(core)
            bond = await find_bond(core, caller, named, frozenset({ConnectionState.ACCEPTED}))
            grant = next_allowance(
                bond.request,
                bond.record.mine,
                changed(wish_of(bond.given), change),
                before=bond.given,
                log=await draft.own_log(),
                by=core.manage,
                at=draft.now,
                entropy=core.entropy,
            )
            draft.add(PutGrant(grant))
            await note(draft, Publication(Subject.GRANT, bond.record.request))
            posted = await self._post(draft, GrantUpdated(grant.raw, grant.terms), bond)
            self._tell(draft, bond, posted, ConnectionState.ACCEPTED)
            facts = grant_facts(grant)
            await audit_step(draft, AuditKind.PERMISSION_CHANGED, bond.record, by="owner", **facts)
            await draft.commit()
        return await self._step(bond.record.request, posted.hash)

    async def _post(
        self, draft: Draft, body: ConnectionAccepted | ConnectionEnded | GrantUpdated, bond: Bond
    ) -> Posted:
        return await draft.post(body, bond.record.mine, bond.record.peer, Thread(draft.conversation()))

    def _tell(self, draft: Draft, bond: Bond, posted: Posted, state: ConnectionState) -> None:
        draft.tell(
            "connection",
            bond.record.mine.name,
            (posted.hash,),
            state=state.value,
            id=bond.record.request.hex(),
        )

    async def _step(self, request: Hash, message: Hash) -> Step:
        return Step(Bond((await self._core.store.connections((request,)))[request]), message)


def _check_other(mine: AgentRef, peer: AgentRef) -> None:
    if mine.account == peer.account:
        raise DaemonRefusal(
            "bad-value",
            "The agents of one owner need no connection between them.",
            "Send to it directly.",
            detail={"field": "to"},
        )
