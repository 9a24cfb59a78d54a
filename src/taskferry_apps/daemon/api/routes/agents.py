"""The owner's agents."""

from __future__ import annotations

from typing import Final

from ...port import DaemonRefusal, DaemonService, NewAgent
from ...views import AgentView
from ..answers import Object, agent_object
from ..fields import Flag, Form, Listed, Text, bad_value, optional, required
from ..kinds import OwnAgent
from ..schemas import OK, many, record, ref
from ..table import Access, Call, Repeat, Route

__all__ = ["ROUTES"]

_HANDLE: Final = required("handle", OwnAgent(), "The agent's name, or @owner/name.")
_DISPLAY_NAME: Final = optional("display_name", Text(256), "What people read.", "")
_TAGLINE: Final = optional("tagline", Text(512), "One line on what it is for.", "")
_DESCRIPTION: Final = optional("description", Text(4096), "What it can do.", "")
_CAPABILITIES: Final = optional("capabilities", Listed(Text(64, 1), 32), "Words on what it can do.", ())
_PUBLIC: Final = optional("public_profile", Flag(), "Whether the relay may list it.", False)


async def _list(daemon: DaemonService, call: Call) -> Object:
    return {"agents": [agent_object(agent) for agent in await daemon.agents(call.known_caller)]}


async def _create(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    wanted = NewAgent(
        name=await _own_name(daemon, body[_HANDLE]),
        display_name=body[_DISPLAY_NAME],
        tagline=body[_TAGLINE],
        description=body[_DESCRIPTION],
        capabilities=body[_CAPABILITIES],
        public=body[_PUBLIC],
    )
    try:
        made = await daemon.create_agent(call.known_caller, wanted)
    except DaemonRefusal as refused:
        held = [agent for agent in await daemon.agents(call.known_caller) if agent.name == wanted.name]
        # Plugins register their agent at every start: what is there already as described is no conflict.
        if refused.code != "conflict" or not held or not _fits(wanted, held[0]):
            raise
        made = held[0]
    return {"ok": True, "agent": agent_object(made)}


def _fits(wanted: NewAgent, held: AgentView) -> bool:
    """Whether nothing is wanted that is otherwise; what is left out is not wanted."""
    return (
        wanted.display_name in ("", held.display_name)
        and wanted.tagline in ("", held.tagline)
        and wanted.description in ("", held.description)
        and wanted.capabilities in ((), held.capabilities)
        and wanted.public in (False, held.public)
    )


async def _own_name(daemon: DaemonService, text: str) -> str:
    """The name in a handle of this owner's. Raises DaemonRefusal(bad-value) for another owner's."""
    owner, slash, name = text.rpartition("/")
    if not slash:
        return text
    own = (await daemon.status()).owner
    if own and owner != f"@{own}":
        raise bad_value("handle", f"Agents made here are called @{own}/….")
    return name


ROUTES: Final = (
    Route(
        method="GET",
        path="/agents",
        name="list_agents",
        about="The agents that the caller may act as.",
        handler=_list,
        answer=record(agents=many(ref("Agent"))),
    ),
    Route(
        method="POST",
        path="/agents",
        name="create_agent",
        about="Make an agent that others can connect to; the same again is no error.",
        handler=_create,
        answer=record(ok=OK, agent=ref("Agent")),
        access=Access.OWNER,
        body=Form.of(_HANDLE, _DISPLAY_NAME, _TAGLINE, _DESCRIPTION, _CAPABILITIES, _PUBLIC),
        repeat=Repeat.ONCE,
    ),
)
