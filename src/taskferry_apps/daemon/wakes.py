"""The wake feed: of all that happens, what needs an agent, many things at once as one hint.

The inbox is the truth. A wake says that there is something in it; what was read meanwhile is not told, and
nothing that an agent has done itself, no receipt, and nothing that waits for the owner wakes anybody.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Final

import attrs
import trio

from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.messages import TaskExpire, TaskSeen
from taskferry_protocol.records import EventRecord, Mark, MarkMessages, MessageRecord, Place

from .core import Core
from .names import handle_of, own_agent
from .port import Caller
from .telling import note_run, tells
from .views import EventView

__all__ = ["WAKE", "Wakes", "needs_agent"]

#: The kind of what this feed tells.
WAKE: Final = "wake"
#: What comes so soon after the first belongs to one wake.
GATHER_S: Final = 0.02
#: How many needs are named, the newest first; the count tells of the others.
NAMED: Final = 8
#: Whoever follows is there: that is noted at least so often.
STILL_THERE_S: Final = 60.0
_PAGE: Final = 500
_SCANNED: Final = 2_000
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


@attrs.define
class _Gathered:
    """What has come for one agent."""

    events: list[EventRecord] = attrs.field(factory=list)
    unread: frozenset[Hash] = frozenset()


class Wakes:
    """Follows the feed for callers."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def start(self, after: int | None) -> int:
        """The place in the feed where to begin: now if `after` is None, or is a place of another feed."""
        newest = int((await self._core.store.feed_bounds())[1])
        return newest if after is None or after > newest else after

    async def follow(self, caller: Caller, after: int, agent: str) -> AsyncIterator[EventView]:
        """Wakes after an event's id, without end. Raises as `own_agent` does."""
        core = self._core
        visible = caller.agents
        if agent:
            visible = frozenset({(await own_agent(core, caller, agent, "agent")).name})
        place = Place(after)
        oldest, newest = await core.store.feed_bounds()
        if place < oldest - 1:
            # Some of the feed is gone: what is unread is known all the same.
            for wake in await self._all_unread(visible, newest):
                yield wake
            place = newest
        while True:
            heard = core.feed.next
            page = await core.store.events(place, _PAGE, visible)
            if any(event.agent and needs_agent(event) for event in page.items):
                await trio.sleep(GATHER_S)
                gathered, place = await self._gather(place, visible)
                for name, found in sorted(gathered.items(), key=lambda pair: pair[1].events[-1].place):
                    yield await self._wake(name, found)
                    await self._mark(caller, name, found.unread)
                continue
            moved = page.next is not None and page.next > place
            place = page.next if page.next is not None else place
            if not page.items and not moved:
                await self._wait(heard, () if caller.is_owner or visible is None else visible)

    async def _wait(self, heard: trio.Event, watched: Collection[str]) -> None:
        for name in watched:
            note_run(self._core, name)
        with trio.move_on_after(STILL_THERE_S):
            await heard.wait()

    async def _gather(
        self, place: Place, visible: Collection[str] | None
    ) -> tuple[Mapping[str, _Gathered], Place]:
        """What needs each agent after a place, as far as it still does; and the place after all that."""
        found: dict[str, _Gathered] = {}
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
                    gathered = found.setdefault(name, _Gathered())
                    gathered.events += left
                    gathered.unread |= unread
        return found, place

    async def _all_unread(self, visible: Collection[str] | None, newest: Place) -> tuple[EventView, ...]:
        core = self._core
        names = visible if visible is not None else {agent.name for agent in await core.store.agents()}
        wakes = []
        for name in sorted(names):
            waiting = [item for item in await core.store.waiting(name, _SCANNED) if not item.read]
            if waiting:
                hashes = tuple(item.hash for item in reversed(waiting))
                needs = await self._items(name, hashes[:NAMED])
                wakes.append(_told(newest, name, core.now(), len(waiting), needs))
        return tuple(wakes)

    async def _wake(self, name: str, found: _Gathered) -> EventView:
        # What was said of one item twice is one need.
        newest: dict[object, EventRecord] = {}
        for event in reversed(found.events):
            newest.setdefault(event.refs[0] if is_item(event) else event.place, event)
        named = list(newest.values())[:NAMED]
        items = await self._items(name, tuple(event.refs[0] for event in named if is_item(event)))
        by_hash = {str(need["message_id"]): need for need in items}
        needs = [
            by_hash[event.refs[0].hex()]
            if is_item(event) and event.refs[0].hex() in by_hash
            else _need(event)
            for event in named
        ]
        last = found.events[-1]
        return _told(last.place, name, last.at, len(newest), needs)

    async def _items(self, name: str, hashes: Sequence[Hash]) -> list[dict[str, object]]:
        found = await self._core.store.messages(hashes)
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

    async def _mark(self, caller: Caller, agent: str, unread: Collection[Hash]) -> None:
        if unread:
            tell = await tells(self._core, caller, agent)
            mark = MarkMessages(agent, tuple(unread), Mark.OFFERED, self._core.now(), tell)
            await self._core.commit((mark,))


def _need(event: EventRecord) -> dict[str, object]:
    """What is no item of an inbox, by the facts of its line."""
    facts = json.loads(event.text)
    names = ("message_id", "task_id")
    refs = {name: ref.hex() for name, ref in zip(names, event.refs, strict=False)}
    return {"kind": event.kind, **facts, **refs}


def _told(
    place: Place, agent: str, at: Instant, count: int, needs: Sequence[Mapping[str, object]]
) -> EventView:
    text = json.dumps({"count": count, "needs": list(needs)}, ensure_ascii=False, separators=(",", ":"))
    return EventView(int(place), WAKE, agent, (), text, at)
