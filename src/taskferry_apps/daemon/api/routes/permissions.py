"""What a connected peer may send, and changing it."""

from __future__ import annotations

from typing import Final

from ...port import DaemonService
from ..answers import Object
from ..connection_answers import connection_object
from ..errors import refusal
from ..fields import Form
from ..schemas import OK, record, ref
from ..table import Access, Call, Repeat, Route
from .grants import BY_NAME, CHANGES, connection_named, grant_change

__all__ = ["ROUTES"]


async def _show(daemon: DaemonService, call: Call) -> Object:
    named = connection_named(call.query)
    agent = "" if isinstance(named, str) else named[0]
    found = [
        connection
        for connection in await daemon.connections(call.known_caller, "", agent)
        if (
            connection.id.hex().startswith(named)
            if isinstance(named, str)
            else connection.peer == named[1] and connection.state == "accepted"
        )
    ]
    if not found:
        raise refusal(
            "not-found", "There is no such connection.", "List them with: taskferry connections", status=404
        )
    if len(found) > 1:
        raise refusal("ambiguous", "Several connections are meant.", "Give more of the id.", status=409)
    return {"connection": connection_object(found[0])}


async def _change(daemon: DaemonService, call: Call) -> Object:
    changed = await daemon.set_permissions(
        call.known_caller, connection_named(call.body), grant_change(call.body)
    )
    return {"ok": True, "connection": connection_object(changed)}


ROUTES: Final = (
    Route(
        method="GET",
        path="/permissions",
        name="show_permissions",
        about="What each side of a connection may send to the other.",
        handler=_show,
        answer=record(connection=ref("Connection")),
        access=Access.OWNER,
        query=Form(BY_NAME),
    ),
    Route(
        method="POST",
        path="/permissions",
        name="set_permissions",
        about="Sign the next version of what the peer may send.",
        handler=_change,
        answer=record(ok=OK, connection=ref("Connection")),
        access=Access.OWNER,
        body=Form.of(*BY_NAME, *CHANGES),
        repeat=Repeat.ONCE,
    ),
)
