"""Going on with a relay that has no memory of us, or an older one: everything is told to it again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from taskferry_protocol.envelope import parse_envelope
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.limits import SEEN_MS
from taskferry_protocol.messages import MessageClass
from taskferry_protocol.records import (
    Direction,
    MessageQuery,
    MessageRecord,
    OfferAgain,
    Order,
    OutboxRecord,
    Page,
    Place,
    PutOutbox,
    RelayCursor,
    Rung,
    SeenKey,
    SetCursor,
)

from .arrival import owe
from .core import Core
from .draft import Draft, is_class_without_receipt, wrap_keys
from .own_news import note_lately_signed
from .publishing import publish_everything

__all__ = ["begin_anew"]

_PAGE: Final = 200


async def begin_anew(core: Core, cursor: RelayCursor) -> None:
    """Publish everything, owe once more what peers may not have heard, offer again what may not have arrived.

    What was lately signed for the account is noted, to be told again; a daemon that was at no relay before
    has told nobody anything.

    The cursor is committed last, so that a kill before it repeats all of it. Raises the store's errors.
    """
    await publish_everything(core)
    if await core.store.cursors():
        async with core.lock:
            draft = Draft(core)
            await note_lately_signed(draft)
            await draft.commit()
    await _go_back(core, Direction.IN, _owe)
    await _go_back(core, Direction.OUT, _offer_to_others)
    await core.commit((SetCursor(cursor), OfferAgain(core.now())))


_Page = Callable[[Draft, Page[MessageRecord]], Awaitable[bool]]
"""Does what one page of messages needs; whether any of them lives."""


async def _go_back(core: Core, direction: Direction, work: _Page) -> None:
    """Take messages of a direction from the newest on, a page in a commit.

    Behind what was stored so long ago nothing lives: a long history is not read to its beginning.
    """
    query = MessageQuery(direction=direction)
    after: Place | None = None
    while True:
        async with core.lock:
            draft = Draft(core)
            page = await core.store.message_page(query, after, _PAGE, Order.NEWEST_FIRST)
            any_lives = await work(draft, page)
            await draft.commit()
        over = all(message.stored_at < draft.now - SEEN_MS for message in page.items)
        after = None if over and not any_lives else page.next
        if after is None:
            return


async def _owe(draft: Draft, page: Page[MessageRecord]) -> bool:
    """What became of all that came and has not expired: receipts wait for no answer, so one that the relay
    had taken and lost is known nowhere, and what it would have answered is not delivered here a second time.
    """
    living = {
        SeenKey(message.device, message.id, message.mine, message.seq): message
        for message in page.items
        if message.expires_at > draft.now
    }
    seen = await draft.core.store.seen(tuple(living))
    for key, message in living.items():
        before = seen[key].by_id
        if before is not None and before.hash == message.hash:
            cls = MessageClass(message.cls)
            owe(draft, message.hash, cls, message.mine, message.peer, before.outcome, before.code)
    return bool(living)


async def _offer_to_others(draft: Draft, page: Page[MessageRecord]) -> bool:
    """What one device has confirmed, where others were to have it, too: with what waited for those in its
    mailboxes the relay has lost the only copy that was on its way. Whoever has it takes it for what it is.
    """
    store = draft.core.store
    living = [message for message in page.items if message.expires_at > draft.now]
    delivered = [
        message
        for message in living
        if message.rung is Rung.DELIVERED and not is_class_without_receipt(message.cls)
    ]
    waiting = await store.outbox([message.hash for message in delivered])
    missing = [message for message in delivered if message.hash not in waiting]
    several = [message for message in missing if await _has_several_readers(draft, message)]
    sealed = await store.sealed([message.hash for message in several])
    for message in several:
        kept = sealed.get(message.hash)
        if kept is None:
            continue
        envelope = parse_envelope(kept.envelope)
        parcel = await draft.wrap(envelope, kept.key)
        to = envelope.header.to
        entry = OutboxRecord(
            message.hash, to, message.seq, message.cls, parcel, draft.now, message.expires_at
        )
        draft.add(PutOutbox(entry))
    return bool(living)


async def _has_several_readers(draft: Draft, message: MessageRecord) -> bool:
    """Whether more devices than one were to have it, this one aside."""
    peer = await draft.log(message.peer.account)
    if peer is None:
        return False
    try:
        return len(wrap_keys(await draft.own_log(), peer, message.peer, draft.core.device)) > 1
    except RemoteProtocolError:
        return False  # no device serves that agent any more
