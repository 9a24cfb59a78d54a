"""Whether whoever was shown a recovery phrase has written it down: two of its words, asked for afterwards.

The phrase is kept nowhere. Two words of 24, held until they are typed in, tell whoever finds them in this
program's memory an eleventh of it and nothing that opens anything.
"""

from __future__ import annotations

import hmac
from typing import Final

import attrs

from taskferry_protocol.ids import Entropy, sha256

__all__ = ["Proofs"]

TRIES: Final = 3
#: Nobody sets up more than one account here, but the form may come to several browsers.
_MOST: Final = 4


@attrs.define
class _Asked:
    places: tuple[int, int]
    words: tuple[str, str] = attrs.field(repr=False)
    tries: int = TRIES


class Proofs:
    """What each browser was asked for; `entropy` draws which words."""

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._asked: dict[bytes, _Asked] = {}

    def ask(self, browser: str, phrase: str) -> tuple[int, int]:
        """The numbers, from 1, of two words to ask for: one of each half."""
        words = phrase.split()
        half = len(words) // 2
        first, second = (byte % half for byte in self._entropy(2))
        places = (first, half + second)
        while len(self._asked) >= _MOST:
            del self._asked[next(iter(self._asked))]
        self._asked[_key(browser)] = _Asked(places, (words[places[0]], words[places[1]]))
        return places[0] + 1, places[1] + 1

    def places(self, browser: str) -> tuple[int, int] | None:
        """What this browser is still to type in; None for nothing."""
        asked = self._asked.get(_key(browser))
        return None if asked is None else (asked.places[0] + 1, asked.places[1] + 1)

    def check(self, browser: str, first: str, second: str) -> bool:
        """Whether these are the two. After `TRIES` wrong ones nothing is asked any more."""
        key = _key(browser)
        asked = self._asked.get(key)
        if asked is None:
            return False
        typed = " ".join(word.strip().lower() for word in (first, second))
        if hmac.compare_digest(typed.encode(), " ".join(asked.words).encode()):
            del self._asked[key]
            return True
        asked.tries -= 1
        if asked.tries == 0:
            del self._asked[key]
        return False


def _key(browser: str) -> bytes:
    return sha256(browser.encode("utf-8", "surrogatepass"))
