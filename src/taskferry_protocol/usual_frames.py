"""The two frames that carry mail, read without the general decoder where they have their usual form.

A frame of the usual form has one deterministic encoding, so what is read here is what `open_frame` and
`read_frame` would read. Anything else is None: the general way then reads it, or says what is wrong with it.
"""

from __future__ import annotations

import re
import struct
from typing import Final

from .cbor import Value
from .frame_items import Entry, Mail
from .frame_types import DeliverFrame, SendFrame
from .limits import FRAME_BYTES

__all__ = ["read_usual_deliver", "read_usual_send"]

_UINT: Final = rb"([\x00-\x17]|\x18[\x18-\xff]|\x19[\x01-\xff].|\x1a(?!\x00\x00).{4}|\x1b(?!\x00{4}).{8})"
# The head of an array: its length in the first byte, or in one more, or 256.
_COUNT: Final = rb"([\x81-\x97]|\x98[\x18-\xff]|\x99\x01\x00)"
_SEND: Final = re.compile(rb"\x83\x05" + _UINT + _COUNT, re.DOTALL)
_DELIVER: Final = re.compile(rb"\x82\x07" + _COUNT, re.DOTALL)
_OFFSET: Final = re.compile(rb"\x84" + _UINT + rb"\x00\x59(..)", re.DOTALL)
# [[key, sealed]]: arrays of one and of two, strings of 32 and of 80 bytes.
_WRAP: Final = struct.Struct("4s32s2s80s")
_SEALED: Final = struct.Struct("2s80s")
#: A length of two bytes is the shortest from here on.
_LEAST: Final = 0x100


def read_usual_send(data: bytes) -> SendFrame | None:
    """The `send` that `data` encodes, if each parcel is an envelope of usual size with one wrap."""
    head = _SEND.match(data)
    if head is None or len(data) > FRAME_BYTES:
        return None
    batch, counted = head.groups()
    at, count = head.end(), _count(counted)
    parcels: list[Value] = []
    try:
        for _ in range(count):
            # An array of two, and a string whose length takes two bytes.
            if data[at : at + 2] != b"\x82\x59":
                return None
            start = at + 4
            end = start + int.from_bytes(data[at + 2 : start], "big")
            before, key, between, sealed = _WRAP.unpack_from(data, end)
            if end < start + _LEAST or before != b"\x81\x82\x58\x20" or between != b"\x58\x50":
                return None
            parcels.append([data[start:end], [[key, sealed]]])
            at = end + _WRAP.size
    except struct.error:
        return None
    return SendFrame(_uint(batch), tuple(parcels)) if at == len(data) else None


def read_usual_deliver(data: bytes) -> DeliverFrame | None:
    """The `deliver` that `data` encodes, if it has nothing but mail of usual size."""
    head = _DELIVER.match(data)
    if head is None or len(data) > FRAME_BYTES:
        return None
    at, count = head.end(), _count(head[1])
    entries: list[Entry] = []
    try:
        for _ in range(count):
            entry = _OFFSET.match(data, at)
            if entry is None:
                return None
            start = entry.end()
            end = start + int.from_bytes(entry[2], "big")
            before, sealed = _SEALED.unpack_from(data, end)
            if end < start + _LEAST or before != b"\x58\x50":
                return None
            entries.append(Mail(_uint(entry[1]), data[start:end], sealed))
            at = end + _SEALED.size
    except struct.error:
        return None
    return DeliverFrame(tuple(entries)) if at == len(data) else None


def _count(head: bytes) -> int:
    """The length in the head of an array."""
    return head[0] & 0x1F if len(head) == 1 else int.from_bytes(head[1:], "big")


def _uint(item: bytes) -> int:
    """The number in an unsigned integer's encoding."""
    return item[0] if len(item) == 1 else int.from_bytes(item[1:], "big")
