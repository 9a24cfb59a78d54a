"""The wake feed: of all that happens, what needs an agent, many things at once as one hint.

The inbox is the truth. A wake says that there is something in it; what was read meanwhile is not told, and
nothing that an agent has done itself, no receipt, and nothing that waits for the owner wakes anybody.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Final

import trio

from taskferry_protocol.records import Order, Place

from .core import Core
from .names import own_agent
from .needs import NAMED, Needs, needs_agent, told, unread_of
from .port import Caller
from .runtime_wakes import RuntimeWakes
from .telling import note_run
from .views import EventView

__all__ = ["Wakes"]

#: What comes so soon after the first belongs to one wake.
GATHER_S: Final = 0.02
#: Whoever follows is there: that is noted at least so often.
STILL_THERE_S: Final = 60.0
_PAGE: Final = 500


class Wakes:
    """Follows the feed for callers."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._needs = Needs(core)

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
                gathered, place = await self._needs.gather(place, visible)
                for name, found in sorted(gathered.items(), key=lambda pair: pair[1].events[-1].place):
                    count, needs = await self._needs.described(name, found.events)
                    last = found.events[-1]
                    yield told(last.place, name, last.at, count, needs)
                    await self._needs.offered(caller, name, found.unread)
                continue
            moved = page.next is not None and page.next > place
            place = page.next if page.next is not None else place
            if not page.items and not moved:
                await self._wait(heard, () if caller.is_owner or visible is None else visible)

    def follow_for(self, caller: Caller, after: int, runtime: str) -> AsyncIterator[EventView]:
        """The same for one program of an agent's, by its id: without what another one has."""
        return RuntimeWakes(self._core, caller, runtime, after).follow()

    async def _wait(self, heard: trio.Event, watched: Collection[str]) -> None:
        for name in watched:
            note_run(self._core, name)
        with trio.move_on_after(STILL_THERE_S):
            await heard.wait()

    async def _all_unread(self, visible: Collection[str] | None, newest: Place) -> tuple[EventView, ...]:
        core = self._core
        names = visible if visible is not None else {agent.name for agent in await core.store.agents()}
        counts = await core.store.inbox_counts(names)
        wakes = []
        for name in sorted(names):
            page = await core.store.message_page(unread_of(name), None, NAMED, Order.NEWEST_FIRST)
            if page.items:
                needs = await self._needs.items(name, tuple(item.hash for item in page.items))
                count = max(counts[name].unread, len(page.items))
                wakes.append(told(newest, name, core.now(), count, needs))
        return tuple(wakes)
