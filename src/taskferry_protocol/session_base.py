"""What both ends of a session share: turns, windows, keep-alive, and how a session ends (spec/session.md).

Neither end awaits, sleeps, reads a clock or draws randomness: bytes and `now` go in, a `Step` comes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, Generic, TypeVar

import attrs

from .errors import LinkBroken, LocalProtocolError, RejectCode, RemoteProtocolError
from .frame_items import Window
from .frames import (
    Frame,
    FrameType,
    GoawayFrame,
    PingFrame,
    PongFrame,
    encode_frame,
    open_frame,
    read_frame,
)
from .ids import Instant
from .limits import (
    AUTH_ITEMS,
    BATCH,
    CBOR_ITEMS,
    DEAD_AFTER_MS,
    FRAME_BYTES,
    HANDSHAKE_MS,
    OPENING_BYTES,
    PING_AFTER_MS,
)
from .usual_frames import read_usual_deliver, read_usual_from_daemon
from .values import value

__all__ = [
    "TURNS",
    "Goaway",
    "Line",
    "Outstanding",
    "Phase",
    "SessionBroken",
    "SessionOver",
    "Side",
    "Step",
    "TimedOut",
    "WentAway",
    "encode_checked",
]

EventT_co = TypeVar("EventT_co", covariant=True)


@value
class Step(Generic[EventT_co]):
    """What one call came to: `events` for the application, `frames` for the peer, both in order."""

    events: tuple[EventT_co, ...] = ()
    frames: tuple[bytes, ...] = ()


# --- Events, commands and errors of both sides --------------------------------------------------------------


@attrs.frozen
class WentAway:
    """The peer ended the session and said why; `retry_after` is in ms, None if it did not say."""

    code: RejectCode
    text: str
    retry_after: int | None


@attrs.frozen
class TimedOut:
    """The session ended here: the opening took too long, or the peer was silent for 25 s."""


@attrs.frozen
class Goaway:
    """End the session and say why; `retry_after` in ms. Good in every phase but the last."""

    code: RejectCode
    text: str = ""
    retry_after: int | None = None


class SessionBroken(LinkBroken):
    """The peer broke a rule and the session is over. `reply` is the goaway that the peer is owed, if any."""

    def __init__(self, error: RemoteProtocolError, *, reply: bytes | None) -> None:
        super().__init__(error.code, error.text, field=error.field)
        self.reply = reply


class SessionOver(LocalProtocolError):
    """A command came after the end. The session changed in no way; what was commanded did not happen."""


def encode_checked(frame: Frame) -> bytes:
    """The bytes of a frame of the opening; LocalProtocolError if the peer would refuse them."""
    data = encode_frame(frame)
    try:
        read_frame(*open_frame(data))
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"the peer would refuse what this was made from: {error}") from error
    return data


# --- Turns --------------------------------------------------------------------------------------------------


class Side(StrEnum):
    """Who speaks."""

    DAEMON = "daemon"
    RELAY = "relay"


class Phase(StrEnum):
    """How far a session has come; both sides go through the same phases."""

    GREETING = "greeting"
    CHALLENGING = "challenging"
    PROVING = "proving"
    ADMITTING = "admitting"
    OPEN = "open"
    OVER = "over"


_ENDS: Final = {FrameType.GOAWAY: Phase.OVER}
_EITHER: Final = {FrameType.PING: Phase.OPEN, FrameType.PONG: Phase.OPEN, **_ENDS}

TURNS: Final[Mapping[Phase, Mapping[Side, Mapping[FrameType, Phase]]]] = {
    Phase.GREETING: {
        Side.DAEMON: {FrameType.HELLO: Phase.CHALLENGING, **_ENDS},
        Side.RELAY: _ENDS,
    },
    Phase.CHALLENGING: {
        Side.DAEMON: _ENDS,
        Side.RELAY: {FrameType.CHALLENGE: Phase.PROVING, **_ENDS},
    },
    Phase.PROVING: {
        Side.DAEMON: {FrameType.AUTH: Phase.ADMITTING, **_ENDS},
        Side.RELAY: _ENDS,
    },
    Phase.ADMITTING: {
        Side.DAEMON: _ENDS,
        Side.RELAY: {FrameType.READY: Phase.OPEN, **_ENDS},
    },
    Phase.OPEN: {
        Side.DAEMON: {
            FrameType.SEND: Phase.OPEN,
            FrameType.ACK: Phase.OPEN,
            FrameType.CALL: Phase.OPEN,
            **_EITHER,
        },
        Side.RELAY: {
            FrameType.RESULT: Phase.OPEN,
            FrameType.DELIVER: Phase.OPEN,
            FrameType.REPLY: Phase.OPEN,
            **_EITHER,
        },
    },
    Phase.OVER: {Side.DAEMON: {}, Side.RELAY: {}},
}
"""Who may send what in which phase, and the phase that follows. What is not in here is out of turn."""

#: Bytes and items of a frame: whoever has proved nothing gets little of anybody's time.
_PROVED: Final = (FRAME_BYTES, CBOR_ITEMS)
_SMALL: Final = (OPENING_BYTES, OPENING_BYTES)
_OPENING: Final[Mapping[Phase, tuple[int, int]]] = {
    Phase.GREETING: _SMALL,
    Phase.CHALLENGING: _SMALL,
    Phase.PROVING: (FRAME_BYTES, AUTH_ITEMS),
    Phase.ADMITTING: _SMALL,
}

_PEER: Final = {Side.DAEMON: Side.RELAY, Side.RELAY: Side.DAEMON}


class Line:
    """One end's view of the conversation: whose turn it is, and whether the peer is still there."""

    def __init__(self, side: Side, *, now: Instant) -> None:
        self.phase = Phase.GREETING
        self._side = side
        # Mail and its answers are what an open session mostly brings, and never out of turn there.
        self._read_usual = read_usual_from_daemon if side is Side.RELAY else read_usual_deliver
        self._started = now
        self._heard = now
        self._pings = 0
        self._pongs = 0
        self._asked = False

    def take(self, data: bytes, *, now: Instant) -> Frame:
        """The peer's next frame, if it is one and its turn. Raises RemoteProtocolError."""
        if self.phase is Phase.OPEN and (mail := self._read_usual(data)) is not None:
            self._heard = now
            self._asked = False
            return mail
        limit, items = _OPENING.get(self.phase, _PROVED)
        kind, fields = open_frame(data, limit=limit, items=items)
        following = TURNS[self.phase][_PEER[self._side]].get(kind)
        if following is None:
            raise RemoteProtocolError(
                RejectCode.UNEXPECTED_FRAME, f"{kind.name.lower()} has no place in {self.phase.value}"
            )
        frame = read_frame(kind, fields)
        self.phase = following
        self._heard = now
        self._asked = False
        return frame

    def demand(self, kind: FrameType) -> None:
        """Raise SessionOver or LocalProtocolError unless our own side may send this kind of frame now."""
        if self.phase is Phase.OVER:
            raise SessionOver("the session is over")
        if kind not in TURNS[self.phase][self._side]:
            raise LocalProtocolError(f"{kind.name.lower()} has no place in {self.phase.value}")

    def spoke(self, kind: FrameType) -> None:
        """Our side sent a frame of this kind."""
        self.phase = TURNS[self.phase][self._side][kind]

    def say_goodbye(self, command: Goaway) -> bytes:
        """The goaway frame; the session is over."""
        self.demand(FrameType.GOAWAY)
        data = encode_frame(GoawayFrame(command.code, command.text, command.retry_after))
        self.spoke(FrameType.GOAWAY)
        return data

    def broken(self, error: RemoteProtocolError) -> SessionBroken:
        """The exception to raise for a fault of the peer; the session is over."""
        if self.phase is Phase.OVER:
            return SessionBroken(error, reply=None)
        text = f"{error.field}: {error.text}" if error.field else error.text
        return SessionBroken(error, reply=self.say_goodbye(Goaway(error.code, text)))

    def answer(self, frame: PingFrame | PongFrame) -> tuple[bytes, ...]:
        """What a ping or a pong is answered with. Raises RemoteProtocolError for a pong to no ping."""
        if isinstance(frame, PingFrame):
            return (encode_frame(PongFrame(frame.number)),)
        if self._pongs == self._pings or frame.number != self._pongs + 1:
            raise RemoteProtocolError(RejectCode.BAD_VALUE, "answers no ping", field="pong.number")
        self._pongs += 1
        return ()

    @property
    def deadline(self) -> Instant | None:
        """When `elapse` is due; None once the session is over."""
        if self.phase is Phase.OVER:
            return None
        if self.phase is not Phase.OPEN:
            return Instant(self._started + HANDSHAKE_MS)
        return Instant(self._heard + (DEAD_AFTER_MS if self._asked else PING_AFTER_MS))

    def elapse(self, *, now: Instant) -> Step[TimedOut]:
        """What the passing of time comes to: nothing, a ping, or the end."""
        # A clock that was set back must not keep a dead peer alive for as long.
        self._heard = min(self._heard, now)
        self._started = min(self._started, now)
        deadline = self.deadline
        if deadline is None or now < deadline:
            return Step()
        if self.phase is Phase.OPEN and now < self._heard + DEAD_AFTER_MS:
            self._asked = True
            self._pings += 1
            return Step(frames=(encode_frame(PingFrame(self._pings)),))
        return Step((TimedOut(),), (self.say_goodbye(Goaway(RejectCode.TIMEOUT)),))


