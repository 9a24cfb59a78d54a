"""Credentials for agents' programs, each for certain agents alone."""

from __future__ import annotations

from typing import Final

from ...port import DaemonService
from ..answers import Object, token_object
from ..fields import Form, Listed, Text, optional, required
from ..kinds import OwnAgent
from ..schemas import COMPONENTS, OK, many, record, ref
from ..table import Access, Call, Repeat, Route

__all__ = ["ROUTES"]

_AGENTS: Final = required("agents", Listed(OwnAgent(), 64, 1), "The agents that its holder may act as.")
_LABEL: Final = optional("label", Text(128), "What it is for.", "")
_ID: Final = required("id", Text(64, 1), "The credential's id.")


async def _list(daemon: DaemonService, call: Call) -> Object:
    return {"tokens": [token_object(token) for token in await daemon.tokens(call.known_caller)]}


async def _create(daemon: DaemonService, call: Call) -> Object:
    secret, token = await daemon.create_token(call.known_caller, call.body[_AGENTS], call.body[_LABEL])
    return {
        "ok": True,
        "token": secret,
        "id": token.id,
        "label": token.label,
        "agents": list(token.agents),
    }


async def _revoke(daemon: DaemonService, call: Call) -> Object:
    return {"ok": True, **token_object(await daemon.revoke_token(call.known_caller, call.path[_ID]))}


ROUTES: Final = (
    Route(
        method="GET",
        path="/tokens",
        name="list_tokens",
        about="The credentials, revoked ones too, without their secrets.",
        handler=_list,
        answer=record(tokens=many(ref("Token"))),
        access=Access.OWNER,
    ),
    Route(
        method="POST",
        path="/tokens",
        name="create_token",
        about="Make a credential for certain agents. Its secret is shown this once.",
        handler=_create,
        answer=ref("NewToken"),
        access=Access.OWNER,
        body=Form.of(_AGENTS, _LABEL),
        repeat=Repeat.REFUSED,
    ),
    Route(
        method="DELETE",
        path="/tokens/{id}",
        name="revoke_token",
        about="End a credential at once.",
        handler=_revoke,
        answer=record(ok=OK, **COMPONENTS["Token"]["properties"]),
        access=Access.OWNER,
        parameters=Form.of(_ID),
    ),
)
