"""The code by which two owners know that each sees the other's true account (spec/identity.md section 10).

One digest in two forms: words to be said, and digits for whoever would rather not say English words.
"""

from __future__ import annotations

from typing import Final

import attrs

from .crypto import blake2b_256
from .errors import RejectCode, RemoteProtocolError
from .ids import AccountId
from .words import words_for

__all__ = ["DIGITS", "WORDS", "SafetyCode", "safety_code", "typed_code"]

DIGITS: Final = 60
WORDS: Final = 24
_GROUP: Final = 5
_ACCOUNT_BYTES: Final = 32
#: What people put between digits when they copy or dictate them.
_BETWEEN: Final = frozenset(" \t\r\n-.,")


@attrs.frozen
class SafetyCode:
    """The code in both forms: sixty digits in twelve groups, and 24 words. Each stands for the whole."""

    digits: str
    words: tuple[str, ...]

    def is_said_by(self, typed: str) -> bool:
        """Whether somebody typed it, in either form, however they set its parts apart."""
        return typed_code(typed) in (self.words, tuple(self.digits.replace(" ", "")))


def safety_code(one: AccountId, other: AccountId) -> SafetyCode:
    """The code of two accounts, the same on both sides. Raises RemoteProtocolError(bad-value)."""
    if len(one) != _ACCOUNT_BYTES or len(other) != _ACCOUNT_BYTES or one == other:
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "two different accounts are compared")
    digest = blake2b_256(key=min(one, other) + max(one, other), person="tf1 safety")
    digits = f"{int.from_bytes(digest, 'big') % 10**DIGITS:0{DIGITS}d}"
    groups = " ".join(digits[at : at + _GROUP] for at in range(0, DIGITS, _GROUP))
    return SafetyCode(groups, words_for(digest[:WORDS]))


def typed_code(typed: str) -> tuple[str, ...]:
    """What somebody typed for a code: its words in small letters or, where no letter is in it, its signs."""
    if any(character.isalpha() for character in typed):
        spaced = "".join(character if character.isalpha() else " " for character in typed)
        return tuple(spaced.casefold().split())
    return tuple(character for character in typed if character not in _BETWEEN)
