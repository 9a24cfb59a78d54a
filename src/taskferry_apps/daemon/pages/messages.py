"""`/dashboard/messages`: conversations, search, a line to a peer; and the quarantine.

To look here marks nothing as read: that is for agents, whose senders are told of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

import attrs
from quart import Response, request

from taskferry_protocol.limits import PART_TEXT_BYTES

from ...page_kit.words import beginning
from ..history_port import MessageSearch
from ..port import DaemonRefusal
from ..views import MessageView
from .desk import Desk
from .owner import OWNER
from .page import Page
from .paging import further

__all__ = ["PAGES"]

_SHOWN: Final = 30
#: What stands of one message among others; the whole of it is a press away.
_CHARS: Final = 2_000
_CONVERSATION: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_QUERY_CHARS: Final = 512

#: What each kind of step in a task says, in a line.
_STEPS: Final[Mapping[str, str]] = {
    "task_request": "asked for work",
    "task_accept": "accepted",
    "task_decline": "declined",
    "task_progress": "reported progress",
    "artifact_submit": "submitted a version",
    "revision_request": "asked for a revision",
    "task_complete": "completed the task",
    "task_cancel": "cancelled the task",
    "task_fail": "gave up the task",
    "task_expire": "let the task expire",
    "task_seen": "took note",
}


@attrs.frozen
class Line:
    """One message as the page shows it: who said what, and with what attached (name, bytes)."""

    message: MessageView
    who: str
    ours: bool
    step: str
    text: str
    attached: tuple[tuple[str, int], ...]
    more: str = ""
    """Where the whole of it is, if that is more."""


def _line(message: MessageView) -> Line:
    payload = message.payload
    ours = message.direction != "in"
    texts = [str(payload[name]) for name in ("text", "brief", "note", "reason") if payload.get(name)]
    reasons = payload.get("reasons")
    texts += [str(reason) for reason in reasons] if isinstance(reasons, list) else []
    attached = []
    parts = payload.get("parts")
    for part in parts if isinstance(parts, list) else []:
        if not isinstance(part, dict):
            continue
        if part.get("kind") in ("text", "json"):
            texts.append(str(part.get(str(part["kind"]), "")))
        else:
            attached.append((str(part.get("name", "")), int(part.get("size", 0))))
    return Line(
        message=message,
        who=message.mine if ours else message.peer,
        ours=ours,
        step=_STEPS.get(message.type, ""),
        text="\n".join(texts),
        attached=tuple(attached),
    )


def _asked(name: str) -> str:
    return request.args.get(name, "")[:_QUERY_CHARS]


async def _conversations(desk: Desk) -> Response:
    visitor = await desk.visit()
    text, agent, peer, cursor = _asked("q"), _asked("agent"), _asked("peer"), _asked("cursor")
    agents = await desk.daemon.agents(OWNER)
    kept = {"q": text, "agent": agent, "peer": peer}
    if text.strip():
        search = MessageSearch(text=text, agent=agent, peer=peer)
        found = await desk.daemon.history.messages(OWNER, search, cursor, _SHOWN)
        return await desk.show(
            "found_messages.html",
            visitor,
            lines=[_line(message) for message in found.messages],
            more=further(request.path, kept, found.cursor),
            cut=found.cut,
            agents=agents,
            asked=kept,
        )
    page = await desk.daemon.history.conversations(OWNER, agent, peer, cursor, _SHOWN)
    return await desk.show(
        "messages.html",
        visitor,
        conversations=page.conversations,
        more=further(request.path, kept, page.cursor),
        agents=agents,
        steps=_STEPS,
        asked=kept,
    )


def _known(conversation: str) -> str:
    if not _CONVERSATION.fullmatch(conversation):
        raise DaemonRefusal("not-found", "There is no such conversation.", "Look in the list.", status=404)
    return conversation


async def _conversation(desk: Desk, conversation: str) -> Response:
    visitor = await desk.visit()
    cursor = _asked("cursor")
    search = MessageSearch(conversation=_known(conversation))
    found = await desk.daemon.history.messages(OWNER, search, cursor, _SHOWN)
    if not found.messages and not cursor and not found.cut:
        raise DaemonRefusal("not-found", "There is no such conversation.", "Look in the list.", status=404)
    shown = [
        _cut(_line(message), cursor) for message in reversed(found.messages) if message.type != "task_seen"
    ]
    newest = found.messages[0] if found.messages else None
    return await desk.show(
        "conversation.html",
        visitor,
        id=conversation,
        lines=shown,
        newest=newest,
        tasks=_tasks(found.messages),
        older=further(request.path, {}, found.cursor),
        most=PART_TEXT_BYTES,
    )


def _cut(line: Line, cursor: str) -> Line:
    """A long text is shown whole where it is asked for, one at a time: thirty of them would be no page."""
    id = line.message.id.hex()
    text, left = beginning(line.text, _CHARS)
    if not left or request.args.get("whole") == id:
        return line
    asked = {name: value for name, value in (("cursor", cursor), ("whole", id)) if value}
    return attrs.evolve(line, text=text, more=f"{request.path}?{urlencode(asked)}#m-{id}")


def _tasks(messages: tuple[MessageView, ...]) -> list[tuple[str, str]]:
    """Id and title of each task that is spoken of, the last one first."""
    found = {message.task.hex(): message.title for message in messages if message.task is not None}
    return list(found.items())


async def _say(desk: Desk, conversation: str) -> Response:
    """Send a line in a conversation, as the agent that speaks in it."""
    pressed = await desk.press()
    text = pressed.text("text", PART_TEXT_BYTES)
    if not text.strip():
        raise DaemonRefusal("bad-value", "There is nothing to send.", "Go back and write a line.")
    sent = await desk.daemon.send_message(
        OWNER, pressed.form.get("mine", ""), pressed.form.get("peer", ""), text, (), _known(conversation), ""
    )
    return desk.done(pressed, " ".join(("Sent.", *sent.warnings)), f"/dashboard/messages/{conversation}")


async def _new(desk: Desk) -> Response:
    visitor = await desk.visit()
    connections = await desk.daemon.connections(OWNER, "accepted", "")
    return await desk.show(
        "new_message.html",
        visitor,
        pairs=[(found.mine, found.peer) for found in connections],
        most=PART_TEXT_BYTES,
    )


async def _send(desk: Desk) -> Response:
    """Begin a conversation."""
    pressed = await desk.press()
    mine, _, peer = pressed.form.get("pair", "").partition(" ")
    text = pressed.text("text", PART_TEXT_BYTES)
    if not text.strip():
        raise DaemonRefusal("bad-value", "There is nothing to send.", "Go back and write a line.")
    sent = await desk.daemon.send_message(OWNER, mine, peer, text, (), "", "")
    to = f"/dashboard/messages/{sent.conversation.hex()}"
    return desk.done(pressed, " ".join(("Sent.", *sent.warnings)), to)


async def _quarantine(desk: Desk) -> Response:
    visitor = await desk.visit()
    items = await desk.daemon.quarantine(OWNER, _asked("cursor"), _SHOWN)
    return await desk.show(
        "quarantine.html",
        visitor,
        items=items,
        more=further(request.path, {}, items[-1].cursor if len(items) == _SHOWN else ""),
    )


PAGES: Final = (
    Page("GET", "/dashboard/messages", _conversations),
    Page("GET", "/dashboard/messages/new", _new),
    Page("POST", "/dashboard/messages/new", _send),
    Page("GET", "/dashboard/messages/<conversation>", _conversation),
    Page("POST", "/dashboard/messages/<conversation>", _say),
    Page("GET", "/dashboard/messages/quarantine", _quarantine),
)
