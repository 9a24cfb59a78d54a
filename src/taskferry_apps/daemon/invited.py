"""What becomes of a connection request that names an invite, on the side that made it and on the other."""

from __future__ import annotations

import json
from typing import Final

import attrs

from taskferry_protocol.audit import AuditKind
from taskferry_protocol.connections import ConnectionRequest
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import Instant, sha256
from taskferry_protocol.invites import InviteStanding, check_invite_use
from taskferry_protocol.messages import ConnectionRequested, InviteProof, decode_content
from taskferry_protocol.records import (
    InviteRecord,
    MessageRecord,
    PeerConnection,
    SaveConnection,
    SetTrust,
    Trust,
    UseInvite,
)

from .accepting import accept_waiting
from .bonds import Bond
from .connection_audit import handle_in
from .core import Core
from .draft import Draft
from .grants import Allowance, changed, welcome, within
from .port import GrantChange

__all__ = ["VALID", "admit_invited", "encode_change", "hear_of_invite", "judge_invite"]

#: What is noted of a request whose invite holds; a code stands there otherwise.
VALID: Final = "valid"
#: What a peer may say of the invite that a request of ours named.
_HEARSAY: Final = frozenset({RejectCode.UNKNOWN_INVITE, RejectCode.EXPIRED, RejectCode.INVITE_USED})


def encode_change(change: GrantChange) -> str:
    """What an invite allows, as it is stored with it."""
    return json.dumps({name: value for name, value in attrs.asdict(change).items() if value is not None})


def _decode(text: str) -> GrantChange:
    members = json.loads(text or "{}")
    if "classes" in members:
        members["classes"] = tuple(members["classes"])
    return GrantChange(**members)


async def judge_invite(
    core: Core, proof: InviteProof, request: ConnectionRequest, now: Instant
) -> tuple[InviteRecord | None, str]:
    """The invite that a request came through and `valid`, or None and the code of what is wrong with it.

    The code is empty where this device cannot know.
    """
    record = await core.store.invite(proof.id)
    if record is None and len((await core.own_log()).state.serving(request.to.name)) > 1:
        # Another device that serves the agent may have made it; which of them did says what it is worth.
        return None, ""
    held = None
    if record is not None:
        agent = core.agent(record.agent)
        held = InviteStanding(
            agent, record.secret, record.uses, record.expires_at, record.used, record.revoked
        )
    try:
        check_invite_use(held, request.to, proof, request.hash, now=now)
    except RemoteProtocolError as error:
        return None, error.code.value
    return record, VALID


async def admit_invited(
    draft: Draft, record: PeerConnection, invite: InviteRecord, said: Allowance | None
) -> None:
    """Count a request that this draft stores, pin who made it, and accept it if the invite says so.

    An account that came through an invite for one is `invited`: the link was in one hand. Through an invite
    for many it stays `unverified`. `said` is what the owner let it send in an earlier connection.
    """
    draft.add(UseInvite(invite.id, record.request, draft.now))
    handle = await handle_in(draft, record.peer)
    draft.audit(AuditKind.INVITE_USED, handle, invite=invite.id.hex(), mine=invite.agent, by="peer")
    if invite.uses == 1:
        pinned = (await draft.core.store.accounts((record.peer.account,))).get(record.peer.account)
        if pinned is None or pinned.trust is Trust.UNVERIFIED:
            draft.add(SetTrust(record.peer.account, Trust.INVITED, draft.now))
            draft.audit(AuditKind.TRUST_CHANGED, handle, trust="pinned", by="invite")
    core = draft.core
    if not invite.accepts or core.ring is None or core.ring.device.manage is None:
        # A device that may not sign for the account leaves it to the owner, as it leaves every request.
        return
    # In the store it has its first revision by then.
    bond = Bond(attrs.evolve(record, revision=record.revision + 1))
    wish = within(changed(welcome(), _decode(invite.permissions)), said, invite.created_at)
    await accept_waiting(draft, bond, wish, by="invite")


async def hear_of_invite(draft: Draft, message: MessageRecord, code: str) -> None:
    """Note what the one who was asked says of the invite that our request named: hearsay, shown as such."""
    if code not in _HEARSAY:
        return
    kept = (await draft.core.store.sealed((message.hash,))).get(message.hash)
    body = decode_content(kept.content).body if kept is not None else None
    if not isinstance(body, ConnectionRequested):
        return
    request = sha256(body.statement)
    record = (await draft.core.store.connections((request,))).get(request)
    if record is None or not record.invite or record.invite_state:
        return
    draft.add(SaveConnection(attrs.evolve(record, invite_state=code, updated_at=draft.now)))
    facts = {"state": record.state.value, "id": record.request.hex(), "invite": code}
    draft.tell("connection", record.mine.name, (message.hash,), **facts)
