"""The code by which two owners know that each sees the other's true account (spec/identity.md section 10)."""

from __future__ import annotations

from typing import Final

from .crypto import blake2b_256
from .errors import RejectCode, RemoteProtocolError
from .ids import AccountId

__all__ = ["DIGITS", "is_safety_code", "safety_code"]

DIGITS: Final = 60
_GROUP: Final = 5
_ACCOUNT_BYTES: Final = 32
#: What people put between digits when they copy or dictate them.
_BETWEEN: Final = frozenset(" \t\r\n-.,")


def safety_code(one: AccountId, other: AccountId) -> str:
    """Sixty digits in twelve groups, the same on both sides. Raises RemoteProtocolError(bad-value)."""
    if len(one) != _ACCOUNT_BYTES or len(other) != _ACCOUNT_BYTES or one == other:
        raise RemoteProtocolError(RejectCode.BAD_VALUE, "two different accounts are compared")
    digest = blake2b_256(key=min(one, other) + max(one, other), person="tf1 safety")
    digits = f"{int.from_bytes(digest, 'big') % 10**DIGITS:0{DIGITS}d}"
    return " ".join(digits[at : at + _GROUP] for at in range(0, DIGITS, _GROUP))


def is_safety_code(typed: str, code: str) -> bool:
    """Whether what somebody typed is this code, however they set the groups apart."""
    return "".join(c for c in typed if c not in _BETWEEN) == code.replace(" ", "")
