"""The frames that carry mail and answer it, read and written without the general codec in their usual form.

A frame of the usual form has one deterministic encoding, so what is read here is what `open_frame` and
`read_frame` would read, and what is written is what `encode_frame` would write. Anything else is None: the
general way then reads it, or says what is wrong with it, or writes it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Final

from .envelope import OneWrap
from .frame_items import Entry, Mail, Outcome, ParcelAccepted
from .frame_types import AckFrame, DeliverFrame, SendFrame
from .limits import FRAME_BYTES

__all__ = ["read_usual_deliver", "read_usual_from_daemon", "write_usual_deliver", "write_usual_result"]

_UINT: Final = rb"([\x00-\x17]|\x18[\x18-\xff]|\x19[\x01-\xff].|\x1a(?!\x00\x00).{4}|\x1b(?!\x00{4}).{8})"
# The head of an array: its length in the first byte, or in one more, or 256.
_COUNT: Final = rb"([\x81-\x97]|\x98[\x18-\xff]|\x99\x01\x00)"
_SEND: Final = re.compile(rb"\x83\x05" + _UINT + _COUNT, re.DOTALL)
_DELIVER: Final = re.compile(rb"\x82\x07" + _COUNT, re.DOTALL)
_ACK: Final = re.compile(rb"\x82\x08" + _UINT, re.DOTALL)
_OFFSET: Final = re.compile(rb"\x84" + _UINT + rb"\x00\x59(..)", re.DOTALL)
# [envelope, …]: an array of two, and a string whose length takes two bytes.
_PARCEL: Final = struct.Struct(">2sH")
_PAIR: Final = b"\x82\x59"
# [[key, sealed]]: arrays of one and of two, strings of 32 and of 80 bytes.
_WRAP: Final = struct.Struct("4s32s2s80s")
_ONE_PAIR: Final = b"\x81\x82\x58\x20"
_SEALED_HEAD: Final = b"\x58\x50"
_SEALED: Final = struct.Struct("2s80s")
_SEALED_BYTES: Final = 80
#: A length of two bytes is the shortest from here on.
_LEAST: Final = 0x100


def read_usual_from_daemon(data: bytes) -> SendFrame | AckFrame | None:
    """The `send` or `ack` that `data` encodes, if it is one of the usual form."""
    if data[:2] == b"\x82\x08":
        ack = _ACK.fullmatch(data)
        return None if ack is None else AckFrame(_uint(ack[1]))
    return read_usual_send(data)


def read_usual_send(data: bytes) -> SendFrame | None:
    """The `send` that `data` encodes, if each parcel is an envelope of usual size with one wrap."""
    found = _SEND.match(data)
    if found is None or len(data) > FRAME_BYTES:
        return None
    batch, counted = found.groups()
    at, count = found.end(), _count(counted)
    unpack_head, unpack_wrap = _PARCEL.unpack_from, _WRAP.unpack_from
    parcels: list[OneWrap] = []
    try:
        for _ in range(count):
            head, size = unpack_head(data, at)
            start = at + 4
            end = start + size
            before, key, between, sealed = unpack_wrap(data, end)
            if head != _PAIR or size < _LEAST or before != _ONE_PAIR or between != _SEALED_HEAD:
                return None
            parcels.append((data[start:end], key, sealed))
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


def write_usual_deliver(entries: Sequence[Entry]) -> bytes | None:
    """The `deliver` with these entries, if all of them are mail of usual size; they are at most 256."""
    parts = [b"\x82\x07", _counted(len(entries))]
    for entry in entries:
        if not isinstance(entry, Mail):
            return None
        size = len(entry.envelope)
        if not _LEAST <= size < 0x10000 or len(entry.sealed) != _SEALED_BYTES:
            return None
        parts += (
            b"\x84" + _uint_item(entry.offset) + b"\x00\x59" + size.to_bytes(2, "big"),
            entry.envelope,
            b"\x58\x50",
            entry.sealed,
        )
    data = b"".join(parts)
    return data if len(data) <= FRAME_BYTES else None


def write_usual_result(batch: int, outcomes: Sequence[Outcome]) -> bytes | None:
    """The `result` of a batch of which all was accepted, at most 256 parcels."""
    parts = [b"\x83\x06" + _uint_item(batch) + _counted(len(outcomes))]
    for outcome in outcomes:
        if not isinstance(outcome, ParcelAccepted):
            return None
        parts.append(b"\x82\x00" + _uint_item(outcome.place))
    return b"".join(parts)


def _counted(length: int) -> bytes:
    """The head of an array of at most 256."""
    if length < 24:
        return bytes((0x80 | length,))
    return bytes((0x98, length)) if length < 0x100 else b"\x99" + length.to_bytes(2, "big")


def _uint_item(number: int) -> bytes:
    """The encoding of an unsigned integer."""
    if number < 24:
        return bytes((number,))
    if number < 0x100:
        return bytes((0x18, number))
    if number < 0x10000:
        return b"\x19" + number.to_bytes(2, "big")
    if number < 0x100000000:
        return b"\x1a" + number.to_bytes(4, "big")
    return b"\x1b" + number.to_bytes(8, "big")


def _count(head: bytes) -> int:
    """The length in the head of an array."""
    return head[0] & 0x1F if len(head) == 1 else int.from_bytes(head[1:], "big")


def _uint(item: bytes) -> int:
    """The number in an unsigned integer's encoding."""
    return item[0] if len(item) == 1 else int.from_bytes(item[1:], "big")
