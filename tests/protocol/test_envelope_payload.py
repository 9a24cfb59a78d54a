"""The quick reading of an envelope's payload takes nothing that the decoder refuses or reads otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskferry_protocol.cbor import decode, encode
from taskferry_protocol.envelope import _decoded_strings, _two_strings
from taskferry_protocol.errors import RemoteProtocolError


@given(st.integers(0, 700), st.sampled_from([0, 23, 24, 255, 256, 272, 65535, 65536, 70000]))
def test_quick_and_careful_reading_agree(header: int, sealed: int) -> None:
    """Whatever the lengths, the quick reading gives nothing or just what the decoder gives."""
    payload = encode([bytes(header), bytes(sealed)])
    quick = _two_strings(payload)
    assert quick is None or quick == _decoded_strings(payload)
    assert quick is not None or header < 256 or sealed < 256


@given(st.binary(max_size=6), st.integers(0, 600))
def test_quick_reading_refuses_every_other_encoding(noise: bytes, place: int) -> None:
    """With bytes changed anywhere, what the quick reading takes is still the one encoding of it."""
    payload = bytearray(encode([bytes(300), bytes(300)]))
    payload[place : place + len(noise)] = noise
    quick = _two_strings(bytes(payload))
    if quick is not None:
        assert encode(list(quick)) == payload


@pytest.mark.parametrize(
    "head", [b"\x82\x59\x00\xff", b"\x82\x59", b"\x82", b"", b"\x82\x5a\x00\x00\x01\x00"]
)
def test_longer_heads_than_needed_are_left_to_the_decoder(head: bytes) -> None:
    """A length in more bytes than it takes, or cut short, is refused in the end."""
    payload = head + bytes(255) + b"\x59\x01\x10" + bytes(272)
    assert _two_strings(payload) is None
    with pytest.raises(RemoteProtocolError):
        decode(payload)
