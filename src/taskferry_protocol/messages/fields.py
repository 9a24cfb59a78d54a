"""Readers of the fields that several bodies have, each `(value, field name) -> checked value`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from ..cbor import Value
from ..errors import RejectCode, RemoteProtocolError
from ..ids import Hash, Instant
from ..limits import REASON_BYTES, REASONS, STATEMENTS, TEXT_BYTES, TIME_LIMIT, TITLE_CHARS
from ..shape import as_array, as_bytes, as_text, as_uint, has_controls

__all__ = [
    "count",
    "digest",
    "flag",
    "instant",
    "nullable",
    "number",
    "octets",
    "prose",
    "statements",
    "texts",
    "title",
]

T = TypeVar("T")
Reader = Callable[[Value, str], T]


def number(*, low: int = 0, high: int = 2**64 - 1) -> Reader[int]:
    """A reader of unsigned integers from `low` to `high`."""
    return partial(as_uint, low=low, high=high)


count: Final = number()
octets: Final[Reader[bytes]] = as_bytes


def digest(value: Value, field: str) -> Hash:
    """A hash of 32 bytes."""
    return Hash(as_bytes(value, field, size=32))


def instant(value: Value, field: str) -> Instant:
    """A time in milliseconds below 2^53."""
    return Instant(as_uint(value, field, high=TIME_LIMIT - 1))


def flag(value: Value, field: str) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise RemoteProtocolError(RejectCode.WRONG_TYPE, "true or false expected", field=field)
    return value


def nullable(reader: Reader[T]) -> Reader[T | None]:
    """A reader that lets null pass."""

    def read(value: Value, field: str) -> T | None:
        return None if value is None else reader(value, field)

    return read


def prose(*, least: int = 0, most: int = TEXT_BYTES) -> Reader[str]:
    """A reader of texts of so many bytes of UTF-8."""
    return partial(as_text, least=least, most=most)


def title(value: Value, field: str) -> str:
    """1 to 200 characters, no control characters: it is shown in one line."""
    if type(value) is not str:
        raise RemoteProtocolError(RejectCode.WRONG_TYPE, "a text expected", field=field)
    if not 1 <= len(value) <= TITLE_CHARS or has_controls(value):
        raise RemoteProtocolError(
            RejectCode.BAD_VALUE, f"must be 1 to {TITLE_CHARS} characters without controls", field=field
        )
    return value


def texts(*, least: int) -> Reader[tuple[str, ...]]:
    """A reader of `least` to 32 texts of 1 to 2,048 bytes: reasons, or requirements."""

    def read(value: Value, field: str) -> tuple[str, ...]:
        listed = as_array(value, field, least=least, most=REASONS)
        return tuple(
            as_text(text, f"{field}[{index}]", least=1, most=REASON_BYTES)
            for index, text in enumerate(listed)
        )

    return read


def statements(*, most: int = STATEMENTS) -> Reader[tuple[bytes, ...]]:
    """A reader of 1 to `most` account statements as sent; what is in them, the fold checks."""

    def read(value: Value, field: str) -> tuple[bytes, ...]:
        listed = as_array(value, field, least=1, most=most)
        return tuple(as_bytes(statement, f"{field}[{index}]") for index, statement in enumerate(listed))

    return read
