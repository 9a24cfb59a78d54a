"""Others' text made safe to look at: whatever acts unseen on terminals, pages or models is shown. Pure."""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["one_line", "visible"]

#: Joiners that scripts and emoji need, and the two selectors between text and picture.
_NEEDED: Final = frozenset("\u200c\u200d\ufe0e\ufe0f")
#: Letters and marks that show nothing, though Unicode does not call them invisible.
_BLANK: Final = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\u034f")
#: Of a text that is shown in one line, so many characters for each that may be shown are looked at.
_LOOKED_AT: Final = 16
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str) -> str:
    """`text` with its line breaks and tabs; every other unseen character as `<U+202E>`."""
    whole = text.replace("\r\n", "\n")
    if whole.isascii() and whole.isprintable():
        return whole
    return "".join(_shown(character) for character in whole)


def one_line(text: str, most: int) -> str:
    """The same in one line of at most `most` characters; what is cut off is marked.

    A list of giant texts costs no more than one of short ones: the end of such a text is not looked at.
    """
    looked_at = _LOOKED_AT * most
    line = " ".join(visible(text[:looked_at]).split())
    return line if len(line) <= most and len(text) <= looked_at else line[: most - 1] + "…"


def _shown(character: str) -> str:
    if character in "\n\t" or character in _NEEDED:
        return character
    selects = "\ufe00" <= character <= "\ufe0d" or "\U000e0100" <= character <= "\U000e01ef"
    if selects or character in _BLANK or unicodedata.category(character) in _HIDDEN:
        return f"<U+{ord(character):04X}>"
    return character
