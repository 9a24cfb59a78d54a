"""What needs an agent: which lines of the feed, whether they still do, and what a hint says of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import attrs

from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.messages import TaskExpire, TaskSeen
from taskferry_protocol.records import (
    Direction,
    EventRecord,
    InboxState,
    Mark,
    MarkMessages,
    MessageQuery,
    MessageRecord,
    Place,
)

from .core import Core
from .names import handle_of
from .port import Caller
from .telling import tells
from .views import EventView

__all__ = ["NAMED", "WAKE", "Gathered", "Needs", "is_item", "needs_agent", "told", "unread_of"]

#: The kind of what the wake feed tells.
WAKE: Final = "wake"
#: How many needs are named, the newest first; the count tells of the others.
NAMED: Final = 8
_PAGE: Final = 500
_ANSWERED: Final = frozenset({"approved", "denied"})
_CAME_TO_NOTHING: Final = frozenset({"failed", "expired"})


def needs_agent(event: EventRecord) -> bool:
    """Whether a line of the feed may be a reason to wake its agent."""
    facts = json.loads(event.text)
    match event.kind:
        case "message":
            return bool(facts.get("direction") == "in")
        case "task":
            # That a deadline passed is the daemon's own word, and not what the agent did.
            kind, comes = facts.get("type"), facts.get("direction") == "in"
            return bool((comes and kind != TaskSeen.type_name) or kind == TaskExpire.type_name)
        case "approval":
            return facts.get("state") in _ANSWERED
        case "delivery":
            return facts.get("rung") in _CAME_TO_NOTHING
        case "connection":
            # What a peer's owner decided stands in the inbox; that nobody answered does not.
            return bool(event.refs) or facts.get("state") == "expired"
        case "superseded":
            return True
        case _:
            return False


def is_item(event: EventRecord) -> bool:
    """Whether the line is about an item of an inbox, which is a reason only while it is unread."""
    comes = json.loads(event.text).get("direction") == "in"
    return bool(event.refs) and (event.kind == "connection" or (event.kind in {"message", "task"} and comes))


def unread_of(agent: str) -> MessageQuery:
    """Which messages an agent has not read."""
    return MessageQuery(agent=agent, direction=Direction.IN, inbox=frozenset({InboxState.UNREAD}))


@attrs.define
class Gathered:
    """What has come for one agent."""

    events: list[EventRecord] = attrs.field(factory=list)
    unread: frozenset[Hash] = frozenset()


class Needs:
    """Looks into the feed and the inbox."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def gather(
        self, place: Place, visible: Collection[str] | None
    ) -> tuple[Mapping[str, Gathered], Place]:
        """What needs each agent after a place, as far as it still does; and the place after all that."""
        found: dict[str, Gathered] = {}
        while True:
            page = await self._core.store.events(place, _PAGE, visible)
            if page.next is not None:
                place = page.next
            if not page.items:
                break
            for name in {event.agent for event in page.items if event.agent}:
                events = [event for event in page.items if event.agent == name and needs_agent(event)]
                items = {event.refs[0] for event in events if is_item(event)}
                unread = await self._core.store.unread(name, items)
                left = [event for event in events if not is_item(event) or event.refs[0] in unread]
                if left:
                    gathered = found.setdefault(name, Gathered())
                    gathered.events += left
                    gathered.unread |= unread
        return found, place

    async def described(
        self, agent: str, events: Sequence[EventRecord]
    ) -> tuple[int, list[dict[str, object]]]:
        """How many things lines are about, and the newest of them; lines come oldest first."""
        # What was said of one item twice is one need.
        newest: dict[object, EventRecord] = {}
        for event in reversed(events):
            newest.setdefault(event.refs[0] if is_item(event) else event.place, event)
        named = list(newest.values())[:NAMED]
        items = await self.items(agent, tuple(event.refs[0] for event in named if is_item(event)))
        by_hash = {str(need["message_id"]): need for need in items}
        needs = [
            by_hash[event.refs[0].hex()]
            if is_item(event) and event.refs[0].hex() in by_hash
            else _need(event)
            for event in named
        ]
        return len(newest), needs

    async def items(self, name: str, hashes: Sequence[Hash]) -> list[dict[str, object]]:
        """Items of an agent's inbox as a hint names them: ids, types and handles."""
        found = await self._core.store.message_states(hashes)
        rows = [row for hash in hashes for row in found.get(hash, ()) if row.mine.name == name]
        return [await self._item(row) for row in rows if row.rung is None]

    async def _item(self, row: MessageRecord) -> dict[str, object]:
        return {
            "kind": row.cls if row.task is None else "task",
            "type": row.type,
            "from": await handle_of(self._core, row.peer),
            "message_id": row.hash.hex(),
            "task_id": None if row.task is None else row.task.hex(),
        }

    async def offered(self, caller: Caller, agent: str, unread: Collection[Hash], runtime: str = "") -> None:
        """Note that unread items were put before an agent."""
        if unread:
            tell = await tells(self._core, caller, agent, runtime)
            mark = MarkMessages(agent, tuple(unread), Mark.OFFERED, self._core.now(), tell)
            await self._core.commit((mark,))


def _need(event: EventRecord) -> dict[str, object]:
    """What is no item of an inbox, by the facts of its line."""
    facts = json.loads(event.text)
    names = ("message_id", "task_id")
    refs = {name: ref.hex() for name, ref in zip(names, event.refs, strict=False)}
    return {"kind": event.kind, **facts, **refs}


def told(
    place: Place, agent: str, at: Instant, count: int, needs: Sequence[Mapping[str, object]]
) -> EventView:
    """A hint: how many things need an agent, and the newest, described. `place` is where to go on."""
    text = json.dumps({"count": count, "needs": list(needs)}, ensure_ascii=False, separators=(",", ":"))
    return EventView(int(place), WAKE, agent, (), text, at)
