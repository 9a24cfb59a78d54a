"""A client's bytes are cut as wsproto would cut them, or handed over to it."""

from __future__ import annotations

import random
import struct
import sys
import time

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, Ping, Pong, TextMessage

from taskferry_transports.guarded_server.usual_messages import Kind, UsualMessages

MOST = 200_000
SIZES = (0, 1, 3, 4, 5, 125, 126, 127, 511, 512, 513, 1_300, 65_535, 65_536, MOST)
MASK = b"\x01\x80\xfe\x5a"


def cut(pieces: list[bytes]) -> list[tuple[Kind, bytes]]:
    """All that stands in these pieces, up to the first that is not usual."""
    usual = UsualMessages(MOST)
    found: list[tuple[Kind, bytes]] = []
    for number, piece in enumerate(pieces):
        usual.feed(piece)
        while True:
            kind, what = usual.next()
            if kind is Kind.PART:
                break
            if kind is Kind.OTHER:
                return [*found, (kind, b"".join([what, *pieces[number + 1 :]]))]
            found.append((kind, what))
    return found


def split(data: bytes, draw: random.Random, most: int) -> list[bytes]:
    """The bytes in pieces of random sizes."""
    pieces = []
    while data:
        size = draw.randint(1, most)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


def masked(first: int, payload: bytes) -> bytes:
    """A client's frame."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, 0xFE, size)
    else:
        head = struct.pack("!BBQ", first, 0xFF, size)
    return head + MASK + bytes(byte ^ MASK[n % 4] for n, byte in enumerate(payload))


@pytest.mark.parametrize("size", SIZES)
def test_a_message_of_any_size_comes_out_as_it_went_in(size: int) -> None:
    """On both sides of each way to write a length, and whatever the mask."""
    payload = random.Random(size).randbytes(size)
    assert cut([Connection(ConnectionType.CLIENT).send(BytesMessage(payload))]) == [(Kind.MESSAGE, payload)]
    assert cut([masked(0x82, payload)]) == [(Kind.MESSAGE, payload)]


@pytest.mark.parametrize("seed", range(6))
def test_however_the_bytes_arrive_the_messages_are_the_same(seed: int) -> None:
    """A crowd of messages, pings and pongs, in pieces down to single bytes."""
    draw = random.Random(seed)
    client = Connection(ConnectionType.CLIENT)
    expected: list[tuple[Kind, bytes]] = []
    data = b""
    for _ in range(60):
        if draw.random() < 0.3:
            ping = client.send(draw.choice((Ping, Pong))(draw.randbytes(draw.randint(0, 125))))
            expected.append((Kind.CONTROL, ping))
            data += ping
        else:
            message = draw.randbytes(draw.choice((0, 1, 100, 700, 5_000)))
            expected.append((Kind.MESSAGE, message))
            data += client.send(BytesMessage(message))
    for most in (1, 3, 40, 3_000, 100_000):
        assert cut(split(data, draw, most)) == expected


OTHERS: dict[str, bytes] = {
    "text": Connection(ConnectionType.CLIENT).send(TextMessage("hi")),
    "a first fragment": masked(0x02, b"part"),
    "a continuation": masked(0x80, b"part"),
    "a close": masked(0x88, b"\x03\xe8"),
    "an extension's bit": masked(0xC2, b"deflated"),
    "no mask": b"\x82\x02hi",
    "a reserved opcode": masked(0x83, b"?"),
    "a ping in fragments": masked(0x09, b"?"),
    "a long ping": masked(0x89, bytes(126)),
    "a length in two bytes where one does": b"\x82\xfe\x00\x7d" + MASK + bytes(125),
    "a length in eight bytes where two do": b"\x82\xff" + struct.pack("!Q", 65_535) + MASK + bytes(65_535),
    "more than is allowed": masked(0x82, bytes(MOST + 1))[:4_000],
    "more than there is": b"\x82\xff" + b"\xff" * 8 + MASK,
}


@pytest.mark.parametrize("case", OTHERS)
@pytest.mark.parametrize("most", [1, 7, 1 << 20])
def test_whatever_is_not_usual_is_handed_over_whole(case: str, most: int) -> None:
    """What came before is taken, and not a byte of the rest is lost or changed."""
    before = masked(0x82, b"one") + masked(0x89, b"two")
    rest = OTHERS[case] + masked(0x82, b"three")
    found = cut(split(before + rest, random.Random(most), most))
    assert found == [(Kind.MESSAGE, b"one"), (Kind.CONTROL, masked(0x89, b"two")), (Kind.OTHER, rest)]


def test_a_peer_that_sends_byte_by_byte_costs_no_more_than_its_bytes() -> None:
    """A large message in single bytes is put together once, not again for each of them."""
    payload = random.Random(1).randbytes(MOST)
    data = masked(0x82, payload)
    began = time.process_time()
    assert cut([data[n : n + 1] for n in range(len(data))]) == [(Kind.MESSAGE, payload)]
    # Copied for each byte, it would be 20 GB.
    assert time.process_time() - began < 2


def test_a_message_that_was_taken_is_not_kept_until_the_next_one_comes() -> None:
    """A crowd of quiet connections would each hold its last message; and nothing is left once it is over."""
    usual = UsualMessages(MOST)
    began = sys.getrefcount(data := masked(0x82, bytes(50_000)))
    usual.feed(data)
    assert usual.next()[0] is Kind.MESSAGE
    assert sys.getrefcount(data) == began + 1
    assert usual.next() == (Kind.PART, b"")
    assert sys.getrefcount(data) == began
    usual.feed(data[:40_000])
    usual.next()
    assert usual.held == 40_000
    usual.let_go()
    assert usual.held == 0
