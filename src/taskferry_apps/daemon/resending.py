"""Offering again what a peer's relay refused, once the peer allows it: a task's chain has no holes then.

An event that never left is a gap at the other end, and all later events of its author would wait behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from taskferry_protocol.envelope import parse_envelope
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import AgentRef, Hash
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
from .repeating import is_barred_there, is_to_former, note_expired

__all__ = ["offer_refused_again"]

_HEALED: Final = frozenset({RejectCode.NOT_PERMITTED.value, RejectCode.NOT_CONNECTED.value})
#: As many of the newest messages to a peer are looked at.
_LOOKED_AT: Final = 500


async def offer_refused_again(draft: Draft, mine: AgentRef, peer: AgentRef) -> None:
    """Put the events of tasks that were refused for want of permission into the outbox once more.

    No relay carries those whose time is over: they are brought again inside others.

    Those that ended a task, too: it is over here and not there. What was asked for and taken back before
    anything left stays here.
    """
    store = draft.core.store
    query = MessageQuery(agent=mine.name, peer=peer, direction=Direction.OUT)
    page = await store.message_page(query, None, _LOOKED_AT, Order.NEWEST_FIRST)
    refused = [message for message in page.items if _is_refused(message, draft)]
    for message in reversed(page.items):
        if message.expires_at <= draft.now and is_barred_there(message):
            await note_expired(draft, message)
    tasks = await _with_peer(draft, refused)
    sealed = await store.sealed([message.hash for message in refused])
    for message in sorted(refused, key=lambda message: message.seq):
        if message.task not in tasks or message.hash not in sealed:
            continue
        kept = sealed[message.hash]
        envelope = parse_envelope(kept.envelope)
        if await is_to_former(draft, envelope):
            continue
        try:
            parcel = await draft.wrap(envelope, kept.key)
        except DaemonRefusal:
            continue  # nobody serves that agent any more
        entry = OutboxRecord(
            message.hash, peer, message.seq, message.cls, parcel, draft.now, message.expires_at
        )
        draft.add(PutOutbox(entry), SetRung(message.hash, mine.name, Rung.QUEUED, "", draft.now))


async def _with_peer(draft: Draft, refused: Sequence[MessageRecord]) -> set[Hash]:
    """The tasks of these messages that the peer has, or is still to be asked for."""
    store = draft.core.store
    tasks = await store.tasks({message.task for message in refused if message.task is not None})
    asked = await store.messages(tasks)
    unasked = {task for task, found in asked.items() if any(_is_refused(one, draft) for one in found)}
    return {task for task, rows in tasks.items() if task not in unasked or any(row.open for row in rows)}


def _is_refused(message: MessageRecord, draft: Draft) -> bool:
    return (
        message.rung is Rung.FAILED
        and message.code in _HEALED
        and message.task is not None
        and message.expires_at > draft.now
    )
