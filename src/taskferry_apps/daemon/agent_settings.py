"""What the owner has set for an agent: its mode, and what is decided ahead about classes of action."""

from __future__ import annotations

import json
from collections.abc import Mapping

import attrs

from taskferry_protocol.gates import ActionClass, AgentMode, Policy
from taskferry_protocol.ids import Instant
from taskferry_protocol.records import LocalAgent

from .core import Core

__all__ = ["AgentSettings", "agent_settings", "read_settings", "taken_over", "written"]


def _nothing() -> Mapping[ActionClass, Policy]:
    return {}


@attrs.frozen
class AgentSettings:
    """`policies` names what the owner has decided; about any other class the owner is asked.

    `tells` is whether those who send to the agent are told what becomes of it there.
    """

    mode: AgentMode = AgentMode.OPEN
    policies: Mapping[ActionClass, Policy] = attrs.field(factory=_nothing)
    tells: bool = True

    def policy(self, action: ActionClass) -> Policy:
        """What becomes of a question about this class."""
        return self.policies.get(action, Policy.ASK)


def read_settings(agent: LocalAgent) -> AgentSettings:
    """The settings in an agent's row."""
    members = json.loads(agent.settings)
    policies = {ActionClass(action): Policy(policy) for action, policy in members.get("policies", {}).items()}
    mode, tells = AgentMode(members.get("mode", AgentMode.OPEN)), members.get("tells", True) is True
    return AgentSettings(mode, policies, tells)


def taken_over(name: str, now: Instant) -> LocalAgent:
    """An agent that another machine of this owner made: how freely it may act here is not said yet."""
    return written(LocalAgent(name, "{}", now), AgentSettings(AgentMode.GUARDED))


def written(agent: LocalAgent, settings: AgentSettings) -> LocalAgent:
    """The row with other settings; what else stands in it stays."""
    members = json.loads(agent.settings)
    members["mode"] = settings.mode.value
    members["tells"] = settings.tells
    members["policies"] = {action.value: policy.value for action, policy in settings.policies.items()}
    return attrs.evolve(agent, settings=json.dumps(members, separators=(",", ":")))


async def agent_settings(core: Core, name: str) -> AgentSettings:
    """The settings of one of the owner's agents; those of a new one where its row is not here."""
    found = next((agent for agent in await core.store.agents() if agent.name == name), None)
    return read_settings(found) if found is not None else AgentSettings()
