"""Connections: asking for one, and the owner's decisions on those that others ask for."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.limits import CONTACT_NOTE_BYTES, REASON_BYTES

from ...port import DaemonService
from ..answers import Object
from ..connection_answers import connection_object, connection_step_object
from ..fields import Choice, Field, Form, Nested, Text, Values, optional, required
from ..kinds import MaybeOwnAgent, Moment, OwnAgent, Peer
from ..schemas import many, record, ref
from ..table import Access, Call, Handler, Repeat, Route
from .grants import BY_NAME, CHANGES, connection_named, grant_change

__all__ = ["ROUTES"]

_STATE: Final = optional(
    "state",
    Choice(("requested_out", "requested_in", "accepted", "ended", "expired")),
    "Only connections in this state.",
    "",
)
_AGENT: Final = optional("agent", MaybeOwnAgent(), "Only those of one agent of yours.", None)
_FROM: Final = required("from", OwnAgent(), "The agent of yours that asks.")
_TO: Final = required("to", Peer(), "The agent to be connected with.")
_MESSAGE: Final = optional("message", Text(CONTACT_NOTE_BYTES), "A line to the other owner.", "")
_PERMISSIONS: Final = optional(
    "permissions", Nested(Form(CHANGES)), "What the peer may send, where not the default.", None
)
_AGAIN: Final = optional(
    "again", Moment(), "From when on the other agent may ask again; after a week if left out.", None
)
_REASON: Final = optional("reason", Text(REASON_BYTES), "A line to the other owner.", "")


async def _list(daemon: DaemonService, call: Call) -> Object:
    query = call.query
    found = await daemon.connections(call.known_caller, query[_STATE], query[_AGENT] or "")
    return {"connections": [connection_object(connection) for connection in found]}


async def _request(daemon: DaemonService, call: Call) -> Object:
    body = call.body
    return connection_step_object(
        await daemon.request_connection(call.known_caller, body[_FROM], body[_TO], body[_MESSAGE])
    )


async def _accept(daemon: DaemonService, call: Call) -> Object:
    named = connection_named(call.body)
    change = grant_change(call.body[_PERMISSIONS] or Values({field.name: None for field in CHANGES}))
    return connection_step_object(await daemon.accept_connection(call.known_caller, named, change))


def _end(kind: str) -> Handler:
    async def end(daemon: DaemonService, call: Call) -> Object:
        named = connection_named(call.body)
        again = call.body[_AGAIN] if kind == "declined" else None
        return connection_step_object(
            await daemon.end_connection(call.known_caller, named, kind, call.body[_REASON], again)
        )

    return end


async def _unblock(daemon: DaemonService, call: Call) -> Object:
    named = connection_named(call.body)
    return connection_step_object(await daemon.gates.unblock(call.known_caller, named))


def _ending(word: str, kind: str, about: str, *more: Field[object]) -> Route:
    return Route(
        method="POST",
        path=f"/connections/{word}",
        name=f"{word}_connection",
        about=about,
        handler=_end(kind),
        answer=ref("ConnectionStep"),
        access=Access.OWNER,
        body=Form.of(*BY_NAME, _REASON, *more),
        repeat=Repeat.ONCE,
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/connections",
        name="list_connections",
        about="Connections and requests for them.",
        handler=_list,
        answer=record(connections=many(ref("Connection"))),
        query=Form.of(_STATE, _AGENT),
    ),
    Route(
        method="POST",
        path="/connections/request",
        name="request_connection",
        about="Ask another agent's owner for a connection.",
        handler=_request,
        answer=ref("ConnectionStep"),
        body=Form.of(_FROM, _TO, _MESSAGE),
        repeat=Repeat.ONCE,
    ),
    Route(
        method="POST",
        path="/connections/accept",
        name="accept_connection",
        about="Accept a request, by its id or by from (yours) and to (who asked).",
        handler=_accept,
        answer=ref("ConnectionStep"),
        access=Access.OWNER,
        body=Form.of(*BY_NAME, _PERMISSIONS),
        repeat=Repeat.ONCE,
    ),
    _ending("decline", "declined", "Decline a request.", _AGAIN),
    _ending("revoke", "revoked", "End a connection."),
    _ending("block", "blocked", "End it, and refuse further requests of that agent."),
    Route(
        method="POST",
        path="/connections/unblock",
        name="unblock_connection",
        about="Let an agent that was blocked ask again.",
        handler=_unblock,
        answer=ref("ConnectionStep"),
        access=Access.OWNER,
        body=Form(BY_NAME),
        repeat=Repeat.ONCE,
    ),
)
