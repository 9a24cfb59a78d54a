"""What the owner and its agents do about connections: ask, accept, end, change what a peer may send."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import attrs

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.audit import AuditKind
from taskferry_protocol.connections import EndKind, read_request, sign_request
from taskferry_protocol.gates import Deed
from taskferry_protocol.ids import AgentRef, Handle, Hash, Instant
from taskferry_protocol.inbound import Relation
from taskferry_protocol.invites import InviteLink, invite_proof
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.messages import (
    ConnectionRequested,
)
from taskferry_protocol.records import (
    ConnectionState,
    PeerConnection,
    SaveConnection,
    SetTrust,
    Trust,
)

from .accepting import accept_waiting
from .bonds import Bond, bonds_between, check_not_blocked, closed_to_us, find_bond, relation
from .connection_audit import audit_step
from .core import Core
from .deeds import Asking, permit_deed
from .draft import LIFETIME_MS, Draft, Thread
from .ending import LIVE, end_bond, live_beside
from .grants import answering, changed, next_allowance, next_wish, welcome
from .lifting import lift_block
from .logbook import shown_log
from .names import own_agent, parse_peer, require_owner
from .permitting import permit, permit_beside
from .port import Caller, DaemonRefusal, GrantChange
from .shares import account_items, share

__all__ = ["Connections", "LookUp", "Step"]

LookUp = Callable[[Handle], Awaitable[AccountLog]]
"""Finds the account log behind a handle, asking the relay where it is not held, or raises DaemonRefusal."""

NONCE_BYTES: Final = 16
#: How long one who was declined waits before asking again, unless the owner says otherwise.
PAUSE_MS: Final = 7 * DAY_MS
#: Requests that are swept at once.
_SWEPT: Final = 256


@attrs.frozen
class Step:
    """A connection as it stands after a step, and the message that told the peer, if one did."""

    bond: Bond
    message: Hash | None


class Connections:
    """Signs what connections are made of."""

    def __init__(self, core: Core, look_up: LookUp, pause_ms: int = PAUSE_MS) -> None:
        self._core = core
        self._look_up = look_up
        self._pause_ms = pause_ms

    async def request(self, caller: Caller, mine: str, peer: str, note_text: str) -> Step:
        """Ask for a connection, with a grant that lets the peer answer. Asked already: that request."""
        core = self._core
        handle = parse_peer(peer)
        agent = await own_agent(core, caller, mine)
        theirs = await self._look_up(handle)
        async with core.lock:
            draft = Draft(core)
            await _take(draft, theirs)
            to = AgentRef(theirs.account, handle.agent)
            _check_other(agent, to)
            bonds = await bonds_between(core.store, agent, to)
            for bond in reversed(bonds):
                if bond.record.state is ConnectionState.ACCEPTED or (
                    bond.record.state in LIVE and bond.request.expires_at > draft.now
                ):
                    return self._same(bond)
            check_not_blocked(bonds)
            _check_pause(bonds, draft.now)
            await permit_deed(draft, caller, agent, Deed.CONNECTION, lambda: _asking(handle, note_text))
            request, message = await self._ask(draft, caller, agent, to, note_text)
            await draft.commit()
        return await self._step(request, message)

    async def request_invited(
        self, caller: Caller, mine: str, theirs: AccountLog, to: AgentRef, note_text: str, link: InviteLink
    ) -> Step:
        """Ask the agent that a link leads to, with the proof that its owner has invited us.

        `theirs` is the log of the account in the link, which is pinned as `invited`. Asked through it
        already: that request.
        """
        core = self._core
        agent = await own_agent(core, caller, mine)
        async with core.lock:
            draft = Draft(core)
            await _take(draft, theirs)
            _check_other(agent, to)
            bonds = await bonds_between(core.store, agent, to)
            check_not_blocked(bonds)
            if relation(bonds) is Relation.CONNECTED:
                raise _connected_already()
            for bond in reversed(bonds):
                waits = bond.record.state in LIVE and bond.request.expires_at > draft.now
                if waits and (
                    bond.record.state is ConnectionState.REQUESTED_IN or bond.record.invite == link.id
                ):
                    return self._same(bond)
            pinned = (await core.store.accounts((theirs.account,))).get(theirs.account)
            if pinned is None or pinned.trust is Trust.UNVERIFIED:
                draft.add(SetTrust(theirs.account, Trust.INVITED, draft.now))
                handle = f"@{theirs.state.name}"
                draft.audit(AuditKind.TRUST_CHANGED, handle, trust="pinned", by="owner")
            request, message = await self._ask(draft, caller, agent, to, note_text, link)
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
        self,
        draft: Draft,
        caller: Caller,
        mine: AgentRef,
        peer: AgentRef,
        text: str,
        link: InviteLink | None = None,
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
            invite=link.id if link is not None else b"",
            grants=(grant,),
        )
        draft.add(SaveConnection(record))
        by = "owner" if caller.is_owner else "local program"
        await audit_step(draft, AuditKind.CONNECTION_ASKED, record, by=by)
        proof = invite_proof(link.id, link.secret, request.hash) if link is not None else None
        body = ConnectionRequested(raw, grant.raw, grant.terms, text, shown_log(own), proof)
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
            wish = changed(welcome(), change)
            posted = await accept_waiting(draft, bond, wish)
            await permit_beside(draft, bond, wish)
            await draft.commit()
        return await self._step(bond.record.request, posted.hash)

    async def end(
        self,
        caller: Caller,
        named: str | tuple[str, str],
        kind: str,
        reason: str,
        again: Instant | None = None,
    ) -> Step:
        """Decline a request, or revoke or block a connection. Who is declined may ask again at `again`."""
        require_owner(caller)
        core = self._core
        try:
            end_kind = EndKind(kind)
        except ValueError:
            raise DaemonRefusal(
                "bad-value", "An end is declined, revoked or blocked.", detail={"field": "kind"}
            ) from None
        states = frozenset({ConnectionState.REQUESTED_IN}) if end_kind is EndKind.DECLINED else LIVE
        async with core.lock:
            draft = Draft(core)
            bond = await find_bond(core, caller, named, states)
            record = bond.record
            ending, told = [bond], None
            if end_kind is EndKind.DECLINED:
                told = again if again is not None else Instant(draft.now + self._pause_ms)
            else:
                # What ends is what is between the two agents, not one of several requests.
                ending = [*await live_beside(draft, bond), bond]
            message = [await end_bond(draft, one, end_kind, reason, told) for one in ending][-1]
            await draft.commit()
        return await self._step(record.request, message)

    async def unblock(self, caller: Caller, named: str | tuple[str, str]) -> Step:
        """Take a block back: the peer may ask again. Nothing is sent to it; what ended stays ended."""
        require_owner(caller)
        core = self._core
        async with core.lock:
            draft = Draft(core)
            bond = await find_bond(core, caller, named, frozenset({ConnectionState.ENDED}))
            if not bond.blocked_by_us:
                raise DaemonRefusal(
                    "conflict",
                    "You have not blocked that agent.",
                    "List the connections with: taskferry connections",
                    status=409,
                )
            lifted = bond.record
            for one in await bonds_between(core.store, lifted.mine, lifted.peer):
                if one.blocked_by_us:
                    await lift_block(draft, one)
            draft.tell(
                "connection", lifted.mine.name, (), state="ended", id=lifted.request.hex(), unblocked=True
            )
            await audit_step(draft, AuditKind.CONNECTION_UNBLOCKED, lifted, by="owner")
            await draft.commit()
        return Step(Bond((await core.store.connections((lifted.request,)))[lifted.request]), None)

    async def expire_requests(self) -> None:
        """Say of requests, ours and peers', that nobody answered them in time."""
        core = self._core
        async with core.lock:
            draft = Draft(core)
            for record in await core.store.requests_over(draft.now, _SWEPT):
                over = attrs.evolve(record, state=ConnectionState.EXPIRED, updated_at=draft.now)
                draft.add(SaveConnection(over))
                draft.tell("connection", over.mine.name, (), state=over.state.value, id=over.request.hex())
            await draft.commit()

    async def permit(self, caller: Caller, named: str | tuple[str, str], change: GrantChange) -> Step:
        """Sign the next version of what the peer may send, and tell peer and relay."""
        require_owner(caller)
        core = self._core
        async with core.lock:
            draft = Draft(core)
            bond = await find_bond(core, caller, named, frozenset({ConnectionState.ACCEPTED}))
            wish = next_wish(bond.given, change)
            await permit_beside(draft, bond, wish)
            message = await permit(draft, bond, wish, by="owner")
            await draft.commit()
        return await self._step(bond.record.request, message)

    async def _step(self, request: Hash, message: Hash | None) -> Step:
        return Step(Bond((await self._core.store.connections((request,)))[request]), message)


