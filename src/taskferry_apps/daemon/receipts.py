"""Receipts: saying, many at once, what became of what came; and taking what others say of ours."""

from __future__ import annotations

from typing import Final

from taskferry_protocol.ids import AgentRef
from taskferry_protocol.limits import RECEIPT_ITEMS
from taskferry_protocol.messages import ConnectionRequested, Outcome, Receipt, ReceiptItem
from taskferry_protocol.records import (
    DropOutbox,
    Mark,
    MarkMessages,
    ReceiptGot,
    ReceiptOwed,
    RecordReceipt,
    Rung,
    SetRung,
    SettleReceipts,
)

from .arrival import Arrival
from .core import Core
from .draft import Draft
from .invited import hear_of_invite
from .port import DaemonRefusal

__all__ = ["say_receipts", "take_receipt"]

_MARKS: Final = {
    Outcome.OFFERED: Mark.OFFERED,
    Outcome.READ: Mark.READ,
    Outcome.PROCESSED: Mark.PROCESSED,
}


async def say_receipts(core: Core) -> None:
    """Put what is owed into receipts, one a pair of agents, in the outbox."""
    async with core.lock:
        owed = await core.store.receipts_owed(RECEIPT_ITEMS)
        if not owed:
            return
        pairs: dict[tuple[AgentRef, AgentRef], list[ReceiptOwed]] = {}
        for item in owed:
            pairs.setdefault((item.mine, item.peer), []).append(item)
        draft = Draft(core)
        for (mine, peer), items in pairs.items():
            said = Receipt(
                tuple(ReceiptItem(item.hash, Outcome(item.outcome), item.code or None) for item in items)
            )
            try:
                await draft.post_quietly(said, mine, peer)
            except DaemonRefusal:
                pass  # nobody serves that agent any more: there is nobody to tell
            draft.add(SettleReceipts(tuple(item.place for item in items)))
        await draft.commit()


async def take_receipt(arrival: Arrival, body: Receipt) -> None:
    """Move our messages along their ladders, as far as the one who says so is the one they went to."""
    draft = arrival.draft
    arrival.keep()
    messages = await draft.core.store.messages([item.hash for item in body.items])
    device = arrival.decision.envelope.device
    for item in body.items:
        for message in messages.get(item.hash, ()):
            if message.rung is None or (message.mine, message.peer) != (arrival.mine, arrival.peer):
                continue
            code = item.code or ""
            draft.add(
                RecordReceipt(
                    ReceiptGot(item.hash, device, item.outcome.value, code, arrival.hash, draft.now)
                )
            )
            if item.outcome in _MARKS:
                mark = MarkMessages(message.mine.name, (item.hash,), _MARKS[item.outcome], draft.now)
                draft.add(mark)
                continue
            quarantined = item.outcome is Outcome.QUARANTINED
            rung = Rung.FAILED if quarantined else Rung.DELIVERED
            if message.rung is rung:
                continue
            reason = f"quarantined: {code}" if quarantined else ""
            draft.add(SetRung(item.hash, message.mine.name, rung, reason, draft.now))
            draft.add(DropOutbox((item.hash,)))
            if not quarantined and code and message.type == ConnectionRequested.type_name:
                await hear_of_invite(draft, message, code)
            refs = (item.hash,) if message.task is None else (item.hash, message.task)
            draft.tell("delivery", message.mine.name, refs, rung=rung.value, code=reason)
