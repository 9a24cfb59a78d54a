"""A device's session with the relay: the real `ClientSession`, and what its events come to in the store.

One order throughout: decide, commit, and only then acknowledge and send.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import attrs

from ..calls import AccountFound, GetAccount
from ..errors import RejectCode, RemoteProtocolError
from ..frame_items import Cursor, Entry, Notice, Outcome, ParcelAccepted, Refusal
from ..frames import HelloFrame
from ..ids import AccountId, Hash, Instant
from ..inbound import Directory, NeedLog, Quarantine, read_inbound, receive
from ..records import Rung
from ..session_base import Phase, SessionBroken, Side, Step, TimedOut, WentAway
from ..sessions import (
    Ack,
    BatchSent,
    Call,
    CallSent,
    ClientEvent,
    ClientSession,
    Delivered,
    LogExtension,
    Ready,
    ReplyReceived,
    ResultReceived,
    Send,
)
from .arrivals import facts_for, settle
from .draft import Draft
from .faults import DeviceDown
from .logs import grown
from .relay import ORIGIN, TRANSPORT
from .wire import End, Wire

if TYPE_CHECKING:
    from .machine import Machine

__all__ = ["Uplink"]

#: Refusals that another try may end; the rest are the last word on a parcel.
_TRY_AGAIN: Final = frozenset({RejectCode.RATE_LIMITED, RejectCode.MAILBOX_FULL, RejectCode.INTERNAL})
_RETRY_MS: Final = 1_000
#: How long a parcel stays behind that others overtake: a few of their round trips.
_OVERTAKEN_MS: Final = 300
#: How long the relay has had nothing before all that it had counts as taken.
_QUIET_MS: Final = 2_000


class Uplink:
    """One session, from dialling to its end. Nothing in here survives it."""

    def __init__(self, machine: Machine, wire: Wire) -> None:
        self._machine = machine
        self._wire = wire
        store, keys = machine.store, machine.keys
        hello = HelloFrame(
            nonce=machine.chance.entropy(32),
            account=store.log.account,
            device=keys.id,
            transport=TRANSPORT,
            offered=(TRANSPORT,),
            origin=ORIGIN,
            cursor=store.cursor,
        )
        log = LogExtension(0, store.log.statements)
        self._session = ClientSession(hello=hello, key=keys.signing, log=log, now=machine.timeline.now)
        self._generation = b""
        self._under_way: dict[int, tuple[Hash, ...]] = {}
        self._incoming: deque[Entry] = deque()
        self._directory = Directory.OPEN
        self._awaited: int | None = None
        self._luck: dict[Hash, bool] = {}
        self._heard_at: Instant | None = None

    def begin(self) -> None:
        """Say hello."""
        self._wire.attach(Side.DAEMON, End(self._hear, self._ended))
        self._wire.send(Side.DAEMON, self._session.greeting)
        self._watch()

    def leave(self) -> None:
        """Hear and say nothing more."""
        self._wire.leave(Side.DAEMON)

    def is_idle(self) -> bool:
        """Whether the session stands and nothing is left to send, to take or to say."""
        store = self._machine.store
        if self._session.phase is not Phase.OPEN or self._incoming or self._under_way or store.owed:
            return False
        return all(sent.rung is not Rung.QUEUED for sent in store.sent.values())

    # --- Pumping

    def _note_quiet(self) -> None:
        """Remember, if the relay has had nothing for a while, that all that it had is held here."""
        now = self._machine.timeline.now
        if self._heard_at is not None and not self._incoming and now - self._heard_at >= _QUIET_MS:
            self._machine.store.caught_up = now

    def _ended(self) -> None:
        self._note_quiet()
        if self._machine.is_linked(self):
            self._machine.unlinked()

    def _watch(self) -> None:
        deadline, timeline = self._session.deadline, self._machine.timeline
        if deadline is not None:
            timeline.after(deadline - timeline.now, self._elapse)

    def _elapse(self) -> None:
        if self._machine.is_linked(self):
            self._play(self._session.elapse(now=self._machine.timeline.now))
            self._watch()

    def _hear(self, frame: bytes) -> None:
        try:
            self._play(self._session.receive(frame, now=self._machine.timeline.now))
        except SessionBroken as broken:
            self._machine.note(f"hangs up: {broken.code.value}")
            if broken.reply is not None:
                self._wire.send(Side.DAEMON, broken.reply)
            self._ended()
        except DeviceDown:
            pass  # the machine failed at a commit; it starts again by itself

    def _order(self, command: Send | Ack | Call) -> Step[ClientEvent]:
        step = self._session.submit(command, now=self._machine.timeline.now)
        for frame in step.frames:
            self._wire.send(Side.DAEMON, frame)
        return step

    def _play(self, step: Step[ClientEvent]) -> None:
        for frame in step.frames:
            self._wire.send(Side.DAEMON, frame)
        for event in step.events:
            match event:
                case Ready():
                    self._heard_at = self._machine.timeline.now
                    self._open(event)
                case ResultReceived(batch=batch, outcomes=outcomes):
                    self._take_results(self._under_way.pop(batch), outcomes)
                case Delivered(entries=entries):
                    self._note_quiet()
                    self._heard_at = self._machine.timeline.now
                    self._incoming.extend(entries)
                    self._work()
                case ReplyReceived():
                    self._take_reply(event)
                case WentAway(code=code):
                    self._machine.note(f"is sent away: {code.value}")
                    self._ended()
                case TimedOut():
                    self._ended()
                case BatchSent() | CallSent():
                    pass  # answers to commands, which `_order` gives to whoever gave the command

    def _open(self, ready: Ready) -> None:
        self._machine.linked()
        self._generation = ready.generation
        draft = self._machine.draft()
        if not ready.continued:
            # Another relay, or an older copy of it: whatever is not known to be there is offered again.
            for sent in list(draft.store.sent.values()):
                if sent.rung is Rung.RELAYED:
                    draft.set_rung(sent.hash, Rung.QUEUED)
            # So that the next session goes on from here even if no mail comes in this one.
            draft.store.cursor = Cursor(ready.generation, ready.next_offset - 1)
        draft.pay()
        self._machine.commit(draft)
        self.pump()

    # --- Sending

    def pump(self) -> None:
        """Send what waits and may go now."""
        now = self._machine.timeline.now
        busy = {hash for hashes in self._under_way.values() for hash in hashes}
        waiting = [
            sent
            for sent in self._machine.store.sent.values()
            if sent.rung is Rung.QUEUED and sent.not_before <= now and sent.hash not in busy
        ]
        waiting = [sent for sent in waiting if not self._is_overtaken(sent.hash)]
        while count := self._session.fitting([sent.parcel for sent in waiting]):
            step = self._order(Send([sent.parcel for sent in waiting[:count]]))
            for event in step.events:
                if isinstance(event, BatchSent):
                    self._under_way[event.batch] = tuple(sent.hash for sent in waiting[:count])
            waiting = waiting[count:]

    def _is_overtaken(self, hash: Hash) -> bool:
        """Whether a parcel stays behind for a while, by the network's luck; later ones go before it then."""
        machine = self._machine
        if hash not in self._luck:
            self._luck[hash] = machine.chance.happens(machine.network.reorder)
            if self._luck[hash]:
                machine.note(f"holds {hash.hex()[:8]} back")
                machine.timeline.after(_OVERTAKEN_MS, lambda: self._let_go(hash))
        return self._luck[hash]

    def _let_go(self, hash: Hash) -> None:
        self._luck[hash] = False
        if self._machine.is_linked(self):
            self.pump()

    def _take_results(self, hashes: tuple[Hash, ...], outcomes: tuple[Outcome, ...]) -> None:
        draft = self._machine.draft()
        for hash, outcome in zip(hashes, outcomes, strict=True):
            sent = draft.store.sent[hash]
            if sent.rung is not Rung.QUEUED:
                continue  # its recipient's receipt was faster
            match outcome:
                case ParcelAccepted():
                    draft.set_rung(hash, Rung.RELAYED)
                case Refusal():
                    self._take_refusal(draft, hash, outcome)
        self._machine.commit(draft)
        self.pump()

    def _take_refusal(self, draft: Draft, hash: Hash, refusal: Refusal) -> None:
        code, detail, sent = refusal.code, refusal.detail, draft.store.sent[hash]
        self._machine.note(f"is refused {hash.hex()[:8]}: {code.value}")
        if code is RejectCode.STALE_LOG:
            grew = self._learn(draft, sent.peer.account, detail.start or 0, detail.statements or ())
            draft.wrap_again(sent)
            if not grew:
                self._put_off(draft, hash, _RETRY_MS)
        elif code in _TRY_AGAIN:
            self._put_off(draft, hash, detail.retry_after or _RETRY_MS)
        else:
            rung = Rung.EXPIRED if code is RejectCode.EXPIRED else Rung.FAILED
            draft.store.sent[hash] = attrs.evolve(sent, rung=rung, code=code)

    def _put_off(self, draft: Draft, hash: Hash, wait_ms: int) -> None:
        until = Instant(draft.now + wait_ms)
        draft.store.sent[hash] = attrs.evolve(draft.store.sent[hash], not_before=until)
        self._machine.timeline.after(wait_ms, self._machine.pump)

    # --- Taking

    def _work(self) -> None:
        """Take what was delivered, each with its own commit, as far as no log has to be fetched first."""
        last = 0
        while self._incoming and self._awaited is None:
            entry = self._incoming[0]
            draft = self._machine.draft()
            if not self._take(draft, entry):
                break
            last = entry.offset
            draft.store.cursor = Cursor(self._generation, last)
            self._machine.commit(draft)
            self._incoming.popleft()
            self._directory = Directory.OPEN
        if not last:
            return
        self._order(Ack(last))
        if not self._incoming and self._machine.store.owed:
            draft = self._machine.draft()
            draft.pay()
            self._machine.commit(draft)
        self.pump()

    def _take(self, draft: Draft, entry: Entry) -> bool:
        """Put into the draft what an entry comes to; False where a log has been asked for first."""
        if isinstance(entry, Notice):
            sent = draft.store.sent.get(entry.hash)
            if sent is not None and sent.rung is Rung.RELAYED:
                draft.store.sent[entry.hash] = attrs.evolve(sent, rung=Rung.EXPIRED, code=entry.code)
            return True
        read = read_inbound(entry.envelope)
        if isinstance(read, Quarantine):
            self._machine.note(f"takes {read.hash.hex()[:8]}: {settle(draft, read)}")
            return True
        facts = facts_for(draft, read, self._directory)
        decision = receive(read, entry.sealed, facts, now=draft.now)
        self._machine.note(f"takes {read.hash.hex()[:8]}: {settle(draft, decision)}")
        if not isinstance(decision, NeedLog):
            return True
        step = self._order(Call(GetAccount(decision.account, decision.start)))
        self._awaited = next(event.id for event in step.events if isinstance(event, CallSent))
        return False

    def _take_reply(self, reply: ReplyReceived) -> None:
        if reply.id != self._awaited:
            return
        self._awaited = None
        self._directory = Directory.EXHAUSTED
        if isinstance(reply.answer, AccountFound):
            found = reply.answer
            draft = self._machine.draft()
            if self._learn(draft, found.account, found.start, found.statements):
                self._machine.commit(draft)
        self._work()

    def _learn(self, draft: Draft, account: AccountId, start: int, statements: tuple[bytes, ...]) -> bool:
        """Hold what these statements add to a log that is held; False if they add nothing."""
        held = draft.store.log_of(account)
        if held is None:
            return False
        try:
            log = grown(held, account, start, statements)
        except RemoteProtocolError as error:
            self._machine.note(f"does not believe a log: {error.code.value}")
            return False
        draft.store.take_log(log)
        return log is not held
