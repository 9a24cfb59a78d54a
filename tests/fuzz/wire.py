"""Targets that read strangers' bytes as they come over the wire, and both sessions in every phase."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import attrs

from taskferry_protocol import cbor
from taskferry_protocol.audit import (
    CHAIN_START,
    AuditChain,
    AuditEnd,
    ChainBroken,
    audit_note,
    chained,
    export_audit,
    read_audit_export,
    read_entry,
)
from taskferry_protocol.backups import HEAD_BYTES, header_length, read_header
from taskferry_protocol.call_answers import (
    AccountFound,
    CardFound,
    ConnectionsFound,
    InviteFound,
    LogAppended,
    PresenceFound,
)
from taskferry_protocol.calls import read_request as read_call
from taskferry_protocol.crypto import Kind, parse_signed, verify
from taskferry_protocol.envelope import (
    check_clock,
    encode_parcel,
    parse_envelope,
    read_envelope,
    read_parcel,
)
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.frames import encode_frame, open_frame, read_frame
from taskferry_protocol.handoff import verify_handoff
from taskferry_protocol.header import Header, _read_carefully, _read_quickly, encode_header
from taskferry_protocol.ids import AccountId, AgentRef, Hash, Instant, LogPosition, MessageId
from taskferry_protocol.inbound import read_inbound
from taskferry_protocol.likeness import Likeness
from taskferry_protocol.linking import Approving, Joining
from taskferry_protocol.messages import MessageClass, decode_content, encode_content
from taskferry_protocol.sessions import ClientSession, RelaySession
from taskferry_transports.longpoll_wire import (
    MAX_WAIT,
    Incoming,
    Outgoing,
    WireFault,
    decode_frames,
    encode_frames,
    read_offsets,
    read_wait,
)
from tests.protocol.session_pair import START, join, make_client, make_relay, meet

from .account import KEYS, payload_of, signatures_unchecked, structure, the_log
from .kinds import Refused, Target

__all__ = ["REFUSALS", "VECTORS", "WIRE", "WIRE_SEEDS", "inputs", "made"]

#: What may come out of these targets.
REFUSALS = (RemoteProtocolError, WireFault)
#: Below the real limit, so that inputs reach it.
_MOST_FRAME = 1024
VECTORS = Path(__file__).parents[2] / "spec" / "vectors"


def _cbor(data: bytes) -> None:
    assert cbor.encode(cbor.decode(data)) == data


def _cose(data: bytes) -> None:
    signed = parse_signed(data)
    # One structure has one encoding: from its three free parts come the bytes that were read.
    assert structure(signed.payload, signed.key)[:-64] + signed.signature == data
    verify(data, Kind.STATEMENT)


def _envelope(data: bytes) -> None:
    # The inbox keeps what it cannot read and never raises.
    read_inbound(data)
    with signatures_unchecked():
        envelope = read_envelope(data, now=START)
    assert envelope.raw == data
    again = cbor.encode([encode_header(envelope.header), envelope.ct])
    assert structure(again, envelope.signed.key)[:-64] + envelope.signed.signature == data


def _header(data: bytes) -> None:
    quick = _read_quickly(data)
    careful = _read_carefully(data)
    assert quick is None or quick == careful
    assert encode_header(careful) == data
    with signatures_unchecked():
        read_envelope(structure(cbor.encode([data, bytes(272)])), now=START)


_ALIKE = Header(
    MessageId(bytes.fromhex("0190a0000000700080000000000000ff")),
    MessageClass.MESSAGE,
    AgentRef(AccountId(bytes(32)), "asks"),
    AgentRef(AccountId(b"\1" * 32), "does"),
    300,
    LogPosition(3, Hash(b"\2" * 32)),
    LogPosition(40, Hash(b"\3" * 32)),
    START,
    Instant(START + 86_400_000),
    1,
    bytes(24),
    bytes(32),
)
"""The header of an envelope that others are like."""


def _like(data: bytes) -> None:
    first = parse_envelope(structure(cbor.encode([encode_header(_ALIKE), bytes(272)])))
    likeness = Likeness.of(first, b"key")
    assert likeness is not None
    like = likeness.read((data, b"key", b"sealed"), START)
    # It raises what the general way raises, whatever the quick one says.
    envelope = parse_envelope(data)
    check_clock(envelope.header, START)
    if like is None:
        raise Refused
    header = envelope.header
    assert like == (data, b"sealed", header.id, header.seq, header.created_at, header.expires_at)
    own = {
        name: getattr(header, name) for name in ("id", "seq", "created_at", "expires_at", "nonce", "commit")
    }
    assert attrs.evolve(_ALIKE, **own) == header
    assert envelope.device == first.device


def _parcel(data: bytes) -> None:
    assert encode_parcel(read_parcel(cbor.decode(data))) == data


def _content(data: bytes) -> None:
    assert encode_content(decode_content(data)) == data


def _frame(data: bytes) -> None:
    assert encode_frame(read_frame(*open_frame(data))) == data


_METHODS = (
    "account.get", "account.append", "card.put", "card.get", "connection.put", "connection.end",
    "connection.list", "grant.put", "invite.put", "invite.withdraw", "invite.get", "presence.get",
)  # fmt: skip


def _call(data: bytes) -> None:
    if not data:
        raise Refused
    params = cbor.decode(data[1:])
    request = read_call(_METHODS[data[0] % len(_METHODS)], params)
    assert cbor.encode(request.to_cbor()) == data[1:]


_ANSWERS = (AccountFound, CardFound, ConnectionsFound, InviteFound, LogAppended, PresenceFound)


def _answer(data: bytes) -> None:
    if not data:
        raise Refused
    found = _ANSWERS[data[0] % len(_ANSWERS)].read(cbor.decode(data[1:]))
    assert cbor.encode(found.to_cbor()) == data[1:]


def _session(begin: Callable[[], ClientSession | RelaySession]) -> Target:
    @cache
    def begun() -> bytes:
        # A copy costs a twentieth of the handshake that led there.
        return pickle.dumps(begin())

    def target(data: bytes) -> None:
        # Frames one after another, as they come: the first that is refused ends the session.
        with signatures_unchecked():
            session: ClientSession | RelaySession = pickle.loads(begun())
            for at, frame in enumerate(_frames_of(data)):
                step = session.receive(frame, now=Instant(START + at))
                assert all(type(sent) is bytes for sent in step.frames)

    return target


def _frames_of(data: bytes) -> list[bytes]:
    """The frames that `data` is as a body of the long-poll; else all of it is one."""
    try:
        return decode_frames(data, max_frame=1 << 20)
    except WireFault:
        return [data]


def _handoff(data: bytes) -> None:
    with signatures_unchecked():
        verify_handoff(data)


def _audit(data: bytes) -> None:
    try:
        export = read_audit_export(data)
    except ChainBroken as error:
        raise Refused from error
    again = export_audit(
        export.owner, export.exported_at, export.chain, [entry.raw for entry in export.entries]
    )
    assert again == data


def _audit_entry(data: bytes) -> None:
    entry = read_entry(data)
    assert chained(entry.note, AuditEnd(entry.n - 1, entry.prev)).raw == data


def _backup(data: bytes) -> None:
    header = read_header(data[: HEAD_BYTES + header_length(data[:HEAD_BYTES])])
    assert header.encode() == data[: len(header.encode())]


@cache
def _offered() -> tuple[bytes, bytes, bytes]:
    """What the managing machine says first and second, and what the new one answers."""
    joining = Joining.begin(KEYS, b"n" * 32, START)
    approving, first = Approving.begin(the_log(), KEYS.id, b"o" * 32, START, manage=True)
    (offer,) = joining.receive(first.letters[0], now=START).letters
    (reveal,) = approving.receive(offer, now=START).letters
    return first.letters[0], offer, reveal


def _linking_new(data: bytes) -> None:
    """The new machine, before any letter, after the first, and after its owner agreed."""
    commit, _, reveal = _offered()
    joining = Joining.begin(KEYS, b"n" * 32, START)
    for letter in (commit, reveal)[: data[0] % 3 if data else 0]:
        joining.receive(letter, now=START)
    before = joining.words
    with signatures_unchecked():
        joining.receive(data[1:], now=START)
    assert not before or joining.words == before, "words changed after they were shown"


def _linking_managing(data: bytes) -> None:
    _, offer, _ = _offered()
    approving, _ = Approving.begin(the_log(), KEYS.id, b"o" * 32, START, manage=True)
    if data[:1] > b"\x7f":
        approving.receive(offer, now=START)
    before = approving.words
    with signatures_unchecked():
        approving.receive(data[1:], now=START)
    assert not approving.is_agreed, "no letter stands for what the owner typed"
    assert not before or approving.words == before, "words changed after they were shown"


def _longpoll_body(data: bytes) -> None:
    frames = decode_frames(data, max_frame=_MOST_FRAME)
    assert all(len(frame) <= _MOST_FRAME for frame in frames)
    assert encode_frames(frames) == data


def _longpoll_headers(data: bytes) -> None:
    text = data.decode("latin-1")
    try:
        wait = read_wait(text)
        assert wait is not None
        assert 0 <= wait <= MAX_WAIT
    except WireFault:
        offsets = read_offsets(text)
        assert read_offsets(str(offsets)) == offsets


def _longpoll_turns(data: bytes) -> None:
    """Bodies are lost, doubled and late by the bytes of `data`: frames arrive once and in order."""
    outgoing, incoming = Outgoing(max_bytes=200, max_frames=8), Incoming()
    pushed: list[bytes] = []
    taken: list[bytes] = []
    flying: list[tuple[int, list[bytes]]] = []
    for byte in data[:512]:
        match byte >> 6:
            case 0:
                frame = bytes((byte & 0x3F, len(pushed) & 0xFF))
                if outgoing.has_room(len(frame)):
                    outgoing.push(frame)
                    pushed.append(frame)
            case 1:
                flying.append((outgoing.first, outgoing.batch(outgoing.first, 1 + (byte & 0x3F))))
            case 2 if flying:
                send, frames = flying[(byte & 0x3F) % len(flying)]
                if send <= incoming.received <= send + len(frames):
                    for frame in incoming.fresh(send, frames):
                        taken.append(frame)
                        incoming.take()
            case _:
                outgoing.acknowledge(min(incoming.received, outgoing.end))
    assert taken == pushed[: len(taken)]


WIRE: dict[str, Target] = {
    "cbor": _cbor,
    "cose": _cose,
    "envelope": _envelope,
    "header": _header,
    "like": _like,
    "parcel": _parcel,
    "content": _content,
    "frame": _frame,
    "call": _call,
    "call-answer": _answer,
    "relay-begun": _session(make_relay),
    "relay-deciding": _session(lambda: meet().relay),
    "relay-open": _session(lambda: join().relay),
    "client-begun": _session(make_client),
    "client-waiting": _session(lambda: meet().client),
    "client-open": _session(lambda: join().client),
    "handoff": _handoff,
    "audit-export": _audit,
    "audit-entry": _audit_entry,
    "backup": _backup,
    "linking-new": _linking_new,
    "linking-managing": _linking_managing,
    "longpoll-body": _longpoll_body,
    "longpoll-headers": _longpoll_headers,
    "longpoll-turns": _longpoll_turns,
}

#: Inputs to start from, where the specification has no vectors.
WIRE_SEEDS: dict[str, tuple[bytes, ...]] = {
    "longpoll-body": (b"\x43abc\x40", b"\x58\x18" + bytes(24), b"\x59\x01\x00" + bytes(256)),
    "longpoll-headers": (b"send=0, received=17", b"25", b"0.125"),
    "longpoll-turns": (b"\x01\x02\x7f\x80\xc0", bytes(range(0, 256, 5))),
}


def made(name: str) -> Iterator[bytes]:
    """Good inputs of the targets that no vector is for."""
    match name:
        case "audit-entry" | "audit-export":
            note = audit_note("approval", "a task", {"by": "owner", "n": 3}, START)
            entry = chained(note, CHAIN_START)
            yield entry.raw
            yield export_audit("ada", START, AuditChain(CHAIN_START, entry.end), [entry.raw])
        case "linking-new" | "linking-managing":
            for letter in _offered():
                yield from (bytes((phase,)) + letter for phase in (0, 1, 2, 128))
        case "like":
            for seq in (256, 301, 65_535):
                header = encode_header(attrs.evolve(_ALIKE, seq=seq))
                yield structure(cbor.encode([header, bytes(seq)]))
        case "header":
            for path in sorted((VECTORS / "envelope").glob("*.json")):
                for raw in inputs(json.loads(path.read_text())):
                    try:
                        yield from _first_string(raw)
                    except RemoteProtocolError:
                        continue
        case "call" | "call-answer":
            for path in sorted((VECTORS / "sessions").glob("*.json")):
                for raw in inputs(json.loads(path.read_text())):
                    yield from _bodies_of_calls(raw)
        case _:
            return


def _first_string(raw: bytes) -> Iterator[bytes]:
    value = cbor.decode(payload_of(raw))
    if isinstance(value, list) and value and isinstance(value[0], bytes):
        yield value[0]


def _bodies_of_calls(raw: bytes) -> Iterator[bytes]:
    try:
        value = cbor.decode(raw)
    except RemoteProtocolError:
        return
    last = value[-1] if isinstance(value, list) and value else None
    if isinstance(last, dict):
        yield from (bytes((number,)) + cbor.encode(last) for number in range(len(_METHODS)))


def inputs(vector: dict[str, object]) -> Iterator[bytes]:
    """The byte strings that a vector feeds to whoever runs it."""
    found = vector.get("input")
    texts = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    steps = vector.get("steps")
    for step in steps if isinstance(steps, list) else ():
        texts += (
            [value for value in step.values() if isinstance(value, str)] if isinstance(step, dict) else []
        )
    for text in texts:
        try:
            raw = bytes.fromhex(text) if isinstance(text, str) else b""
        except ValueError:
            continue
        yield raw
