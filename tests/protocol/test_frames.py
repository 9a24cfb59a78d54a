"""Frames are written one way, and every other way of writing them is refused with its code."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taskferry_protocol.cbor import encode
from taskferry_protocol.errors import (
    EnvelopeRejected,
    LocalProtocolError,
    RejectCode,
    RemoteProtocolError,
)
from taskferry_protocol.frame_items import (
    DETAIL_TEXT_BYTES,
    Detail,
    ParcelAccepted,
    Refusal,
    clip,
    statement_page,
)
from taskferry_protocol.frames import (
    DeliverFrame,
    Frame,
    FrameType,
    GoawayFrame,
    ReplyFrame,
    ResultFrame,
    SendFrame,
    encode_frame,
    encode_send,
    open_frame,
    read_frame,
)
from taskferry_protocol.limits import BATCH, FRAME_BYTES

from .frame_samples import HELLO, MAIL, REFUSED, SAMPLES


def read(data: bytes) -> Frame:
    """The frame of these bytes."""
    return read_frame(*open_frame(data))


def refusal_of(value: object) -> RejectCode:
    """The code that reading the encoding of `value` ends in."""
    with pytest.raises(RemoteProtocolError) as caught:
        read(encode(value))
    return caught.value.code


@pytest.mark.parametrize("kind", FrameType)
def test_every_frame_reads_back_as_it_was_written(kind):
    """What one side writes, the other reads, and it begins with its number."""
    data = encode_frame(SAMPLES[kind])
    assert read(data) == SAMPLES[kind]
    assert open_frame(data)[0] is kind


def test_a_refused_call_reads_back():
    """A reply is either a map or a refusal with its detail."""
    frame = ReplyFrame(3, REFUSED)
    assert read(encode_frame(frame)) == frame


@pytest.mark.parametrize("kind", FrameType)
def test_another_number_of_fields_is_a_bad_value(kind):
    """A frame's array has one length; longer and shorter ones are refused."""
    members = [kind.value, *open_frame(encode_frame(SAMPLES[kind]))[1]]
    assert refusal_of([*members, 0]) is RejectCode.BAD_VALUE
    assert refusal_of(members[:-1]) is RejectCode.BAD_VALUE


