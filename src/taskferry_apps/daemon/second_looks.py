"""Looking again at barred events, once the owner has said anew what their sender may send.

Each is decided on as if it had come just now, by the log, the connection and the permission of now, and takes
effect as what comes does. Only its rate is counted apart, so that what comes back takes no room from what is
new: no faster than the owner allows, and beside it.
"""

from __future__ import annotations

import attrs

from taskferry_protocol.barred import Again, again, forget_decision
from taskferry_protocol.errors import LocalProtocolError, RejectCode, RemoteProtocolError
from taskferry_protocol.ids import Hash
from taskferry_protocol.inbound import Apply, Directory, Quarantine, read_inbound, receive
from taskferry_protocol.rates import RateState
from taskferry_protocol.records import (
    ConnectionState,
    DropQuarantine,
    Flow,
    PutQuarantine,
    QuarantineRecord,
    RecordSeen,
    ReviseSeen,
)
from taskferry_stores.port import StoreConflict, StoreError

from ..logs import get_logger
from .arrival import Arrival
from .barred import MOST_ITEMS, Note, connections_with_notes, keep_note, read_note, said
from .bonds import Bond
from .core import Core
from .draft import Draft
from .effects import apply
from .inbound_facts import gather_facts, seen_key

__all__ = ["SecondLooks"]


class SecondLooks:
    """What the upkeep asks for; the rates of what comes back last as long as the daemon."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._rates: dict[Flow, RateState] = {}

    async def take_due(self) -> None:
        """Take one after another, each in a commit, until none is due or the next has to wait.

        The lock must be free. Raises the store's errors.
        """
        for request in await connections_with_notes(Draft(self._core)):
            for _ in range(MOST_ITEMS):
                if self._core.suspended:
                    return  # another copy of this device may be at work: nothing is taken now
                async with self._core.lock:
                    if not await self._take_next(request):
                        break

    async def _take_next(self, request: Hash) -> bool:
        """Whether there may be another one of this connection."""
        draft = Draft(self._core)
        note = await self._note_of(draft, request)
        if note is not None and not note.is_due:
            return False
        if note is not None:
            try:
                looked = await self._look(draft, note)
                if looked is None:
                    return False
                await keep_note(draft, request, looked)
                await draft.commit()
                return True
            except StoreError as error:
                if not isinstance(error, StoreConflict):
                    raise
                self._complain(error)
            except Exception as error:  # noqa: BLE001 - the boundary: no item may stop those behind it
                self._complain(error)
            note, draft = note.without_next(), Draft(self._core)
        await keep_note(draft, request, note)
        await draft.commit()
        return note is not None

    async def _note_of(self, draft: Draft, request: Hash) -> Note | None:
        """What is barred, by what the owner says now. Of a connection that has ended nothing comes back."""
        note = await read_note(draft, request)
        record = (await self._core.store.connections((request,))).get(request)
        if note is None or record is None or record.state is not ConnectionState.ACCEPTED:
            return None
        return note.by(said(Bond(record)))

    async def _look(self, draft: Draft, note: Note) -> Note | None:
        """The note once the next one was decided on, its effect in the draft; None if that has to wait."""
        item = note.items[note.judged]
        kept = (await self._core.store.quarantine((item.hash,))).get(item.hash)
        if kept is None:
            return note.without_next()  # the quarantine had no room for it
        fate = await self._decide(draft, kept)
        if fate is Again.LATER:
            return None
        return note.passing() if fate is Again.BARRED else note.without_next()

    async def _decide(self, draft: Draft, kept: QuarantineRecord) -> Again:
        envelope = read_inbound(kept.envelope)
        if isinstance(envelope, Quarantine):
            raise LocalProtocolError("what was read once is not read again")
        key, flow = seen_key(envelope), Flow(envelope.header.from_, envelope.header.to)
        seen = forget_decision((await self._core.store.seen((key,)))[key], envelope.hash)
        found = await gather_facts(self._core, envelope, Directory.EXHAUSTED, None, Directory.EXHAUSTED, seen)
        rate = self._rates.get(flow)
        facts = attrs.evolve(found, rate=rate, arrived=rate, caught_up=None)
        decision = receive(envelope, kept.sealed, facts, now=draft.now)
        fate = again(decision, facts.relation)
        if isinstance(decision, Apply):
            refused = await self._take(draft, decision)
            if refused is None:
                # Before the commit, which may fail: then a little less comes back in this minute.
                if decision.arrived is not None:
                    self._rates[flow] = decision.arrived
                if not any(isinstance(change, PutQuarantine) for change in draft.changes):
                    draft.tell("quarantine", "", (kept.hash,), code=kept.code, let_in=True)
                return fate
            decision, fate = refused, Again.REFUSED
        if fate is Again.DONE:
            draft.add(DropQuarantine(kept.hash))
        elif fate is Again.REFUSED and isinstance(decision, Quarantine):
            reason = attrs.evolve(kept, code=decision.code.value, text=decision.text)
            draft.add(DropQuarantine(kept.hash), PutQuarantine(reason))
        return fate

    async def _take(self, draft: Draft, decision: Apply) -> Quarantine | None:
        """Put its effect into the draft; what it is instead if it cannot stand where it belongs."""
        mark = draft.mark()
        try:
            await apply(Arrival(draft, attrs.evolve(decision, rate=None, arrived=None)))
        except (RemoteProtocolError, LocalProtocolError) as error:
            draft.back_to(mark)
            code = error.code if isinstance(error, RemoteProtocolError) else RejectCode.INTERNAL
            return Quarantine(decision.envelope.hash, code, str(error), decision.envelope, decision.opened)
        revised = [ReviseSeen(change.seen) for change in draft.changes if isinstance(change, RecordSeen)]
        draft.add(*revised)
        return None

    def _complain(self, error: Exception) -> None:
        get_logger().error("an item could not be let in", kind=type(error).__name__, reason=str(error))
