"""What a peer may send from now on, said of every connection that stands between the two agents.

The newest one counts. But its peer may end it, and another one counts then: what the owner said last has to
stand there, too.
"""

from __future__ import annotations

from taskferry_protocol.audit import AuditKind
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import Hash
from taskferry_protocol.messages import GrantUpdated
from taskferry_protocol.records import ConnectionState, PutGrant

from .bonds import Bond, bonds_between, last_word
from .connection_audit import audit_step, grant_facts
from .draft import Draft
from .grants import Wish, next_allowance, wish_of, within
from .peer_told import tell_peer
from .port import DaemonRefusal
from .publications import Publication, Subject, note

__all__ = ["permit", "permit_beside", "permit_no_more"]


async def permit(draft: Draft, bond: Bond, wish: Wish, *, by: str) -> Hash | None:
    """Sign what the peer of a connection may send, and tell peer and relay; the message, if one went.

    Raises DaemonRefusal where this device may not sign for the account.
    """
    core = draft.core
    grant = next_allowance(
        bond.request,
        bond.record.mine,
        wish,
        before=bond.given,
        log=await draft.own_log(),
        by=core.manage,
        at=draft.now,
        entropy=core.entropy,
    )
    draft.add(PutGrant(grant))
    await note(draft, Publication(Subject.GRANT, bond.record.request))
    told = GrantUpdated(grant.raw, grant.terms)
    message = await tell_peer(draft, told, bond, ConnectionState.ACCEPTED)
    await audit_step(draft, AuditKind.PERMISSION_CHANGED, bond.record, by=by, **grant_facts(grant))
    return message


async def permit_beside(draft: Draft, bond: Bond, wish: Wish) -> None:
    """Say the same of the other connections that stand between the two. Raises as `permit`."""
    record = bond.record
    for other in await bonds_between(draft.core.store, record.mine, record.peer):
        if other.record.state is ConnectionState.ACCEPTED and other.record.request != record.request:
            await permit(draft, other, wish, by="owner")


async def permit_no_more(draft: Draft, bond: Bond) -> None:
    """Of a request of ours that was accepted late: let the peer send no more than what was said since.

    On a device that may sign for the account; where this one may not, another does. Raises
    RemoteProtocolError(request-expired) where it may and cannot now, as with a locked key.
    """
    record, given = bond.record, bond.given
    bonds = await bonds_between(draft.core.store, record.mine, record.peer)
    said = last_word([other for other in bonds if other.record.request != record.request])
    if given is None or said is None:
        return
    wish = within(wish_of(given), said, given.grant.at)
    if wish == wish_of(given):
        return
    mark = draft.mark()
    try:
        await permit(draft, bond, wish, by="owner")
    except DaemonRefusal as refusal:
        keys = draft.core.keys
        if keys.device.manage is not None or keys.locked_manage is not None:
            raise RemoteProtocolError(
                RejectCode.REQUEST_EXPIRED, f"more than its owner has let it send since, and {refusal.code}"
            ) from None
        draft.back_to(mark)