@pytest.mark.parametrize("kind", FrameType)
def test_fields_of_another_type_are_refused(kind):
    """true stands in no frame's top level, so it is the wrong type for each field."""
    fields = open_frame(encode_frame(SAMPLES[kind]))[1]
    for place in range(len(fields)):
        wrong = [*fields[:place], True, *fields[place + 1 :]]
        assert refusal_of([kind.value, *wrong]) is RejectCode.WRONG_TYPE


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({}, RejectCode.WRONG_TYPE),
        ([], RejectCode.BAD_VALUE),
        (["hello"], RejectCode.WRONG_TYPE),
        ([True, {}], RejectCode.WRONG_TYPE),
        ([0, {}], RejectCode.UNEXPECTED_FRAME),
        ([14, {}], RejectCode.UNEXPECTED_FRAME),
        ([-1], RejectCode.UNEXPECTED_FRAME),
        ([2, {"v": 2, "nonce": b"c" * 32}], RejectCode.UNKNOWN_VERSION),
        ([2, {"v": 1}], RejectCode.MISSING_FIELD),
        ([2, {"v": 1, "nonce": b"c" * 32, "more": 0}], RejectCode.UNKNOWN_FIELD),
        ([2, {"v": 1, "nonce": b"c" * 31}], RejectCode.BAD_VALUE),
        ([5, 0, []], RejectCode.BAD_VALUE),
        ([5, 0, [0] * 257], RejectCode.TOO_MANY),
        ([6, 0, []], RejectCode.BAD_VALUE),
        ([6, 0, [[0, 1, 2]]], RejectCode.BAD_VALUE),
        ([6, 0, [[1, "expired"]]], RejectCode.BAD_VALUE),
        ([6, 0, [[2, 0]]], RejectCode.BAD_VALUE),
        ([6, 0, [[1, "no-such-code", {}]]], RejectCode.BAD_VALUE),
        ([6, 0, [[1, 7, {}]]], RejectCode.WRONG_TYPE),
        ([6, 0, [[1, "expired", {"why": ""}]]], RejectCode.UNKNOWN_FIELD),
        ([6, 0, [[1, "expired", {"text": "x" * 513}]]], RejectCode.BAD_VALUE),
        ([6, 0, [[1, "expired", {"field": ""}]]], RejectCode.BAD_VALUE),
        ([7, []], RejectCode.BAD_VALUE),
        ([7, [[0, 0, b""]]], RejectCode.BAD_VALUE),
        ([7, [[0, 1, {}, b""]]], RejectCode.BAD_VALUE),
        ([7, [[0, 2, b"", b""]]], RejectCode.BAD_VALUE),
        ([7, [[0, 0, b"", b"s" * 79]]], RejectCode.BAD_VALUE),
        ([7, [[0, 1, {"kind": "gossip", "hash": b"h" * 32, "code": "expired"}]]], RejectCode.BAD_VALUE),
        ([9, 0, "m" * 65, {}], RejectCode.BAD_VALUE),
        ([9, 0, "m", []], RejectCode.WRONG_TYPE),
        ([10, 0, [0, []]], RejectCode.WRONG_TYPE),
        ([10, 0, [0, {}, {}]], RejectCode.BAD_VALUE),
        ([10, 0, [1, "expired"]], RejectCode.BAD_VALUE),
        ([13, "no-such-code", "", None], RejectCode.BAD_VALUE),
        ([13, "timeout", "", -1], RejectCode.BAD_VALUE),
    ],
)
def test_each_fault_has_its_code(value, code):
    """Faults of shape are refused with the codes of the specification."""
    assert refusal_of(value) is code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"v": 2}, RejectCode.UNKNOWN_VERSION),
        ({"account": b"a" * 31}, RejectCode.BAD_VALUE),
        ({"transport": "carrier-pigeon"}, RejectCode.BAD_VALUE),
        ({"offered": []}, RejectCode.BAD_VALUE),
        ({"offered": ["websocket"] * 9}, RejectCode.TOO_MANY),
        ({"origin": ""}, RejectCode.BAD_VALUE),
        ({"origin": "x" * 256}, RejectCode.BAD_VALUE),
        ({"cursor": [b"g" * 15, 0]}, RejectCode.BAD_VALUE),
        ({"window": [0, 1]}, RejectCode.BAD_VALUE),
        ({"window": [1]}, RejectCode.BAD_VALUE),
        ({"agent": "x" * 129}, RejectCode.BAD_VALUE),
        ({"host": "relay.example"}, RejectCode.UNKNOWN_FIELD),
    ],
)
def test_a_hello_is_read_strictly(change, code):
    """Nobody introduces himself with more, less or other than the specification says."""
    members = open_frame(encode_frame(HELLO))[1][0]
    assert isinstance(members, dict)
    assert refusal_of([1, {**members, **change}]) is code


def test_parcels_are_left_to_be_judged_alone():
    """A value that is no parcel does not spoil the frame that it stands in."""
    assert read(encode([5, 9, [None, "x", 1]])) == SendFrame(9, (None, "x", 1))


@pytest.mark.parametrize("count", [1, 23, 24, 255, 256])
def test_encoded_parcels_are_copied_into_the_same_frame(count):
    """The fast way of writing a batch gives the bytes of the plain one."""
    parcels = [[b"envelope", [[b"k" * 32, b"s" * 80]]]] * count
    fast = encode_send(300, [encode(parcel) for parcel in parcels])
    assert fast == encode([5, 300, parcels])


def test_a_frame_over_the_limit_is_never_written():
    """One mebibyte is the most that a peer has to hold."""
    with pytest.raises(LocalProtocolError):
        encode_send(0, [b"x" * FRAME_BYTES])
    with pytest.raises(LocalProtocolError):
        encode_frame(ReplyFrame(0, {"card": b"x" * FRAME_BYTES}))


