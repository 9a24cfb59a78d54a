"""Offering again what a peer's relay refused, once the peer allows it: a task's chain has no holes then.

An event that never left is a gap at the other end, and all later events of its author would wait behind it.
"""

from __future__ import annotations

from typing import Final

from taskferry_protocol.envelope import parse_envelope
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import AgentRef
from taskferry_protocol.records import (
    Direction,
    MessageQuery,
    MessageRecord,
    Order,
    OutboxRecord,
    PutOutbox,
    Rung,
    SetRung,
)

from .draft import Draft
from .port import DaemonRefusal

__all__ = ["offer_refused_again"]

_HEALED: Final = frozenset({RejectCode.NOT_PERMITTED.value, RejectCode.NOT_CONNECTED.value})
#: As many of the newest messages to a peer are looked at.
_LOOKED_AT: Final = 500


async def offer_refused_again(draft: Draft, mine: AgentRef, peer: AgentRef) -> None:
    """Put the events of open tasks that were refused for want of permission into the outbox once more."""
    store = draft.core.store
    query = MessageQuery(agent=mine.name, peer=peer, direction=Direction.OUT)
    page = await store.message_page(query, None, _LOOKED_AT, Order.NEWEST_FIRST)
    refused = [message for message in page.items if _is_refused(message, draft)]
    tasks = await store.tasks({message.task for message in refused if message.task is not None})
    sealed = await store.sealed([message.hash for message in refused])
    for message in sorted(refused, key=lambda message: message.seq):
        rows = tasks.get(message.task, ()) if message.task is not None else ()
        if not any(row.open for row in rows) or message.hash not in sealed:
            continue
        kept = sealed[message.hash]
        try:
            parcel = await draft.wrap(parse_envelope(kept.envelope), kept.key)
        except DaemonRefusal:
            continue  # nobody serves that agent any more
        entry = OutboxRecord(
            message.hash, peer, message.seq, message.cls, parcel, draft.now, message.expires_at
        )
        draft.add(PutOutbox(entry), SetRung(message.hash, mine.name, Rung.QUEUED, "", draft.now))


def _is_refused(message: MessageRecord, draft: Draft) -> bool:
    return (
        message.rung is Rung.FAILED
        and message.code in _HEALED
        and message.task is not None
        and message.expires_at > draft.now
    )
