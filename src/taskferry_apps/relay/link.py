"""One connection: joins transport, `RelaySession`, engine and mailbox. Load, decide, commit, and then speak.

Two tasks carry a link. One reads and decides, the other writes: results, replies and goodbyes first, then
mail as the daemon's window allows. Whatever goes wrong in here ends this link and no other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, assert_never

import trio

from taskferry_protocol.audit import RelayAuditKind
from taskferry_protocol.calls import CallAnswer, CallRequest
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import Entry, Outcome, Refusal
from taskferry_protocol.ids import AccountId, DeviceId, Instant, fingerprint
from taskferry_protocol.records import MailboxUsage
from taskferry_protocol.recovery import VISITOR
from taskferry_protocol.sessions import (
    Acked,
    Admit,
    AuthRequested,
    CallReceived,
    Deliver,
    Goaway,
    ParcelsReceived,
    RelayCommand,
    RelayEvent,
    RelaySession,
    Reply,
    SendResult,
    SessionBroken,
    SessionOver,
    Step,
    TimedOut,
    WentAway,
)
from taskferry_stores.port import StoreFailed, StoreFull
from taskferry_transports.port import Transport

from ..logs import get_logger
from .efforts import SLOW_BYTES, effort, is_slow, receive
from .failures import first_failure
from .instances import check_alone, remember_instance
from .limits import USUAL
from .mailbox import Mailbox
from .office import Office
from .opening import account_of, check_active, cursor_of
from .outbox import Outbox
from .reading import Reader
from .visits import NOWHERE

__all__ = ["Link"]

GOODBYE_S: Final = USUAL.goodbye_s
VISIT_S: Final = USUAL.visit_s
#: When to come back to a full disk: its operator needs a moment.
FULL_RETRY_MS: Final = 10_000

_LOG = get_logger()
#: How connections end every day.
_ENDINGS: Final = (trio.BrokenResourceError, trio.ClosedResourceError, trio.EndOfChannel)


class Link:
    """A session while its connection lasts."""

    __slots__ = (
        "_account",
        "_answers",
        "_device",
        "_leaving",
        "_mailbox",
        "_office",
        "_outbox",
        "_reading",
        "_room",
        "_run",
        "_scope",
        "_session",
        "_transport",
        "_writing",
        "began",
    )

    def __init__(self, office: Office, transport: Transport, nonce: bytes) -> None:
        self._office = office
        self._transport = transport
        self.began = trio.current_time()
        """When it was dialled."""
        self._session = RelaySession(
            nonce=nonce, origins=office.origins, transport=transport.kind, now=office.now()
        )
        self._account = AccountId(b"")
        self._device = DeviceId(b"")
        self._run = b""
        self._mailbox: Mailbox | None = None
        self._outbox = Outbox()
        self._answers: deque[tuple[int, Sequence[Outcome]]] = deque()
        self._scope = trio.CancelScope()
        self._reading = trio.CancelScope()
        self._leaving = False
        self._writing: trio.Event | None = None
        self._room: trio.Event | None = None

    @property
    def account(self) -> AccountId:
        """The account of the session, once it is open."""
        return self._account

    @property
    def device(self) -> DeviceId:
        """The device of the session, once it is open."""
        return self._device

    @property
    def run_id(self) -> bytes:
        """The daemon's process, as it said."""
        return self._run

    # --- what others tell it; none of it blocks

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Mail that was committed just now."""
        if self._mailbox is not None:
            self._mailbox.put(entries)
            self._rouse()

    def answer(self, batch: int, outcomes: Sequence[Outcome]) -> None:
        """A batch is decided on and committed."""
        for outcome in outcomes:
            if type(outcome) is Refusal:
                self._office.audit.count(
                    RelayAuditKind.REFUSAL, "envelope", code=outcome.code.value, account=self._account.hex()
                )
        self._answers.append((batch, outcomes))
        self._rouse()

    def stop_reading(self) -> None:
        """Take nothing more from the daemon; what was decided on is still answered."""
        self._reading.cancel()

    def end(self, code: RejectCode, text: str, retry_after: int | None = None) -> None:
        """Say what is left to say, then goaway, and hang up."""
        if self._leaving:
            return
        self._flush_answers()
        self._submit(Goaway(code, text, retry_after))
        self._leave()

    def keep_time(self, now: Instant) -> None:
        """Do what is due by the session's clock."""
        deadline = self._session.deadline
        if deadline is not None and deadline <= now:
            step = self._session.elapse(now=now)
            self._send(step)
            if any(isinstance(event, TimedOut) for event in step.events):
                self._leave()

    # --- its life

    async def run(self) -> None:
        """Serve the connection to its end. Raises nothing but cancellation."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    with self._reading:
                        try:
                            await self._read()
                        except _ENDINGS:
                            # A nursery that cancels for an error of its body leaves a cycle of frames behind,
                            # with all that a link holds in it; and cycles are sought seldom here.
                            nursery.cancel_scope.cancel()
        except* _ENDINGS:
            pass
        except* StoreFailed as failures:
            self._office.fail(first_failure(failures))
        except* Exception as failures:  # noqa: BLE001 - the runner's one boundary: no link harms another
            _LOG.error("a link failed", device=self._name(), reason=repr(first_failure(failures)))
        finally:
            if self._mailbox is not None:
                self._mailbox.close()
                self._office.presence.leave(self)
                _LOG.debug("session closed", device=self._name())

    def _name(self) -> str:
        return fingerprint(self._device) if self._device else "unknown"

    # --- reading and deciding

    async def _read(self) -> None:
        slow = False
        try:
            while not self._leaving:
                slow = await self._hear(await self._transport.receive(), slow)
                while self._outbox.is_full and not self._leaving:
                    self._room = trio.Event()
                    await self._room.wait()
        except SessionBroken as broken:
            name = self._name()
            _LOG.info("a daemon broke the protocol", device=name, code=broken.code, field=broken.field)
            if broken.reply is not None:
                self._outbox.extend((broken.reply,))
            self._leave()

    async def _hear(self, frame: bytes | None, slow: bool) -> bool:
        """Take a frame and those behind it, and decide on the parcels together; whether any was slow yet."""
        batches: list[ParcelsReceived] = []
        office, size = self._office, 0
        try:
            while frame is not None:
                step = await receive(self._session, frame, office.now, office.turns, slow)
                self._send(step)
                for event in step.events:
                    if isinstance(event, ParcelsReceived):
                        batches.append(event)
                    else:
                        await self._decide(batches)
                        await self._take(event)
                size += (cost := effort(frame, step.events))
                slow = slow or is_slow(frame, cost)
                enough = size >= SLOW_BYTES or self._leaving or self._outbox.is_full
                frame = None if enough else self._transport.receive_nowait()
        except SessionBroken:
            # What came before the fault was in order.
            await self._decide(batches)
            raise
        if size >= SLOW_BYTES:
            await trio.lowlevel.checkpoint()
            await self._decide(batches)
            await trio.lowlevel.checkpoint()
        await self._decide(batches)
        return slow

    async def _decide(self, batches: list[ParcelsReceived]) -> None:
        """Have the parcels of these batches decided on; afterwards the list is empty."""
        if batches and self._account == VISITOR:
            self.end(RejectCode.NOT_AUTHORIZED, "a visitor sends no mail")
        elif batches:
            await self._office.engine.take(self, [(batch.batch, batch.parcels) for batch in batches])
        batches.clear()

    async def _take(self, event: RelayEvent) -> None:
        match event:
            case ParcelsReceived():
                await self._decide([event])
            case Acked(offset=offset):
                self._office.engine.acknowledge(self._device, offset)
                self._rouse()
            case CallReceived(id=id, request=request):
                self._submit(Reply(id, await self._answer(request)))
            case AuthRequested():
                await self._open(event)
            case WentAway() | TimedOut():
                self._leave()
            case _:
                assert_never(event)

    async def _answer(self, request: CallRequest) -> CallAnswer | Refusal:
        office, account, device = self._office, self._account, self._device
        if account == VISITOR:
            refusal = office.lookups.count(None, device, request, office.now())
            return refusal or await office.visits.answer(device, request)
        refusal = office.lookups.count(account, device, request, office.now())
        return refusal or await office.calls.answer(Reader(account, device), request)

    async def _open(self, event: AuthRequested) -> None:
        hello, office = event.hello, self._office
        if hello.account == VISITOR:
            self._receive_visitor(event)
            return
        usage = (await office.store.usage([hello.device])).get(hello.device) or MailboxUsage()
        known = office.engine.acknowledged_by(hello.device)
        after = max(usage.acked, known)
        try:
            after = max(after, cursor_of(hello, usage, office.store.generation))
            log = await account_of(office.accounts, event, self._transport.peer)
            if hello.instance is not None:
                await remember_instance(office.store, office.presence, hello, max(usage.acked, known))
                # What has changed while that was committed counts.
                reader = Reader(hello.account, hello.device)
                log = await office.accounts.extend(reader, event.start, event.statements)
                check_active(office.accounts, log, hello.device)
                check_alone(office.presence, hello)
            office.presence.check_latest(hello.device, self.began)
        except RemoteProtocolError as error:
            _LOG.info("a session was refused", device=fingerprint(hello.device), code=error.code)
            peer = self._transport.peer
            office.audit.count(RelayAuditKind.REFUSAL, "session", code=error.code.value, address=peer)
            text = f"{error.field}: {error.text}" if error.field else error.text
            self.end(error.code, text, Refusal.of(error).detail.retry_after)
            return
        except StoreFull:
            self.end(RejectCode.INTERNAL, "the relay's disk is full", FULL_RETRY_MS)
            return
        # From here on nothing waits, so that no revocation and no mail can slip in between.
        admitted = self._submit(Admit(log.position, office.store.generation, after + 1))
        if self._leaving or not admitted:
            return
        self._account, self._device = hello.account, hello.device
        self._run = hello.instance.run if hello.instance is not None else b""
        self._mailbox = Mailbox(office.store, hello.device, after, office.budget)
        if after > usage.acked:
            office.engine.acknowledge(hello.device, after)
        office.presence.enter(self)
        office.audit.signed_in(log, hello.device)
        _LOG.debug("session opened", device=self._name(), transport=self._transport.kind)

    def _receive_visitor(self, event: AuthRequested) -> None:
        office = self._office
        try:
            office.visits.admit(event.start, event.statements, self._transport.peer, office.now())
        except RemoteProtocolError as error:
            self.end(error.code, error.text, Refusal.of(error).detail.retry_after)
            return
        if self._submit(Admit(NOWHERE, office.store.generation, 0)):
            self._scope.deadline = trio.current_time() + VISIT_S
            self._account, self._device = event.hello.account, event.hello.device

    # --- writing

    async def _write(self) -> None:
        outbox = self._outbox
        while True:
            self._flush_answers()
            if outbox:
                await self._transport.send(*outbox.take())
                if self._room is not None:
                    self._room.set()
            elif self._leaving:
                self._scope.cancel()
                return
            elif (frame := self._next_delivery()) is not None:
                await self._transport.send(frame)
            elif (mailbox := self._page_due()) is not None:
                await mailbox.read_on()
            else:
                self._writing = trio.Event()
                await self._writing.wait()
                self._writing = None

    def _next_delivery(self) -> bytes | None:
        """A frame of mail as large as window and frame allow; None if there is no mail or no room."""
        mailbox = self._mailbox
        if not mailbox:
            return None
        entries = mailbox.first()
        count = self._session.fitting(entries)
        if not count:
            return None
        entries = entries if count == len(entries) else entries[:count]
        step = self._session.submit(Deliver(entries), now=Instant(0))
        mailbox.drop(count)
        return step.frames[0]

    def _page_due(self) -> Mailbox | None:
        mailbox = self._mailbox
        if mailbox is None or not mailbox.behind or len(mailbox) or not self._session.deliverable.entries:
            return None
        return mailbox

    # --- what they share

    def _send(self, step: Step[RelayEvent]) -> None:
        if step.frames:
            self._outbox.extend(step.frames)
            self._rouse()

    def _submit(self, command: RelayCommand) -> bool:
        """Carry out a command; False if the session is over."""
        try:
            self._send(self._session.submit(command, now=self._office.now()))
        except SessionOver:
            return False
        return True

    def _flush_answers(self) -> None:
        while self._answers:
            batch, outcomes = self._answers.popleft()
            self._submit(SendResult(batch, tuple(outcomes)))

    def _rouse(self) -> None:
        if self._writing is not None:
            self._writing.set()

    def _leave(self) -> None:
        """Nothing more is read; what is written goes out, if it goes soon."""
        self._leaving = True
        self._scope.deadline = trio.current_time() + GOODBYE_S
        if self._room is not None:
            self._room.set()
        self._rouse()
