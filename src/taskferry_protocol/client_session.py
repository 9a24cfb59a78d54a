"""The daemon's end of a session (spec/session.md): bytes in, events out; commands in, bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

import attrs

from .calls import CallAnswer, CallRequest
from .crypto import Kind, SigningKey
from .errors import LocalProtocolError, RejectCode, RemoteProtocolError
from .frame_items import STATEMENT_PAGE_BYTES, Entry, Outcome, Refusal, Window
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
    encode_frame,
    encode_send,
)
from .ids import Instant, LogPosition, sha256
from .limits import BATCH, CALLS, OFFSET_LIMIT
from .session_base import Goaway, Line, Outstanding, Phase, Side, Step, TimedOut, WentAway, encode_checked
from .tickets import is_ticket

__all__ = [
    "Ack",
    "BatchSent",
    "Call",
    "CallSent",
    "ClientCommand",
    "ClientEvent",
    "ClientSession",
    "Delivered",
    "LogExtension",
    "Ready",
    "ReplyReceived",
    "ResultReceived",
    "Send",
]


@attrs.frozen
class LogExtension:
    """Statements of the own account that the relay may lack, from index `start` on; at most 256."""

    start: int = 0
    statements: tuple[bytes, ...] = attrs.field(default=(), repr=False)


# --- Commands -----------------------------------------------------------------------------------------------


@attrs.frozen
class Send:
    """Send parcels, each the encoding of one, as one batch; ask `fitting` first how many may go."""

    parcels: Sequence[bytes] = attrs.field(repr=False)


@attrs.frozen
class Ack:
    """Everything delivered up to and including `offset` is committed here."""

    offset: int


@attrs.frozen
class Call:
    """Ask the relay something; at most 16 questions are open at once."""

    request: CallRequest


ClientCommand = Send | Ack | Call | Goaway
"""What a daemon may order."""


# --- Events -------------------------------------------------------------------------------------------------


@attrs.frozen
class Ready:
    """The session stands.

    `log` is what the relay holds of the own account, `relay_now` its clock. Unless `continued`, the mailbox
    comes from its start: its offsets mean nothing beside those of an earlier generation, and what was sent
    and is not known to be delivered is to be offered again.
    """

    generation: bytes
    next_offset: int
    continued: bool
    log: LogPosition
    relay_now: Instant


@attrs.frozen
class BatchSent:
    """The answer to `Send`: the number that the result will quote, and how many parcels went."""

    batch: int
    count: int


@attrs.frozen
class ResultReceived:
    """What became of each parcel of a batch, in its order."""

    batch: int
    outcomes: tuple[Outcome, ...]


@attrs.frozen
class Delivered:
    """Entries of the own mailbox, offsets rising: commit, then `Ack` the last."""

    entries: tuple[Entry, ...]


@attrs.frozen
class CallSent:
    """The answer to `Call`: the number that the reply will quote."""

    id: int


@attrs.frozen
class ReplyReceived:
    """The relay's answer to a call: `request.answer`, or a refusal. What it says is yet to be verified."""

    id: int
    request: CallRequest
    answer: CallAnswer | Refusal


ClientEvent = Ready | BatchSent | ResultReceived | Delivered | CallSent | ReplyReceived | WentAway | TimedOut
"""What may happen to a daemon on its session."""

_Step = Step[ClientEvent]


