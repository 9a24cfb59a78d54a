"""A recovery key as people write it down: the 24 English words of BIP39, the last of which holds a checksum.

The seed of the key itself is what the words encode, so the way back needs nothing else (spec/identity.md
section 9). Sole importer of mnemonic.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mnemonic import Mnemonic

__all__ = ["WORDS", "PhraseError", "near_words", "phrase_of", "seed_of"]

WORDS: Final = 24
#: Longer than any phrase, however it is spaced.
MOST_CHARS: Final = 1_024


class PhraseError(Exception):
    """What was given is no recovery phrase. The text names places and no word; `unknown` holds the words.

    `unknown` has, for each word that is on no list, its number, counted from 1, and the word as written.
    """

    def __init__(self, text: str, unknown: tuple[tuple[int, str], ...] = ()) -> None:
        super().__init__(text)
        self.unknown = unknown


@cache
def _book() -> Mnemonic:
    from mnemonic import Mnemonic

    return Mnemonic("english")


@cache
def _known() -> frozenset[str]:
    return frozenset(_book().wordlist)


def phrase_of(seed: bytes) -> str:
    """The 24 words of a seed of 32 bytes."""
    return _book().to_mnemonic(seed)


def seed_of(text: str) -> bytes:
    """The seed of 24 words, or of 64 hexadecimal digits, however they are spaced. Raises PhraseError."""
    if len(text) > MOST_CHARS:
        raise PhraseError(f"A recovery phrase has {WORDS} words; this is longer.")
    digits = re.sub(r"\s", "", text)
    if re.fullmatch(r"[0-9a-fA-F]{64}", digits, re.ASCII):
        return bytes.fromhex(digits)
    # Lists are often numbered on paper, and typed so.
    words = [word for word in re.split(r"[\s,.;]+", text.lower()) if word and not word.isdecimal()]
    if len(words) != WORDS:
        raise PhraseError(f"A recovery phrase has {WORDS} words; this has {len(words)}.")
    unknown = tuple((place, word) for place, word in enumerate(words, 1) if word not in _known())
    if unknown:
        places = ", ".join(str(place) for place, _ in unknown)
        which = f"Word {places} is" if len(unknown) == 1 else f"Words {places} are"
        raise PhraseError(f"{which} not on the list of words.", unknown)
    try:
        return bytes(_book().to_entropy(words))
    except ValueError:
        raise PhraseError(
            "The checksum does not fit: all words are on the list, but one is another than was written down, "
            "or two have changed places."
        ) from None


def near_words(word: str) -> tuple[str, ...]:
    """Up to three words of the list that a word as written may have been, the likeliest first.

    Takes some 10 ms a word, so only who shows them asks.
    """
    return tuple(get_close_matches(word, _book().wordlist, 3, 0.6))
