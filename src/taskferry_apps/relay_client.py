"""One session with a relay, as async calls: send parcels, take deliveries, acknowledge, ask.

`ClientSession` decides; this module moves its bytes and wakes whoever waits. It keeps nothing beyond the
connection: what must survive is its caller's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import attrs
import trio

from taskferry_protocol.calls import CallAnswer, CallRequest
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Cursor, Entry, Outcome, Refusal, Window
from taskferry_protocol.frames import HelloFrame, Instance
from taskferry_protocol.ids import AccountId, DeviceId, Entropy, Instant
from taskferry_protocol.sessions import (
    Ack,
    BatchSent,
    Call,
    CallSent,
    ClientEvent,
    ClientSession,
    Delivered,
    Goaway,
    LogExtension,
    Ready,
    ReplyReceived,
    ResultReceived,
    Send,
    SessionBroken,
    SessionOver,
    Step,
    TimedOut,
    WentAway,
)
from taskferry_transports.port import Transport

from . import system
from .relay_answers import CallRefused, Ear, LinkEnded, Pending

__all__ = [
    "CallRefused",
    "Ear",
    "Identity",
    "LinkEnded",
    "Pending",
    "RelayClient",
    "open_relay",
]


@attrs.frozen
class Identity:
    """Who dials: the account, and the device key that signs the proof."""

    account: AccountId
    key: SigningKey

    @property
    def device(self) -> DeviceId:
        """The device id."""
        return DeviceId(self.key.public)


@asynccontextmanager
async def open_relay(
    transport: Transport,
    identity: Identity,
    *,
    origin: str,
    log: LogExtension | None = None,
    cursor: Cursor | None = None,
    window: Window | None = None,
    offered: tuple[str, ...] = (),
    agent: str = "",
    ticket: str = "",
    instance: Instance | None = None,
    now: Callable[[], Instant] = system.now,
    entropy: Entropy = system.entropy,
    ear: Ear | None = None,
) -> AsyncIterator[RelayClient]:
    """A session over an open transport, which is closed at the end. Raises LinkEnded.

    `log` are statements that the relay may lack, `cursor` the last entry committed here, `offered` the
    transports that the caller was ready to use, `ticket` what lets a new account in, `ear` hears of calls.
    """
    hello = HelloFrame(
        nonce=entropy(32),
        account=identity.account,
        device=identity.device,
        transport=transport.kind,
        offered=offered or (transport.kind,),
        origin=origin,
        cursor=cursor,
        window=window or Window(),
        agent=agent,
        instance=instance,
    )
    extension = log or LogExtension()
    session = ClientSession(hello=hello, key=identity.key, log=extension, now=now(), ticket=ticket)
    client = RelayClient(transport, session, now, ear)
    failure: Exception | None = None
    try:
        async with trio.open_nursery() as writing:
            writing.start_soon(client._write)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client._read)
                nursery.start_soon(client._keep_time)
                try:
                    await client._opened.wait()
                    client._check()
                    yield client
                except Exception as error:  # noqa: BLE001 - carried past the nurseries, which would wrap it
                    failure = error
                nursery.cancel_scope.cancel()
            client._leave()
            writing.cancel_scope.deadline = trio.current_time() + _GOODBYE_S
    finally:
        # Whoever was cancelled has not left: other tasks may wait for what will never be answered.
        client._end(LinkEnded(None, "closed here"))
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _GOODBYE_S):
            await transport.aclose()
    if failure is not None:
        raise failure


_GOODBYE_S: Final = 1.0


#: Entries of deliveries that are taken together.
TOGETHER: Final = 256


class RelayClient:
    """An open session. Any number of tasks may use it; deliveries go to whoever asks first."""

    def __init__(
        self,
        transport: Transport,
        session: ClientSession,
        now: Callable[[], Instant],
        ear: Ear | None = None,
    ) -> None:
        self._transport = transport
        self._ear = ear
        self._session = session
        self._now = now
        self._outbox: deque[bytes] = deque([session.greeting])
        self._wake = trio.Event()
        self._opened = trio.Event()
        self._ready: Ready | None = None
        self._ended: LinkEnded | None = None
        self._batches: dict[int, Pending] = {}
        self._calls: dict[int, tuple[trio.Event, list[CallAnswer | Refusal]]] = {}
        self._inbox: deque[tuple[Entry, ...]] = deque()
        # Set, and replaced by a fresh one, whenever a delivery came or the session ended.
        self._news = trio.Event()
        # The same for results and replies, which make room.
        self._room = trio.Event()

    @property
    def ready(self) -> Ready:
        """What the relay said when the session opened."""
        if self._ready is None:
            raise LinkEnded(None, "the session is not open")
        return self._ready

    @property
    def transport_kind(self) -> str:
        """Which transport carries the session."""
        return self._transport.kind

    @property
    def ended(self) -> LinkEnded | None:
        """Why the session is over; None while it is not."""
        return self._ended

    async def send(self, parcels: Sequence[bytes]) -> tuple[Outcome, ...]:
        """Send encoded parcels in as many batches as the window asks for; their outcomes, in order."""
        batches: list[Pending] = []
        at = 0
        while at < len(parcels):
            batches.append(await self.submit(parcels[at:]))
            at += batches[-1].count
        return tuple([outcome for batch in batches for outcome in await batch.wait()])

    def fitting(self, parcels: Sequence[bytes]) -> int:
        """How many of the first parcels `submit` would send now; 0 where it would have to wait."""
        return 0 if self._ended is not None else self._session.fitting(parcels)

    async def submit(self, parcels: Sequence[bytes]) -> Pending:
        """Send as many of the first parcels as fit in one batch, once at least one does. Raises LinkEnded."""
        while True:
            self._check()
            count = self._session.fitting(parcels)
            if count:
                break
            await self._room.wait()
        step = self._submit(Send(parcels[:count]))
        pending = Pending(count)
        for sent in step.events:
            if isinstance(sent, BatchSent):
                self._batches[sent.batch] = pending
        await trio.lowlevel.checkpoint()
        return pending

    async def deliveries(self) -> tuple[Entry, ...]:
        """What was delivered next, as far as it waits. Raises LinkEnded once it is over and all is taken."""
        while not self._inbox:
            self._check()
            await self._news.wait()
        entries = self._inbox.popleft()
        while self._inbox and len(entries) + len(self._inbox[0]) <= TOGETHER:
            entries = (*entries, *self._inbox.popleft())
        return entries

    async def ack(self, offset: int) -> None:
        """Everything delivered up to `offset` is committed here. Raises LinkEnded."""
        self._check()
        self._submit(Ack(offset))
        await trio.lowlevel.checkpoint()

    async def call(self, request: CallRequest) -> CallAnswer:
        """Ask, and wait for the answer. Raises CallRefused, LinkEnded."""
        if self._ear is None:
            return await self._ask(request)
        began, code = self._ear.now(), "given-up"
        try:
            answer = await self._ask(request)
            code = ""
            return answer
        except CallRefused as refused:
            code = refused.refusal.code.value
            raise
        except LinkEnded:
            code = "link-ended"
            raise
        finally:
            self._ear.asked(request, began, code)

    async def _ask(self, request: CallRequest) -> CallAnswer:
        while True:
            self._check()
            if self._session.callable_now:
                break
            await self._room.wait()
        step = self._submit(Call(request))
        event = trio.Event()
        answers: list[CallAnswer | Refusal] = []
        for placed in step.events:
            if isinstance(placed, CallSent):
                self._calls[placed.id] = (event, answers)
        await event.wait()
        if not answers:
            self._check()
            raise LinkEnded(None, "the session ended before the answer came")
        if isinstance(answers[0], Refusal):
            raise CallRefused(answers[0])
        return answers[0]

    async def wait_ended(self) -> LinkEnded:
        """Wait until the session is over; why it is."""
        while self._ended is None:
            await self._news.wait()
        return self._ended

    # --- The tasks that carry a session

    async def _write(self) -> None:
        try:
            while True:
                while self._outbox:
                    await self._transport.send(self._outbox.popleft())
                if self._ended is not None:
                    return
                self._wake = trio.Event()
                await self._wake.wait()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._outbox.clear()
            self._end(LinkEnded(None, f"the connection broke: {error}"))

    async def _read(self) -> None:
        try:
            while self._ended is None:
                data = await self._transport.receive()
                self._take(self._session.receive(data, now=self._now()))
        except SessionBroken as error:
            if error.reply is not None:
                self._put((error.reply,))
            self._end(LinkEnded(error.code, f"the relay broke the protocol: {error}"))
        except trio.EndOfChannel:
            self._end(LinkEnded(None, "the relay hung up"))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._end(LinkEnded(None, f"the connection broke: {error}"))

    async def _keep_time(self) -> None:
        # Deadlines only move on, so that one sleep at a time is enough.
        while (deadline := self._session.deadline) is not None:
            await trio.sleep(max(0.0, (deadline - self._now()) / 1000))
            self._take(self._session.elapse(now=self._now()))

    # --- What they share

    def _check(self) -> None:
        if self._ended is not None:
            raise LinkEnded(self._ended.code, self._ended.text, self._ended.retry_after)

    def _submit(self, command: Send | Ack | Call | Goaway) -> Step[ClientEvent]:
        step = self._session.submit(command, now=self._now())
        self._put(step.frames)
        return step

    def _put(self, frames: Sequence[bytes]) -> None:
        if frames:
            self._outbox.extend(frames)
            self._wake.set()

    def _take(self, step: Step[ClientEvent]) -> None:
        self._put(step.frames)
        for event in step.events:
            match event:
                case Delivered(entries=entries):
                    self._inbox.append(entries)
                    self._tell()
                case ResultReceived(batch=batch, outcomes=outcomes):
                    self._batches.pop(batch).settle(outcomes)
                    self._make_room()
                case ReplyReceived(id=id, answer=answer):
                    done, answers = self._calls.pop(id)
                    answers.append(answer)
                    done.set()
                    self._make_room()
                case Ready():
                    self._ready = event
                    self._opened.set()
                case WentAway(code=code, text=text, retry_after=retry_after):
                    self._end(LinkEnded(code, text, retry_after))
                case TimedOut():
                    self._end(LinkEnded(RejectCode.TIMEOUT, "the relay fell silent"))
                case BatchSent() | CallSent():
                    pass  # answers to commands, taken where they were given

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    def _make_room(self) -> None:
        self._room.set()
        self._room = trio.Event()

    def _end(self, ended: LinkEnded) -> None:
        if self._ended is None:
            self._ended = ended
        for pending in self._batches.values():
            pending.fail(self._ended)
        for event, _ in self._calls.values():
            event.set()
        self._tell()
        self._make_room()
        self._opened.set()
        self._wake.set()

    def _leave(self) -> None:
        with suppress(SessionOver):
            # Nothing was wrong: the daemon just goes.
            self._submit(Goaway(RejectCode.SHUTTING_DOWN))
        self._end(LinkEnded(None, "closed here"))
