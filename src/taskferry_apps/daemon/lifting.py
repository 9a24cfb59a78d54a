"""Taking a block back, on this machine and on the owner's others: the end then is one like any other.

Of a block and of one that was taken back the later one counts, in whichever order a machine hears of them.
"""

from __future__ import annotations

import attrs

from taskferry_protocol.connections import ConnectionEnd, EndKind, recall_end, sign_end
from taskferry_protocol.ids import Instant
from taskferry_protocol.records import PeerConnection, SaveConnection

from .bonds import Bond, bonds_between
from .draft import Draft
from .port import DaemonRefusal
from .shares import connection_item, share

__all__ = ["is_lifted", "lift_beside", "lift_block", "lifted_by", "outlasts"]


async def lift_block(draft: Draft, bond: Bond) -> None:
    """Make an ordinary end of a block, and tell the owner's other machines, if they would believe this one.

    Raises DaemonRefusal where the key that signs for the account is locked.
    """
    # The clock may have been set back since, or the other machine's be ahead of this one's.
    at = Instant(max(draft.now, recall_end(bond.record.end_raw).at))
    await _lift(draft, bond, at)


async def lift_beside(draft: Draft, blocked: PeerConnection, at: Instant) -> None:
    """A block is of the agent: take back, too, what the device that lifted it had not heard of.

    That is what was blocked by the same word, and what was so up to `at`. Where this device may not sign for
    the account, that counts here alone, as what it is told of does.
    """
    by_it = recall_end(blocked.end_raw).at
    for bond in await bonds_between(draft.core.store, blocked.mine, blocked.peer):
        record = bond.record
        if record.request == blocked.request or not bond.blocked_by_us:
            continue
        said = recall_end(record.end_raw).at
        if said != by_it and said > at:
            continue
        mark, since = draft.mark(), max(said, at)
        try:
            await _lift(draft, bond, since)
        except DaemonRefusal:
            draft.back_to(mark)
            draft.add(SaveConnection(_ordinary(draft, record, since)))


async def _lift(draft: Draft, bond: Bond, at: Instant) -> None:
    core, own = draft.core, await draft.own_log()
    lifted = _ordinary(draft, bond.record, at)
    if own.state.devices[core.device].record.manage is not None:
        end = sign_end(bond.request, lifted.mine, EndKind.REVOKED, at=at, log=own.position, by=core.manage)
        lifted = attrs.evolve(lifted, end_raw=end)
        await share(draft, (connection_item(lifted),))
    draft.add(SaveConnection(lifted))


def _ordinary(draft: Draft, blocked: PeerConnection, at: Instant) -> PeerConnection:
    return attrs.evolve(blocked, end_kind=EndKind.REVOKED.value, again_at=at, updated_at=draft.now)


def lifted_by(held: PeerConnection, end: bytes, draft: Draft) -> PeerConnection | None:
    """A connection that is blocked here as another machine has it, where the block was taken back since."""
    if not end or not Bond(held).blocked_by_us:
        return None
    before, since = recall_end(held.end_raw), recall_end(end)
    if since.kind is not EndKind.REVOKED or since.by != held.mine or since.at < before.at:
        return None
    return attrs.evolve(_ordinary(draft, held, since.at), end_raw=end)


def is_lifted(bond: Bond) -> bool:
    """Whether it ended by a block that this owner has taken back."""
    record = bond.record
    return bond.ended_by_us and record.end_kind == EndKind.REVOKED and record.again_at is not None


def outlasts(block: ConnectionEnd, held: Bond) -> bool:
    """Whether a block that another machine said counts in the place of the end that is held here.

    Of two blocks it is the later one, so that whoever takes it back names a time that is after both.
    """
    record = held.record
    if held.blocked_by_us:
        return block.at > recall_end(record.end_raw).at
    return not is_lifted(held) or record.again_at is None or block.at > record.again_at