def test_a_frame_over_the_limit_is_refused():
    """A longer frame is refused before it is decoded."""
    with pytest.raises(RemoteProtocolError) as caught:
        read(b"\0" * (FRAME_BYTES + 1))
    assert caught.value.code is RejectCode.TOO_LARGE


def test_a_full_batch_of_results_fits_whatever_it_says():
    """Statements that would not fit are left out; codes and texts stay."""
    detail = Detail(retry_after=1, statements=(b"s" * 8192,) * 3, start=9, field="f" * 999, text="é" * 999)
    frame = ResultFrame(0, (Refusal(RejectCode.STALE_LOG, detail), ParcelAccepted(2**64 - 1)) * (BATCH // 2))
    data = encode_frame(frame)
    assert len(data) <= FRAME_BYTES
    result = read(data)
    assert isinstance(result, ResultFrame)
    refusals = [outcome for outcome in result.outcomes if isinstance(outcome, Refusal)]
    kept = [refusal.detail.statements for refusal in refusals]
    assert len(refusals) == BATCH // 2
    assert kept[0] == detail.statements
    assert kept[-1] is None
    assert all(len(refusal.detail.text.encode()) <= DETAIL_TEXT_BYTES for refusal in refusals)


def test_a_goaway_says_no_more_than_a_sentence():
    """Text that is too long is cut, so that a peer's own words cannot make our farewell too large."""
    frame = read(encode_frame(GoawayFrame(RejectCode.UNKNOWN_FIELD, "ü" * FRAME_BYTES)))
    assert frame == GoawayFrame(RejectCode.UNKNOWN_FIELD, "ü" * (DETAIL_TEXT_BYTES // 2))


@given(st.text(), st.integers(0, 20))
@example("a\ud800b", 20)
def test_clipped_text_is_text_within_its_limit(text, most):
    """A cut never leaves half a character."""
    cut = clip(text, most)
    assert len(cut.encode()) <= most
    assert text.encode("utf-8", "replace").decode().startswith(cut)


def test_an_error_becomes_the_refusal_that_says_the_same():
    """What a check raised is what the sender is told."""
    plain = Refusal.of(RemoteProtocolError(RejectCode.BAD_TIME, "too late", field="h.created_at"))
    assert plain == Refusal(RejectCode.BAD_TIME, Detail(field="h.created_at", text="too late"))
    error = EnvelopeRejected(RejectCode.STALE_LOG, detail={"statements": [b"s"], "from": 2, "retry_after": 3})
    assert Refusal.of(error).detail == Detail(retry_after=3, statements=(b"s",), start=2)


def test_a_page_of_statements_fits_into_a_frame():
    """What does not fit into one page is asked for again."""
    assert statement_page([b"s"] * 300) == (b"s",) * 256
    page = statement_page([b"s" * 8192] * 256)
    assert 90 < len(page) < 100
    assert statement_page([]) == ()


def test_an_entry_never_takes_more_than_its_size_says():
    """Sizes are counted upon when frames are filled, so they may only err upwards."""
    for frame in (SAMPLES[FrameType.DELIVER], DeliverFrame((MAIL,) * 256)):
        assert isinstance(frame, DeliverFrame)
        assert len(encode_frame(frame)) <= 16 + sum(entry.size for entry in frame.entries)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_an_error_of_the_peer(data):
    """Reading raises nothing but RemoteProtocolError."""
    try:
        frame = read(data)
    except RemoteProtocolError:
        return
    assert encode_frame(frame) == data


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(st.integers(0, 14), st.lists(_VALUES, max_size=4))
def test_any_fields_are_a_frame_or_an_error_of_the_peer(number, fields):
    """Whatever stands in a frame's array, reading raises nothing but RemoteProtocolError."""
    data = encode([number, *fields])
    try:
        frame = read(data)
    except RemoteProtocolError:
        return
    assert encode_frame(frame) == data
