"""Invites that the owner makes, and links that the owner opens."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.limits import CONTACT_NOTE_BYTES, INVITE_USES

from ...invite_port import InviteView, LinkView, NewInvite
from ...port import DaemonService
from ...views import AgentView
from ..answers import Object, agent_object
from ..connection_answers import connection_step_object
from ..errors import refusal
from ..fields import Flag, Form, Nested, Text, Values, Whole, optional, required
from ..kinds import MaybeOwnAgent, Moment, OwnAgent, time_text
from ..schemas import COMPONENTS, OK, TEXT, many, record, ref
from ..table import Access, Call, Repeat, Route
from .grants import CHANGES, grant_change

__all__ = ["ROUTES"]

_AGENT: Final = required("agent", OwnAgent(), "The agent of yours that the invited may ask.")
_OF: Final = optional(
    "agent", MaybeOwnAgent(), "Only those for one agent of yours; how to ask for it is then told, too.", None
)
_USES: Final = optional("uses", Whole(1, INVITE_USES), "How many requests may come through it.", 1)
_EXPIRES: Final = required("expires_at", Moment(), "When it ends: in a minute to 90 days.")
_LABEL: Final = optional("note", Text(256), "What it is for; for you alone.", "")
_ACCEPTS: Final = optional("accept", Flag(), "Whether a request through it is accepted at once.", False)
_PERMISSIONS: Final = optional(
    "permissions", Nested(Form(CHANGES)), "What the peer may then send, where not the default.", None
)
_ID: Final = required(
    "id", Text(32, 8, pattern="[0-9a-fA-F]{8,32}", wanted="8 to 32 hexadecimal digits"), "The invite's id."
)
#: Longer than any link: what is wrong with one that is too long is said in the answer.
_LINK: Final = required("link", Text(4096, 1), "The whole link, with what stands behind #.")
_HELD: Final = required(
    "id", Text(32, 32, pattern="[0-9a-f]{32}", wanted="32 hexadecimal digits"), "The id of the link."
)
_FROM: Final = required("from", OwnAgent(), "The agent of yours that asks.")
_MESSAGE: Final = optional("message", Text(CONTACT_NOTE_BYTES), "A line to the other owner.", "")


def invite_object(invite: InviteView) -> Object:
    """An invite without its secret."""
    return {
        "id": invite.id.hex(),
        "agent": invite.agent,
        "note": invite.note,
        "state": invite.state,
        "uses": invite.uses,
        "used": invite.used,
        "accept": invite.accepts,
        "expires_at": time_text(invite.expires_at),
        "created_at": time_text(invite.created_at),
    }


def _link_object(link: LinkView) -> Object:
    return {
        "id": link.id,
        "kind": "invite",
        "relay": link.relay,
        "peer": link.peer,
        "account": link.account.hex(),
        "fingerprint": link.fingerprint,
        "trust": link.trust,
        "display_name": link.display_name,
        "tagline": link.tagline,
        "expires_at": time_text(link.expires_at),
        "agents": [{"name": name, "state": state} for name, state in link.agents],
    }


async def _create(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    permissions = body[_PERMISSIONS] or Values({field.name: None for field in CHANGES})
    invite = NewInvite(
        agent=body[_AGENT],
        uses=body[_USES],
        expires_at=body[_EXPIRES],
        permissions=grant_change(permissions),
        note=body[_LABEL],
        accepts=body[_ACCEPTS],
    )
    made = await daemon.invites.create(call.known_caller, invite)
    return {
        "ok": True,
        "link": made.link,
        "page": made.page,
        "published": made.published,
        "invite": invite_object(made.invite),
    }


async def _list(daemon: DaemonService, call: Call) -> Object:
    invites = await daemon.invites.list(call.known_caller)
    named = call.query[_OF]
    if named is None:
        return {"invites": [invite_object(invite) for invite in invites]}
    agent = await _own(daemon, call, named)
    return {
        "ok": True,
        "invites": [invite_object(invite) for invite in invites if invite.agent == agent.handle],
        # Links are told once, when they are made; what leads to an agent at any time is its handle.
        "invite_code": agent.handle,
        "agent": agent_object(agent),
        "next": f"Make a link that tells you who comes: taskferry invite create --agent {agent.name}",
    }


async def _own(daemon: DaemonService, call: Call, named: str) -> AgentView:
    held = await daemon.agents(call.known_caller)
    found = [agent for agent in held if named in (agent.name, agent.handle)]
    if not found:
        raise refusal(
            "not-found",
            f"There is no agent {named} here.",
            "List the agents with: taskferry agent list",
            status=404,
            field="agent",
        )
    return found[0]


async def _revoke(daemon: DaemonService, call: Call) -> Object:
    return {
        "ok": True,
        **invite_object(await daemon.invites.revoke(call.known_caller, call.path[_ID].lower())),
    }


async def _hold(daemon: DaemonService, call: Call) -> Object:
    held = await daemon.links.hold(call.known_caller, call.body[_LINK])
    problem = held.problem
    told = problem and {"code": problem.code, "message": problem.message, "next": problem.next_step}
    return {
        "ok": True,
        "id": held.id,
        "kind": held.kind,
        "relay": held.relay,
        "code": held.code,
        "problem": told,
    }


async def _look(daemon: DaemonService, call: Call) -> Object:
    return _link_object(await daemon.links.look(call.known_caller, call.path[_HELD]))


async def _connect(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    return connection_step_object(
        await daemon.links.connect(call.known_caller, call.path[_HELD], body[_FROM], body[_MESSAGE])
    )


async def _drop(daemon: DaemonService, call: Call) -> Object:
    await daemon.links.drop(call.known_caller, call.path[_HELD])
    return {"ok": True}


ROUTES: Final = (
    Route(
        method="GET",
        path="/invites",
        name="list_invites",
        about="The invites, newest first, without their secrets; for an agent also how others ask for it.",
        handler=_list,
        answer=record(
            {
                "ok": OK,
                "invite_code": {**TEXT, "description": "Of the agent named: what `/friends/request` takes."},
                "agent": ref("Agent"),
                "next": TEXT,
            },
            invites=many(ref("Invite")),
        ),
        access=Access.OWNER,
        query=Form.of(_OF),
    ),
    Route(
        method="POST",
        path="/invites",
        name="create_invite",
        about="Make an invite and publish it at the relay. Its link, with the secret, is shown this once.",
        handler=_create,
        answer=ref("NewInvite"),
        access=Access.OWNER,
        body=Form.of(_AGENT, _USES, _EXPIRES, _LABEL, _ACCEPTS, _PERMISSIONS),
        repeat=Repeat.REFUSED,
    ),
    Route(
        method="DELETE",
        path="/invites/{id}",
        name="revoke_invite",
        about="Withdraw an invite: nobody comes through it any more.",
        handler=_revoke,
        answer=record(ok=OK, **COMPONENTS["Invite"]["properties"]),
        access=Access.OWNER,
        parameters=Form.of(_ID),
    ),
    Route(
        method="POST",
        path="/links",
        name="open_link",
        about="Hold a link for ten minutes. `problem` says what is wrong with it at first sight. "
        "A new machine's link has a `code`, which approve_device takes.",
        handler=_hold,
        answer=ref("HeldLink"),
        access=Access.OWNER,
        body=Form.of(_LINK),
        repeat=Repeat.REFUSED,
    ),
    Route(
        method="GET",
        path="/links/{id}",
        name="show_link",
        about="Whom an invite leads to, found at the relay and checked against it. Nobody is asked anything.",
        handler=_look,
        answer=ref("Link"),
        access=Access.OWNER,
        parameters=Form.of(_HELD),
    ),
    Route(
        method="POST",
        path="/links/{id}/connect",
        name="connect_link",
        about="Ask for the connection that a link invites to. The link is then done with.",
        handler=_connect,
        answer=ref("ConnectionStep"),
        access=Access.OWNER,
        parameters=Form.of(_HELD),
        body=Form.of(_FROM, _MESSAGE),
        repeat=Repeat.ONCE,
    ),
    Route(
        method="DELETE",
        path="/links/{id}",
        name="drop_link",
        about="Forget a link that is held.",
        handler=_drop,
        answer=record(ok=OK),
        access=Access.OWNER,
        parameters=Form.of(_HELD),
    ),
)
