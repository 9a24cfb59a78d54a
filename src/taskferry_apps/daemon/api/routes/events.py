"""The feed of what happens, as Server-Sent Events."""

from __future__ import annotations

from typing import Final

from ...port import DaemonService
from ..errors import refusal
from ..fields import Form, Whole, optional
from ..kinds import MaybeOwnAgent
from ..table import Call, EventStream, Route

__all__ = ["ROUTES"]

_PLACE: Final = Whole()
_AFTER: Final = optional("after", _PLACE, "The id after which to go on; from now on if left out.", None)
_AGENT: Final = optional("agent", MaybeOwnAgent(), "Only what concerns one agent of yours.", None)


async def _events(daemon: DaemonService, call: Call) -> EventStream:
    after = call.query[_AFTER]
    if call.last_event_id:
        # A client that reconnects sends its first address again; the header is what it has seen since.
        after = _PLACE.of_text(call.last_event_id, "Last-Event-ID")
    agent = call.query[_AGENT] or ""
    # Asked before the answer begins, so that a refusal is still an ordinary one.
    mine = await daemon.agents(call.known_caller)
    if agent and all(agent not in (own.name, own.handle) for own in mine):
        raise refusal(
            "not-found",
            "There is no such agent here that this credential may act as.",
            "List them with: taskferry agent list",
            status=404,
            field="agent",
        )
    return EventStream(await daemon.feed_end() if after is None else after, agent)


ROUTES: Final = (
    Route(
        method="GET",
        path="/events",
        name="events",
        about="What happens, as it happens: one JSON object an event, with an id to go on from.",
        handler=_events,
        answer={"type": "string"},
        query=Form.of(_AFTER, _AGENT),
        media="text/event-stream",
    ),
)
