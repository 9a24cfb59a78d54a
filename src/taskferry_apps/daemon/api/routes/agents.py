"""The owner's agents."""

from __future__ import annotations

from typing import Final

from ...port import CardChange, DaemonRefusal, DaemonService, NewAgent
from ...views import AgentView
from ..answers import Object, agent_object
from ..errors import refusal
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
_NEW: Final = optional("new", Flag(), "Refuse other words for an agent that is there.", False)

_AGENT: Final = required("agent", OwnAgent(), "The agent's name.")
_NEW_NAME: Final = optional("display_name", Text(256), "What people read.", None)
_NEW_TAGLINE: Final = optional("tagline", Text(512), "One line on what it is for.", None)
_NEW_DESCRIPTION: Final = optional("description", Text(4096), "What it can do.", None)
_NEW_CAPABILITIES: Final = optional("capabilities", Listed(Text(64, 1), 32), "Words on what it can do.", None)
_NEW_PUBLIC: Final = optional("public_profile", Flag(), "Whether the relay may list it.", None)
_CHANGES: Final = Form.of(_NEW_NAME, _NEW_TAGLINE, _NEW_DESCRIPTION, _NEW_CAPABILITIES, _NEW_PUBLIC)


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
        if refused.code != "conflict" or not held or (body[_NEW] and not _fits(wanted, held[0])):
            raise
        # Plugins register their agent at every start, and say how it is to be described by now.
        made = await daemon.edit_agent(call.known_caller, wanted.name, _asked_of(wanted))
    return {"ok": True, "agent": agent_object(made)}


async def _edit(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    change = CardChange(
        body[_NEW_NAME],
        body[_NEW_TAGLINE],
        body[_NEW_DESCRIPTION],
        body[_NEW_CAPABILITIES],
        body[_NEW_PUBLIC],
    )
    if change == CardChange():
        raise refusal(
            "missing-field", "Nothing to change was named.", "Name what the card is to say, such as tagline."
        )
    edited = await daemon.edit_agent(call.known_caller, call.path[_AGENT], change)
    return {"ok": True, "agent": agent_object(edited)}


async def _withdraw(daemon: DaemonService, call: Call) -> Object:
    name = await _own_name(daemon, call.path[_AGENT])
    return {"ok": True, "agent": name, "ended": await daemon.withdraw_agent(call.known_caller, name)}


def _fits(wanted: NewAgent, held: AgentView) -> bool:
    """Whether nothing is wanted that is otherwise."""
    asked = _asked_of(wanted)
    return all(
        getattr(asked, name) in (None, getattr(held, name))
        for name in ("display_name", "tagline", "description", "public")
    ) and asked.capabilities in (None, tuple(sorted(set(held.capabilities))))


def _asked_of(wanted: NewAgent) -> CardChange:
    """What is asked of an agent that is there already: what is left out or empty asks for nothing."""
    return CardChange(
        wanted.display_name or None,
        wanted.tagline or None,
        wanted.description or None,
        tuple(sorted(set(wanted.capabilities))) or None,
        wanted.public or None,
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
        about="Make an agent that others can connect to, or change what is said of one that is there.",
        handler=_create,
        answer=record(ok=OK, agent=ref("Agent")),
        access=Access.OWNER,
        body=Form.of(_HANDLE, _DISPLAY_NAME, _TAGLINE, _DESCRIPTION, _CAPABILITIES, _PUBLIC, _NEW),
        repeat=Repeat.ONCE,
    ),
    Route(
        method="PATCH",
        path="/agents/{agent}",
        name="edit_agent",
        about="Change an agent's card: what is named, and nothing else; an empty text or list clears it.",
        handler=_edit,
        answer=record(ok=OK, agent=ref("Agent")),
        access=Access.OWNER,
        parameters=Form.of(_AGENT),
        body=_CHANGES,
    ),
    Route(
        method="DELETE",
        path="/agents/{agent}",
        name="withdraw_agent",
        about="Withdraw an agent; its connections, credentials and all that is bound to it end at once.",
        handler=_withdraw,
        answer=record(ok=OK, agent={"type": "string"}, ended={"type": "integer"}),
        access=Access.OWNER,
        parameters=Form.of(_AGENT),
    ),
)
