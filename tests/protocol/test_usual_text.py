"""Text alone is read and written by a short way, which comes to what the general one comes to."""

import attrs
import pytest

from taskferry_protocol.cbor import decode, encode
from taskferry_protocol.envelope import Parcel, Wrap, encode_parcel, encode_payload
from taskferry_protocol.errors import LocalProtocolError, RemoteProtocolError
from taskferry_protocol.ids import ConversationId, Hash, sha256
from taskferry_protocol.limits import CAUSES, HOPS, TEXT_BYTES
from taskferry_protocol.messages import (
    BODIES,
    Content,
    TextMessage,
    TextPart,
    codec,
    decode_content,
    encode_content,
)
from taskferry_protocol.messages.usual_text import read_usual_text, write_usual_text
from taskferry_protocol.search_words import indexed_words

CONV = ConversationId(bytes(range(16)))
HASHES = tuple(sha256(bytes([n])) for n in range(CAUSES + 1))
TEXTS = [
    "a",
    "b" * 23,
    "c" * 24,
    "d" * 255,
    "e" * 256,
    "f" * 65_535,
    "g" * TEXT_BYTES,
    "\x00",
    "tête 漢字 🚢",
]
USUAL = [
    *[Content(TextMessage(text), CONV) for text in TEXTS],
    *[
        Content(TextMessage("x"), CONV, hop, HASHES[:count])
        for hop, count in [(0, 0), (HOPS, CAUSES), (3, 1)]
    ],
    *[Content(TextMessage("yes"), CONV, 1, HASHES[:count], HASHES[0]) for count in (0, 1, CAUSES)],
]
OTHERS = [
    Content(TextMessage("x", (TextPart("y"),)), CONV),
    Content(TextMessage("x", extra={"mood": 1}), CONV),
    Content(TextMessage("x"), CONV, extra={"mood": 1}),
    Content(TextMessage("x"), CONV, minor=1),
]
REFUSED = [
    Content(TextMessage(""), CONV),
    Content(TextMessage("g" * (TEXT_BYTES + 1)), CONV),
    Content(TextMessage("\ud800"), CONV),
    Content(TextMessage("x"), CONV, HOPS + 1),
    Content(TextMessage("x"), CONV, cause=HASHES),
    Content(TextMessage("x"), CONV, cause=(Hash(b"short"),)),
    Content(TextMessage("x"), ConversationId(b"short")),
    Content(TextMessage("x"), CONV, reply=Hash(b"short")),
]


@pytest.fixture
def general(monkeypatch):
    """The general codec alone."""
    monkeypatch.setattr(codec, "read_usual_text", lambda raw: None)
    monkeypatch.setattr(codec, "write_usual_text", lambda content: None)


@pytest.mark.parametrize("content", USUAL)
def test_usual_text_is_written_and_read_as_the_general_codec_does(content, general):
    """One encoding, and one content out of it."""
    raw = encode_content(content)
    assert write_usual_text(content) == raw
    assert read_usual_text(raw) == decode_content(raw) == content


@pytest.mark.parametrize("content", OTHERS)
def test_anything_else_is_left_to_the_general_codec(content, general):
    """Parts, members of later versions, and other minor versions."""
    assert write_usual_text(content) is None
    raw = encode_content(content)
    assert read_usual_text(raw) is None
    assert decode_content(raw) == content


@pytest.mark.parametrize("content", REFUSED)
def test_what_the_specification_refuses_is_not_written(content):
    """The short way is no way round a bound."""
    assert write_usual_text(content) is None
    with pytest.raises(LocalProtocolError):
        encode_content(content)


@pytest.mark.parametrize("content", [USUAL[2], USUAL[8], USUAL[10], USUAL[13]])
def test_a_spoilt_byte_is_read_as_the_general_codec_reads_it(content, general):
    """Each bit in turn is another; a byte is missing, or one is too many."""
    raw = encode_content(content)
    spoilt = [
        raw[:at] + bytes((raw[at] ^ 1 << bit,)) + raw[at + 1 :] for at in range(len(raw)) for bit in range(8)
    ]
    spoilt += [raw[:at] + raw[at + 1 :] for at in range(len(raw))]
    spoilt += [raw[:at] + b"\x00" + raw[at:] for at in range(len(raw) + 1)]
    taken = 0
    for one in spoilt:
        found = read_usual_text(one)
        if found is not None:
            assert decode_content(one) == found
            assert encode_content(found) == one
            taken += 1
    assert taken > len(raw)


def test_longer_heads_than_need_be_are_not_read():
    """A length that has a shorter encoding makes other bytes of the same content."""
    raw = encode_content(Content(TextMessage("a" * 24), CONV))
    head = raw.index(b"\x78\x18")
    for longer in (b"\x79\x00\x18", b"\x7a\x00\x00\x00\x18"):
        other = raw[:head] + longer + raw[head + 2 :]
        assert read_usual_text(other) is None
        with pytest.raises(RemoteProtocolError):
            decode_content(other)


def test_other_types_are_not_taken_for_text():
    """Every type of the table but one goes the general way."""
    for name in BODIES:
        raw = encode({"type": name, "minor": 0, "conv": CONV, "hop": 0, "cause": [], "body": {}})
        assert read_usual_text(raw) is None


@pytest.mark.parametrize("content", [*USUAL, *OTHERS])
def test_the_same_words_are_indexed_either_way(content):
    """A search finds text alone by the words that it would be found by with a part."""
    raw = encode_content(content)
    body = attrs.evolve(content.body, extra={"zz": 1})
    general = encode_content(attrs.evolve(content, body=body))
    assert indexed_words(raw) == indexed_words(general)


@pytest.mark.parametrize("size", [1, 23, 24, 255, 256, 65_535, 65_536])
def test_pairs_and_parcels_are_written_as_the_general_encoder_does(size):
    """Whatever the lengths of their strings are."""
    assert encode_payload(bytes(size), bytes(30)) == encode([bytes(size), bytes(30)])
    for wraps in (1, 2, 30):
        parcel = Parcel(bytes(size), tuple(Wrap(bytes([n] * 32), bytes(80)) for n in range(wraps)))
        assert encode_parcel(parcel) == encode(parcel.to_cbor())
        assert decode(encode_parcel(parcel)) == parcel.to_cbor()