# --- Windows ------------------------------------------------------------------------------------------------


class Outstanding:
    """Frames that are under way unanswered, counted against the window that their receiver granted.

    Keys rise: batch numbers, or the last offset of a delivery. A frame counts whole until it is answered.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._frames: dict[int, tuple[int, int]] = {}
        self._entries = 0
        self._size = 0

    @property
    def room(self) -> Window:
        """What the window has left. While nothing is under way, one entry may go over its bytes."""
        return Window(self._window.entries - self._entries, max(0, self._window.size - self._size))

    def admits(self, entries: int, size: int) -> bool:
        """Whether a frame with so many entries and bytes stays within the window."""
        if entries == 1 and not self._frames:
            return True
        within = self._entries + entries <= self._window.entries
        return within and self._size + size <= self._window.size

    def fitting(self, sizes: Iterable[int]) -> int:
        """How many of the first entries, of so many bytes each, may go in one frame now.

        Raises LocalProtocolError for an entry that no frame can hold.
        """
        known = list(sizes)
        most = sum(known) + _FRAME_HEAD_BYTES
        if len(known) <= BATCH and most <= FRAME_BYTES and self.admits(len(known), most):
            return len(known)
        count, total = 0, _FRAME_HEAD_BYTES
        for size in known:
            if size + _FRAME_HEAD_BYTES > FRAME_BYTES:
                raise LocalProtocolError(f"no frame can hold an entry of {size} bytes")
            total += size
            if count == BATCH or total > FRAME_BYTES or not self.admits(count + 1, total):
                break
            count += 1
        return count

    def add(self, key: int, entries: int, size: int) -> None:
        """A frame is under way."""
        self._frames[key] = (entries, size)
        self._entries += entries
        self._size += size

    def settle(self, key: int) -> int | None:
        """The frame of this key is answered: how many entries it had, None if there is no such frame."""
        entries, size = self._frames.pop(key, (None, 0))
        if entries is not None:
            self._entries -= entries
            self._size -= size
        return entries

    def entries_of(self, key: int) -> int | None:
        """How many entries the frame of this key has, None if there is no such frame."""
        return self._frames.get(key, (None, 0))[0]

    def settle_through(self, key: int) -> None:
        """Every frame up to this key is answered."""
        while self._frames and (first := next(iter(self._frames))) <= key:
            self.settle(first)


#: The array heads, the frame's number and the batch's, generously.
_FRAME_HEAD_BYTES: Final = 32
