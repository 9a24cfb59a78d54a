"""What daemon and pipe say to each other about files: binary frames beside the lines of JSON-RPC.

A frame is a line of JSON and then bytes: the contents of the files that the line lists, one after another.
The daemon asks, the pipe answers under the same number. Pure, and importing little.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["BadFrame", "Frame", "decode", "encode"]

_MOST_HEAD: Final = 262_144
_MOST_FILES: Final = 64
_WORDS: Final = frozenset({"read", "save", "files", "paths", "refused"})


class BadFrame(Exception):
    """The other side does not keep to the form."""


class Frame(NamedTuple):
    """`word` says what it is: read (texts: paths), save (texts: directory, label), files, paths, refused."""

    number: int
    word: str
    texts: tuple[str, ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()


def encode(frame: Frame) -> bytes:
    """A frame's bytes."""
    head = {
        "n": frame.number,
        "word": frame.word,
        "texts": list(frame.texts),
        "files": [[name, len(content)] for name, content in frame.files],
    }
    return b"\n".join((json.dumps(head).encode(), b"".join(content for _, content in frame.files)))


def decode(raw: bytes) -> Frame:
    """The frame in these bytes. Raises BadFrame."""
    head, found, body = raw.partition(b"\n")
    if not found or len(head) > _MOST_HEAD:
        raise BadFrame("no head")
    try:
        value = json.loads(head)
        number, word, texts, listed = value["n"], value["word"], value["texts"], value["files"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise BadFrame("the head is not as it must be") from None
    if isinstance(number, bool) or not isinstance(number, int) or not _are_texts(texts):
        raise BadFrame("the head is not as it must be")
    if not isinstance(word, str) or word not in _WORDS:
        raise BadFrame("the head is not as it must be")
    return Frame(number, word, tuple(texts), _files(listed, body))


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _files(listed: object, body: bytes) -> tuple[tuple[str, bytes], ...]:
    if not isinstance(listed, list) or len(listed) > _MOST_FILES:
        raise BadFrame("too many files")
    found: list[tuple[str, bytes]] = []
    place = 0
    for one in listed:
        name, size = _named(one)
        found.append((name, body[place : place + size]))
        place += size
    if place != len(body):
        raise BadFrame("the sizes do not add up")
    return tuple(found)


def _named(one: Sequence[object] | object) -> tuple[str, int]:
    match one:
        case [str(name), int(size)] if size >= 0 and not isinstance(size, bool):
            return name, size
    raise BadFrame("a file is not as it must be")
