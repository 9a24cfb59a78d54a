"""Messages as agents read them: the inbox, one message, what is quarantined, the feed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final

import attrs
import trio

from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.records import (
    Direction,
    InboxState,
    LeaseRecord,
    Mark,
    MarkMessages,
    MessageQuery,
    MessageRecord,
    Order,
    Place,
)
from taskferry_protocol.runtimes import HandedOut

from .barred import barred_by
from .core import Core
from .describe import event_view, message_views, quarantine_view
from .draft import Draft
from .leasing import check_hold, find_runtime, hand_over, other_agent, pause
from .names import agent_read, may_use, not_found, own_agent, require_owner
from .port import Caller, DaemonRefusal, Handing, Hold, Look
from .search import find_message
from .telling import tells
from .views import EventView, InboxPage, LeaseView, MessageView, QuarantineView
from .visibility import held_for_owner, without_hidden

__all__ = ["Mail"]

_WAITING: Final = frozenset({InboxState.UNREAD, InboxState.READ})
_SHOWN: Final = frozenset({InboxState.UNREAD, InboxState.READ, InboxState.PROCESSED})
_MARKS: Final = {Look.WHOLE: (Mark.OFFERED, Mark.READ), Look.HEADERS: (Mark.OFFERED,)}
_FEED_PAGE: Final = 200
MOST: Final = 200


class Mail:
    """Reads for callers; marks what they have read or processed."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def inbox(
        self,
        caller: Caller,
        agent: str,
        unprocessed: bool,
        cursor: str,
        limit: int,
        wait_s: float,
        look: Look = Look.WHOLE,
    ) -> InboxPage:
        """Oldest first; waits up to `wait_s` for something to come, and marks what it gives."""
        core = self._core
        mine = await own_agent(core, caller, agent, "agent_id")
        query = MessageQuery(
            agent=mine.name, direction=Direction.IN, inbox=_WAITING if unprocessed else _SHOWN
        )
        after, _ = _parse_handed(cursor)
        with trio.move_on_after(wait_s):
            while True:
                heard = core.feed.next
                if (await core.store.message_page(query, after, 1, Order.OLDEST_FIRST)).items:
                    break
                await heard.wait()
        page = await core.store.message_page(query, after, _within(limit), Order.OLDEST_FIRST)
        views = await message_views(core, page.items)
        await self._mark(caller, mine.name, page.items, look)
        last = page.items[-1].place if page.items else after
        return InboxPage(views, str(last) if last is not None else "", page.next is not None)

    async def leased(
        self,
        caller: Caller,
        agent: str,
        runtime: str,
        cursor: str,
        limit: int,
        wait_s: float,
        look: Look,
        handing: Handing,
    ) -> InboxPage:
        """What a bound program may have of what is not processed; waiting for it is a sign of life."""
        core = self._core
        mine = await own_agent(core, caller, agent, "agent_id")
        me = await find_runtime(core, caller, runtime)
        if me.agent != mine.name:
            raise other_agent(me, mine.name)
        after, since = _parse_handed(cursor)
        handed = HandedOut((), (), more=False)
        leases: Mapping[Hash, LeaseRecord] = {}
        with trio.move_on_after(wait_s):
            while not handed.given:
                heard = core.feed.next
                with trio.CancelScope(shield=True):
                    # What was handed out is given, or handed out again: it is never lost in between.
                    handed, leases = await hand_over(
                        core, caller, runtime, after, since, _within(limit), _MARKS[look], handing
                    )
                if handed.given:
                    break
                with trio.move_on_after(await pause(core, me)):
                    await heard.wait()
        records = await core.store.messages([item.hash for item in handed.given])
        given = tuple(
            next(record for record in records[item.hash] if record.mine.name == mine.name)
            for item in handed.given
        )
        until = Instant(core.now() + me.lease_ms)
        views = tuple(
            attrs.evolve(view, lease=LeaseView(runtime, leases[view.id].fence, until))
            if view.id in leases
            else view
            for view in await message_views(core, given)
        )
        # Who only looked has not been told what it took.
        new = leases.values() if handing is Handing.TAKEN else ()
        known = max([*(lease.at for lease in new), *([] if since is None else [since])], default=None)
        return InboxPage(views, _cursor_after(handed, known, after), handed.more)

    async def _mark(
        self, caller: Caller, agent: str, messages: tuple[MessageRecord, ...], look: Look
    ) -> None:
        tell = await tells(self._core, caller, agent)
        last = _MARKS[look][-1]
        # What only the owner has looked at so far is news all the same, once its agent does.
        fresh = tuple(
            m.hash
            for m in messages
            if (m.read_at if last is Mark.READ else m.offered_at) is None or (tell and m.told < last.order)
        )
        if fresh:
            now = self._core.now()
            await self._core.commit([MarkMessages(agent, fresh, mark, now, tell) for mark in _MARKS[look]])

    async def messages(self, caller: Caller, agent: str, cursor: str, limit: int) -> InboxPage:
        """Outgoing and incoming ones, newest first; of all agents for the owner who names none."""
        core = self._core
        if not agent and not caller.is_owner:
            agent = sorted(caller.agents or ("",))[0]
        name = (await agent_read(core, caller, agent)).name if agent else None
        page = await core.store.message_page(
            MessageQuery(agent=name), parse_cursor(cursor), _within(limit), Order.NEWEST_FIRST
        )
        views = await message_views(core, await without_hidden(core, caller, page.items))
        following = str(page.next) if page.next is not None else ""
        return InboxPage(views, following, page.next is not None)

    async def message(self, caller: Caller, message: str) -> MessageView:
        """One message by id or unique prefix; an agent that is given one that it was sent has read it."""
        record = await self.find(caller, message)
        if not caller.is_owner and record.inbox in _WAITING:
            await self._mark(caller, record.mine.name, (record,), Look.WHOLE)
            record = await self.find(caller, message)
        return (await message_views(self._core, (record,)))[0]

    async def find(self, caller: Caller, message: str, agent: str = "") -> MessageRecord:
        """The record of a message that the caller may see; the received one where both sides are ours.

        With `agent`, the record of that agent of ours.
        """
        hash = await find_message(self._core.store, message)
        found = (await self._core.store.messages((hash,))).get(hash, ())
        shown = await without_hidden(self._core, caller, found)
        visible = [
            record
            for record in shown
            if may_use(caller, record.mine.name) and agent in ("", record.mine.name)
        ]
        if not visible:
            raise not_found("message")
        return next((record for record in visible if record.direction is Direction.IN), visible[0])

    async def acknowledge(self, caller: Caller, message: str, hold: Hold | None = None) -> MessageView:
        """Mark as processed; again is no error."""
        async with self._core.lock:
            record = await self._acknowledge(caller, message, hold)
        return (await message_views(self._core, (record,)))[0]

    async def _acknowledge(self, caller: Caller, message: str, hold: Hold | None) -> MessageRecord:
        record = await self.find(caller, message)
        if record.direction is not Direction.IN:
            raise DaemonRefusal(
                "conflict", "Only received messages are acknowledged.", "Look into the inbox.", status=409
            )
        if record.inbox in {InboxState.HELD, InboxState.STOPPED, InboxState.DROPPED}:
            raise held_for_owner()
        agent, unit = record.mine.name, record.task or record.hash
        held = await check_hold(self._core, caller, agent, unit, hold)
        tell = await tells(self._core, caller, agent, hold.runtime if hold is not None else "")
        now = self._core.now()
        hashes: tuple[Hash, ...] = (record.hash,)
        await self._core.commit(
            (
                *held,
                MarkMessages(agent, hashes, Mark.READ, now, tell),
                MarkMessages(agent, hashes, Mark.PROCESSED, now, tell),
            )
        )
        return await self.find(caller, record.hash.hex())

    async def quarantine(self, caller: Caller, cursor: str, limit: int) -> tuple[QuarantineView, ...]:
        """What came and has no effect, newest first."""
        require_owner(caller)
        page = await self._core.store.quarantine_page(
            parse_cursor(cursor), _within(limit), Order.NEWEST_FIRST
        )
        barred = await barred_by(Draft(self._core))
        return tuple([await quarantine_view(self._core, item, barred) for item in page.items])

    async def events(self, caller: Caller, after: int | None, agent: str) -> AsyncIterator[EventView]:
        """The feed after an event's id, without end."""
        core = self._core
        visible = caller.agents
        if agent:
            visible = frozenset({(await own_agent(core, caller, agent, "agent")).name})
        place = Place(after) if after is not None else (await core.store.feed_bounds())[1]
        while True:
            heard = core.feed.next
            page = await core.store.events(place, _FEED_PAGE, visible)
            for event in page.items:
                yield event_view(event)
            moved = page.next is not None and page.next > place
            place = page.next if page.next is not None else place
            if not page.items and not moved:
                await heard.wait()


def _cursor_after(handed: HandedOut, known: Instant | None, after: Place | None) -> str:
    """The place where a program goes on, and the newest taking that it knows of: `PLACE-TIME`."""
    if handed.more:
        # What came free may be older than where the program was: it goes on behind that, lest some be left.
        last: Place | None = handed.given[-1].place
    else:
        places = [item.place for item in handed.given]
        last = max([*places, *([] if after is None else [after])], default=None)
    if last is None:
        return ""
    return str(last) if known is None else f"{last}-{known}"


def _parse_handed(text: str) -> tuple[Place | None, Instant | None]:
    """What a cursor of a program's inbox says; one of an inbox of all says the place alone."""
    place, _, known = text.partition("-")
    since = parse_cursor(known)
    return parse_cursor(place), None if since is None else Instant(since)


def parse_cursor(text: str) -> Place | None:
    """A cursor that a page gave. Raises DaemonRefusal(bad-value)."""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise DaemonRefusal(
            "bad-value", "That is no cursor of this list.", "Begin without one.", detail={"field": "cursor"}
        )
    return Place(int(text))


def _within(limit: int) -> int:
    return max(1, min(limit, MOST))
