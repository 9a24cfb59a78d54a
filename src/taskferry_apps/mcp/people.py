"""The tools about whom an agent is, whom it knows, and what it says to them outside tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from ..amounts import counted
from ..client.results import Connection, Grant, Held, Message, Status
from ..transport_words import transport_word
from .answers import Answer, delivery_words, held_facts, held_words, short
from .desk import Desk, Host, may_start
from .schema import Arguments

__all__ = ["Waiting", "connect", "message", "waiting_items", "whoami"]

_PAGE: Final = 200
#: A backlog beyond is counted no further.
_MOST: Final = 2_000


async def whoami(desk: Desk, args: Arguments, host: Host) -> Answer:
    """As whom the model acts, and how things stand."""
    del args, host
    status = await desk.client.status()
    name = await desk.agent()
    me = next((agent for agent in await desk.client.agents() if agent.name == name), None)
    connections = [one for one in await desk.client.connections() if one.state in _LIVE]
    waiting = await waiting_items(desk)
    facts = {
        "agent": me.handle if me is not None else name,
        "program": desk.program.name if desk.program is not None else "",
        "display_name": me.display_name if me is not None else "",
        "relay": _link(status),
        "daemon": status.version,
        "alarms": list(status.alarms),
        "connections": [_connection(one) for one in connections],
        "waiting": len(waiting.items),
        "held": held_facts(waiting.held),
    }
    many = counted(len(waiting.items), "item waits", "items wait")
    lines = [
        f"You are {facts['agent']}. Relay: {facts['relay']}. {many} in your inbox.",
        *(f"ALARM: {alarm}" for alarm in status.alarms),
        *map(_connection_line, connections),
    ]
    if facts["program"]:
        lines.append(f"Your session is {facts['program']}: what another session works on is not yours.")
    if not connections:
        lines.append("No connections yet. Ask for one with taskferry_connect.")
    if waiting.held:
        lines.append(held_words(waiting.held))
    return Answer("\n".join(lines), facts)


_LIVE: Final = frozenset({"accepted", "requested_out"})


def _link(status: Status) -> str:
    link = status.relay
    if link is None:
        return "none"
    if link.connected:
        return f"connected by {transport_word(link.transport)}"
    return f"not reached, {link.queued} queued; what you send waits here"


def _connection(one: Connection) -> dict[str, object]:
    return {
        "peer": one.peer,
        "trust": one.trust,
        "state": one.state,
        "may_send": list(one.received.classes) if one.received is not None else [],
        "may_start": may_start(one),
    }


def _connection_line(one: Connection) -> str:
    if one.state != "accepted":
        return f"- {one.peer}: asked, not answered yet"
    can = ", ".join(_taken(one.received)) if one.received is not None else ""
    own = "may start your work" if may_start(one) else "ask your owner before starting its tasks"
    return f"- {one.peer} ({one.trust}): takes {can or 'nothing'} from you; {own}"


def _taken(received: Grant) -> list[str]:
    """What the peer takes, with `task` only where a new one may be asked for."""
    if received.terms.task_budget:
        return list(received.classes)
    return ["answers to its tasks" if word == "task" else word for word in received.classes]


@attrs.frozen
class Waiting:
    """What waits for an agent: headers, oldest first; what is held for its owner; and where the list ends."""

    items: Sequence[Message]
    held: Sequence[Held]
    mark: str


async def waiting_items(desk: Desk) -> Waiting:
    """Look at what waits, and is no other session's; nothing becomes this one's by that."""
    found: list[Message] = []
    cursor = ""
    while True:
        page = await desk.client.inbox(
            limit=_PAGE, header_only=True, cursor=cursor, runtime=desk.program, take=False
        )
        found.extend(page.messages)
        cursor = page.cursor or cursor
        if not page.more or len(found) >= _MOST:
            # Of an empty inbox, everything that ever comes is new.
            return Waiting(found, page.held, cursor or "0")


async def message(desk: Desk, args: Arguments, host: Host) -> Answer:
    """Say something to a connected agent."""
    del host
    sent = await desk.client.send_message(args.text("to"), args.text("text"), reply_to=args.text("reply_to"))
    facts = {
        "message": short(sent.message_id),
        "delivery": delivery_words(sent.delivery),
        "warnings": list(sent.warnings),
    }
    return Answer(" ".join([f"Message {facts['message']}: {facts['delivery']}.", *sent.warnings]), facts)


async def connect(desk: Desk, args: Arguments, host: Host) -> Answer:
    """Ask for a connection. No words go along: to a stranger, they would be a way out of here."""
    del host
    to = args.text("to")
    step = await desk.client.request_connection(to)
    return Answer(
        f"Connection with {to}: {step.state}. Its owner decides; taskferry_whoami shows it.",
        {"state": step.state, "peer": to},
    )
