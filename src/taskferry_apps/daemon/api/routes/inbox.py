"""The inbox: what waits for an agent, with long-polling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import trio

from taskferry_protocol.ids import Hash
from taskferry_protocol.messages import ArtifactSubmit

from ...port import Caller, DaemonService, Handing, Look
from ...views import InboxPage, MessageView
from ..answers import Object, message_object
from ..errors import refusal
from ..fields import Flag, Form, Text, Whole, bad_value, optional
from ..first_names import message_names
from ..holds import RUNTIME
from ..kinds import MaybeOwnAgent
from ..schemas import FLAG, NUMBER, TEXT, many, record, ref
from ..table import Call, Route

__all__ = ["ROUTES"]

_AGENT: Final = optional(
    "agent", MaybeOwnAgent(), "Whose inbox; all of the caller's agents if left out.", None
)
_AGENT_ID: Final = optional(
    "agent_id",
    MaybeOwnAgent(),
    "Another name for `agent`, by which the first programs ask; items then have those names, too.",
    None,
)
_UNPROCESSED: Final = optional("unprocessed", Flag(), "Only what is not marked as processed.", False)
_WAIT: Final = optional("wait", Whole(0, 60), "Seconds to wait while there is nothing.", 0)
_CURSOR: Final = optional("cursor", Text(256), "Where to go on, in the inbox of one agent.", "")
_LIMIT: Final = optional("limit", Whole(1, 200), "How many at most.", 50)
_TAKE: Final = optional(
    "take", Flag(), "With a runtime: whether it has from now on what it is given, or only looks.", True
)
_HEADER_ONLY: Final = optional("header_only", Flag(), "Leave out the content.", False)


async def _inbox(daemon: DaemonService, call: Call) -> Object:
    inbox = _Inbox(daemon, call, await _agents(daemon, call))
    if call.query[_WAIT]:
        await inbox.wait_for_mail(call.query[_WAIT])
        # Waiting takes its time: a credential that was revoked meanwhile shows nothing more.
        await call.still_known()
    found = await inbox.look()
    items = [message_object(message) for message in found.messages]
    if call.query[_AGENT_ID] is not None:
        versions = await _versions(daemon, call.known_caller, found.messages)
        items = [
            {**item, **message_names(message, versions.get(message.id))}
            for item, message in zip(items, found.messages, strict=True)
        ]
    if call.query[_HEADER_ONLY]:
        items = [{name: value for name, value in item.items() if name != "payload"} for item in items]
    held = [count for agent in inbox.agents for count in await daemon.gates.waiting(call.known_caller, agent)]
    return {
        "messages": items,
        "cursor": found.cursor,
        "more": found.more,
        "held": [{"peer": peer, "count": count} for peer, count in held],
    }


async def _agents(daemon: DaemonService, call: Call) -> tuple[str, ...]:
    """Whose inboxes are meant."""
    agent, other = call.query[_AGENT], call.query[_AGENT_ID]
    if agent is not None and other is not None and agent != other:
        raise bad_value("agent_id", "agent and agent_id name different agents.")
    named = agent or other
    if named is not None:
        return (named,)
    mine = tuple(own.name for own in await daemon.agents(call.known_caller))
    if call.query[_CURSOR] and len(mine) > 1:
        raise refusal(
            "missing-field", "A cursor belongs to the inbox of one agent.", "Name the agent.", field="agent"
        )
    return mine


async def _versions(
    daemon: DaemonService, caller: Caller, messages: Sequence[MessageView]
) -> Mapping[Hash, int]:
    """Which version of its task's work each artifact among the messages is."""
    found: dict[Hash, int] = {}
    artifacts = (message for message in messages if message.type == ArtifactSubmit.type_name)
    for task in {message.task for message in artifacts if message.task is not None}:
        view = await daemon.task(caller, task.hex())
        found |= {version.hash: version.version for version in view.versions}
    return found


class _Inbox:
    """The inboxes of some agents, looked at as one."""

    def __init__(self, daemon: DaemonService, call: Call, agents: tuple[str, ...]) -> None:
        # A program that is bound acts as one agent.
        if call.query[RUNTIME] is not None and len(agents) > 1:
            raise refusal("missing-field", "A program acts as one agent.", "Name it.", field="agent")
        self._daemon = daemon
        self._call = call
        self.agents = agents
        self._found: dict[str, InboxPage] = {}

    async def look(self) -> InboxPage:
        """What was found while waiting, and what is there now in those inboxes that had nothing."""
        pages = [self._found.get(agent) or await self._page(agent, 0) for agent in self.agents]
        if len(pages) == 1:
            return pages[0]
        messages = sorted((message for each in pages for message in each.messages), key=_arrival)
        return InboxPage(tuple(messages), "", any(each.more for each in pages))

    async def wait_for_mail(self, seconds: float) -> None:
        """Until something is there, the time is over, or the daemon drains: nobody waits for that one."""
        async with trio.open_nursery() as nursery:

            async def end_on_drain() -> None:
                await self._call.draining.wait()
                nursery.cancel_scope.cancel()

            async def watch(agent: str) -> None:
                found = await self._page(agent, seconds)
                if found.messages:
                    # Kept, for to be given counts as read: it must not be given to nobody.
                    self._found[agent] = found
                    nursery.cancel_scope.cancel()

            nursery.start_soon(end_on_drain)
            async with trio.open_nursery() as watching:
                for agent in self.agents:
                    watching.start_soon(watch, agent)
            nursery.cancel_scope.cancel()

    async def _page(self, agent: str, wait_s: float) -> InboxPage:
        query = self._call.query
        return await self._daemon.inbox(
            self._call.known_caller,
            agent,
            query[_UNPROCESSED],
            query[_CURSOR],
            query[_LIMIT],
            wait_s,
            look=Look.HEADERS if query[_HEADER_ONLY] else Look.WHOLE,
            runtime=(query[RUNTIME] or "").lower(),
            handing=Handing.TAKEN if query[_TAKE] else Handing.SHOWN,
        )


def _arrival(message: MessageView) -> int:
    return message.received_at or message.created_at


ROUTES: Final = (
    Route(
        method="GET",
        path="/inbox",
        name="inbox",
        about="What has arrived, oldest first; what is given counts as read, its headers alone as offered.",
        handler=_inbox,
        answer=record(
            messages=many(ref("Message")),
            cursor=TEXT,
            more=FLAG,
            held={
                **many(record(peer=TEXT, count=NUMBER)),
                "description": "Of whom something waits for the owner, and how much of each.",
            },
        ),
        query=Form.of(_AGENT, _AGENT_ID, _UNPROCESSED, _WAIT, _CURSOR, _LIMIT, _HEADER_ONLY, RUNTIME, _TAKE),
    ),
)
