"""The thirteen frames as values (spec/session.md section 2). How they are written and read: `frames.py`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import attrs

from .cbor import Value
from .envelope import OneWrap
from .errors import RejectCode
from .frame_items import Cursor, Entry, Outcome, Refusal, Window
from .ids import AccountId, DeviceId, Instant, LogPosition
from .values import value

__all__ = [
    "AckFrame",
    "AuthFrame",
    "CallFrame",
    "ChallengeFrame",
    "DeliverFrame",
    "Frame",
    "FrameType",
    "GoawayFrame",
    "HelloFrame",
    "Instance",
    "PingFrame",
    "PongFrame",
    "ReadyFrame",
    "ReplyFrame",
    "ResultFrame",
    "SendFrame",
]


class FrameType(IntEnum):
    """The number that a frame begins with."""

    HELLO = 1
    CHALLENGE = 2
    AUTH = 3
    READY = 4
    SEND = 5
    RESULT = 6
    DELIVER = 7
    ACK = 8
    CALL = 9
    REPLY = 10
    PING = 11
    PONG = 12
    GOAWAY = 13


@attrs.frozen
class Instance:
    """Which start of which store this is, so that one device on two machines is noticed.

    `id` is the start's own; `prev` that of the start before it which this relay is known to have taken, None
    if there was none. `run` is the process's, and never stored. `take_over` is the owner's word that no other
    instance counts any more.
    """

    id: bytes
    prev: bytes | None
    run: bytes
    take_over: bool = False

    def to_cbor(self) -> dict[str, Value]:
        """The map as it is encoded."""
        return {"id": self.id, "prev": self.prev, "run": self.run, "take_over": self.take_over}


@attrs.frozen
class HelloFrame:
    """A daemon introduces itself; everything in here is under the proof that follows."""

    nonce: bytes
    account: AccountId
    device: DeviceId
    transport: str
    offered: tuple[str, ...]
    origin: str
    cursor: Cursor | None = None
    window: Window = attrs.field(factory=Window)
    agent: str = ""
    instance: Instance | None = None


@attrs.frozen
class ChallengeFrame:
    """The relay's fresh 32 bytes, so that no proof can be used twice."""

    nonce: bytes


@attrs.frozen
class AuthFrame:
    """The proof, and the statements that the relay may lack, from index `start` on.

    `ticket` lets a new account in; empty where there is none.
    """

    proof: bytes = attrs.field(repr=False)
    start: int
    statements: tuple[bytes, ...] = attrs.field(repr=False)
    ticket: str = attrs.field(default="", repr=False)


@attrs.frozen
class ReadyFrame:
    """The session stands. Offsets to come are at least `next_offset`; `log` is what the relay holds."""

    generation: bytes
    next_offset: int
    log: LogPosition
    window: Window
    now: Instant


@value
class SendFrame:
    """A batch of parcels as decoded: each is judged alone, by `read_parcel`, so none can spoil another."""

    batch: int
    parcels: tuple[Value | OneWrap, ...] = attrs.field(repr=False)


@value
class ResultFrame:
    """What became of each parcel of a batch, in its order."""

    batch: int
    outcomes: tuple[Outcome, ...]


@value
class DeliverFrame:
    """Entries of the device's mailbox, their offsets rising."""

    entries: tuple[Entry, ...]


@value
class AckFrame:
    """Everything up to and including `offset` is committed."""

    offset: int


@attrs.frozen
class CallFrame:
    """A question beside the mail (spec/session.md section 8)."""

    id: int
    method: str
    params: Mapping[str, Value]


@attrs.frozen
class ReplyFrame:
    """The answer to a call: a map, or a refusal."""

    id: int
    outcome: Mapping[str, Value] | Refusal


@attrs.frozen
class PingFrame:
    """Are you there?"""

    number: int


@attrs.frozen
class PongFrame:
    """Yes, to the ping of this number."""

    number: int


@attrs.frozen
class GoawayFrame:
    """The session is over, and why; `retry_after` in ms if it is worth coming back then."""

    code: RejectCode
    text: str = ""
    retry_after: int | None = None


Frame = (
    HelloFrame
    | ChallengeFrame
    | AuthFrame
    | ReadyFrame
    | SendFrame
    | ResultFrame
    | DeliverFrame
    | AckFrame
    | CallFrame
    | ReplyFrame
    | PingFrame
    | PongFrame
    | GoawayFrame
)
"""Whatever may travel on a session."""
