"""The inbox: what waits for an agent, with long-polling."""

from __future__ import annotations

from typing import Final

import trio

from ...port import DaemonService
from ...views import InboxPage
from ..answers import Object, message_object
from ..errors import refusal
from ..fields import Flag, Form, Text, Whole, optional
from ..kinds import MaybeOwnAgent
from ..schemas import page, ref
from ..table import Call, Route

__all__ = ["ROUTES"]

_AGENT: Final = optional(
    "agent", MaybeOwnAgent(), "Whose inbox; all of the caller's agents if left out.", None
)
_AGENT_ID: Final = optional("agent_id", MaybeOwnAgent(), "Another name for `agent`.", None)
_UNPROCESSED: Final = optional("unprocessed", Flag(), "Only what is not marked as processed.", False)
_WAIT: Final = optional("wait", Whole(0, 60), "Seconds to wait while there is nothing.", 0)
_CURSOR: Final = optional("cursor", Text(256), "Where to go on.", "")
_LIMIT: Final = optional("limit", Whole(1, 200), "How many at most.", 50)
_HEADER_ONLY: Final = optional("header_only", Flag(), "Leave out the content.", False)


async def _inbox(daemon: DaemonService, call: Call) -> Object:
    query = call.query
    agent, other = query[_AGENT], query[_AGENT_ID]
    if agent is not None and other is not None and agent != other:
        raise refusal(
            "bad-value", "agent and agent_id name different agents.", "Give one of them.", field="agent_id"
        )
    found = await _wait_for(daemon, call, agent or other or "")
    items = [message_object(message) for message in found.messages]
    if query[_HEADER_ONLY]:
        items = [{name: value for name, value in item.items() if name != "payload"} for item in items]
    return {"messages": items, "cursor": found.cursor, "more": found.more}


async def _wait_for(daemon: DaemonService, call: Call, agent: str) -> InboxPage:
    query = call.query

    async def look(wait_s: float) -> InboxPage:
        return await daemon.inbox(
            call.known_caller, agent, query[_UNPROCESSED], query[_CURSOR], query[_LIMIT], wait_s
        )

    found: InboxPage | None = None
    if query[_WAIT]:
        # Nobody waits for a daemon that stops: the wait ends then, and the inbox is looked at once more.
        async with trio.open_nursery() as nursery:

            async def end_on_drain() -> None:
                await call.draining.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(end_on_drain)
            found = await look(query[_WAIT])
            nursery.cancel_scope.cancel()
        await call.still_known()
    return await look(0) if found is None else found


ROUTES: Final = (
    Route(
        method="GET",
        path="/inbox",
        name="inbox",
        about="What has arrived, oldest first; what is given counts as read.",
        handler=_inbox,
        answer=page("messages", ref("Message")),
        query=Form.of(_AGENT, _AGENT_ID, _UNPROCESSED, _WAIT, _CURSOR, _LIMIT, _HEADER_ONLY),
    ),
)
