"""Frames of mail read without the general decoder: always as it would have read them, or not at all."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from taskferry_protocol import usual_frames
from taskferry_protocol.cbor import Value, encode
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.frame_items import Entry, Mail, Notice, Outcome, ParcelAccepted, Refusal
from taskferry_protocol.frames import (
    AckFrame,
    DeliverFrame,
    Frame,
    ResultFrame,
    SendFrame,
    encode_frame,
    open_frame,
    read_frame,
)
from taskferry_protocol.ids import Hash
from taskferry_protocol.limits import FRAME_BYTES
from taskferry_protocol.usual_frames import (
    read_usual_deliver,
    write_usual_deliver,
    write_usual_result,
)

BYTES = random.Random(7).randbytes
#: On both sides of each length that an unsigned integer's encoding can have.
NUMBERS = (0, 1, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1)
COUNTS = (1, 2, 23, 24, 255, 256)
Reader = Callable[[bytes], Frame | None]


def parcel(size: int = 300, wraps: int = 1) -> Value:
    """A parcel as it stands in a frame."""
    return [BYTES(size), [[BYTES(32), BYTES(80)] for _ in range(wraps)]]


def send(batch: int, *parcels: Value) -> bytes:
    """The bytes of a `send`."""
    return encode_frame(SendFrame(batch, parcels))


def deliver(*offsets: int, size: int = 300) -> bytes:
    """The bytes of a `deliver` of mail at these offsets."""
    return encode_frame(DeliverFrame(tuple([Mail(offset, BYTES(size), BYTES(80)) for offset in offsets])))


def written_out(frame: Frame | None) -> Frame | None:
    """A frame with its parcels as the decoder gives them."""
    if not isinstance(frame, SendFrame):
        return frame
    parcels: list[Value] = []
    for found in frame.parcels:
        assert isinstance(found, tuple)
        raw, key, sealed = found
        parcels.append([raw, [[key, sealed]]])
    return SendFrame(frame.batch, tuple(parcels))


def read_usual_send(data: bytes) -> Frame | None:
    """What the quick reader makes of a `send`; what it reads is encoded again as it was."""
    frame = usual_frames.read_usual_send(data)
    assert frame is None or encode_frame(frame) == data
    return written_out(frame)


def read_usual_from_daemon(data: bytes) -> Frame | None:
    """What a relay reads quickly."""
    return written_out(usual_frames.read_usual_from_daemon(data))


def general(data: bytes) -> Frame | None:
    """What the general decoder makes of the bytes; None if it refuses them."""
    try:
        return read_frame(*open_frame(data))
    except RemoteProtocolError:
        return None


@pytest.mark.parametrize("count", COUNTS)
def test_a_send_of_any_length_is_read_as_the_decoder_reads_it(count: int) -> None:
    """However its count is encoded, the frame is the same."""
    data = send(5, *[parcel() for _ in range(count)])
    assert read_usual_send(data) == general(data) is not None


@pytest.mark.parametrize("number", NUMBERS)
def test_any_number_is_read_as_the_decoder_reads_it(number: int) -> None:
    """Batches and offsets take one to nine bytes."""
    for read, data in ((read_usual_send, send(number, parcel())), (read_usual_deliver, deliver(number))):
        assert read(data) == general(data) is not None


@pytest.mark.parametrize("count", COUNTS)
def test_a_delivery_of_any_length_is_read_as_the_decoder_reads_it(count: int) -> None:
    """However its count is encoded, the frame is the same."""
    data = deliver(*range(20, 20 + count))
    assert read_usual_deliver(data) == general(data) is not None


@pytest.mark.parametrize("size", [256, 257, 65_534, 65_535])
def test_envelopes_whose_length_takes_two_bytes_are_usual(size: int) -> None:
    """The shortest and the longest of them are read, too."""
    for read, data in ((read_usual_send, send(1, parcel(size))), (read_usual_deliver, deliver(1, size=size))):
        assert read(data) == general(data) is not None


UNUSUAL: dict[str, tuple[Reader, bytes]] = {
    "two wraps": (read_usual_send, send(1, parcel(wraps=2))),
    "a short envelope": (read_usual_send, send(1, parcel(255))),
    "a long envelope": (read_usual_send, send(1, parcel(65_536))),
    "a parcel of another shape": (read_usual_send, send(1, parcel(), 0)),
    "a delivery": (read_usual_send, deliver(1)),
    "a notice": (
        read_usual_deliver,
        encode_frame(DeliverFrame((Notice(1, Hash(BYTES(32)), RejectCode.EXPIRED),))),
    ),
    "a short delivered envelope": (read_usual_deliver, deliver(1, size=255)),
    "a send": (read_usual_deliver, send(1, parcel())),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_whatever_is_not_usual_is_left_to_the_decoder(case: str) -> None:
    """Nothing is refused here, and nothing else is read."""
    read, data = UNUSUAL[case]
    assert read(data) is None
    assert general(data) is not None


LYING: dict[str, tuple[Reader, bytes]] = {
    "send": (read_usual_send, send(300, parcel(), parcel())),
    "deliver": (read_usual_deliver, deliver(23, 70_000)),
}


@pytest.mark.parametrize("case", LYING)
def test_no_byte_can_be_changed_so_that_both_ways_differ(case: str) -> None:
    """Each byte in turn becomes each of some others: what is read is what the decoder reads, or nothing."""
    read, data = LYING[case]
    told_apart = 0
    for at in range(len(data)):
        # Every head stands within these; inside an envelope one change is like another.
        values = range(256) if at < 12 or at % 7 == 0 else (0, 0x17, 0x18, 0x58, 0x5F, 0x80, 0xFF)
        for value in values:
            changed = data[:at] + bytes((value,)) + data[at + 1 :]
            found = read(changed)
            if found is not None:
                assert found == general(changed)
            elif general(changed) is None:
                told_apart += 1
    assert told_apart > 100


@pytest.mark.parametrize("case", LYING)
def test_heads_that_lie_about_lengths_are_not_read(case: str) -> None:
    """Cut short anywhere, followed by other bytes, or with two heads exchanged, a frame is not usual."""
    read, data = LYING[case]
    assert all(read(data[:end]) is None for end in range(len(data)))
    assert read(data + b"\0") is None
    assert read(data + data) is None
    draw = random.Random(11)
    for _ in range(2_000):
        one, other = sorted(draw.sample(range(len(data)), 2))
        spliced = data[:one] + data[other:]
        found = read(spliced)
        assert found is None or found == general(spliced)


def test_numbers_that_are_longer_than_they_need_be_are_not_read() -> None:
    """A second encoding of the same frame would be a second name for it."""
    envelope, wrap = (
        b"\x82\x59\x01\x2c" + BYTES(300),
        b"\x81\x82\x58\x20" + BYTES(32) + b"\x58\x50" + BYTES(80),
    )
    for batch in (b"\x18\x17", b"\x19\x00\xff", b"\x1a\x00\x00\xff\xff", b"\x1b" + bytes(4) + b"\xff" * 4):
        assert read_usual_send(b"\x83\x05" + batch + b"\x81" + envelope + wrap) is None
    for count in (b"\x98\x01", b"\x99\x00\x01", b"\x80"):
        assert read_usual_send(b"\x83\x05\x00" + count + envelope + wrap) is None
    assert read_usual_send(b"\x83\x05\x00\x81" + envelope + wrap) is not None


def test_more_than_a_frame_may_hold_is_left_to_the_decoder_to_refuse() -> None:
    """Its bytes are counted before anything of them is kept."""
    one = encode(parcel(60_000))
    data = b"\x83\x05\x00\x92" + one * 18
    assert len(data) > FRAME_BYTES
    assert read_usual_send(data) is None


@pytest.mark.parametrize("number", NUMBERS)
def test_any_acknowledgement_is_read_as_the_decoder_reads_it(number: int) -> None:
    """Whatever its length; and each of its bytes changed gives what the decoder reads, or nothing."""
    data = encode_frame(AckFrame(number))
    assert read_usual_from_daemon(data) == general(data) is not None
    for at in range(len(data)):
        for value in range(256):
            for changed in (data[:at] + bytes((value,)) + data[at + 1 :] + more for more in (b"", b"\0")):
                found = read_usual_from_daemon(changed)
                assert found is None or found == general(changed)
    assert all(read_usual_from_daemon(data[:end]) is None for end in range(len(data)))


def test_sends_are_read_among_all_that_a_daemon_says() -> None:
    """The reader of a relay takes both frames of the usual form."""
    data = send(1, parcel())
    assert read_usual_from_daemon(data) == general(data) is not None


@pytest.mark.parametrize("count", COUNTS)
def test_what_is_written_is_what_the_encoder_writes(count: int) -> None:
    """Results and deliveries of any length, with numbers of any length."""
    numbers = [NUMBERS[at % len(NUMBERS)] for at in range(count)]
    outcomes = tuple([ParcelAccepted(number) for number in numbers])
    mail = tuple([Mail(number, BYTES(size), BYTES(80)) for number, size in zip(numbers, SIZES, strict=False)])
    assert write_usual_deliver(mail) == encode_frame(DeliverFrame(mail))
    for batch in NUMBERS:
        assert write_usual_result(batch, outcomes) == encode_frame(ResultFrame(batch, outcomes))


#: Of envelopes: the shortest and the longest of usual size, and others.
SIZES = [256, 65_535, *[300] * 254]

UNUSUAL_MAIL: dict[str, Entry] = {
    "a notice": Notice(2, Hash(BYTES(32)), RejectCode.EXPIRED),
    "a short envelope": Mail(2, BYTES(255), BYTES(80)),
    "a long envelope": Mail(2, BYTES(65_536), BYTES(80)),
    "a wrap of another length": Mail(2, BYTES(300), BYTES(81)),
}


@pytest.mark.parametrize("case", UNUSUAL_MAIL)
def test_unusual_mail_is_left_to_the_encoder(case: str) -> None:
    """One entry of another kind among others is enough."""
    assert write_usual_deliver((Mail(1, BYTES(300), BYTES(80)), UNUSUAL_MAIL[case])) is None


def test_refusals_and_what_no_frame_holds_are_left_to_the_encoder() -> None:
    """It says what is wrong, or leaves out what is too long."""
    outcomes: tuple[Outcome, ...] = (ParcelAccepted(1), Refusal(RejectCode.EXPIRED))
    assert write_usual_result(1, outcomes) is None
    assert write_usual_deliver(tuple([Mail(n, BYTES(60_000), BYTES(80)) for n in range(18)])) is None