class ClientSession:
    """One session, from `hello` to the end of its connection.

    Send `greeting` first. Then feed `receive`, `submit` and `elapse` (at `deadline`); each returns a whole
    Step or raises and changes nothing, but that SessionBroken ends the session.
    """

    def __init__(
        self, *, hello: HelloFrame, key: SigningKey, log: LogExtension, now: Instant, ticket: str = ""
    ) -> None:
        """`hello` carries the caller's fresh nonce; `key` is the device key that it names.

        `ticket` lets a new account in, if the relay asks for one.

        Raises LocalProtocolError if a relay could not accept what is given here.
        """
        if hello.device != key.public:
            raise LocalProtocolError("the device key is not the one that hello names")
        if len(log.statements) > BATCH or sum(map(len, log.statements)) > STATEMENT_PAGE_BYTES:
            raise LocalProtocolError("these statements do not fit into one frame: use `statement_page`")
        if ticket and not is_ticket(ticket):
            raise LocalProtocolError("not a ticket")
        self._line = Line(Side.DAEMON, now=now)
        self._hello = hello
        self._key = key
        self._log = log
        self._ticket = ticket
        self.greeting: Final = encode_checked(hello)
        """The bytes of `hello`: the first frame to send."""
        self._line.spoke(FrameType.HELLO)
        self._inbound = Outstanding(hello.window)
        self._outbound = Outstanding(Window())
        self._delivered = -1
        self._acked = -1
        self._batches = 0
        self._calls: dict[int, CallRequest] = {}
        self._call_count = 0

    @property
    def phase(self) -> Phase:
        """How far the session has come."""
        return self._line.phase

    @property
    def deadline(self) -> Instant | None:
        """When `elapse` is due; None once the session is over."""
        return self._line.deadline

    @property
    def sendable(self) -> Window:
        """What the relay's window has left: parcels, and bytes of the frames that carry them."""
        return self._outbound.room if self.phase is Phase.OPEN else _NOTHING

    @property
    def callable_now(self) -> int:
        """How many more calls may be placed."""
        return CALLS - len(self._calls) if self.phase is Phase.OPEN else 0

    def fitting(self, parcels: Sequence[bytes]) -> int:
        """How many of the first of these encoded parcels one `Send` may take now; 0 if it has to wait.

        Raises LocalProtocolError for a parcel that no frame can hold.
        """
        return self._outbound.fitting(map(len, parcels)) if self.phase is Phase.OPEN else 0

    def receive(self, data: bytes, *, now: Instant) -> Step[ClientEvent]:
        """Take one frame. Raises SessionBroken if the relay broke a rule; its `reply` is still to be sent."""
        try:
            return self._handle(self._line.take(data, now=now), data)
        except RemoteProtocolError as error:
            raise self._line.broken(error) from error

    def elapse(self, *, now: Instant) -> Step[ClientEvent]:
        """Do what is due by `now`: nothing, a ping, or the end. Never raises."""
        return self._line.elapse(now=now)

    def submit(self, command: ClientCommand, *, now: Instant) -> Step[ClientEvent]:
        """Carry out a command.

        Raises SessionOver after the end, and LocalProtocolError for what may not be done now.
        """
        match command:
            case Send(parcels=parcels):
                return self._send(parcels)
            case Ack(offset=offset):
                return self._ack(offset)
            case Call(request=request):
                return self._call(request)
            case Goaway():
                return Step(frames=(self._line.say_goodbye(command),))
            case _:
                assert_never(command)

    # --- What the relay says

    def _handle(self, frame: Frame, data: bytes) -> _Step:
        match frame:
            case ChallengeFrame():
                return self._prove(data)
            case ReadyFrame():
                return self._open(frame)
            case ResultFrame():
                return self._take_result(frame)
            case DeliverFrame():
                return self._take_entries(frame, len(data))
            case ReplyFrame():
                return self._take_reply(frame)
            case PingFrame() | PongFrame():
                return Step(frames=self._line.answer(frame))
            case GoawayFrame():
                return Step((WentAway(frame.code, frame.text, frame.retry_after),))
            case _:
                raise LocalProtocolError("the table of turns lets a relay send a daemon's frame")

    def _prove(self, challenge: bytes) -> _Step:
        proof = self._key.sign(Kind.AUTH, sha256(self.greeting + challenge))
        auth = encode_frame(AuthFrame(proof, self._log.start, self._log.statements, self._ticket))
        self._line.spoke(FrameType.AUTH)
        return Step(frames=(auth,))

    def _open(self, frame: ReadyFrame) -> _Step:
        if frame.next_offset > OFFSET_LIMIT:
            raise RemoteProtocolError(RejectCode.BAD_VALUE, "no offset is so high", field="ready.next")
        cursor = self._hello.cursor
        continued = cursor is not None and cursor.generation == frame.generation
        if cursor is not None and continued and frame.next_offset <= cursor.offset:
            raise RemoteProtocolError(RejectCode.BAD_VALUE, "not after the cursor", field="ready.next")
        self._outbound = Outstanding(frame.window)
        self._delivered = self._acked = frame.next_offset - 1
        return Step((Ready(frame.generation, frame.next_offset, continued, frame.log, frame.now),))

    def _take_result(self, frame: ResultFrame) -> _Step:
        count = self._outbound.settle(frame.batch)
        if count is None:
            raise RemoteProtocolError(RejectCode.UNKNOWN_BATCH, f"no batch {frame.batch} is open")
        if count != len(frame.outcomes):
            raise RemoteProtocolError(
                RejectCode.BAD_VALUE, f"{len(frame.outcomes)} for {count} parcels", field="result.outcomes"
            )
        return Step((ResultReceived(frame.batch, frame.outcomes),))

    def _take_entries(self, frame: DeliverFrame, size: int) -> _Step:
        last = self._delivered
        for entry in frame.entries:
            if entry.offset <= last:
                raise RemoteProtocolError(
                    RejectCode.BAD_VALUE, f"{entry.offset} after {last}", field="deliver.offset"
                )
            last = entry.offset
        if last >= OFFSET_LIMIT:
            raise RemoteProtocolError(RejectCode.BAD_VALUE, "no offset is so high", field="deliver.offset")
        if not self._inbound.admits(len(frame.entries), size):
            raise RemoteProtocolError(RejectCode.WINDOW_EXCEEDED, "more than hello's window allows")
        self._inbound.add(last, len(frame.entries), size)
        self._delivered = last
        return Step((Delivered(frame.entries),))

    def _take_reply(self, frame: ReplyFrame) -> _Step:
        request = self._calls.pop(frame.id, None)
        if request is None:
            raise RemoteProtocolError(RejectCode.BAD_VALUE, f"no call {frame.id} is open", field="reply.id")
        if isinstance(frame.outcome, Refusal):
            return Step((ReplyReceived(frame.id, request, frame.outcome),))
        return Step((ReplyReceived(frame.id, request, request.answer.read(dict(frame.outcome))),))

    # --- What the daemon orders

    def _send(self, parcels: Sequence[bytes]) -> _Step:
        self._line.demand(FrameType.SEND)
        if not 1 <= len(parcels) <= BATCH:
            raise LocalProtocolError(f"a batch has 1 to {BATCH} parcels")
        batch = self._batches
        data = encode_send(batch, parcels)
        if not self._outbound.admits(len(parcels), len(data)):
            raise LocalProtocolError("more than the relay's window allows: ask `fitting` first")
        self._batches += 1
        self._outbound.add(batch, len(parcels), len(data))
        return Step((BatchSent(batch, len(parcels)),), (data,))

    def _ack(self, offset: int) -> _Step:
        self._line.demand(FrameType.ACK)
        if not self._acked < offset <= self._delivered:
            raise LocalProtocolError(f"{offset} is not between {self._acked} and {self._delivered}")
        self._acked = offset
        self._inbound.settle_through(offset)
        return Step(frames=(encode_frame(AckFrame(offset)),))

    def _call(self, request: CallRequest) -> _Step:
        self._line.demand(FrameType.CALL)
        if len(self._calls) == CALLS:
            raise LocalProtocolError(f"{CALLS} calls are open already")
        number = self._call_count
        data = encode_frame(CallFrame(number, request.method, request.to_cbor()))
        self._call_count += 1
        self._calls[number] = request
        return Step((CallSent(number),), (data,))


_NOTHING: Final = Window(0, 0)
