"""The parts of a message or artifact: text, JSON, a small file, or a pointer to a blob (spec/messages.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NoReturn

import attrs

from ..cbor import Value
from ..errors import RejectCode, RemoteProtocolError
from ..ids import Hash, sha256
from ..limits import PART_TEXT_BYTES, PARTS
from ..shape import MapReader, as_array, has_controls

__all__ = [
    "BlobPart",
    "FilePart",
    "JsonPart",
    "Part",
    "TextPart",
    "parts_size",
    "read_parts",
    "read_some_parts",
]

NAME_BYTES: Final = 255
MEDIA_BYTES: Final = 127
#: Plain bytes in a blob's chunk: large enough to be worth a tag, small enough to hold in memory.
LEAST_CHUNK: Final = 1_024
MOST_CHUNK: Final = 1_048_576
#: Every JSON parser reads this deep, whatever its language's stack.
JSON_DEPTH: Final = 100


@attrs.frozen
class TextPart:
    """Text for people or programs, at most 196,608 bytes."""

    text: str
    name: str = ""

    @property
    def size(self) -> int:
        """Bytes of UTF-8."""
        return len(self.text.encode())

    def to_cbor(self) -> dict[str, object]:
        """The map that is encoded."""
        return {"kind": "text", "text": self.text, "name": self.name}


@attrs.frozen
class JsonPart:
    """One JSON value as text (RFC 8259), nested at most `JSON_DEPTH` deep."""

    json: str
    name: str = ""

    @property
    def size(self) -> int:
        """Bytes of UTF-8."""
        return len(self.json.encode())

    def to_cbor(self) -> dict[str, object]:
        """The map that is encoded."""
        return {"kind": "json", "json": self.json, "name": self.name}


@attrs.frozen
class FilePart:
    """A small file inside the envelope. `FilePart.of` fills in size and hash."""

    name: str
    media: str
    size: int
    sha256: Hash
    data: bytes = attrs.field(repr=False)

    @classmethod
    def of(cls, name: str, media: str, data: bytes) -> FilePart:
        """The part that carries `data`."""
        return cls(name, media, len(data), sha256(data), data)

    def to_cbor(self) -> dict[str, object]:
        """The map that is encoded."""
        return {"kind": "file", **attrs.asdict(self)}


@attrs.frozen
class BlobPart:
    """A large file outside the envelope: the hash of its ciphertext, and the key that opens it.

    `size` and `sha256` are those of the plain bytes, `length` that of the ciphertext, `chunk` plain bytes.
    """

    name: str
    media: str
    size: int
    sha256: Hash
    blob: Hash
    key: bytes = attrs.field(repr=False)
    length: int
    chunk: int

    def to_cbor(self) -> dict[str, object]:
        """The map that is encoded."""
        return {"kind": "blob", **attrs.asdict(self)}


Part = TextPart | JsonPart | FilePart | BlobPart


def parts_size(parts: Iterable[Part]) -> int:
    """The plain bytes that the parts stand for, in sum; what an artifact's largest size is compared with."""
    return sum(part.size for part in parts)


# --- Reading ------------------------------------------------------------------------------------------------


def _bad(field: str, text: str) -> RemoteProtocolError:
    return RemoteProtocolError(RejectCode.BAD_VALUE, text, field=field)


# Possessive, and closed or not: else an unclosed string of escapes would be tried from each of its quotes.
_JSON_STRING: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


def _nesting(text: str) -> int:
    deepest = depth = 0
    for character in _JSON_STRING.sub("", text):
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


class _NotANumber(ValueError):
    """NaN or an infinity, which RFC 8259 does not know."""


def _refuse_constant(name: str) -> NoReturn:
    raise _NotANumber(name)


def _check_json(text: str, field: str) -> str:
    # Depth is counted first: Python's parser recurses, and how deep it may go depends on its caller.
    if _nesting(text) > JSON_DEPTH:
        raise _bad(field, f"JSON nested deeper than {JSON_DEPTH}")
    try:
        # Numbers stay text: nothing here computes with them, and Python refuses very long integers.
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _bad(field, "not one JSON value") from error
    return text


def _file_name(reader: MapReader) -> str:
    name = reader.text("name", least=1, most=NAME_BYTES)
    if name in (".", "..") or "/" in name or "\\" in name or has_controls(name):
        raise _bad(reader.field("name"), "not a plain file name")
    return name


def _media(reader: MapReader) -> str:
    media = reader.text("media", least=1, most=MEDIA_BYTES)
    if not all(" " <= character <= "~" for character in media):
        raise _bad(reader.field("media"), "a media type is printable ASCII")
    return media


def _read_text(value: Value, where: str) -> TextPart:
    reader = MapReader(value, where, ("kind", "text", "name"))
    return TextPart(reader.text("text", most=PART_TEXT_BYTES), reader.text("name", most=NAME_BYTES))


def _read_json(value: Value, where: str) -> JsonPart:
    reader = MapReader(value, where, ("kind", "json", "name"))
    text = _check_json(reader.text("json", least=1, most=PART_TEXT_BYTES), reader.field("json"))
    return JsonPart(text, reader.text("name", most=NAME_BYTES))


def _read_file(value: Value, where: str) -> FilePart:
    reader = MapReader(value, where, ("kind", "name", "media", "size", "sha256", "data"))
    part = FilePart(
        name=_file_name(reader),
        media=_media(reader),
        size=reader.uint("size"),
        sha256=reader.hash("sha256"),
        data=reader.bytes("data"),
    )
    if part.size != len(part.data):
        raise _bad(reader.field("size"), "is not the size of data")
    if part.sha256 != sha256(part.data):
        raise _bad(reader.field("sha256"), "is not the hash of data")
    return part


def _read_blob(value: Value, where: str) -> BlobPart:
    keys = ("kind", "name", "media", "size", "sha256", "blob", "key", "length", "chunk")
    reader = MapReader(value, where, keys)
    return BlobPart(
        name=_file_name(reader),
        media=_media(reader),
        size=reader.uint("size"),
        sha256=reader.hash("sha256"),
        blob=reader.hash("blob"),
        key=reader.bytes("key", size=32),
        length=reader.uint("length"),
        chunk=reader.uint("chunk", low=LEAST_CHUNK, high=MOST_CHUNK),
    )


_READERS: Final[Mapping[str, Callable[[Value, str], Part]]] = {
    "text": _read_text,
    "json": _read_json,
    "file": _read_file,
    "blob": _read_blob,
}


def read_part(value: Value, where: str) -> Part:
    """One part. The kind is looked at first, for it says which fields are known."""
    reader = MapReader.open(value, where, ("kind",))
    kind = reader.value("kind")
    if type(kind) is not str:
        raise RemoteProtocolError(RejectCode.WRONG_TYPE, "a text expected", field=reader.field("kind"))
    if kind not in _READERS:
        raise _bad(reader.field("kind"), "not a kind of part")
    return _READERS[kind](value, where)


def read_parts(value: Value, where: str, *, least: int = 0) -> tuple[Part, ...]:
    """The parts of a message, in order. Raises RemoteProtocolError."""
    listed = as_array(value, where, least=least, most=PARTS)
    return tuple(read_part(part, f"{where}[{index}]") for index, part in enumerate(listed))


def read_some_parts(value: Value, where: str) -> tuple[Part, ...]:
    """At least one part: an artifact that holds nothing is none."""
    return read_parts(value, where, least=1)
