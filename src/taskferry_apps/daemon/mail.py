"""Messages as agents read them: the inbox, one message, what is quarantined, the feed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import trio

from taskferry_protocol.ids import Hash
from taskferry_protocol.records import (
    Direction,
    InboxState,
    Mark,
    MarkMessages,
    MessageQuery,
    MessageRecord,
    Order,
    Place,
)

from .core import Core
from .describe import event_view, message_views, quarantine_view
from .names import may_use, not_found, own_agent, require_owner
from .port import Caller, DaemonRefusal
from .search import find_message
from .views import EventView, InboxPage, MessageView, QuarantineView
from .visibility import held_for_owner, without_hidden

__all__ = ["Mail"]

_WAITING: Final = frozenset({InboxState.UNREAD, InboxState.READ})
_SHOWN: Final = frozenset({InboxState.UNREAD, InboxState.READ, InboxState.PROCESSED})
_FEED_PAGE: Final = 200
MOST: Final = 200


class Mail:
    """Reads for callers; marks what they have read or processed."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def inbox(
        self, caller: Caller, agent: str, unprocessed: bool, cursor: str, limit: int, wait_s: float
    ) -> InboxPage:
        """Oldest first; waits up to `wait_s` for something to come, and marks what it gives as read."""
        core = self._core
        mine = await own_agent(core, caller, agent, "agent_id")
        query = MessageQuery(
            agent=mine.name, direction=Direction.IN, inbox=_WAITING if unprocessed else _SHOWN
        )
        after = parse_cursor(cursor)
        with trio.move_on_after(wait_s):
            while True:
                heard = core.feed.next
                if (await core.store.message_page(query, after, 1, Order.OLDEST_FIRST)).items:
                    break
                await heard.wait()
        page = await core.store.message_page(query, after, _within(limit), Order.OLDEST_FIRST)
        views = await message_views(core, page.items)
        await self._mark(mine.name, page.items)
        last = page.items[-1].place if page.items else after
        return InboxPage(views, str(last) if last is not None else "", page.next is not None)

    async def _mark(self, agent: str, messages: tuple[MessageRecord, ...]) -> None:
        fresh = tuple(message.hash for message in messages if message.read_at is None)
        if fresh:
            now = self._core.now()
            await self._core.commit(
                (
                    MarkMessages(agent, fresh, Mark.OFFERED, now),
                    MarkMessages(agent, fresh, Mark.READ, now),
                )
            )

    async def messages(self, caller: Caller, agent: str, cursor: str, limit: int) -> InboxPage:
        """Outgoing and incoming ones, newest first; of all agents for the owner who names none."""
        core = self._core
        if not agent and not caller.is_owner:
            agent = sorted(caller.agents or ("",))[0]
        name = (await own_agent(core, caller, agent, "agent")).name if agent else None
        page = await core.store.message_page(
            MessageQuery(agent=name), parse_cursor(cursor), _within(limit), Order.NEWEST_FIRST
        )
        views = await message_views(core, await without_hidden(core, caller, page.items))
        following = str(page.next) if page.next is not None else ""
        return InboxPage(views, following, page.next is not None)

    async def message(self, caller: Caller, message: str) -> MessageView:
        """One message by id or unique prefix."""
        record = await self.find(caller, message)
        return (await message_views(self._core, (record,)))[0]

    async def find(self, caller: Caller, message: str) -> MessageRecord:
        """The record of a message that the caller may see; the received one where both sides are ours."""
        hash = await find_message(self._core.store, message)
        found = (await self._core.store.messages((hash,))).get(hash, ())
        shown = await without_hidden(self._core, caller, found)
        visible = [record for record in shown if may_use(caller, record.mine.name)]
        if not visible:
            raise not_found("message")
        return next((record for record in visible if record.direction is Direction.IN), visible[0])

    async def acknowledge(self, caller: Caller, message: str) -> MessageView:
        """Mark as processed; again is no error."""
        record = await self.find(caller, message)
        if record.direction is not Direction.IN:
            raise DaemonRefusal(
                "conflict", "Only received messages are acknowledged.", "Look into the inbox.", status=409
            )
        if record.inbox in {InboxState.HELD, InboxState.STOPPED, InboxState.DROPPED}:
            raise held_for_owner()
        now = self._core.now()
        hashes: tuple[Hash, ...] = (record.hash,)
        await self._core.commit(
            (
                MarkMessages(record.mine.name, hashes, Mark.READ, now),
                MarkMessages(record.mine.name, hashes, Mark.PROCESSED, now),
            )
        )
        return await self.message(caller, record.hash.hex())

    async def quarantine(self, caller: Caller, cursor: str, limit: int) -> tuple[QuarantineView, ...]:
        """What came and has no effect, newest first."""
        require_owner(caller)
        page = await self._core.store.quarantine_page(
            parse_cursor(cursor), _within(limit), Order.NEWEST_FIRST
        )
        return tuple([await quarantine_view(self._core, item) for item in page.items])

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
