"""What the senders of mail are told of our agents: whether it is told at all, and when they were last run.

A program counts that shows an agent's credential, or that is bound. What the owner looks at says nothing of
the agent, and is nobody's business.
"""

from __future__ import annotations

import attrs

from taskferry_protocol.ids import AgentRef, Instant
from taskferry_protocol.limits import MINUTE_MS
from taskferry_protocol.records import ConnectionState, NoteSeen

from .agent_settings import agent_settings
from .bonds import bond_between
from .core import Core
from .port import Caller

__all__ = ["PeerTelling", "keep_ran", "last_run", "note_run", "telling_to", "tells"]


def note_run(core: Core, agent: str) -> None:
    """A program acts as one of our agents now."""
    core.ran[agent] = core.now()


def keep_ran(core: Core) -> tuple[NoteSeen, ...]:
    """What to commit now and then, so that the next start knows when agents were last run."""
    return tuple(NoteSeen(agent, at) for agent, at in core.ran.items())


async def last_run(core: Core, agent: str) -> Instant | None:
    """When a program last acted as one of our agents; None if none ever did."""
    times = [core.ran.get(agent), (await core.store.agents_seen()).get(agent)]
    return max((at for at in times if at is not None), default=None)


async def tells(core: Core, caller: Caller, agent: str, runtime: str = "") -> bool:
    """Whether what this caller is given of an agent's mail is told to those who sent it."""
    if caller.is_owner and not runtime:
        return False
    return (await agent_settings(core, agent)).tells


@attrs.frozen
class PeerTelling:
    """What a receipt says beside its items; both None where the peer is not connected."""

    tells: bool | None = None
    seen: Instant | None = None


async def telling_to(core: Core, mine: AgentRef, peer: AgentRef) -> PeerTelling:
    """What a peer is told of our agent: nothing for whom it is not connected with."""
    if mine.account != peer.account:
        bond = await bond_between(core.store, mine, peer)
        if bond is None or bond.record.state is not ConnectionState.ACCEPTED:
            return PeerTelling()
    if not (await agent_settings(core, mine.name)).tells:
        return PeerTelling(tells=False)
    ran = await last_run(core, mine.name)
    return PeerTelling(tells=True, seen=None if ran is None else Instant(ran - ran % MINUTE_MS))
