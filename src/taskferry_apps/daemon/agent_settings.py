"""What the owner has set for an agent: its mode, and what is decided ahead about classes of action.

It is set on one machine and counts there. What another machine says of it makes it stricter, never freer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import attrs

from taskferry_protocol.gates import ActionClass, AgentMode, Policy, waits_for_owner
from taskferry_protocol.ids import Instant
from taskferry_protocol.records import LocalAgent

from .core import Core

__all__ = [
    "UNTOLD",
    "AgentSettings",
    "agent_settings",
    "as_told",
    "new_row",
    "read_settings",
    "stricter",
    "written",
]


def _nothing() -> Mapping[ActionClass, Policy]:
    return {}


@attrs.frozen
class AgentSettings:
    """`policies` names what the owner has decided; about any other class the owner is asked.

    `tells` is whether those who send to the agent are told what becomes of it there.
    `is_said`: the owner has said on this machine how freely the agent acts. Otherwise the mode is a guess on
    the safe side, the owner sees every task first, and nobody is told anything.
    """

    mode: AgentMode = AgentMode.OPEN
    policies: Mapping[ActionClass, Policy] = attrs.field(factory=_nothing)
    tells: bool = True
    is_said: bool = True

    def policy(self, action: ActionClass) -> Policy:
        """What becomes of a question about this class."""
        return self.policies.get(action, Policy.ASK)

    def waits(self, human_gate: bool) -> bool:
        """Whether a task that has come waits for the owner, by the grant to its sender and these settings."""
        return waits_for_owner(self.mode, human_gate or not self.is_said)


#: Of an agent that this machine has heard nothing of: what its owner set may have been anything.
UNTOLD: Final = AgentSettings(AgentMode.READ_ONLY, tells=False, is_said=False)


def as_told(settings: AgentSettings) -> AgentSettings:
    """What counts here of settings that were said elsewhere, or for an agent that was let go since."""
    mode = AgentMode.READ_ONLY if settings.mode is AgentMode.READ_ONLY else AgentMode.GUARDED
    never = {action: policy for action, policy in settings.policies.items() if policy is Policy.NEVER}
    return AgentSettings(mode, never, tells=False, is_said=False)


def stricter(one: AgentSettings, other: AgentSettings) -> AgentSettings:
    """Of two that `as_told` gave what is the stricter in each point."""
    mode = one.mode if one.mode is AgentMode.READ_ONLY else other.mode
    return AgentSettings(mode, {**one.policies, **other.policies}, tells=False, is_said=False)


def read_settings(agent: LocalAgent) -> AgentSettings:
    """The settings in an agent's row."""
    members = json.loads(agent.settings)
    policies = {ActionClass(action): Policy(policy) for action, policy in members.get("policies", {}).items()}
    mode, tells = AgentMode(members.get("mode", AgentMode.OPEN)), members.get("tells", True) is True
    return AgentSettings(mode, policies, tells, is_said=members.get("said", True))


def written(agent: LocalAgent, settings: AgentSettings) -> LocalAgent:
    """The row with other settings; what else stands in it stays."""
    members = json.loads(agent.settings)
    members["mode"] = settings.mode.value
    members["tells"] = settings.tells
    members["policies"] = {action.value: policy.value for action, policy in settings.policies.items()}
    members["said"] = settings.is_said
    return attrs.evolve(agent, settings=json.dumps(members, separators=(",", ":")))


def new_row(name: str, settings: AgentSettings, now: Instant) -> LocalAgent:
    """The row of an agent that this machine begins to serve."""
    return written(LocalAgent(name, "{}", now), settings)


async def agent_settings(core: Core, name: str) -> AgentSettings:
    """The settings of one of the owner's agents; the strictest where this machine does not serve it."""
    found = next((agent for agent in await core.store.agents() if agent.name == name), None)
    return read_settings(found) if found is not None else UNTOLD
