"""Bodies and offsets of long-poll, as pure data."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskferry_transports.longpoll_wire import (
    Incoming,
    Offsets,
    Outgoing,
    WireFault,
    decode_frames,
    encode_frames,
    frame_head,
    read_offsets,
    read_wait,
)

FRAMES = st.lists(st.binary(max_size=400), max_size=20)


@given(FRAMES)
def test_bodies_survive_the_round_trip(frames):
    """What is encoded decodes to the same, and is what an independent encoder writes."""
    body = encode_frames(frames)
    assert decode_frames(body, max_frame=400) == frames
    assert body == b"".join(cbor2.dumps(frame) for frame in frames)


@pytest.mark.parametrize("size", [0, 23, 24, 255, 256, 65_535, 65_536, 1 << 20])
def test_heads_are_the_shortest(size):
    """Each size gets the head that RFC 8949 calls preferred."""
    assert frame_head(size) + bytes(size) == cbor2.dumps(bytes(size))


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_a_fault(body):
    """No body does anything else, and what decodes encodes to the same bytes."""
    try:
        frames = decode_frames(body, max_frame=100)
    except WireFault:
        return
    assert encode_frames(frames) == body


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("5800", "bad-body"),
        ("5900ff" + "00" * 255, "bad-body"),
        ("5a0000ffff", "frame-too-large"),
        ("43aabb", "bad-body"),
        ("58", "bad-body"),
        ("63616263", "bad-body"),
        ("5f4101ff", "bad-body"),
        ("5b0000000000000001aa", "bad-body"),
        ("41aaf6", "bad-body"),
        ("5aff", "frame-too-large"),
    ],
)
def test_bad_bodies_are_named(body, code):
    """Longer heads than needed, other types, truncation and excess have their codes."""
    with pytest.raises(WireFault) as fault:
        decode_frames(bytes.fromhex(body), max_frame=300)
    assert fault.value.code == code or (body == "5aff" and fault.value.code == "bad-body")


@pytest.mark.parametrize(
    "text", [None, "", "send=1", "send=1, received=-1", "send=1, received=1 ", "send=१, received=1"]
)
def test_malformed_offsets_are_refused(text):
    """Only plain decimal digits in the one order are taken."""
    with pytest.raises(WireFault, match="malformed"):
        read_offsets(text)


def test_offsets_round_trip():
    """What is written is read."""
    assert read_offsets(str(Offsets(12, 345))) == Offsets(12, 345)


@pytest.mark.parametrize("text", ["26", "-1", "nan", "1e1", "", "25.5"])
def test_waits_beyond_the_bound_are_refused(text):
    """A wait is a plain number up to 25."""
    with pytest.raises(WireFault):
        read_wait(text)
    assert read_wait("25") == 25
    assert read_wait("0.300") == 0.3
    assert read_wait(None) is None


def test_outgoing_repeats_until_acknowledged():
    """The same start gives the same frames, until the other side has them."""
    outgoing = Outgoing(max_bytes=100, max_frames=10)
    for frame in (b"a", b"b", b"c"):
        outgoing.push(frame)
    assert outgoing.batch(1, 1000) == [b"b", b"c"]
    assert outgoing.batch(1, 1000) == [b"b", b"c"]
    outgoing.acknowledge(2)
    outgoing.acknowledge(1)
    assert outgoing.first == 2
    assert outgoing.batch(2, 1000) == [b"c"]
    with pytest.raises(WireFault):
        outgoing.batch(1, 1000)
    with pytest.raises(WireFault):
        outgoing.acknowledge(4)


def test_batch_is_bounded_but_never_empty():
    """A batch keeps to its size, and takes one frame whatever its size."""
    outgoing = Outgoing(max_bytes=1000, max_frames=10)
    for _ in range(4):
        outgoing.push(bytes(100))
    assert len(outgoing.batch(0, 250)) == 2
    assert len(outgoing.batch(0, 10)) == 1


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)), max_size=30))
def test_incoming_takes_every_frame_once_whatever_is_repeated(uploads):
    """Uploads that overlap, repeat or skip yield each frame once, in order, and gaps are faults."""
    incoming = Incoming()
    taken = []
    for send, count in uploads:
        try:
            fresh = incoming.fresh(send, [b"%d" % n for n in range(send, send + count)])
        except WireFault as fault:
            fresh = ()
            gap = fault.code == "gap"
        else:
            gap = False
        assert gap == (send > incoming.received)
        for frame in fresh:
            incoming.take()
            taken.append(frame)
    assert taken == [b"%d" % n for n in range(len(taken))]
