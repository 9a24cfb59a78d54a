"""Receipts: saying, many at once, what became of what came; and taking what others say of ours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import attrs
import trio

from taskferry_protocol.errors import RejectCode
from taskferry_protocol.former_names import of_name
from taskferry_protocol.ids import AgentRef, Hash
from taskferry_protocol.limits import RECEIPT_ITEMS
from taskferry_protocol.messages import ConnectionRequested, Outcome, Receipt, ReceiptItem
from taskferry_protocol.records import (
    DropOutbox,
    Mark,
    MarkMessages,
    MessageRecord,
    PeerWord,
    PutPeerWord,
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
from .repeating import is_untimely_there, note_expired
from .telling import PeerTelling, telling_to

__all__ = ["GATHER_S", "LOOK_AGAIN_S", "Receipts", "take_receipt"]

#: Nothing is known to be owed, and yet somebody looks.
LOOK_AGAIN_S: Final = 30.0
#: Who has just said receipts gathers for so long before the next: each costs both daemons a seal and a
#: commit, and the relay a message, of however many messages it speaks.
GATHER_S: Final = 0.1

_MARKS: Final = {
    Outcome.OFFERED: Mark.OFFERED,
    Outcome.READ: Mark.READ,
    Outcome.PROCESSED: Mark.PROCESSED,
}
_CODES: Final = frozenset(code.value for code in RejectCode)
_NOT_THERE: Final = frozenset({Rung.QUEUED, Rung.RELAYED, Rung.EXPIRED})


class Receipts:
    """Says what is owed: at once after a pause, and while much comes, together some times a second."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._not_before = -math.inf
        self._look_again = -math.inf

    @property
    def wait_s(self) -> float:
        """How long until what is owed now may be said; infinite where nothing is known to be."""
        return max(0.0, self._not_before - trio.current_time()) if self._core.owes_receipts else math.inf

    async def say(self) -> None:
        """Put what is owed into receipts, one a pair of agents, in the outbox, if it is time for that."""
        core, now = self._core, trio.current_time()
        if now < (self._not_before if core.owes_receipts else self._look_again):
            return
        # Before the look: what comes to be owed meanwhile is looked for again.
        core.owes_receipts = False
        try:
            is_more = await self._say_some()
        except BaseException:
            core.owes_receipts = True
            raise
        self._look_again = now + LOOK_AGAIN_S
        core.owes_receipts = core.owes_receipts or is_more

    async def _say_some(self) -> bool:
        """Whether there may be more at once."""
        core = self._core
        if not await core.store.receipts_owed(1):
            return False
        async with core.lock:
            owed = await core.store.receipts_owed(RECEIPT_ITEMS)
            await _say_all(core, owed)
        is_more = len(owed) == RECEIPT_ITEMS
        self._not_before = -math.inf if is_more else trio.current_time() + GATHER_S
        return is_more


async def _say_all(core: Core, owed: Sequence[ReceiptOwed]) -> None:
    if core.clock.is_off:
        return  # nothing is signed now, and the next session says them
    pairs: dict[tuple[AgentRef, AgentRef], list[ReceiptOwed]] = {}
    for item in owed:
        pairs.setdefault((item.mine, item.peer), []).append(item)
    draft = Draft(core)
    for (mine, peer), items in pairs.items():
        telling = await telling_to(core, mine, peer)
        # What an owner has stopped telling is not told of what was marked before, either.
        said = [item for item in items if telling.tells or Outcome(item.outcome) not in _MARKS]
        if said:
            await _say(draft, said, telling, mine, peer)
    # Once, at the end: a store writes what it holds back before it settles any.
    draft.add(SettleReceipts(tuple(item.place for item in owed)))
    await draft.commit()


async def _say(
    draft: Draft, items: Sequence[ReceiptOwed], telling: PeerTelling, mine: AgentRef, peer: AgentRef
) -> None:
    said = tuple(ReceiptItem(item.hash, Outcome(item.outcome), item.code or None) for item in items)
    mark = draft.mark()
    try:
        await draft.post_quietly(Receipt(said, telling.tells, telling.seen), mine, peer)
    except DaemonRefusal:
        draft.back_to(mark)  # nobody serves that agent any more: there is nobody to tell


