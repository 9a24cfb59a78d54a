"""What is fuzzed: every decoder of strangers' bytes, and both sessions in every phase.

A target takes any bytes. It returns, or it has found a bug: nothing but a coded rejection may come out of a
decoder, and what is accepted must encode to the very bytes that came in.

Where a signature would stop every mutation, the target signs the bytes itself: the hostile peer can, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from taskferry_apps.daemon.api.body import canonical, compact, parse_json
from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_protocol import cbor
from taskferry_protocol.accounts import AccountLog, DeviceKeys, create, fold
from taskferry_protocol.backups import HEAD_BYTES, header_length, read_header
from taskferry_protocol.cards import read_card
from taskferry_protocol.connections import read_request
from taskferry_protocol.crypto import Kind, SigningKey, parse_signed, verify
from taskferry_protocol.envelope import read_envelope, read_parcel
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.frames import encode_frame, open_frame, read_frame
from taskferry_protocol.handoff import verify_handoff
from taskferry_protocol.ids import Handle, sha256
from taskferry_protocol.invites import InviteLink, read_invite
from taskferry_protocol.messages import decode_content, encode_content
from taskferry_protocol.permissions import read_grant, read_terms
from taskferry_protocol.sessions import ClientSession, RelaySession
from taskferry_transports.longpoll_wire import (
    MAX_WAIT,
    WireFault,
    decode_frames,
    encode_frames,
    read_offsets,
    read_wait,
)
from tests.protocol.session_pair import START, join, make_client, make_relay, meet

__all__ = ["TARGETS", "Target", "run", "seeds"]

Target = Callable[[bytes], None]

#: Below the real limit, so that inputs reach it.
_MOST_FRAME = 1024
_VECTORS = Path(__file__).parents[2] / "spec" / "vectors"


@cache
def _manager() -> tuple[AccountLog, SigningKey, SigningKey]:
    """An account, its manage key and its device key."""
    keys = DeviceKeys.generate_managing("fuzz", lambda size: b"\x07" * (size - 1) + b"\x01")
    manage = SigningKey.from_seed(b"m" * 32)
    keys = DeviceKeys(SigningKey.from_seed(b"d" * 32), keys.encryption, manage, "fuzz")
    log = fold([create("fuzz", keys, SigningKey.from_seed(b"r" * 32), at=START)])
    return log, manage, keys.signing


def _cbor(data: bytes) -> None:
    assert cbor.encode(cbor.decode(data)) == data


def _cose(data: bytes) -> None:
    parse_signed(data)
    verify(data, Kind.STATEMENT)


def _envelope(data: bytes) -> None:
    assert read_envelope(data, now=START).raw == data


def _header(data: bytes) -> None:
    _, _, device = _manager()
    read_envelope(device.sign(Kind.ENVELOPE, cbor.encode([data, bytes(272)])), now=START)


def _parcel(data: bytes) -> None:
    read_parcel(cbor.decode(data))


def _content(data: bytes) -> None:
    assert encode_content(decode_content(data)) == data


def _statement(data: bytes) -> None:
    log, manage, device = _manager()
    log.extend([manage.sign(Kind.STATEMENT, data)])
    log.extend([device.sign(Kind.SELF_STATEMENT, data)])


def _document(kind: Kind, read: Callable[[bytes, AccountLog], object]) -> Target:
    def target(data: bytes) -> None:
        log, manage, _ = _manager()
        read(manage.sign(kind, data), log)

    return target


def _terms(data: bytes) -> None:
    read_terms(data, sha256(data))


def _frame(data: bytes) -> None:
    assert encode_frame(read_frame(*open_frame(data))) == data


def _session(begin: Callable[[], ClientSession | RelaySession]) -> Target:
    def target(data: bytes) -> None:
        step = begin().receive(data, now=START)
        assert all(type(frame) is bytes for frame in step.frames)

    return target


def _handoff(data: bytes) -> None:
    verify_handoff(data)


def _backup(data: bytes) -> None:
    header = read_header(data[: HEAD_BYTES + header_length(data[:HEAD_BYTES])])
    assert read_header(header.encode()) == header


def _names(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        assert str(Handle.parse(text)) == text
    except RemoteProtocolError:
        InviteLink.parse(text)


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


def _json(data: bytes) -> None:
    value = parse_json(data)
    for written in (compact(value), canonical(value)):
        assert parse_json(written) == value


TARGETS: dict[str, Target] = {
    "cbor": _cbor,
    "cose": _cose,
    "envelope": _envelope,
    "header": _header,
    "parcel": _parcel,
    "content": _content,
    "statement": _statement,
    "card": _document(Kind.CARD, read_card),
    "connection-request": _document(Kind.CONNECTION_REQUEST, read_request),
    "grant": _document(Kind.GRANT, read_grant),
    "invite": _document(Kind.INVITE, read_invite),
    "terms": _terms,
    "frame": _frame,
    "relay-begun": _session(make_relay),
    "relay-deciding": _session(lambda: meet().relay),
    "relay-open": _session(lambda: join().relay),
    "client-begun": _session(make_client),
    "client-waiting": _session(lambda: meet().client),
    "client-open": _session(lambda: join().client),
    "handoff": _handoff,
    "backup": _backup,
    "names": _names,
    "longpoll-body": _longpoll_body,
    "longpoll-headers": _longpoll_headers,
    "local-api-json": _json,
}

#: Inputs to start from, where the specification has no vectors.
_BEGINNINGS: dict[str, tuple[bytes, ...]] = {
    "longpoll-body": (b"\x43abc\x40", b"\x58\x18" + bytes(24), b"\x59\x01\x00" + bytes(256)),
    "longpoll-headers": (b"send=0, received=17", b"25", b"0.125"),
    "local-api-json": (
        b'{"from": "a", "to": "@b/c", "files": [{"name": "x", "data_base64": "YQ=="}], "n": null}',
        b'[1, -2.5e-7, true, "\\ud83d\\ude00", {"a": {"a": []}}]',
        b"9223372036854775807",
        b'"\\ud800"',
    ),
}

_AREAS = {
    "cbor": ("cbor",),
    "cose": ("cose", "ed25519"),
    "envelope": ("envelope",),
    "parcel": ("envelope",),
    "content": ("messages",),
    "handoff": ("export",),
    "backup": ("backup",),
    "statement": ("account",),
    "card": ("cards",),
    "connection-request": ("connections",),
    "grant": ("connections",),
    "invite": ("invites",),
}


def seeds(name: str) -> Iterator[bytes]:
    """Inputs to start from: the specification's vectors of the same area, and payloads of what they sign."""
    if name in _BEGINNINGS:
        yield from _BEGINNINGS[name]
        return
    for area in _AREAS.get(name, ("sessions",)):
        for path in sorted((_VECTORS / area).glob("*.json")):
            yield from _inputs(name, json.loads(path.read_text()))


def _inputs(name: str, vector: dict[str, object]) -> Iterator[bytes]:
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
        if name in ("statement", "card", "connection-request", "grant", "invite"):
            try:
                yield parse_signed(raw).payload
            except RemoteProtocolError:
                continue


def run(name: str, data: bytes) -> None:
    """Run one target on one input; any exception but a coded rejection is a finding."""
    try:
        TARGETS[name](data)
    except (RemoteProtocolError, WireFault, DaemonRefusal):
        return
