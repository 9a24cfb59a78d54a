"""Going on with a relay that has no memory of us, or an older one: everything is told to it again."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.limits import SEEN_MS
from taskferry_protocol.messages import MessageClass
from taskferry_protocol.records import (
    Direction,
    MessageQuery,
    OfferAgain,
    Order,
    Place,
    RelayCursor,
    SeenKey,
    SetCursor,
)

from .arrival import owe
from .core import Core
from .draft import Draft
from .publishing import publish_everything

__all__ = ["begin_anew"]

_PAGE: Final = 200


async def begin_anew(core: Core, cursor: RelayCursor) -> None:
    """Publish everything, owe once more what peers may not have heard, offer again what may not have arrived.

    The cursor is committed last, so that a kill before it repeats all of it. Raises the store's errors.
    """
    await publish_everything(core)
    await _owe_again(core)
    await core.commit((SetCursor(cursor), OfferAgain(core.now())))


async def _owe_again(core: Core) -> None:
    """What became of all that came and has not expired: receipts wait for no answer, so one that the relay
    had taken and lost is known nowhere, and what it would have answered is not delivered here a second time.
    """
    query, after = MessageQuery(direction=Direction.IN), None
    while True:
        async with core.lock:
            draft = Draft(core)
            after = await _owe_page(draft, query, after)
            await draft.commit()
        if after is None:
            return


async def _owe_page(draft: Draft, query: MessageQuery, after: Place | None) -> Place | None:
    """Owe for one page; where the next one begins, None after the last."""
    store = draft.core.store
    page = await store.message_page(query, after, _PAGE, Order.NEWEST_FIRST)
    living = {
        SeenKey(message.device, message.id, message.mine, message.seq): message
        for message in page.items
        if message.expires_at > draft.now
    }
    seen = await store.seen(tuple(living))
    for key, message in living.items():
        before = seen[key].by_id
        if before is not None and before.hash == message.hash:
            cls = MessageClass(message.cls)
            owe(draft, message.hash, cls, message.mine, message.peer, before.outcome, before.code)
    # Behind what was stored so long ago nothing lives: a long history is not read to its beginning.
    over = all(message.stored_at < draft.now - SEEN_MS for message in page.items)
    return None if over and not living else page.next
