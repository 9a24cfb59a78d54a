"""One valid frame of every number, for the tests of frames and sessions."""

from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Cursor, Detail, Mail, Notice, ParcelAccepted, Refusal, Window
from taskferry_protocol.frames import (
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
)
from taskferry_protocol.ids import AccountId, DeviceId, Hash, Instant, LogPosition

GENERATION = b"g" * 16
HASH = Hash(b"h" * 32)

HELLO = HelloFrame(
    nonce=b"n" * 32,
    account=AccountId(b"a" * 32),
    device=DeviceId(b"d" * 32),
    transport="websocket",
    offered=("websocket", "longpoll"),
    origin="wss://relay.example:443",
    cursor=Cursor(GENERATION, 7),
    window=Window(10, 4096),
    agent="taskferry/0.1",
)
MAIL = Mail(8, b"envelope", b"s" * 80)
REFUSED = Refusal(
    RejectCode.STALE_LOG,
    Detail(retry_after=5, statements=(b"one", b"two"), start=3, field="to_log", text="newer"),
)

SAMPLES: dict[FrameType, Frame] = {
    FrameType.HELLO: HELLO,
    FrameType.CHALLENGE: ChallengeFrame(b"c" * 32),
    FrameType.AUTH: AuthFrame(b"proof", 2, (b"statement",)),
    FrameType.READY: ReadyFrame(
        GENERATION, 8, LogPosition(3, HASH), Window(5, 9999), Instant(1_700_000_000_000)
    ),
    FrameType.SEND: SendFrame(0, ([b"envelope", [[b"k" * 32, b"s" * 80]]], "anything")),
    FrameType.RESULT: ResultFrame(0, (ParcelAccepted(41), REFUSED, Refusal(RejectCode.EXPIRED))),
    FrameType.DELIVER: DeliverFrame((MAIL, Notice(10, HASH, RejectCode.EXPIRED))),
    FrameType.ACK: AckFrame(10),
    FrameType.CALL: CallFrame(0, "account.get", {"name": "bob", "from": 0}),
    FrameType.REPLY: ReplyFrame(0, {"online": [True]}),
    FrameType.PING: PingFrame(1),
    FrameType.PONG: PongFrame(1),
    FrameType.GOAWAY: GoawayFrame(RejectCode.SHUTTING_DOWN, "back soon", 2000),
}
