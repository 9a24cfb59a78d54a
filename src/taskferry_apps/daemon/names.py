"""Whom a caller means: handles and names to agents, prefixes of ids to whole ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.former_names import is_former
from taskferry_protocol.ids import AccountId, AgentRef, Handle, Hash, is_name

from .core import Core
from .port import Caller, DaemonRefusal

__all__ = [
    "LEAST_PREFIX",
    "agent_read",
    "handle_of",
    "match_prefix",
    "may_use",
    "named_peer",
    "no_agent",
    "own_agent",
    "require_owner",
]

#: Characters of an id below which nobody can mean one.
LEAST_PREFIX: Final = 8
_HASH_CHARS: Final = 64


def require_owner(caller: Caller) -> None:
    """Nothing for the owner; DaemonRefusal(owner-only) for anybody else."""
    if not caller.is_owner:
        raise DaemonRefusal(
            "owner-only", "Only the owner may do that.", "Use the owner's own credential.", status=403
        )


def may_use(caller: Caller, agent: str) -> bool:
    """Whether the caller may act as one of the owner's agents."""
    return caller.agents is None or agent in caller.agents


async def own_agent(core: Core, caller: Caller, text: str, field: str = "from") -> AgentRef:
    """The owner's agent called `name` or `@owner/name`, which the caller may act as.

    Raises DaemonRefusal: not-set-up, bad-value, not-found, not-yours.
    """
    own = await core.own_log()
    name = text
    if text.startswith("@"):
        handle = _handle(text, field)
        if handle.owner != own.state.name:
            raise no_agent(text, field)
        name = handle.agent
    elif not is_name(text):
        raise DaemonRefusal(
            "bad-value",
            "An agent is named by 1 to 32 of a-z, 0-9, _ and -, or as @owner/name.",
            "Mend the name and try again.",
            detail={"field": field},
        )
    if not may_use(caller, name):
        raise DaemonRefusal(
            "not-yours",
            f"This credential may not act as {name}.",
            "Use one of that agent's credentials.",
            status=403,
            detail={"field": field},
        )
    if name not in own.state.agents:
        raise no_agent(text, field)
    core.last_seen[name] = core.now()
    if not caller.is_owner:
        core.ran[name] = core.now()
    return core.agent(name)


async def agent_read(core: Core, caller: Caller, text: str, field: str = "agent") -> AgentRef:
    """As `own_agent`; the owner may name a former agent, too, to read what was said by it and to it."""
    name = text.rpartition("/")[2]
    if caller.is_owner and is_former(name):
        own = await core.own_log()
        if text in {name, f"@{own.state.name}/{name}"} and name.partition("~")[0] in own.state.made:
            return core.agent(name)
    return await own_agent(core, caller, text, field)


def no_agent(text: str, field: str) -> DaemonRefusal:
    """What is said where the owner has no such agent."""
    return DaemonRefusal(
        "not-found",
        f"There is no agent {text} here.",
        "List the agents with: taskferry agent list",
        status=404,
        detail={"field": field},
    )


def _handle(text: str, field: str) -> Handle:
    try:
        return Handle.parse(text)
    except RemoteProtocolError as error:
        raise DaemonRefusal(
            "bad-value",
            "A handle looks like @owner/agent, in small letters.",
            "Mend the handle and try again.",
            detail={"field": field},
        ) from error


async def named_peer(core: Core, text: str, field: str = "to") -> AgentRef:
    """The agent that a handle names, of an account that is known here.

    Raises DaemonRefusal: bad-value, unknown-account.
    """
    handle = _handle(text, field)
    pinned = (await core.store.accounts_named((handle.owner,))).get(handle.owner)
    if pinned is None or pinned.record.name != handle.owner:
        raise DaemonRefusal(
            "unknown-account",
            f"The owner of {handle} is not known here.",
            f"Ask for a connection first: taskferry connect YOURS {handle}",
            status=404,
            detail={"field": field},
        )
    return AgentRef(pinned.record.account, handle.agent)


def parse_peer(text: str, field: str = "to") -> Handle:
    """A peer's handle by its form alone. Raises DaemonRefusal(bad-value)."""
    return _handle(text, field)


async def handle_of(core: Core, agent: AgentRef) -> str:
    """`@owner/agent`, or the start of the account id where its log is not held."""
    owner = await core.logs.owner_name(agent.account) or AccountId(agent.account).hex()[:12]
    return f"@{owner}/{agent.name}" if agent.name else f"@{owner}"


def parse_prefix(text: str, what: str) -> Hash | str:
    """A whole hash, or the prefix that was given. Raises DaemonRefusal(bad-value)."""
    lowered = text.lower()
    hexadecimal = lowered.isascii() and all(character in "0123456789abcdef" for character in lowered)
    if not hexadecimal or not LEAST_PREFIX <= len(lowered) <= _HASH_CHARS:
        raise DaemonRefusal(
            "bad-value",
            f"The id of a {what} is {LEAST_PREFIX} to {_HASH_CHARS} hexadecimal digits.",
            "Copy the id from a list.",
        )
    return Hash(bytes.fromhex(lowered)) if len(lowered) == _HASH_CHARS else lowered


def match_prefix(prefix: str, hashes: Iterable[Hash], what: str) -> Hash:
    """The one hash that begins so. Raises DaemonRefusal: not-found, ambiguous."""
    found = {hash for hash in hashes if hash.hex().startswith(prefix)}
    if not found:
        raise not_found(what)
    if len(found) > 1:
        raise DaemonRefusal(
            "ambiguous", f"Several {what}s have ids that begin so.", "Give more of the id.", status=409
        )
    return found.pop()


def not_found(what: str) -> DaemonRefusal:
    """There is none, or none that the caller may see: nobody learns which."""
    return DaemonRefusal("not-found", f"There is no such {what}.", _LISTED.get(what, _CHECK), status=404)


_CHECK: Final = "Check the id."
#: Where the things are listed that may be named.
_LISTED: Final = {
    "alarm": "It was dismissed, or raised again since. List those that stand with: taskferry alarms list",
    "connection": "List the connections with: taskferry connections",
    "device": "List your devices with: taskferry device list",
    "invite": "List the invites with: taskferry invite list",
    "message": "See what came with: taskferry inbox",
    "part": "See which there are with: taskferry task show ID",
    "rule": "List the rules with: taskferry rules list",
    "task": "List the tasks with: taskferry task list",
    "token": "List the tokens with: taskferry token list",
}
