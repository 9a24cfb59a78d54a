"""Asking for a connection by whatever somebody was given: a link, or a handle."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.ids import Handle
from taskferry_protocol.limits import CONTACT_NOTE_BYTES

from ...port import DaemonService
from ...views import ConnectionView
from ..answers import Object
from ..connection_answers import connection_step_object
from ..fields import Form, Text, optional, required
from ..guard import owner_only
from ..kinds import OwnAgent
from ..schemas import COMPONENTS, TEXT, record
from ..table import Call, Repeat, Route

__all__ = ["ROUTES"]

_FROM: Final = required("from", OwnAgent(), "The agent of yours that asks.")
#: As long as a link may be that is opened.
_INVITE: Final = required("invite", Text(4096, 1), "An agent's handle; the owner may give a whole link.")
_MESSAGE: Final = optional("message", Text(CONTACT_NOTE_BYTES), "A line to the other owner.", "")


async def _request(daemon: DaemonService, call: Call) -> Object:
    invite = call.body[_INVITE].strip()
    asked = await (_by_handle if _is_handle(invite) else _by_link)(daemon, call, invite)
    return {**connection_step_object(asked), "to": asked.peer}


def _is_handle(text: str) -> bool:
    try:
        Handle.parse(text)
    except RemoteProtocolError:
        return False
    return True


async def _by_handle(daemon: DaemonService, call: Call, invite: str) -> ConnectionView:
    body = call.body
    return await daemon.request_connection(call.known_caller, body[_FROM], invite, body[_MESSAGE])


async def _by_link(daemon: DaemonService, call: Call, invite: str) -> ConnectionView:
    caller, body = call.known_caller, call.body
    if not caller.is_owner:
        # A link settles who an account is taken for, and that is the owner's to say.
        raise await owner_only(
            daemon,
            caller,
            "POST /friends/request",
            "Let the owner do it: taskferry open LINK  Or ask by the agent's handle, @owner/agent.",
            message="Only the owner may open a link.",
            field="invite",
        )
    held = await daemon.links.hold(caller, invite)
    return await daemon.links.connect(caller, held.id, body[_FROM], body[_MESSAGE])


ROUTES: Final = (
    Route(
        method="POST",
        path="/friends/request",
        name="request_friend",
        about="Ask for a connection by a handle, or open a link and ask in one step, for those who trust it.",
        handler=_request,
        answer=record(**COMPONENTS["ConnectionStep"]["properties"], to=TEXT),
        body=Form.of(_FROM, _INVITE, _MESSAGE),
        repeat=Repeat.ONCE,
    ),
)
