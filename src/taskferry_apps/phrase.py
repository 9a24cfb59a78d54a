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

__all__ = ["WORDS", "PhraseError", "phrase_of", "seed_of"]

WORDS: Final = 24
#: Longer than any phrase, however it is spaced.
MOST_CHARS: Final = 1_024


class PhraseError(Exception):
    """What was given is no recovery phrase. The text names places and no word; `near` holds the words.

    `near` has, for each unknown word, its number, the word as written, and what it may have been.
    """

    def __init__(self, text: str, near: tuple[tuple[int, str, tuple[str, ...]], ...] = ()) -> None:
        super().__init__(text)
        self.near = near


@cache
def _book() -> Mnemonic:
    from mnemonic import Mnemonic

    return Mnemonic("english")


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
    known = _book().wordlist
    wrong = [(place, word) for place, word in enumerate(words, 1) if word not in known]
    if len(words) != WORDS:
        raise PhraseError(f"A recovery phrase has {WORDS} words; this has {len(words)}.")
    if wrong:
        places = ", ".join(str(place) for place, _ in wrong)
        which = f"Word {places} is" if len(wrong) == 1 else f"Words {places} are"
        raise PhraseError(
            f"{which} not on the list of words.",
            tuple((place, word, tuple(get_close_matches(word, known, 3, 0.6))) for place, word in wrong),
        )
    try:
        return bytes(_book().to_entropy(words))
    except ValueError:
        raise PhraseError(
            "The checksum does not fit: all words are on the list, but one is another than was written down, "
            "or two have changed places."
        ) from None
