"""Whatever stands in a line is a message or is answered, and no answer harms the session."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskferry_apps.mcp.lines import MOST_BYTES, BadLine, failed_line, next_line, read_line

from .test_schema import JSON


@pytest.mark.parametrize(
    ("raw", "method", "id"),
    [
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"}', "ping", 1),
        (b'{"jsonrpc":"2.0","id":"a","method":"ping","params":{}}', "ping", "a"),
        (b'{"jsonrpc":"2.0","method":"notifications/initialized"}', "notifications/initialized", None),
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', "", 1),
    ],
)
def test_messages_are_told_apart(raw: bytes, method: str, id: object) -> None:
    """Requests, notifications and answers."""
    line = read_line(raw)
    assert (line.method, line.id) == (method, id)
    assert line.is_request == (bool(method) and id is not None)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", -32700),
        (b"hello", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 100_000, -32700),
        (b'{"jsonrpc":"2.0","id":' + b"1" * 5_000 + b',"method":"x"}', -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":NaN}}', -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":1e999}}', -32700),
        (b"[]", -32600),
        (b'"x"', -32600),
        (b"{}", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"x"}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"x"}', -32600),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"x"}', -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"x"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
        (b'{"jsonrpc":"2.0"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":"' + b"x" * MOST_BYTES + b'"}', -32600),
    ],
)
def test_what_is_no_message_is_answered(raw: bytes, code: int) -> None:
    """With JSON-RPC's own codes and a sentence."""
    with pytest.raises(BadLine) as bad:
        read_line(raw)
    answer = json.loads(bad.value.answer)
    assert answer["error"]["code"] == code
    assert answer["error"]["message"].endswith(".")


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_line_is_a_message_or_is_answered(raw: bytes) -> None:
    """And what is passed on is one line of JSON that says the same."""
    answer = ""
    try:
        line = read_line(raw)
    except BadLine as bad:
        answer = bad.answer
    else:
        assert json.loads(line.text) == json.loads(raw)
        assert len(line.text.splitlines()) == 1
    assert not answer or json.loads(answer)["jsonrpc"] == "2.0"


def test_a_doubled_name_is_passed_on_once() -> None:
    """Whichever of two ids the next reader would have taken, it gets the one that was read here."""
    line = read_line(b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}')
    assert json.loads(line.text, object_pairs_hook=list).count(["id", 2]) <= 1
    assert line.text.count('"id"') == 1
    assert line.id == 2


def test_a_request_that_cannot_be_served_is_answered_in_its_kind() -> None:
    """A tool's model reads why; of other requests, the host does."""
    tool = json.loads(failed_line(read_line(b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}'), "Start it."))
    assert tool["result"] == {"content": [{"type": "text", "text": "Start it."}], "isError": True}
    other = json.loads(failed_line(read_line(b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'), "Start it."))
    assert other["error"]["message"] == "Start it."


def test_an_oversized_line_costs_no_more_than_its_limit() -> None:
    """It is read to its end, kept only in part, and the next line is the next one."""
    stream = io.BytesIO(b"x" * (3 * MOST_BYTES) + b"\nnext\r\nlast")
    assert len(next_line(stream) or b"") == MOST_BYTES + 2
    assert next_line(stream) == b"next"
    assert next_line(stream) == b"last"
    assert next_line(stream) is None
