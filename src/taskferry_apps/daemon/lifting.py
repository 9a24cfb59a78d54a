"""Taking a block back, on this machine and on the owner's others: the end then is one like any other."""

from __future__ import annotations

import attrs

from taskferry_protocol.connections import EndKind, recall_end, sign_end
from taskferry_protocol.records import PeerConnection, SaveConnection

from .bonds import Bond
from .draft import Draft
from .shares import connection_item, share

__all__ = ["lift_block", "lifted_by"]


async def lift_block(draft: Draft, bond: Bond) -> None:
    """Make an ordinary end of a block, and tell the owner's other machines, if they would believe this one.

    Raises DaemonRefusal where the key that signs for the account is locked.
    """
    core, record, own = draft.core, bond.record, await draft.own_log()
    lifted = attrs.evolve(record, end_kind=EndKind.REVOKED.value, updated_at=draft.now)
    if own.state.devices[core.device].record.manage is not None:
        # The clock may have been set back since, or the other machine's be ahead of this one's.
        at = max(draft.now, recall_end(record.end_raw).at)
        end = sign_end(bond.request, record.mine, EndKind.REVOKED, at=at, log=own.position, by=core.manage)
        lifted = attrs.evolve(lifted, end_raw=end)
        await share(draft, (connection_item(lifted),))
    draft.add(SaveConnection(lifted))


def lifted_by(held: PeerConnection, end: bytes, draft: Draft) -> PeerConnection | None:
    """A connection that is blocked here as another machine has it, where the block was taken back since."""
    if not end or not Bond(held).blocked_by_us:
        return None
    before, since = recall_end(held.end_raw), recall_end(end)
    if since.kind is not EndKind.REVOKED or since.by != held.mine or since.at < before.at:
        return None
    return attrs.evolve(held, end_raw=end, end_kind=since.kind.value, updated_at=draft.now)