async def take_receipt(arrival: Arrival, body: Receipt) -> None:
    """Move our messages along their ladders, as far as the one who says so is the one they went to."""
    draft = arrival.draft
    arrival.keep()
    messages = arrival.messages
    if messages is None:
        messages = await draft.core.store.message_states([item.hash for item in body.items])
    device = arrival.decision.envelope.device
    ours = False
    # One receipt may speak of a message several times: how far it is by what was said of it before.
    rungs: dict[Hash, Rung] = {}
    marks: set[tuple[Hash, Mark]] = set()
    for item in body.items:
        for message in messages.get(item.hash, ()):
            sides = (of_name(message.mine), of_name(message.peer))
            if message.rung is None or sides != (arrival.mine, arrival.peer):
                continue
            code = item.code or ""
            ours = True
            draft.add(
                RecordReceipt(
                    ReceiptGot(item.hash, device, item.outcome.value, code, arrival.hash, draft.now)
                )
            )
            before = rungs.get(item.hash, message.rung)
            mark = _MARKS.get(item.outcome)
            if mark is not None:
                if (item.hash, mark) not in marks:
                    marks.add((item.hash, mark))
                    rungs[item.hash] = _take_mark(draft, message, before, mark)
                continue
            quarantined = item.outcome is Outcome.QUARANTINED
            rung = Rung.FAILED if quarantined else Rung.DELIVERED
            if before in (rung, Rung.DELIVERED):
                # What one of its devices has taken is delivered, whatever another made of it.
                continue
            rungs[item.hash] = rung
            reason = _reason(code) if quarantined else ""
            draft.add(SetRung(item.hash, message.mine.name, rung, reason, draft.now))
            draft.add(DropOutbox((item.hash,)))
            if quarantined and is_untimely_there(attrs.evolve(message, rung=rung, code=reason)):
                await note_expired(draft, message)
            if not quarantined and code and message.type == ConnectionRequested.type_name:
                await hear_of_invite(draft, message, code)
            refs = (item.hash,) if message.task is None else (item.hash, message.task)
            draft.tell("delivery", message.mine.name, refs, rung=rung.value, code=reason)
    if ours:
        # Whoever answers nothing of ours has nothing to say of how it would.
        _take_word(arrival, body)


def _reason(code: str) -> str:
    """Why a peer took a message not. What is no code of ours is the peer's own words: they go no further."""
    return f"quarantined: {code}" if code in _CODES else "quarantined"


def _take_mark(draft: Draft, message: MessageRecord, rung: Rung, mark: Mark) -> Rung:
    """What became of a message at its agent, and its rung then; said again, it is nothing new."""
    times = {
        Mark.OFFERED: message.offered_at,
        Mark.READ: message.read_at,
        Mark.PROCESSED: message.processed_at,
    }
    if times[mark] is not None:
        return rung
    if rung in _NOT_THERE:
        # What its agent has was delivered, whichever word comes first.
        rung = Rung.DELIVERED
        draft.add(SetRung(message.hash, message.mine.name, Rung.DELIVERED, "", draft.now))
        draft.add(DropOutbox((message.hash,)))
    draft.add(MarkMessages(message.mine.name, (message.hash,), mark, draft.now))
    refs = (message.hash,) if message.task is None else (message.hash, message.task)
    draft.tell("delivery", message.mine.name, refs, rung=mark.value)
    return rung


def _take_word(arrival: Arrival, body: Receipt) -> None:
    """Keep what a peer's daemon says of its agent: a claim, and never about the time to come."""
    if body.tells is None:
        return
    said_at = arrival.decision.envelope.header.created_at
    seen = min(body.seen, said_at) if body.tells and body.seen is not None else None
    arrival.draft.add(PutPeerWord(PeerWord(arrival.mine, arrival.peer, body.tells, seen, said_at)))
