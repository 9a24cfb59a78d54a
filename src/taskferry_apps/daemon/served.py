"""Which of the owner's agents this machine serves: as the owner's log says."""

from __future__ import annotations

from taskferry_protocol.accounts import AccountLog, withdrawn
from taskferry_protocol.records import DropAgent, PutAgent

from .agent_settings import new_row
from .agents_told import let_go, told_of
from .draft import Draft
from .withdrawn import end_local_powers, end_powers, set_apart

__all__ = ["settle_served"]


async def settle_served(draft: Draft, before: AccountLog | None, log: AccountLog) -> None:
    """Take in the agents that this device serves by a log of ours, and let go those that it does not.

    One that was withdrawn since the log `before` is let go also where there is another of its name now. What
    is kept here under the name of one that was not in `before` is a former one's; its connections, which an
    earlier program may have left, whoever made it has ended for all.

    How freely one may act that is taken in, its owner has not said on this machine: it begins no freer than
    guarded, and as strict as any machine has told.
    """
    held = {agent.name: agent for agent in await draft.core.store.agents()}
    ring = draft.core.ring
    device = ring.device.id if ring is not None else None
    serves = {name for name, devices in log.state.agents.items() if device in devices}
    gone = frozenset[str]()
    if before is not None:
        gone = withdrawn(before, log)
        await end_powers(draft, gone)
        new = log.state.agents.keys() - (before.state.agents.keys() - gone)
        await end_local_powers(draft, new - gone)
        # Of one that was made in a branch alone that counts no more, no log tells the next one of its name.
        lost = {name for name in gone if not log.state.made.get(name)}
        set_apart(draft, before, new | lost)
    for name in sorted(serves - (held.keys() - gone)):
        draft.add(PutAgent(new_row(name, await told_of(draft, name), draft.now)))
        draft.tell("agent", name, state="created")
    for name in sorted(held.keys() - serves):
        if name not in gone:
            await let_go(draft, held[name])
        draft.add(DropAgent(name))
