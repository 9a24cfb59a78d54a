"""Which of the owner's agents this machine serves: as the owner's log says."""

from __future__ import annotations

from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.records import DropAgent, PutAgent

from .agent_settings import taken_over
from .draft import Draft

__all__ = ["settle_served"]


async def settle_served(draft: Draft, log: AccountLog) -> None:
    """Take in the agents that this device serves by a log of ours, and let go those that it does not.

    One that is taken in is guarded until the owner says otherwise on this machine.
    """
    held = {agent.name for agent in await draft.core.store.agents()}
    ring = draft.core.ring
    device = ring.device.id if ring is not None else None
    serves = {name for name, devices in log.state.agents.items() if device in devices}
    for name in sorted(serves - held):
        draft.add(PutAgent(taken_over(name, draft.now)))
        draft.tell("agent", name, state="created")
    draft.add(*(DropAgent(name) for name in sorted(held - serves)))
