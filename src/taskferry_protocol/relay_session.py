"""The relay's end of a session (spec/session.md): bytes in, events out; commands in, bytes out.

It holds no account logs: after the proof it asks the application, which folds and answers with `Admit`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, assert_never

import attrs

from .calls import CallAnswer, CallRequest, read_request
from .cbor import Value
from .crypto import Kind, verify
from .envelope import OneWrap
from .errors import LocalProtocolError, RejectCode, RemoteProtocolError
from .frame_items import Entry, Outcome, Refusal, Window
from .frames import (
    AckFrame,
    AuthFrame,
    CallFrame,
    ChallengeFrame,
    DeliverFrame,
    Frame,
    FrameType,
    GoawayFrame,
    HelloFrame,
    PingFrame,
    PongFrame,
    ReadyFrame,
    ReplyFrame,
    ResultFrame,
    SendFrame,
    encode_frame,
)
from .ids import Hash, Instant, LogPosition, sha256
from .limits import BATCH, CALLS, WINDOW_BYTES, WINDOW_ENTRIES
from .session_base import Goaway, Line, Outstanding, Phase, Side, Step, TimedOut, WentAway, encode_checked
from .usual_frames import write_usual_deliver, write_usual_result
from .values import value

__all__ = [
    "Acked",
    "Admit",
    "AuthRequested",
    "CallReceived",
    "Deliver",
    "ParcelsReceived",
    "RelayCommand",
    "RelayEvent",
    "RelaySession",
    "Reply",
    "SendResult",
]


# --- Commands -----------------------------------------------------------------------------------------------


@attrs.frozen
class Admit:
    """The device belongs to the account: open the session. Entries to come have at least `next_offset`."""

    log: LogPosition
    generation: bytes
    next_offset: int


@value
class SendResult:
    """What became of the parcels of a batch, once what was accepted is committed."""

    batch: int
    outcomes: tuple[Outcome, ...]


@value
class Deliver:
    """Deliver entries, their offsets rising, in one frame; ask `fitting` first how many may go."""

    entries: Sequence[Entry]


@attrs.frozen
class Reply:
    """Answer a call."""

    id: int
    answer: CallAnswer | Refusal


RelayCommand = Admit | SendResult | Deliver | Reply | Goaway
"""What a relay may order. `Goaway` also turns away a device that is not to be admitted."""


# --- Events -------------------------------------------------------------------------------------------------


@attrs.frozen
class AuthRequested:
    """Somebody proved to hold the device key that `hello` names; whether it may come in is to be decided.

    Fold `statements` onto the log held, from index `start` on; see that the device is active; then `Admit`,
    or `Goaway` with the code. A cursor of the current generation acknowledges all up to its offset.
    `ticket` is what a new account shows, empty if nothing.
    """

    hello: HelloFrame
    start: int
    statements: tuple[bytes, ...] = attrs.field(repr=False)
    ticket: str = attrs.field(default="", repr=False)


@value
class ParcelsReceived:
    """A batch to be judged, parcel by parcel: `read_parcel` takes each value and refuses it alone.

    `size` is the bytes of the frame.
    """

    batch: int
    parcels: tuple[Value | OneWrap, ...] = attrs.field(repr=False)
    size: int


@value
class Acked:
    """Everything up to and including `offset` is committed by the device."""

    offset: int


@attrs.frozen
class CallReceived:
    """A question to be answered with `Reply`."""

    id: int
    request: CallRequest


RelayEvent = AuthRequested | ParcelsReceived | Acked | CallReceived | WentAway | TimedOut
"""What may happen to a relay on a session."""

_Step = Step[RelayEvent]
#: A proof has one length; whatever is longer than this is none.
_PROOF_BYTES: Final = 256
_NOTHING: Final = Window(0, 0)


class RelaySession:
    """One session, from `hello` to the end of its connection.

    Feed `receive`, `submit` and `elapse` (at `deadline`); each returns a whole Step or raises and changes
    nothing, but that SessionBroken ends the session.
    """

    def __init__(
        self,
        *,
        nonce: bytes,
        origins: Collection[str],
        transport: str,
        now: Instant,
        window: Window | None = None,
    ) -> None:
        """`nonce` is 32 fresh bytes, `origins` what the relay is reached as, `transport` the one in use.

        `window` is what a daemon may have sent without a result.
        """
        self._line = Line(Side.RELAY, now=now)
        self._challenge: Final = encode_checked(ChallengeFrame(nonce))
        self._origins: Final = frozenset(origins)
        self._transport: Final = transport
        self._window: Final = Window() if window is None else window
        self._hello: HelloFrame | None = None
        self._transcript = Hash(b"")
        self._inbound = Outstanding(self._window)
        self._outbound = Outstanding(Window())
        self._delivered = -1
        self._acked = -1
        self._batches = 0
        self._calls: set[int] = set()
        self._call_count = 0

    @property
    def phase(self) -> Phase:
        """How far the session has come."""
        return self._line.phase

    @property
    def hello(self) -> HelloFrame | None:
        """How the daemon introduced itself; None before it did. True only from AuthRequested on."""
        return self._hello

    @property
    def deadline(self) -> Instant | None:
        """When `elapse` is due; None once the session is over."""
        return self._line.deadline

    @property
    def deliverable(self) -> Window:
        """What the daemon's window has left: entries, and bytes of the frames that carry them."""
        return self._outbound.room if self.phase is Phase.OPEN else _NOTHING

    def fitting(self, entries: Sequence[Entry]) -> int:
        """How many of the first of these entries one `Deliver` may take now; 0 if it has to wait.

        Raises LocalProtocolError for an entry that no frame can hold.
        """
        if self.phase is not Phase.OPEN:
            return 0
        return self._outbound.fitting(entry.size for entry in entries)

    def receive(self, data: bytes, *, now: Instant) -> Step[RelayEvent]:
        """Take one frame. Raises SessionBroken if the daemon broke a rule; its `reply` is to be sent."""
        try:
            return self._handle(self._line.take(data, now=now), data)
        except RemoteProtocolError as error:
            raise self._line.broken(error) from error

    def elapse(self, *, now: Instant) -> Step[RelayEvent]:
        """Do what is due by `now`: nothing, a ping, or the end. Never raises."""
        return self._line.elapse(now=now)

    def submit(self, command: RelayCommand, *, now: Instant) -> Step[RelayEvent]:
        """Carry out a command.

        Raises SessionOver after the end, and LocalProtocolError for what may not be done now.
        """
        match command:
            case Admit():
                return self._admit(command, now)
            case SendResult():
                return self._send_result(command)
            case Deliver(entries=entries):
                return self._deliver(tuple(entries))
            case Reply():
                return self._reply(command)
            case Goaway():
                return Step(frames=(self._line.say_goodbye(command),))
            case _:
                assert_never(command)

    # --- What the daemon says

    def _handle(self, frame: Frame, data: bytes) -> _Step:
        match frame:
            case HelloFrame():
                return self._greet(frame, data)
            case AuthFrame():
                return self._check_auth(frame)
            case SendFrame():
                return self._take_parcels(frame, len(data))
            case AckFrame():
                return self._take_ack(frame)
            case CallFrame():
                return self._take_call(frame)
            case PingFrame() | PongFrame():
                return Step(frames=self._line.answer(frame))
            case GoawayFrame():
                return Step((WentAway(frame.code, frame.text, frame.retry_after),))
            case _:
                raise LocalProtocolError("the table of turns lets a daemon send a relay's frame")

    def _greet(self, frame: HelloFrame, data: bytes) -> _Step:
        self._hello = frame
        self._transcript = sha256(data + self._challenge)
        self._line.spoke(FrameType.CHALLENGE)
        return Step(frames=(self._challenge,))

    def _check_auth(self, frame: AuthFrame) -> _Step:
        hello = self._introduced()
        if hello.origin not in self._origins:
            raise RemoteProtocolError(
                RejectCode.WRONG_ORIGIN, "this relay is not reached there", field="hello.origin"
            )
        if hello.transport != self._transport:
            raise RemoteProtocolError(RejectCode.BAD_PROOF, "made for another transport")
        try:
            signed = verify(frame.proof, Kind.AUTH, limit=_PROOF_BYTES)
        except RemoteProtocolError as error:
            raise RemoteProtocolError(RejectCode.BAD_PROOF, error.text) from error
        if signed.key != hello.device or signed.payload != self._transcript:
            raise RemoteProtocolError(RejectCode.BAD_PROOF, "by another key, or of another session")
        return Step((AuthRequested(hello, frame.start, frame.statements, frame.ticket),))

    def _introduced(self) -> HelloFrame:
        if self._hello is None:
            raise LocalProtocolError("the table of turns lets something come before hello")
        return self._hello

    def _take_parcels(self, frame: SendFrame, size: int) -> _Step:
        if frame.batch != self._batches:
            raise RemoteProtocolError(
                RejectCode.BAD_VALUE, f"batch {self._batches} is the next", field="send.batch"
            )
        if not self._inbound.admits(len(frame.parcels), size):
            raise RemoteProtocolError(RejectCode.WINDOW_EXCEEDED, "more than ready's window allows")
        self._batches += 1
        self._inbound.add(frame.batch, len(frame.parcels), size)
        return Step((ParcelsReceived(frame.batch, frame.parcels, size),))

    def _take_ack(self, frame: AckFrame) -> _Step:
        if frame.offset > self._delivered:
            raise RemoteProtocolError(
                RejectCode.BAD_VALUE, f"only {self._delivered} was delivered", field="ack.offset"
            )
        if frame.offset <= self._acked:
            return Step()
        self._acked = frame.offset
        self._outbound.settle_through(frame.offset)
        return Step((Acked(frame.offset),))

    def _take_call(self, frame: CallFrame) -> _Step:
        if frame.id != self._call_count:
            raise RemoteProtocolError(
                RejectCode.BAD_VALUE, f"call {self._call_count} is the next", field="call.id"
            )
        if len(self._calls) == CALLS:
            raise RemoteProtocolError(RejectCode.TOO_MANY_CALLS, f"{CALLS} calls are open already")
        self._call_count += 1
        try:
            request = read_request(frame.method, dict(frame.params))
        except RemoteProtocolError as error:
            return Step(frames=(encode_frame(ReplyFrame(frame.id, Refusal.of(error))),))
        self._calls.add(frame.id)
        return Step((CallReceived(frame.id, request),))

    # --- What the relay orders

    def _admit(self, command: Admit, now: Instant) -> _Step:
        self._line.demand(FrameType.READY)
        hello = self._introduced()
        ready = ReadyFrame(command.generation, command.next_offset, command.log, self._window, now)
        data = encode_checked(ready)
        self._line.spoke(FrameType.READY)
        # What a daemon can take is its word; what we let be under way is ours as well.
        self._outbound = Outstanding(
            Window(min(hello.window.entries, WINDOW_ENTRIES), min(hello.window.size, WINDOW_BYTES))
        )
        self._delivered = self._acked = command.next_offset - 1
        return Step(frames=(data,))

    def _send_result(self, command: SendResult) -> _Step:
        self._line.demand(FrameType.RESULT)
        count = self._inbound.entries_of(command.batch)
        if count is None:
            raise LocalProtocolError(f"no batch {command.batch} is open")
        if count != len(command.outcomes):
            raise LocalProtocolError(f"{len(command.outcomes)} outcomes for {count} parcels")
        data = write_usual_result(command.batch, command.outcomes) or encode_frame(
            ResultFrame(command.batch, command.outcomes)
        )
        self._inbound.settle(command.batch)
        return Step(frames=(data,))

    def _deliver(self, entries: tuple[Entry, ...]) -> _Step:
        self._line.demand(FrameType.DELIVER)
        if not 1 <= len(entries) <= BATCH:
            raise LocalProtocolError(f"a delivery has 1 to {BATCH} entries")
        last = self._delivered
        for entry in entries:
            if entry.offset <= last:
                raise LocalProtocolError(f"offset {entry.offset} after {last}")
            last = entry.offset
        data = write_usual_deliver(entries) or encode_frame(DeliverFrame(entries))
        if not self._outbound.admits(len(entries), len(data)):
            raise LocalProtocolError("more than the daemon's window allows: ask `fitting` first")
        self._outbound.add(last, len(entries), len(data))
        self._delivered = last
        return Step(frames=(data,))

    def _reply(self, command: Reply) -> _Step:
        self._line.demand(FrameType.REPLY)
        if command.id not in self._calls:
            raise LocalProtocolError(f"no call {command.id} is open")
        answer = command.answer
        outcome = answer if isinstance(answer, Refusal) else answer.to_cbor()
        data = encode_frame(ReplyFrame(command.id, outcome))
        self._calls.remove(command.id)
        return Step(frames=(data,))
