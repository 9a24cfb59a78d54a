"""Transcripts: each step's frames and events, and the code with which it ends."""

import re

from taskferry_protocol import cbor
from taskferry_protocol.calls import read_request
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import Refusal, Window
from taskferry_protocol.frames import open_frame, read_frame
from taskferry_protocol.sessions import (
    Ack,
    Admit,
    Call,
    ClientSession,
    Deliver,
    Goaway,
    LogExtension,
    RelaySession,
    Reply,
    Send,
    SendResult,
    SessionBroken,
)
from tests.spec.runners.inputs import decoded, raw


def kebab(event):
    """An event's class as vectors name it."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", type(event).__name__).lower()


def read(data):
    """The frame of these bytes."""
    return read_frame(*open_frame(data))


class Relay:
    """The relay's end of a transcript."""

    def __init__(self, vector):
        self.open_calls = {}
        window = Window(*vector["window"])
        self.session = RelaySession(
            nonce=raw(vector["nonce"]),
            origins=vector["origins"],
            transport=vector["transport"],
            now=vector["now_ms"],
            window=window,
        )

    def command(self, data):
        """What makes the session say a frame."""
        frame = read(data)
        match type(frame).__name__:
            case "ReadyFrame":
                return Admit(frame.log, frame.generation, frame.next_offset)
            case "ResultFrame":
                return SendResult(frame.batch, frame.outcomes)
            case "DeliverFrame":
                return Deliver(frame.entries)
            case "ReplyFrame":
                answer = frame.outcome
                if not isinstance(answer, Refusal):
                    answer = self.open_calls[frame.id].answer.read(answer)
                return Reply(frame.id, answer)
        return Goaway(frame.code, frame.text, frame.retry_after)

    def note(self, events):
        """Remember what was asked, so that an answer can be put into its shape."""
        self.open_calls |= {event.id: event.request for event in events if kebab(event) == "call-received"}


class Client:
    """The daemon's end of a transcript."""

    def __init__(self, vector):
        self.session = ClientSession(
            hello=read(raw(vector["hello"])),
            key=SigningKey.from_seed(raw(vector["seed"])),
            log=LogExtension(0, tuple(map(raw, vector["statements"]))),
            now=vector["now_ms"],
            ticket=vector.get("ticket", ""),
        )
        assert self.session.greeting.hex() == vector["hello"]

    def command(self, data):
        """What makes the session say a frame."""
        frame = read(data)
        match type(frame).__name__:
            case "SendFrame":
                return Send([cbor.encode(parcel) for parcel in frame.parcels])
            case "AckFrame":
                return Ack(frame.offset)
            case "CallFrame":
                return Call(read_request(frame.method, dict(frame.params)))
        return Goaway(frame.code, frame.text, frame.retry_after)

    def note(self, events):
        """Nothing has to be remembered here."""


def check_frames(said, expected):
    """Frames byte for byte; where text for people stands in one, its number and code."""
    assert len(said) == len(expected)
    for data, wanted in zip(said, expected, strict=True):
        if isinstance(wanted, str):
            assert data.hex() == wanted
            continue
        items = decoded(data)
        assert items[0] == wanted["number"]
        refused = items[2][1] if wanted["number"] == 10 else items[1]
        assert refused == wanted["code"]


def run_step(end, step):
    """One step; its code, if it has one."""
    now = step["at"]
    try:
        if "receive" in step:
            done = end.session.receive(raw(step["receive"]), now=now)
        elif "say" in step:
            done = end.session.submit(end.command(raw(step["say"])), now=now)
        else:
            done = end.session.elapse(now=now)
    except SessionBroken as error:
        check_frames([error.reply], step["frames"])
        assert step["events"] == []
        return error.code.value
    end.note(done.events)
    check_frames(done.frames, step["frames"])
    assert [kebab(event) for event in done.events] == step["events"]
    codes = [event.code.value for event in done.events if hasattr(event, "code")]
    return codes[0] if codes else spoken_code(done.frames)


def spoken_code(frames):
    """The code of a goaway, or of a refused call, among what was said."""
    for data in frames:
        items = decoded(data)
        if items[0] == 13:
            return items[1]
        if items[0] == 10 and items[2][0] == 1:
            return items[2][1]
    return None


def transcript(make):
    """A runner of transcripts of one side."""

    def run(vector):
        """Every step in turn."""
        end = make(vector)
        last = None
        for step in vector["steps"]:
            code = run_step(end, step)
            assert code == step.get("code")
            last = code or last
        if last is not None:
            raise RemoteProtocolError(RejectCode(last))

    return run


RUNNERS = {"session-relay": transcript(Relay), "session-client": transcript(Client)}
