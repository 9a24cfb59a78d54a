"""The wake feed of one program among several that act as an agent: what another one has in hand wakes it not.

What nobody has wakes every program that is idle; a busy one hears of it once it is idle again. What a program
had that is gone, or gave back, wakes the others, however long ago it was read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

import attrs
import trio

from taskferry_protocol.ids import Hash
from taskferry_protocol.records import (
    NOBODY,
    EventRecord,
    Order,
    Place,
    RuntimeId,
    RuntimeRecord,
    WaitingItem,
)
from taskferry_protocol.runtimes import Nudge, is_live, nudge

from .clock_steps import look_at_clock
from .core import Core
from .leasing import SCANNED, find_runtime
from .needs import NAMED, Needs, is_item, needs_agent, told
from .port import Caller
from .telling import note_run
from .views import EventView

__all__ = ["RuntimeWakes"]

#: What comes so soon after the first belongs to one wake.
_GATHER_S: Final = 0.02
_STILL_THERE_S: Final = 60.0
_SOONEST_S: Final = 0.05
_PAGE: Final = 500
#: Lines that wait to be told later, the newest ones: as many as an inbox is looked at.
_KEPT: Final = SCANNED

_Turn = tuple[Hash, int]
"""An item, and the fence of its unit: one handing-out of it; 0 before the first."""


@attrs.frozen
class _Due:
    """What a program is woken by now."""

    events: Sequence[EventRecord]
    items: Sequence[Hash]
    unread: frozenset[Hash]


class RuntimeWakes:
    """One follower, for one program. The program is not heard of by that: a watch lives beside it."""

    def __init__(self, core: Core, caller: Caller, runtime: str, after: int) -> None:
        self._core = core
        self._caller = caller
        self._runtime = runtime
        self._needs = Needs(core)
        self._place = Place(after)
        #: Lines that were not told yet: their time has not come, or another one has what they are about.
        self._untold: list[EventRecord] = []
        #: The first of them whose time comes; another one's is told to that one.
        self._first_later: Place | None = None
        #: Lines before the place are gone, so that unread items are looked for in the inbox.
        self._is_blind = False
        self._told: set[_Turn] = set()
        self._seen: object = None

    async def follow(self) -> AsyncIterator[EventView]:
        """Wakes without end. Raises DaemonRefusal(unknown-runtime), also once it is unbound."""
        core = self._core
        oldest, newest = await core.store.feed_bounds()
        if self._place < oldest - 1:
            self._place, self._is_blind = newest, True
        while True:
            heard = core.feed.next
            await look_at_clock(core)
            me = await find_runtime(core, self._caller, self._runtime)
            others = [one for one in await core.store.runtimes(me.agent) if one.id != me.id]
            live = {one.id for one in others if is_live(one, core.now())}
            is_news = await self._hear(me)
            standing = (me.status, is_live(me, core.now()), frozenset(live))
            if not is_news and standing == self._seen:
                await self._wait(heard, [me, *others])
                continue
            self._seen = standing
            due = await self._due(me, frozenset(live))
            if due is not None:
                yield await self._wake(me, due)
                await self._needs.offered(self._caller, me.agent, due.unread, self._runtime)

    async def _hear(self, me: RuntimeRecord) -> bool:
        """Take in what has come; whether there was anything about the agent."""
        core, visible = self._core, frozenset({me.agent})
        page = await core.store.events(self._place, _PAGE, visible)
        if any(needs_agent(event) for event in page.items):
            await trio.sleep(_GATHER_S)
        gathered, self._place = await self._needs.gather(self._place, visible)
        if me.agent in gathered:
            self._untold = [*self._untold, *gathered[me.agent].events][-_KEPT:]
        return bool(page.items)

    async def _due(self, me: RuntimeRecord, live: frozenset[RuntimeId]) -> _Due | None:
        store, now = self._core.store, self._core.now()
        units = {unit for event in self._untold if (unit := _unit(event)) is not None}
        leases = await store.leases(me.agent, units)
        unread = await store.unread(me.agent, {event.refs[0] for event in self._untold if is_item(event)})
        words = [
            (event, nudge(leases.get(unit), me, live, now) if (unit := _unit(event)) else Nudge.NOW)
            for event in self._untold
            if not is_item(event) or event.refs[0] in unread
        ]
        events = [event for event, word in words if word is Nudge.NOW]
        later = [event for event, word in words if word is Nudge.LATER]
        # Items that another one has are found in the inbox again when it is gone.
        self._untold = [
            event
            for event, word in words
            if word is Nudge.LATER or (word is Nudge.THEIRS and not is_item(event))
        ]
        self._first_later = later[0].place if later else None
        named = {event.refs[0] for event in events if is_item(event)}
        newest = await store.waiting(me.agent, SCANNED, order=Order.NEWEST_FIRST)
        waiting = newest[::-1]
        items = [item for item in self._left_behind(waiting, me, live) if item.hash not in named]
        told_now = named | {item.hash for item in items}
        self._told |= {_turn(item) for item in waiting if item.hash in told_now}
        if not events and not items:
            return None
        fresh = {item.hash for item in items if not item.read and not item.offered}
        return _Due(events, [item.hash for item in items], frozenset(named | fresh))

    def _left_behind(
        self, waiting: Sequence[WaitingItem], me: RuntimeRecord, live: frozenset[RuntimeId]
    ) -> list[WaitingItem]:
        """What somebody had who is gone, or let go of it: each turn once, and nothing that it let go itself.

        Where the feed is blind, what is unread as well.
        """
        passed = self._core.passed.get(me.id, ())
        self._told &= {_turn(item) for item in waiting}
        found, is_blind = [], False
        for item in waiting:
            lease = item.lease
            is_own = lease is not None and (
                lease.runtime == me.id or (lease.runtime == NOBODY and item.unit in passed)
            )
            is_left = lease is not None and not is_own
            is_missed = self._is_blind and not item.read
            if _turn(item) in self._told or not (is_left or is_missed):
                continue
            word = nudge(lease, me, live, self._core.now())
            if word is Nudge.NOW:
                found.append(item)
            is_blind = is_blind or (self._is_blind and word is Nudge.LATER)
        self._is_blind = is_blind
        return found

    async def _wake(self, me: RuntimeRecord, due: _Due) -> EventView:
        count, needs = await self._needs.described(me.agent, due.events)
        items = await self._needs.items(me.agent, tuple(reversed(due.items))[: NAMED - len(needs)])
        at = due.events[-1].at if due.events else self._core.now()
        return told(self._reached(), me.agent, at, count + len(due.items), [*needs, *items])

    def _reached(self) -> Place:
        """Where the next watch goes on: before the first line whose time comes."""
        first = self._first_later
        return self._place if first is None else Place(min(self._place, first - 1))

    async def _wait(self, heard: trio.Event, runtimes: Sequence[RuntimeRecord]) -> None:
        """Until something happens, or somebody may be gone."""
        now = self._core.now()
        if not self._caller.is_owner:
            note_run(self._core, runtimes[0].agent)
        ends = [(one.expires_at - now) / 1000 for one in runtimes if is_live(one, now)]
        with trio.move_on_after(max(_SOONEST_S, min([_STILL_THERE_S, *ends]))):
            await heard.wait()


def _unit(event: EventRecord) -> Hash | None:
    """What a line's subject is leased as: the task, or the lone message."""
    return event.refs[-1] if event.refs else None


def _turn(item: WaitingItem) -> _Turn:
    return item.hash, 0 if item.lease is None else item.lease.fence
