"""The feed of what happens, as Server-Sent Events."""

from __future__ import annotations

from typing import Final

from ...port import DaemonService
from ..errors import refusal
from ..fields import Flag, Form, Text, Whole, optional
from ..kinds import MaybeOwnAgent
from ..table import Call, EventStream, Route

__all__ = ["ROUTES"]

_PLACE: Final = Whole()
_AFTER: Final = optional("after", _PLACE, "The id after which to go on; from now on if left out.", None)
_AGENT: Final = optional("agent", MaybeOwnAgent(), "Only what concerns one agent of yours.", None)

_WAKE: Final = optional(
    "wake", Flag(), "Only what needs an agent, many things at once as one event of the kind `wake`.", False
)
_RUNTIME: Final = optional(
    "runtime",
    Text(64),
    "With `wake`: a bound program, by its id or name, that is not woken by what another one has in hand.",
    "",
)


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
    runtime = call.query[_RUNTIME]
    if runtime:
        if not call.query[_WAKE]:
            raise refusal(
                "bad-value", "Only wakes are one program's.", "Give wake=true, too.", field="runtime"
            )
        runtime = (await daemon.runtimes.named(call.known_caller, agent, runtime)).id
    start = await daemon.feed_start(after)
    if call.query[_WAKE] and after is not None and after > start:
        # The place is of a feed that is gone; what is unread is worth a hint all the same.
        start = 0
    return EventStream(start, agent, call.query[_WAKE], runtime)


ROUTES: Final = (
    Route(
        method="GET",
        path="/events",
        name="events",
        about="What happens, or only what needs an agent: one JSON object an event, each with an id.",
        handler=_events,
        answer={"type": "string"},
        query=Form.of(_AFTER, _AGENT, _WAKE, _RUNTIME),
        media="text/event-stream",
    ),
)
