"""What the owner's other machines say of how freely agents act, and what this one said of agents it let go.

Kept by the agent's name also while this machine does not serve it, so that it never begins freer than its
owner has set it anywhere that this machine has heard of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import attrs

from taskferry_protocol.gates import ActionClass, AgentMode, Policy
from taskferry_protocol.ids import Instant
from taskferry_protocol.messages import SharedAgent
from taskferry_protocol.records import LocalAgent, PutAgent, PutSetting

from .agent_settings import UNTOLD, AgentSettings, as_told, read_settings, stricter, written
from .bounds import BOUNDS
from .draft import Draft

__all__ = ["let_go", "shared_agent", "take_agent", "told_of"]

_KEY: Final = "agents elsewhere"
_MOST: Final = BOUNDS.agents_told


@attrs.frozen
class _Told:
    settings: AgentSettings
    at: Instant


def shared_agent(agent: LocalAgent, now: Instant) -> SharedAgent:
    """What other machines are told of an agent that this one serves."""
    settings = read_settings(agent)
    never = sorted(action.value for action, policy in settings.policies.items() if policy is Policy.NEVER)
    return SharedAgent(agent.name, settings.mode.value, tuple(never), now)


async def take_agent(draft: Draft, item: SharedAgent) -> None:
    """Take in what another machine says of an agent, unless something newer was heard of it."""
    told = await _read(draft)
    # What is from the future counts as of now: it must not stand above all that is said later.
    at = min(item.at, draft.now)
    if item.agent in told and told[item.agent].at >= at:
        return
    settings = as_told(_settings(item.mode, item.never))
    _write(draft, {**told, item.agent: _Told(settings, at)})
    held = next((agent for agent in await draft.core.store.agents() if agent.name == item.agent), None)
    if held is None:
        return
    here = read_settings(held)
    if not here.is_said:
        # What the owner has decided here about a class of action, or about what senders are told, stays,
        # whatever is said of the agent elsewhere.
        policies = {**settings.policies, **here.policies}
        changed = attrs.evolve(settings, policies=policies, tells=here.tells)
        draft.add(PutAgent(written(held, changed)))


async def told_of(draft: Draft, name: str) -> AgentSettings:
    """How an agent begins that this machine serves from now on."""
    told = (await _read(draft)).get(name)
    return told.settings if told is not None else UNTOLD


async def let_go(draft: Draft, agent: LocalAgent) -> None:
    """Remember of an agent that this machine serves no more what was said of it here."""
    told = await _read(draft)
    settings, at = as_told(read_settings(agent)), draft.now
    if agent.name in told:
        settings = stricter(settings, told[agent.name].settings)
        at = max(at, told[agent.name].at)
    _write(draft, {**told, agent.name: _Told(settings, at)})


def _settings(mode: str, never: tuple[str, ...]) -> AgentSettings:
    """As words say; a mode that this version does not know is taken for the strictest."""
    known = {item.value for item in AgentMode}
    classes = {item.value for item in ActionClass}
    return AgentSettings(
        AgentMode(mode) if mode in known else AgentMode.READ_ONLY,
        {ActionClass(name): Policy.NEVER for name in never if name in classes},
    )


async def _read(draft: Draft) -> Mapping[str, _Told]:
    raw = await draft.setting(_KEY)
    rows = json.loads(raw) if raw is not None else {}
    return {
        name: _Told(as_told(_settings(row["mode"], tuple(row["never"]))), Instant(row["at"]))
        for name, row in rows.items()
    }


def _write(draft: Draft, told: Mapping[str, _Told]) -> None:
    newest = sorted(told, key=lambda name: told[name].at, reverse=True)[:_MOST]
    rows = {
        name: {
            "mode": told[name].settings.mode.value,
            "never": [action.value for action in told[name].settings.policies],
            "at": told[name].at,
        }
        for name in newest
    }
    draft.add(PutSetting(_KEY, json.dumps(rows, separators=(",", ":")).encode()))
