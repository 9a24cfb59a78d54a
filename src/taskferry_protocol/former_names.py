"""What former agents are called where they stand beside others: `name~1` is the first that had a name.

Such a name is kept, shown and asked for; it is none that an agent could have, and is never signed.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from .ids import AgentRef

__all__ = ["former", "is_former", "of_name", "shown_agent"]

_FORMER: Final = re.compile(r"([a-z0-9][a-z0-9_-]{0,31})~([1-9][0-9]{0,3})", re.ASCII)


def former(agent: AgentRef, number: int) -> AgentRef:
    """The agent that was the `number`th, from 1, to have a name that another has now. It is never signed."""
    return attrs.evolve(agent, name=f"{agent.name}~{number}")


def of_name(agent: AgentRef) -> AgentRef:
    """The agent by the name that it has, or had."""
    return attrs.evolve(agent, name=agent.name.partition("~")[0]) if is_former(agent.name) else agent


def is_former(name: str) -> bool:
    """Whether a name is that of a former agent, as `former` makes it."""
    return _FORMER.fullmatch(name) is not None


def shown_agent(agent: str) -> str:
    """A name or handle in words: itself, or which former agent it is."""
    owner, slash, name = agent.rpartition("/")
    match = _FORMER.fullmatch(name)
    return agent if match is None else f"{owner}{slash}{match[1]} (former agent {match[2]})"
