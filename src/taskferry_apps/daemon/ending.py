"""Ending a request or a connection by this owner's word: signed, kept, and told to the peer and the relay."""

from __future__ import annotations

import json
from typing import Final

import attrs

from taskferry_protocol.audit import AuditKind
from taskferry_protocol.connections import EndKind, recall_accept, sign_end
from taskferry_protocol.crypto import parse_signed
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.inbound import Relation
from taskferry_protocol.messages import ConnectionEnded
from taskferry_protocol.records import (
    ConnectionState,
    DropSetting,
    PeerConnection,
    PutSetting,
    SaveConnection,
)

from .bonds import Bond, bonds_between, relation
from .connection_audit import audit_step, ended_kind
from .core import Core
from .draft import Draft
from .peer_told import tell_peer
from .port import DaemonRefusal
from .publications import Publication, Subject, note

__all__ = ["LIVE", "block_beside", "end_bond", "end_waiting", "end_withdrawn", "live_beside"]

LIVE: Final = frozenset(
    {ConnectionState.ACCEPTED, ConnectionState.REQUESTED_IN, ConnectionState.REQUESTED_OUT}
)
#: The setting: what a block ends once the key is not locked, by the connection's request: the block's time,
#: and whether the request was accepted then.
_WAITING: Final = "ends that wait"


async def end_withdrawn(draft: Draft, bond: Bond) -> PeerConnection | None:
    """Our agent was withdrawn: end what it had, and tell the relay. The peer hears of it in our log.

    Where this device may not sign for the account, it ends once a key that is locked is not; None then.
    """
    record = bond.record
    try:
        ended = await _keep_end(draft, bond, EndKind.REVOKED, None, draft.now)
    except DaemonRefusal as refused:
        if refused.code != RejectCode.NOT_AUTHORIZED.value:
            await _end_later(draft, record, draft.now)
        return None
    draft.tell("connection", record.mine.name, (), state=ConnectionState.ENDED.value, id=record.request.hex())
    await audit_step(draft, AuditKind.CONNECTION_REVOKED, record, by="withdrawn")
    return ended


async def _end_later(draft: Draft, record: PeerConnection, at: Instant) -> None:
    waiting = json.loads(await draft.setting(_WAITING) or b"{}")
    waiting[record.request.hex()] = [at, bool(record.accept_raw)]
    draft.add(PutSetting(_WAITING, json.dumps(waiting).encode()))


async def live_beside(draft: Draft, bond: Bond) -> list[Bond]:
    """What else goes on between the two agents of a connection."""
    record = bond.record
    both = await bonds_between(draft.core.store, record.mine, record.peer)
    return [one for one in both if one.record.request != record.request and one.record.state in LIVE]


async def end_bond(
    draft: Draft, bond: Bond, kind: EndKind, reason: str, again: Instant | None
) -> Hash | None:
    """Sign the end; the message that tells the peer, if one went. Who is declined may ask again at `again`.

    Raises DaemonRefusal where this device may not sign for the account.
    """
    message = await _signed(draft, bond, kind, reason, again, draft.now)
    await audit_step(draft, ended_kind(kind), bond.record, by="owner")
    return message


async def block_beside(draft: Draft, bond: Bond, at: Instant) -> None:
    """A block is of the agent: end what the device that said it at `at` had not heard of.

    Taken back, it is by a later time than that. What another device has agreed to since then is since it was
    taken back, and stands. Where this device may not sign for the account, what else there is between the two
    stands as well, and lets nothing through here all the same; it ends once a key that is locked is not.
    """
    for other in await live_beside(draft, bond):
        if await _is_agreed_since(draft, other, at):
            continue
        if not await _ended_for_another(draft, other, EndKind.BLOCKED, at):
            await _end_later(draft, other.record, at)


async def end_waiting(core: Core) -> None:
    """End what a block should have ended while the key was locked. The lock must be free.

    Where the block was taken back meanwhile, what it ended stays ended, and the agent may ask again.
    """
    async with core.lock:
        draft = Draft(core)
        waiting = json.loads(await draft.setting(_WAITING) or b"{}")
        left = {}
        for text, (at, was_accepted) in waiting.items():
            request = Hash(bytes.fromhex(text))
            record = (await core.store.connections((request,))).get(request)
            # What was accepted since was so by the owner of this machine, who knew of the block.
            if record is None or record.state not in LIVE or bool(record.accept_raw) != was_accepted:
                continue
            bond = Bond(record)
            stands = relation(await bonds_between(core.store, record.mine, record.peer)) is Relation.BLOCKED
            kind = EndKind.BLOCKED if stands else EndKind.REVOKED
            if not await _ended_for_another(draft, bond, kind, at):
                left[text] = [at, was_accepted]
        if left != waiting:
            draft.add(PutSetting(_WAITING, json.dumps(left).encode()) if left else DropSetting(_WAITING))
        await draft.commit()


async def _ended_for_another(draft: Draft, bond: Bond, kind: EndKind, at: Instant) -> bool:
    """End what another device's block has ended. False where this one may once its key is not locked."""
    mark = draft.mark()
    try:
        await _signed(draft, bond, kind, "", None, at)
    except DaemonRefusal as refused:
        draft.back_to(mark)
        return refused.code == RejectCode.NOT_AUTHORIZED.value
    await audit_step(draft, ended_kind(kind), bond.record, by="another device")
    return True


async def _is_agreed_since(draft: Draft, bond: Bond, at: Instant) -> bool:
    """Whether another device of this owner has asked for it, or accepted it, later than `at`.

    What this one agreed to it did without knowing of what is heard only now.
    """
    word = bond.record.accept_raw if bond.asked_by_peer else bond.record.request_raw
    mine = (await draft.own_log()).state.devices[draft.core.device].record.manage
    if not word or parse_signed(word).key == mine:
        return False
    return (recall_accept(word).at if bond.asked_by_peer else bond.request.at) > at


async def _signed(
    draft: Draft, bond: Bond, kind: EndKind, reason: str, again: Instant | None, at: Instant
) -> Hash | None:
    ended = await _keep_end(draft, bond, kind, again, at)
    return await tell_peer(draft, ConnectionEnded(ended.end_raw, reason, again), bond, ConnectionState.ENDED)


async def _keep_end(
    draft: Draft, bond: Bond, kind: EndKind, again: Instant | None, at: Instant
) -> PeerConnection:
    core, record = draft.core, bond.record
    own = await draft.own_log()
    raw = sign_end(bond.request, record.mine, kind, at=at, log=own.position, by=core.manage)
    ended = attrs.evolve(
        record,
        state=ConnectionState.ENDED,
        end_raw=raw,
        end_kind=kind.value,
        updated_at=draft.now,
        again_at=again,
    )
    draft.add(SaveConnection(ended))
    if record.accept_raw:
        await note(draft, Publication(Subject.END, record.request))
    return ended
