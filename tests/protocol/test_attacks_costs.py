"""What costs its reader far more than its sender: refused before it does, each as an attack."""

from __future__ import annotations

import pytest

from taskferry_protocol.cbor import decode, encode
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.limits import AUTH_ITEMS, CBOR_ITEMS, FRAME_BYTES, OPENING_BYTES
from taskferry_protocol.messages import Content, JsonPart, TextMessage, decode_content, encode_content
from taskferry_protocol.sessions import SessionBroken

from .session_pair import START, make_client, make_relay
from .world import CONV


def code_for(data: bytes) -> RejectCode:
    """Why these bytes are refused."""
    with pytest.raises(RemoteProtocolError) as caught:
        decode(data)
    return caught.value.code


def array(count: int, member: bytes) -> bytes:
    """An array of so many times the same member."""
    return b"\x9a" + count.to_bytes(4, "big") + member * count


@pytest.mark.parametrize(
    "member", [b"\x00", b"\xa0", b"\x80", b"\x40", b"\xf4", b"\xc1", b"\x5f", b"\xf9\0\0"]
)
def test_a_frame_of_nothing_but_small_items_is_not_read(member: bytes) -> None:
    """A megabyte of empty maps took seconds to read, of bad items as long to diagnose: counted first."""
    assert code_for(array((FRAME_BYTES - 5) // len(member), member)) is RejectCode.TOO_MANY


def test_as_many_items_as_are_allowed_are_read() -> None:
    """The bound itself passes, and keys of maps count."""
    numbers = [0] * (CBOR_ITEMS - 1)
    assert decode(encode(numbers)) == numbers
    assert code_for(encode([*numbers, 0])) is RejectCode.TOO_MANY
    pairs = {f"{n:05}": 0 for n in range(CBOR_ITEMS // 2)}
    assert code_for(encode(pairs)) is RejectCode.TOO_MANY
    del pairs["00000"]
    assert decode(encode(pairs)) == pairs


def test_long_strings_are_not_items() -> None:
    """What stands inside strings is not counted, whatever its bytes look like."""
    value = [b"\x80" * 500_000, "a" * 300_000, 2**63, {"k": None}]
    assert decode(encode(value)) == value


def test_a_count_that_the_bytes_do_not_hold_is_malformed() -> None:
    """A forged length ends the counting and the reading."""
    assert code_for(b"\x5b" + b"\xff" * 8 + bytes(CBOR_ITEMS)) is RejectCode.MALFORMED
    assert code_for(b"\x82" + b"\x5a\x00\x00\xff\xff" + bytes(0xFFFF) + b"\x19") is RejectCode.MALFORMED


def test_a_stranger_gets_no_large_frame_read() -> None:
    """Before the proof a relay reads small frames only, whatever stands in them."""
    relay = make_relay()
    with pytest.raises(SessionBroken) as broken:
        relay.receive(b"\x82\x01" + encode(bytes(OPENING_BYTES)), now=START)
    assert broken.value.code is RejectCode.TOO_LARGE


def test_a_stranger_gets_no_crowded_proof_read() -> None:
    """The proof comes with statements, a few hundred byte strings: nothing else is taken apart."""
    relay = make_relay()
    relay.receive(make_client().greeting, now=START)
    auth = encode([3, {"proof": b"", "from": 0, "statements": [[]] * AUTH_ITEMS}])
    with pytest.raises(SessionBroken) as broken:
        relay.receive(auth, now=START)
    assert broken.value.code is RejectCode.TOO_MANY


def test_a_proof_with_all_its_statements_is_read() -> None:
    """As many statements as an `auth` may have, as long as a frame holds, get to the proof."""
    relay = make_relay()
    relay.receive(make_client().greeting, now=START)
    auth = encode([3, {"proof": b"", "from": 0, "statements": [bytes(3_000)] * 256}])
    with pytest.raises(SessionBroken) as broken:
        relay.receive(auth, now=START)
    assert broken.value.code is RejectCode.BAD_PROOF


def test_a_relay_gets_no_large_frame_read_before_it_is_ready() -> None:
    """A daemon spends no more on a relay that it has not yet come to terms with."""
    client = make_client()
    with pytest.raises(SessionBroken) as broken:
        client.receive(b"\x82\x02" + encode(bytes(OPENING_BYTES)), now=START)
    assert broken.value.code is RejectCode.TOO_LARGE


@pytest.mark.parametrize("end", ["", "\\"])
def test_an_unclosed_json_string_of_escapes_is_refused_at_once(end: str) -> None:
    """Looked for from each of its quotes it took minutes: a whole daemon stood still."""
    part = {"kind": "json", "json": '"' + '\\"' * 98_000 + end, "name": ""}
    content = {
        "type": "message",
        "minor": 0,
        "conv": CONV,
        "hop": 0,
        "cause": [],
        "body": {"text": "hi", "parts": [part]},
    }
    with pytest.raises(RemoteProtocolError) as caught:
        decode_content(encode(content))
    assert caught.value.code is RejectCode.BAD_VALUE


def test_brackets_inside_json_strings_are_no_nesting() -> None:
    """Escaped quotes do not end a string, so what stands after them is still text."""
    text = '["' + '\\"[' * 200 + '", "\\\\", [1]]'
    content = Content(TextMessage("hi", (JsonPart(text),)), CONV)
    assert decode_content(encode_content(content)) == content
