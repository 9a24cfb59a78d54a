"""Messages and receipts that come together are taken in one commit; everything else one after another.

A commit, a look at what was seen before and one at the messages that receipts speak of cost much the same for
one item as for many. What is decided is what would be decided one by one: whatever an item of a run changes
that another may rest on ends the run, and where anything is unusual the rest is taken one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio

from taskferry_protocol.envelope import Envelope
from taskferry_protocol.frame_items import Entry, Mail
from taskferry_protocol.ids import AgentRef, Hash
from taskferry_protocol.inbound import Apply, Directory, InboundFacts, Quarantine, read_inbound, receive
from taskferry_protocol.messages import MessageClass, Receipt
from taskferry_protocol.rates import RateState
from taskferry_protocol.records import (
    AppendEvent,
    CountExchange,
    DaemonChange,
    DropOutbox,
    DropQuarantine,
    Flow,
    Generation,
    KeepSealed,
    MarkMessages,
    Offset,
    OweReceipt,
    PutPeerWord,
    RecordRate,
    RecordReceipt,
    RecordSeen,
    RelayCursor,
    Seen,
    SetCursor,
    SetRung,
    StoreMessage,
)
from taskferry_protocol.values import value
from taskferry_stores.port import StoreConflict, StoreError

from .arrival import Arrival
from .core import Core
from .draft import Draft
from .effects import apply, note_applied
from .inbound import Inbound
from .inbound_facts import gather_facts, seen_key

__all__ = ["Intake"]

#: Items of one commit: what the lock is held for meanwhile is some milliseconds.
RUN: Final = 64
#: Messages that the receipts of one commit speak of.
SPOKEN_OF: Final = 512
#: Others get their turn after so many.
BREATH: Final = 8
_PLAIN: Final = frozenset({MessageClass.MESSAGE, MessageClass.RECEIPT})
#: What an item may change without any decision on another one resting on it: such as do are told apart below.
_APART: Final[frozenset[type[DaemonChange]]] = frozenset(
    {
        AppendEvent,
        CountExchange,
        DropOutbox,
        DropQuarantine,
        KeepSealed,
        MarkMessages,
        OweReceipt,
        PutPeerWord,
        RecordRate,
        RecordReceipt,
        RecordSeen,
        SetRung,
        StoreMessage,
    }
)


@value
class _Item:
    entry: Mail
    envelope: Envelope


class Intake:
    """Takes deliveries of the mailbox at one relay."""

    def __init__(self, core: Core, inbound: Inbound, origin: str, generation: Generation) -> None:
        self._core = core
        self._inbound = inbound
        self._origin = origin
        self._generation = generation

    async def take(self, entries: Sequence[Entry]) -> None:
        """Commit what entries come to, in their order, with the cursor. Raises store errors and LinkEnded."""
        self._core.clock.check_session()
        run: list[_Item] = []
        for entry in entries:
            item = _plain(entry)
            if item is not None:
                run.append(item)
                continue
            await self._take_run(run)
            run = []
            await self._inbound.take(entry, self._at(entry))
        await self._take_run(run)

    def _at(self, entry: Entry) -> RelayCursor:
        return RelayCursor(self._origin, self._generation, Offset(entry.offset))

    async def _take_run(self, run: Sequence[_Item]) -> None:
        done, most = 0, RUN
        while done < len(run):
            some = run[done : done + most]
            taken, wasted = await self._take_some(some) if len(some) > 1 else (0, False)
            if not taken:
                await self._inbound.take(run[done].entry, self._at(run[done].entry))
                taken = 1
            done += taken
            # What was decided on in vain is decided on again: behind a fault there is less company at first.
            most = taken if wasted else min(RUN, 2 * most)

    async def _take_some(self, run: Sequence[_Item]) -> tuple[int, bool]:
        """Commit the first of these that fit together; how many, and whether more were decided on."""
        async with self._core.lock:
            draft = Draft(self._core)
            decisions = await self._decide(run)
            applied = await self._fill(draft, decisions)
            wasted = len(applied) < len(decisions)
            if not applied:
                return 0, wasted
            draft.add(SetCursor(self._at(run[len(applied) - 1].entry)))
            draft.changes[:] = _last_rates(draft.changes)
            try:
                await draft.commit()
            except StoreConflict:
                # One of them is at fault, and is found when it is taken by itself.
                return 0, True
            for decision in applied:
                note_applied(self._core, decision, draft.now)
            return len(applied), wasted

    async def _decide(self, run: Sequence[_Item]) -> list[Apply]:
        """The decisions on the first of these, as far as all are to be applied and none meets another."""
        keys = [seen_key(item.envelope) for item in run]
        seen = await self._core.store.seen(keys)
        known: dict[tuple[AgentRef, AgentRef, MessageClass], InboundFacts] = {}
        arrived: dict[Flow, RateState] = {}
        rates: dict[Flow, RateState] = {}
        numbers: set[tuple[bytes, object, object]] = set()
        spoken_of: set[Hash] = set()
        decisions: list[Apply] = []
        for item, key in zip(run, keys, strict=True):
            header = item.envelope.header
            flow = Flow(header.from_, header.to)
            by_id, by_seq = (key.device, key.id, None), (key.device, key.to, key.seq)
            if by_id in numbers or by_seq in numbers:
                break
            numbers.add(by_id)
            numbers.add(by_seq)
            subject = (header.from_, header.to, header.cls)
            try:
                facts = known.get(subject)
                if facts is None:
                    facts = known[subject] = await gather_facts(
                        self._core, item.envelope, Directory.OPEN, None, Directory.OPEN, seen[key]
                    )
                rate, came = rates.get(flow, facts.rate), arrived.get(flow, facts.arrived)
                facts = _of_another(facts, seen[key], rate, came)
                decision = receive(item.envelope, item.entry.sealed, facts, now=self._core.now())
            except StoreError:
                raise
            except Exception:  # noqa: BLE001 - taken by itself it fails again, and is set aside for that
                break
            if not isinstance(decision, Apply):
                break
            body = decision.opened.content.body
            if isinstance(body, Receipt):
                hashes = {one.hash for one in body.items}
                if spoken_of and (hashes & spoken_of or len(spoken_of) + len(hashes) > SPOKEN_OF):
                    break
                spoken_of |= hashes
            if decision.rate is not None:
                rates[flow] = decision.rate
            if decision.arrived is not None:
                arrived[flow] = decision.arrived
            decisions.append(decision)
            if len(decisions) % BREATH == 0:
                await trio.lowlevel.checkpoint()
        return decisions

    async def _fill(self, draft: Draft, decisions: Sequence[Apply]) -> Sequence[Apply]:
        """Put the effects of the first of these into a draft; of which it was."""
        bodies = [decision.opened.content.body for decision in decisions]
        hashes = [one.hash for body in bodies if isinstance(body, Receipt) for one in body.items]
        messages = await self._core.store.message_states(hashes) if hashes else {}
        for number, decision in enumerate(decisions):
            mark = draft.mark()
            try:
                await apply(Arrival(draft, decision, messages))
            except Exception:  # noqa: BLE001 - taken by itself it fails again, and is set aside for that
                draft.back_to(mark)
                return decisions[:number]
            if not all(type(change) in _APART for change in draft.changes[mark.changes :]):
                return decisions[: number + 1]
        return decisions


def _plain(entry: Entry) -> _Item | None:
    """A message or a receipt, by what its header says; None for anything else."""
    if not isinstance(entry, Mail):
        return None
    try:
        envelope = read_inbound(entry.envelope)
    except Exception:  # noqa: BLE001 - taken by itself it fails again, and is set aside for that
        return None
    if isinstance(envelope, Quarantine) or envelope.header.cls not in _PLAIN:
        return None
    return _Item(entry, envelope)


def _of_another(
    facts: InboundFacts, seen: Seen, rate: RateState | None, arrived: RateState | None
) -> InboundFacts:
    """The facts for another envelope of the same class between the same two."""
    # By hand: asking attrs to do it takes as long as the rest of the decision, signature apart.
    return InboundFacts(
        *(facts.mine, facts.device, facts.keys, facts.sender, facts.held, facts.relation, facts.acquainted),
        *(facts.grant, facts.terms, rate, arrived, facts.unanswered, facts.closed_until, facts.open_tasks),
        *(seen, facts.highest_seq, facts.caught_up, facts.directory, facts.own),
    )


def _last_rates(changes: Sequence[DaemonChange]) -> list[DaemonChange]:
    """The same without what a later change of it replaces anyway."""
    last = {change.flow: change for change in changes if isinstance(change, RecordRate)}
    return [*[one for one in changes if type(one) is not RecordRate], *last.values()]
