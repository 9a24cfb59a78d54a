"""Targets that read what programs on the owner's machine send, and files that the daemon finds there."""

from __future__ import annotations

import io
import json
from urllib.parse import parse_qsl

import h11
from hypercorn.protocol.ws_stream import Handshake

from taskferry_apps.client.errors import TaskFerryError
from taskferry_apps.client.feeds import Lines
from taskferry_apps.daemon.api.body import canonical, compact, parse_json
from taskferry_apps.daemon.api.routes import ROUTES
from taskferry_apps.daemon.beginning import Beginning, decode_beginning, encode_beginning
from taskferry_apps.daemon.keys import DamagedKeys, decode_keys, encode_keys
from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_apps.daemon.restoring import CannotRestore, read_opening
from taskferry_apps.mcp import file_frames
from taskferry_apps.mcp.catalogue import TOOLS
from taskferry_apps.mcp.file_frames import BadFrame
from taskferry_apps.mcp.lines import BadLine, read_line
from taskferry_apps.mcp.schema import BadArgument, read_arguments
from taskferry_transports.guarded_server.http import _asks_for_websocket, _believable

from .account import signatures_unchecked, the_log
from .kinds import Refused, Target

__all__ = ["PROGRAMS", "PROGRAM_SEEDS", "REFUSALS"]

#: What may come out of these targets.
REFUSALS = (DaemonRefusal,)

_FORMS = [route for route in ROUTES if route.body is not None]
_QUERIES = [route for route in ROUTES if route.query.fields]
_TOOLS = list(TOOLS.values())


def _json(data: bytes) -> None:
    value = parse_json(data)
    for written in (compact(value), canonical(value)):
        assert parse_json(written) == value


def _body(data: bytes) -> None:
    if not data:
        raise Refused
    route = _FORMS[data[0] % len(_FORMS)]
    assert route.body is not None
    value = parse_json(data[1:])
    read = route.body.read(value)
    # What was read is there to be looked up, under every field that the form has.
    for field in route.body.fields:
        read[field]


def _query(data: bytes) -> None:
    if not data:
        raise Refused
    route = _QUERIES[data[0] % len(_QUERIES)]
    pairs = parse_qsl(data[1:].decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=None)
    read = route.query.read_texts(pairs)
    for field in route.query.fields:
        read[field]


def _tool(data: bytes) -> None:
    if not data:
        raise Refused
    try:
        given = json.loads(data[1:])
    except (ValueError, RecursionError) as error:
        raise Refused from error
    tool = _TOOLS[data[0] % len(_TOOLS)]
    try:
        arguments = read_arguments(tool.takes, given)
    except BadArgument as error:
        raise Refused from error
    assert arguments.given == {name: value for name, value in given.items() if value is not None}


def _mcp_line(data: bytes) -> None:
    try:
        line = read_line(data)
    except BadLine as error:
        json.loads(error.answer)["error"]["message"]
        raise Refused from error
    assert "\n" not in line.text
    assert read_line(line.text.encode()) == line


def _file_frame(data: bytes) -> None:
    try:
        frame = file_frames.decode(data)
    except BadFrame as error:
        raise Refused from error
    assert file_frames.decode(file_frames.encode(frame)) == frame


def _feed(data: bytes) -> None:
    whole, parts = Lines(), Lines()
    try:
        told = list(whole.take(data))
        # However the bytes are cut on their way, the events are the same.
        assert [event for byte in data for event in parts.take(bytes((byte,)))] == told
    except TaskFerryError as error:
        raise Refused from error
    assert parts.place == whole.place


def _keys(data: bytes) -> None:
    try:
        ring = decode_keys(data, "keys")
    except DamagedKeys as error:
        raise Refused from error
    again = decode_keys(encode_keys(ring), "keys")
    assert again == ring


def _beginning(data: bytes) -> None:
    with signatures_unchecked():
        try:
            beginning = decode_beginning(data, "beginning")
        except DamagedKeys as error:
            raise Refused from error
        assert decode_beginning(encode_beginning(beginning), "beginning") == beginning


def _backup_opening(data: bytes) -> None:
    try:
        opening = read_opening(io.BytesIO(data))
    except CannotRestore as error:
        raise Refused from error
    assert opening.header.encode() == opening.raw


