"""How many tokens a text costs a model, roughly, and on the safe side. Pure.

The tokenizers of models differ and are large; this counts as they do for English, JSON and ids, and too many
rather than too few for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

__all__ = ["cut_to", "fitting", "tokens"]

T = TypeVar("T")

_PIECES: Final = re.compile(
    r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[ ]+|\s+|[!-/:-@\[-`{-~]+|[^\W\d_a-zA-Z]+|.", re.DOTALL
)
#: From here on (kana, ideographs, Hangul) a character may be a token of its own, and from there on two.
_DENSE: Final = "\u2e80"
_RARE: Final = "\U00010000"


def tokens(text: str) -> int:
    """An estimate of the tokens in `text`."""
    return sum(map(_cost, _PIECES.findall(text)))


def _cost(piece: str) -> int:
    first = piece[0]
    if first == " ":
        # One blank belongs to the word that follows.
        return 0 if len(piece) == 1 else 1
    if first.isspace():
        return 1
    if first.isascii():
        if first.isdigit():
            return (len(piece) + 2) // 3
        if first.isalpha():
            # Capitals are rare in vocabularies.
            return 1 + (len(piece) - 1) // (2 if piece.isupper() else 6)
        return (len(piece) + 1) // 2
    dense = sum(2 if letter >= _RARE else 1 for letter in piece if letter >= _DENSE)
    others = sum(letter < _DENSE for letter in piece)
    return dense + (others + 1) // 2


def cut_to(text: str, most: int) -> str:
    """The beginning of `text` of at most about `most` tokens."""
    spent = 0
    for match in _PIECES.finditer(text):
        spent += _cost(match[0])
        if spent > most:
            return text[: match.start()]
    return text


def fitting(items: Sequence[T], most: int, shown: Callable[[Sequence[T]], Sequence[str]]) -> int:
    """How many of `items`, from the first, can be shown in `most` tokens; at least one, if there is any.

    `shown` gives the forms in which a reader may get them; each has to fit.
    """
    low, high = min(1, len(items)), len(items)
    while low < high:
        middle = (low + high + 1) // 2
        if all(tokens(form) <= most for form in shown(items[:middle])):
            low = middle
        else:
            high = middle - 1
    return low
