"""The words by which messages are found: what is indexed of a content, and what a person asks for.

Both go through one rule, so that every store finds the same. Nothing that is typed is an operator.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Final

import attrs

from .errors import RemoteProtocolError
from .messages import Body, FilePart, JsonPart, Part, TextPart, decode_content

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
_TEXTS: Final = ("title", "brief", "text", "note", "reason")
_LISTS: Final = ("requirements", "reasons")


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
    words = list(islice(_words(text[:INDEXED_CHARS]), ASKED_WORDS))
    if not words:
        return None if text.strip() else ANYTHING
    if text[-1:].isspace() or len(words[-1]) < LEAST_PREFIX:
        return Asked(tuple(dict.fromkeys(words)))
    return Asked(tuple(dict.fromkeys(words[:-1])), words[-1])


def indexed_words(content: bytes) -> frozenset[str]:
    """The words of an encoded content: of titles, briefs, notes, reasons, texts and the names of files.

    Nothing for what cannot be decoded.
    """
    try:
        body = decode_content(content).body
    except RemoteProtocolError:
        return frozenset()
    found: set[str] = set()
    left = INDEXED_CHARS
    for text in _texts(body):
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


def _words(text: str) -> Iterator[str]:
    for found in _WORD.finditer(_folded(text)):
        yield found[0][:WORD_CHARS]


def _folded(text: str) -> str:
    """Without case and diacritics."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in apart if unicodedata.category(c) != "Mn").casefold()


def _texts(body: Body) -> Iterator[str]:
    for name in _TEXTS:
        text = getattr(body, name, "")
        if isinstance(text, str):
            yield text
    for name in _LISTS:
        yield from getattr(body, name, ())
    for part in getattr(body, "parts", ()):
        yield from _texts_of(part)


def _texts_of(part: Part) -> Iterator[str]:
    yield part.name
    match part:
        case TextPart():
            yield part.text
        case JsonPart():
            yield part.json
        case FilePart() if part.media.startswith("text/"):
            yield part.data[:INDEXED_CHARS].decode("utf-8", "ignore")
        case _:
            pass
