"""Frames: one unit of the session between daemon and relay (spec/session.md section 2).

A frame is the deterministic encoding of an array that begins with the frame's number. Reading has two steps,
so that a frame out of its turn is refused before its fields are looked at: `open_frame`, then `read_frame`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, assert_never

from .cbor import Value, decode, encode
from .envelope import OneWrap
from .errors import LocalProtocolError, RejectCode, RemoteProtocolError
from .frame_items import (
    DETAIL_TEXT_BYTES,
    Refusal,
    as_code,
    as_cursor,
    as_entries,
    as_outcomes,
    as_refusal,
    as_statements,
    as_window,
    clip,
    outcomes_to_cbor,
)
from .frame_types import (
    AckFrame,
    AuthFrame,
    CallFrame,
    ChallengeFrame,
    DeliverFrame,
    Frame,
    FrameType,
    GoawayFrame,
    HelloFrame,
    Instance,
    PingFrame,
    PongFrame,
    ReadyFrame,
    ReplyFrame,
    ResultFrame,
    SendFrame,
)
from .ids import AccountId, DeviceId
from .limits import BATCH, CBOR_ITEMS, FRAME_BYTES
from .shape import MapReader, as_array, as_bytes, as_text, as_uint
from .tickets import TICKET_CHARS, is_ticket

__all__ = [
    "VERSION",
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
    "encode_frame",
    "encode_send",
    "open_frame",
    "read_frame",
]

VERSION: Final = 1
NONCE_BYTES: Final = 32
INSTANCE_BYTES: Final = 16
#: The name of a transport, a method, the program that speaks: short words.
WORD_BYTES: Final = 64
TRANSPORTS: Final = 8
ORIGIN_BYTES: Final = 255
AGENT_BYTES: Final = 128


# --- Writing ------------------------------------------------------------------------------------------------


def encode_frame(frame: Frame) -> bytes:
    """The bytes of a frame. LocalProtocolError if they would be more than a frame may have."""
    return _within_limit(encode(_fields(frame)))


def encode_send(batch: int, parcels: Sequence[bytes]) -> bytes:
    """The bytes of a `send` whose parcels are encoded already: they are copied, not encoded again."""
    if len(parcels) < 24:
        head = bytes((0x80 | len(parcels),))
    elif len(parcels) < 0x100:
        head = bytes((0x98, len(parcels)))
    else:
        head = b"\x99" + len(parcels).to_bytes(2, "big")
    return _within_limit(b"".join((b"\x83\x05", encode(batch), head, *parcels)))


def _within_limit(data: bytes) -> bytes:
    if len(data) > FRAME_BYTES:
        raise LocalProtocolError(f"a frame of {len(data)} bytes; {FRAME_BYTES} are allowed")
    return data


def _fields(frame: Frame) -> list[object]:
    match frame:
        case HelloFrame():
            return [FrameType.HELLO.value, _hello_map(frame)]
        case ChallengeFrame():
            return [FrameType.CHALLENGE.value, {"v": VERSION, "nonce": frame.nonce}]
        case AuthFrame():
            return [FrameType.AUTH.value, _auth_map(frame)]
        case ReadyFrame():
            return [FrameType.READY.value, _ready_map(frame)]
        case SendFrame():
            return [FrameType.SEND.value, frame.batch, [_parcel(parcel) for parcel in frame.parcels]]
        case ResultFrame():
            return [FrameType.RESULT.value, frame.batch, outcomes_to_cbor(frame.outcomes)]
        case DeliverFrame():
            return [FrameType.DELIVER.value, [entry.to_cbor() for entry in frame.entries]]
        case AckFrame():
            return [FrameType.ACK.value, frame.offset]
        case CallFrame():
            return [FrameType.CALL.value, frame.id, frame.method, dict(frame.params)]
        case ReplyFrame():
            return [FrameType.REPLY.value, frame.id, _reply_outcome(frame.outcome)]
        case PingFrame():
            return [FrameType.PING.value, frame.number]
        case PongFrame():
            return [FrameType.PONG.value, frame.number]
        case GoawayFrame():
            text = clip(frame.text, DETAIL_TEXT_BYTES)
            return [FrameType.GOAWAY.value, frame.code.value, text, frame.retry_after]
        case _:
            assert_never(frame)


def _parcel(parcel: Value | OneWrap) -> object:
    if isinstance(parcel, tuple):
        envelope, key, sealed = parcel
        return [envelope, [[key, sealed]]]
    return parcel


def _reply_outcome(outcome: Mapping[str, Value] | Refusal) -> list[object]:
    return outcome.to_cbor() if isinstance(outcome, Refusal) else [0, dict(outcome)]


def _hello_map(frame: HelloFrame) -> dict[str, object]:
    instance = {} if frame.instance is None else {"instance": frame.instance.to_cbor()}
    return {
        **instance,
        "v": VERSION,
        "nonce": frame.nonce,
        "account": frame.account,
        "device": frame.device,
        "transport": frame.transport,
        "offered": list(frame.offered),
        "origin": frame.origin,
        "cursor": None if frame.cursor is None else frame.cursor.to_cbor(),
        "window": frame.window.to_cbor(),
        "agent": frame.agent,
    }


def _auth_map(frame: AuthFrame) -> dict[str, object]:
    members: dict[str, object] = {
        "proof": frame.proof,
        "from": frame.start,
        "statements": list(frame.statements),
    }
    return members | ({"ticket": frame.ticket} if frame.ticket else {})


def _ready_map(frame: ReadyFrame) -> dict[str, object]:
    return {
        "generation": frame.generation,
        "next": frame.next_offset,
        "log": frame.log.to_cbor(),
        "window": frame.window.to_cbor(),
        "now": frame.now,
    }


# --- Reading ------------------------------------------------------------------------------------------------


def open_frame(
    data: bytes, *, limit: int = FRAME_BYTES, items: int = CBOR_ITEMS
) -> tuple[FrameType, list[Value]]:
    """The number of a frame of so many bytes and items at most, and its fields, not yet looked at.

    Raises RemoteProtocolError: the codes of decoding; wrong-type, bad-value; unexpected-frame for a number
    that no frame has.
    """
    members = decode(data, limit=limit, items=items)
    if type(members) is not list:
        raise RemoteProtocolError(RejectCode.WRONG_TYPE, "a frame is an array", field="frame")
    if not members:
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "a frame begins with its number", field="frame")
    number = members[0]
    if type(number) is not int:
        raise RemoteProtocolError(RejectCode.WRONG_TYPE, "a frame begins with its number", field="frame")
    if not FrameType.HELLO <= number <= FrameType.GOAWAY:
        raise RemoteProtocolError(RejectCode.UNEXPECTED_FRAME, f"no frame has the number {number}")
    return FrameType(number), members[1:]


def read_frame(kind: FrameType, fields: list[Value]) -> Frame:
    """The frame that `open_frame` opened. Raises RemoteProtocolError with the codes of shape."""
    count, reader = _READERS[kind]
    if len(fields) != count:
        raise RemoteProtocolError(
            RejectCode.BAD_VALUE, f"has {len(fields)} fields, not {count}", field=kind.name.lower()
        )
    return reader(fields)


def _check_version(reader: MapReader) -> None:
    if reader.uint("v") != VERSION:
        raise RemoteProtocolError(
            RejectCode.UNKNOWN_VERSION, "version 1 is spoken here", field=reader.field("v")
        )


def _as_instance(value: Value, field: str) -> Instance:
    reader = MapReader(value, field, ("id", "prev", "run", "take_over"))
    return Instance(
        reader.bytes("id", size=INSTANCE_BYTES),
        reader.nullable("prev", lambda prev, name: as_bytes(prev, name, size=INSTANCE_BYTES)),
        reader.bytes("run", size=INSTANCE_BYTES),
        reader.boolean("take_over"),
    )


def _read_hello(fields: list[Value]) -> Frame:
    keys = ("v", "nonce", "account", "device", "transport", "offered", "origin", "cursor", "window", "agent")
    reader = MapReader(fields[0], "hello", keys, ("instance",))
    _check_version(reader)
    hello = HelloFrame(
        nonce=reader.bytes("nonce", size=NONCE_BYTES),
        account=AccountId(reader.bytes("account", size=32)),
        device=DeviceId(reader.bytes("device", size=32)),
        transport=reader.text("transport", least=1, most=WORD_BYTES),
        offered=reader.read("offered", _as_offered),
        origin=reader.text("origin", least=1, most=ORIGIN_BYTES),
        cursor=reader.nullable("cursor", as_cursor),
        window=reader.read("window", as_window),
        agent=reader.text("agent", most=AGENT_BYTES),
        instance=reader.read("instance", _as_instance) if "instance" in reader else None,
    )
    if hello.transport not in hello.offered:
        raise RemoteProtocolError(
            RejectCode.BAD_VALUE, "the transport in use is not offered", field="hello.transport"
        )
    return hello


def _as_offered(value: Value, field: str) -> tuple[str, ...]:
    names = as_array(value, field, least=1, most=TRANSPORTS)
    return tuple([as_text(name, field, least=1, most=WORD_BYTES) for name in names])


def _read_challenge(fields: list[Value]) -> Frame:
    reader = MapReader(fields[0], "challenge", ("v", "nonce"))
    _check_version(reader)
    return ChallengeFrame(reader.bytes("nonce", size=NONCE_BYTES))


def _read_auth(fields: list[Value]) -> Frame:
    reader = MapReader(fields[0], "auth", ("proof", "from", "statements"), ("ticket",))
    return AuthFrame(
        reader.bytes("proof"),
        reader.uint("from"),
        reader.read("statements", as_statements),
        reader.read("ticket", _as_ticket) if "ticket" in reader else "",
    )


def _as_ticket(value: Value, field: str) -> str:
    text = as_text(value, field, least=1, most=TICKET_CHARS)
    if not is_ticket(text):
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "not a ticket", field=field)
    return text


def _read_ready(fields: list[Value]) -> Frame:
    reader = MapReader(fields[0], "ready", ("generation", "next", "log", "window", "now"))
    return ReadyFrame(
        generation=reader.bytes("generation", size=16),
        next_offset=reader.uint("next"),
        log=reader.position("log"),
        window=reader.read("window", as_window),
        now=reader.time("now"),
    )


def _read_send(fields: list[Value]) -> Frame:
    parcels = as_array(fields[1], "send.parcels", least=1, most=BATCH)
    return SendFrame(as_uint(fields[0], "send.batch"), tuple(parcels))


def _read_result(fields: list[Value]) -> Frame:
    return ResultFrame(as_uint(fields[0], "result.batch"), as_outcomes(fields[1], "result.outcomes"))


def _read_deliver(fields: list[Value]) -> Frame:
    return DeliverFrame(as_entries(fields[0], "deliver.entries"))


def _read_call(fields: list[Value]) -> Frame:
    number = as_uint(fields[0], "call.id")
    method = as_text(fields[1], "call.method", least=1, most=WORD_BYTES)
    return CallFrame(number, method, _as_members(fields[2], "call.params"))


def _as_members(value: Value, field: str) -> dict[str, Value]:
    if type(value) is not dict:
        raise RemoteProtocolError(RejectCode.WRONG_TYPE, "a map expected", field=field)
    return value


def _read_reply(fields: list[Value]) -> Frame:
    number = as_uint(fields[0], "reply.id")
    outcome = as_array(fields[1], "reply.outcome", least=2, most=3)
    if as_uint(outcome[0], "reply.outcome", high=1) == 1:
        return ReplyFrame(number, as_refusal(outcome, "reply"))
    if len(outcome) != 2:
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "must have two elements", field="reply.outcome")
    return ReplyFrame(number, _as_members(outcome[1], "reply.result"))


def _read_goaway(fields: list[Value]) -> Frame:
    code = as_code(fields[0], "goaway.code")
    text = as_text(fields[1], "goaway.text", most=DETAIL_TEXT_BYTES)
    retry = None if fields[2] is None else as_uint(fields[2], "goaway.retry_after")
    return GoawayFrame(code, text, retry)


_READERS: Final[Mapping[FrameType, tuple[int, Callable[[list[Value]], Frame]]]] = {
    FrameType.HELLO: (1, _read_hello),
    FrameType.CHALLENGE: (1, _read_challenge),
    FrameType.AUTH: (1, _read_auth),
    FrameType.READY: (1, _read_ready),
    FrameType.SEND: (2, _read_send),
    FrameType.RESULT: (2, _read_result),
    FrameType.DELIVER: (1, _read_deliver),
    FrameType.ACK: (1, lambda fields: AckFrame(as_uint(fields[0], "ack.offset"))),
    FrameType.CALL: (3, _read_call),
    FrameType.REPLY: (2, _read_reply),
    FrameType.PING: (1, lambda fields: PingFrame(as_uint(fields[0], "ping.number"))),
    FrameType.PONG: (1, lambda fields: PongFrame(as_uint(fields[0], "pong.number"))),
    FrameType.GOAWAY: (3, _read_goaway),
}