async def _take(draft: Draft, theirs: AccountLog) -> None:
    """Pin a peer's log that was looked up, if it says more than the one held."""
    held = await draft.core.logs.get(theirs.account)
    if held is None:
        draft.take_log(None, theirs)
        # Before the peer can answer: our other devices hear the answer, too.
        name, statements = theirs.state.name, theirs.statements
        await share(draft, account_items(theirs.account, name, statements, Trust.UNVERIFIED))
    elif theirs.state.length > held.state.length:
        draft.take_log(held, theirs)


def _connected_already() -> DaemonRefusal:
    return DaemonRefusal(
        "conflict",
        "These two agents are connected already.",
        "Nothing is left to do; see: taskferry connections",
        status=409,
        detail={"state": ConnectionState.ACCEPTED.value},
    )


def _asking(peer: Handle, text: str) -> Asking:
    return Asking(f"Ask {peer} for a connection. The note to its owner: {text or 'none'}")


def _check_pause(bonds: Sequence[Bond], now: Instant) -> None:
    """Nothing unless the peer's owner has said to wait before asking again."""
    again = closed_to_us(bonds)
    if again is not None and now < again:
        wait_s = (again - now) / 1000
        raise DaemonRefusal(
            "contact-limit",
            f"Its owner has declined, and takes no further request for {_in_words(wait_s)}.",
            "Wait, or ask its owner by another way to request the connection.",
            status=409,
            detail={"retry_after": wait_s},
        )


def _in_words(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{round(seconds / size)} {unit}"
    return f"{max(1, round(seconds))} seconds"


def _check_other(mine: AgentRef, peer: AgentRef) -> None:
    if mine.account == peer.account:
        raise DaemonRefusal(
            "bad-value",
            "The agents of one owner need no connection between them.",
            "Send to it directly.",
            detail={"field": "to"},
        )