def _upgrade(data: bytes) -> None:
    """What is asked of a request's head before it reaches a WebSocket library."""
    connection = h11.Connection(h11.SERVER)
    try:
        connection.receive_data(data)
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise Refused from error
    if not isinstance(event, h11.Request):
        raise Refused
    headers, client = _believable(list(event.headers), ("127.0.0.1", 1), frozenset({"127.0.0.1"}))
    assert client is not None
    asked = _asks_for_websocket(headers) and all(value.isascii() for _, value in headers)
    if not asked or not Handshake(headers, event.http_version.decode()).is_valid():
        raise Refused


PROGRAMS: dict[str, Target] = {
    "local-api-json": _json,
    "local-api-body": _body,
    "local-api-query": _query,
    "mcp-arguments": _tool,
    "mcp-line": _mcp_line,
    "mcp-file-frame": _file_frame,
    "client-feed": _feed,
    "keys-file": _keys,
    "set-up-file": _beginning,
    "backup-opening": _backup_opening,
    "websocket-upgrade": _upgrade,
}

_TASK = b'{"from": "a", "to": "@b/c", "title": "t", "files": [{"name": "x", "data_base64": "YQ=="}]}'


def _for_each(routes: list[object], *texts: bytes) -> tuple[bytes, ...]:
    return tuple(bytes((number,)) + text for number in range(min(len(routes), 255)) for text in texts)


PROGRAM_SEEDS: dict[str, tuple[bytes, ...]] = {
    "local-api-json": (
        b'{"from": "a", "to": "@b/c", "files": [{"name": "x", "data_base64": "YQ=="}], "n": null}',
        b'[1, -2.5e-7, true, "\\ud83d\\ude00", {"a": {"a": []}}]',
        b"9223372036854775807",
        b'"\\ud800"',
    ),
    "local-api-body": _for_each([*_FORMS], b"{}", _TASK, b'{"agent": "ada", "name": "x"}'),
    "local-api-query": _for_each([*_QUERIES], b"agent=ada&limit=3&cursor=17&wait=2", b"search=a+b%ff&state="),
    "mcp-arguments": _for_each([*_TOOLS], b"{}", b'{"agent": "ada", "to": "@b/c", "limit": 3, "text": "x"}'),
    "mcp-line": (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{}}}',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a"}}',
        b'{"jsonrpc":"2.0","id":"a","result":{"a":1,"a":2}}',
        b'[{"jsonrpc":"2.0"}]',
    ),
    "mcp-file-frame": (
        file_frames.encode(file_frames.Frame(1, "files", (), (("a", b"abc"), ("b", b"")))),
        file_frames.encode(file_frames.Frame(2, "read", ("/a", "b"))),
    ),
    "client-feed": (
        b'event: message\nid: 17\ndata: {"a": 1}\n\n: ping\n\nid: 18\n\n',
        b'event: error\ndata: {"error": {"code": "x", "message": "y", "next_step": "z"}}\n\n',
        b"data: 1\r\ndata: 2\r\n\r\n",
    ),
    "keys-file": (
        json.dumps(
            {
                "format": 1,
                "signing": "01" * 32,
                "encryption": "02" * 32,
                "manage": "03" * 32,
                "label": "x",
                "encryption_since": 1,
                "former": [{"secret": "04" * 32, "replaced_at": 2}],
                "next_encryption": "05" * 32,
            }
        ).encode(),
        json.dumps(
            {
                "format": 2,
                "signing": "01" * 32,
                "encryption": "02" * 32,
                "manage": None,
                "label": "x",
                "encryption_since": 1,
                "former": [],
                "next_encryption": None,
                "manage_locked": {
                    "public": "06" * 32,
                    "salt": "07" * 16,
                    "ops": 3,
                    "memory": 65536,
                    "box": "08" * 48,
                },
            }
        ).encode(),
    ),
    "set-up-file": (encode_beginning(Beginning("fuzz", the_log().statements[0], b"r" * 32)),),
    "websocket-upgrade": (
        b"GET /v1/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: taskferry.1\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: !\r\n\r\n",
    ),
}
