"""A task as its owner reads it before deciding: every word, who is at the other end, what was agreed."""

from __future__ import annotations

from taskferry_protocol.ids import AgentRef, Hash, Instant
from taskferry_protocol.messages import TaskRequest

from .bonds import bond_between
from .core import Core
from .describe import connection_view
from .gate_views import WholeTask
from .identity_changes import trust_in
from .names import handle_of

__all__ = ["whole_task"]


async def whole_task(
    core: Core, mine: AgentRef, peer: AgentRef, task: TaskRequest, hash: Hash, created_at: Instant | None
) -> WholeTask:
    """A task between an agent of ours and a peer's; `hash` is over all of it, as it was sent or is kept."""
    bond = await bond_between(core.store, mine, peer)
    return WholeTask(
        peer=await handle_of(core, peer),
        account=peer.account,
        trust=(await trust_in(core.store, {peer.account})).get(peer.account, ""),
        hash=hash,
        title=task.title,
        brief=task.brief,
        requirements=task.requirements,
        parts=task.parts,
        deadline=task.deadline,
        revisions=task.revisions,
        budget=task.budget,
        created_at=created_at,
        connection=await connection_view(core, bond) if bond is not None else None,
    )
