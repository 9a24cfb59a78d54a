"""The words by which messages are found: what is indexed of a content, and what a person asks for.

Both go through one rule, so that every store finds the same. Nothing that is typed is an operator.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from typing import Final

import attrs

from .cbor import Value, decode
from .errors import RemoteProtocolError
from .limits import ENVELOPE_BYTES
from .messages.talk import TextMessage
from .messages.usual_text import read_usual_text

__all__ = ["ANYTHING", "Asked", "asked_words", "indexed_words", "is_met"]

#: What is read of one message: a giant text is found by its beginning.
INDEXED_CHARS: Final = 32_768
#: A longer word is as good as its beginning.
WORD_CHARS: Final = 40
#: What a question can hold.
ASKED_WORDS: Final = 16
#: As short a word has to stand there as it is; a longer one may be the beginning of another.
LEAST_PREFIX: Final = 2

# Han and kana are written without spaces: each character is a word.
_SINGLE: Final = "\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD: Final = re.compile(rf"[{_SINGLE}]|(?:(?![{_SINGLE}_])\w)+")
_PLAIN_WORD: Final = re.compile("[a-z0-9]+")
_TEXTS: Final = ("title", "brief", "text", "note", "reason")
_LISTS: Final = ("requirements", "reasons")
_PART_TEXTS: Final = ("name", "text", "json")


@attrs.frozen
class Asked:
    """What is looked for: words that stand there, and the beginning of one ("" for none). Empty finds all."""

    words: tuple[str, ...] = ()
    prefix: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing in particular is asked for."""
        return not self.words and not self.prefix


ANYTHING: Final = Asked()


def asked_words(text: str) -> Asked | None:
    """What a person's words ask for; None where there are some, but no letter or digit is in them.

    At most 16 words count. The last one may be unfinished, unless a space follows it or it is one character.
    """
    words = _words(text[:INDEXED_CHARS])[:ASKED_WORDS]
    if not words:
        return None if text.strip() else ANYTHING
    if text[-1:].isspace() or len(words[-1]) < LEAST_PREFIX:
        return Asked(tuple(dict.fromkeys(words)))
    return Asked(tuple(dict.fromkeys(words[:-1])), words[-1])


def indexed_words(content: bytes) -> frozenset[str]:
    """The words of an encoded content: of titles, briefs, notes, reasons, texts and the names of files.

    Nothing for what cannot be decoded.
    """
    usual = read_usual_text(content)
    if usual is not None and isinstance(usual.body, TextMessage):
        return frozenset(_words(usual.body.text[:INDEXED_CHARS]))
    try:
        decoded = decode(content, limit=ENVELOPE_BYTES)
    except RemoteProtocolError:
        return frozenset()
    body = decoded.get("body") if isinstance(decoded, dict) else None
    found: set[str] = set()
    left = INDEXED_CHARS
    for text in _texts(body) if isinstance(body, dict) else ():
        found.update(_words(text[:left]))
        left -= len(text)
        if left <= 0:
            break
    return frozenset(found)


def is_met(asked: Asked, words: Collection[str]) -> bool:
    """Whether a message with these words is asked for."""
    if not all(word in words for word in asked.words):
        return False
    return not asked.prefix or any(word.startswith(asked.prefix) for word in words)


def _words(text: str) -> list[str]:
    if text.isascii():
        return [word[:WORD_CHARS] for word in _PLAIN_WORD.findall(text.lower())]
    return [word[:WORD_CHARS] for word in _WORD.findall(_folded(text))]


def _folded(text: str) -> str:
    """Without case and diacritics."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in apart if unicodedata.category(c) != "Mn").casefold()


def _texts(body: Mapping[str, Value]) -> Iterator[str]:
    """What people read of a body, in the order of its importance; by its keys, since types share them."""
    for key in _TEXTS:
        text = body.get(key)
        if isinstance(text, str):
            yield text
    for key in _LISTS:
        texts = body.get(key)
        if isinstance(texts, list):
            yield from (text for text in texts if isinstance(text, str))
    parts = body.get("parts")
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict):
            yield from (text for key in _PART_TEXTS if isinstance(text := part.get(key), str))
            data, media = part.get("data"), part.get("media")
            if isinstance(data, bytes) and isinstance(media, str) and media.startswith("text/"):
                yield data[:INDEXED_CHARS].decode("utf-8", "ignore")
