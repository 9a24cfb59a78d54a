"""Reading decoded CBOR into typed fields, with the codes of spec/taskferry.md section 2.

A `MapReader` first reports unknown keys, then missing ones; each read then checks type and range. Readers are
called in the order in which the specification writes the fields, so the first fault is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TypeVar

from .cbor import Value
from .errors import RejectCode, RemoteProtocolError
from .ids import AccountId, AgentRef, Hash, Instant, LogPosition, is_name
from .limits import TIME_LIMIT, UINT_LIMIT

__all__ = [
    "MapReader",
    "as_agent",
    "as_array",
    "as_bytes",
    "as_pair",
    "as_position",
    "as_text",
    "as_uint",
    "check_ascending",
    "has_controls",
]

T = TypeVar("T")
Ordered = TypeVar("Ordered", bytes, str)


def _wrong(field: str, expected: str) -> RemoteProtocolError:
    return RemoteProtocolError(RejectCode.WRONG_TYPE, f"{expected} expected", field=field)


def _bad(field: str, text: str) -> RemoteProtocolError:
    return RemoteProtocolError(RejectCode.BAD_VALUE, text, field=field)


def has_controls(text: str) -> bool:
    """Whether `text` holds a C0 or C1 control character or DEL."""
    return any(character < " " or "\x7f" <= character <= "\x9f" for character in text)


def as_uint(value: Value, field: str, *, low: int = 0, high: int = UINT_LIMIT - 1) -> int:
    """An unsigned integer within the bounds, both included."""
    if type(value) is not int:
        raise _wrong(field, "an unsigned integer")
    if not low <= value <= high:
        raise _bad(field, f"must be from {low} to {high}")
    return value


def as_bytes(value: Value, field: str, *, size: int | None = None, most: int | None = None) -> bytes:
    """A byte string of exactly `size`, or of at most `most`, bytes."""
    if type(value) is not bytes:
        raise _wrong(field, "a byte string")
    if size is not None and len(value) != size:
        raise _bad(field, f"must be {size} bytes, is {len(value)}")
    if most is not None and len(value) > most:
        raise _bad(field, f"must be at most {most} bytes, is {len(value)}")
    return value


def as_text(value: Value, field: str, *, least: int = 0, most: int) -> str:
    """A text of `least` to `most` bytes of UTF-8."""
    if type(value) is not str:
        raise _wrong(field, "a text")
    if not least <= len(value.encode()) <= most:
        raise _bad(field, f"must be {least} to {most} bytes of text")
    return value


def as_array(value: Value, field: str, *, least: int = 0, most: int) -> list[Value]:
    """An array of `least` to `most` elements; more is too-many."""
    if type(value) is not list:
        raise _wrong(field, "an array")
    if len(value) > most:
        raise RemoteProtocolError(RejectCode.TOO_MANY, f"{len(value)} elements, {most} allowed", field=field)
    if len(value) < least:
        raise _bad(field, f"must have at least {least}")
    return value


def check_ascending(items: Sequence[Ordered], field: str) -> None:
    """Nothing if each item is greater than the one before, bytewise; not-canonical otherwise."""
    if any(left >= right for left, right in pairwise(items)):
        raise RemoteProtocolError(RejectCode.NOT_CANONICAL, "must be sorted, nothing twice", field=field)


def as_pair(value: Value, field: str) -> tuple[Value, Value]:
    """An array of exactly two elements."""
    if type(value) is not list:
        raise _wrong(field, "a pair")
    if len(value) != 2:
        raise _bad(field, "must have two elements")
    return value[0], value[1]


def as_position(value: Value, field: str) -> LogPosition:
    """A log position `[length, head]`, of at least one statement."""
    length, head = as_pair(value, field)
    return LogPosition(as_uint(length, field, low=1), Hash(as_bytes(head, field, size=32)))


def as_agent(value: Value, field: str) -> AgentRef:
    """An agent reference `[account, name]` with a name."""
    account, name = as_pair(value, field)
    identity = AccountId(as_bytes(account, field, size=32))
    if type(name) is not str:
        raise _wrong(field, "a name")
    if not is_name(name):
        raise _bad(field, "not an agent's name")
    return AgentRef(identity, name)


class MapReader:
    """One decoded map, its keys checked at once and its values as they are read."""

    def __init__(
        self, value: Value, where: str, required: Iterable[str], optional: Iterable[str] = ()
    ) -> None:
        members = self._as_map(value, where)
        required = tuple(required)
        known = {*required, *optional}
        for key in members:
            if key not in known:
                raise RemoteProtocolError(
                    RejectCode.UNKNOWN_FIELD, "not a field of this version", field=self._name(where, key)
                )
        self._members = members
        self._where = where
        self._demand(required)

    @classmethod
    def open(cls, value: Value, where: str, required: Iterable[str]) -> MapReader:
        """A reader that lets unknown keys be: inside sealed content alone (spec/messages.md)."""
        reader = cls.__new__(cls)
        reader._members = cls._as_map(value, where)
        reader._where = where
        reader._demand(tuple(required))
        return reader

    @staticmethod
    def _as_map(value: Value, where: str) -> dict[str, Value]:
        if type(value) is not dict:
            raise _wrong(where, "a map")
        return value

    @staticmethod
    def _name(where: str, key: str) -> str:
        return f"{where}.{key}" if where else key

    def _demand(self, required: Sequence[str]) -> None:
        for key in required:
            if key not in self._members:
                raise RemoteProtocolError(
                    RejectCode.MISSING_FIELD, "is required", field=self._name(self._where, key)
                )

    def __contains__(self, key: str) -> bool:
        return key in self._members

    def extra(self, known: Iterable[str]) -> dict[str, Value]:
        """The members that are not among `known`, to be kept (spec/messages.md)."""
        names = set(known)
        return {key: value for key, value in self._members.items() if key not in names}

    def field(self, key: str) -> str:
        """The full name of a field, for messages."""
        return self._name(self._where, key)

    def value(self, key: str) -> Value:
        """The value as decoded."""
        return self._members[key]

    def read(self, key: str, reader: Callable[[Value, str], T]) -> T:
        """The value as `reader(value, field name)` gives it."""
        return reader(self._members[key], self.field(key))

    def nullable(self, key: str, reader: Callable[[Value, str], T]) -> T | None:
        """None where the value is null, else as `reader` gives it."""
        return None if self._members[key] is None else self.read(key, reader)

    def uint(self, key: str, *, low: int = 0, high: int = UINT_LIMIT - 1) -> int:
        """An unsigned integer within the bounds."""
        return as_uint(self._members[key], self.field(key), low=low, high=high)

    def time(self, key: str) -> Instant:
        """A time in milliseconds below 2^53."""
        return Instant(self.uint(key, high=TIME_LIMIT - 1))

    def bytes(self, key: str, *, size: int | None = None, most: int | None = None) -> bytes:
        """A byte string."""
        return as_bytes(self._members[key], self.field(key), size=size, most=most)

    def hash(self, key: str) -> Hash:
        """A hash of 32 bytes."""
        return Hash(self.bytes(key, size=32))

    def text(self, key: str, *, least: int = 0, most: int) -> str:
        """A text of `least` to `most` bytes of UTF-8."""
        return as_text(self._members[key], self.field(key), least=least, most=most)

    def name(self, key: str) -> str:
        """An owner's or agent's name."""
        text = self._members[key]
        if type(text) is not str:
            raise _wrong(self.field(key), "a name")
        if not is_name(text):
            raise _bad(self.field(key), "not a name: 1 to 32 of a-z, 0-9, _ and -")
        return text

    def boolean(self, key: str) -> bool:
        """A truth value."""
        value = self._members[key]
        if type(value) is not bool:
            raise _wrong(self.field(key), "true or false")
        return value

    def array(self, key: str, *, least: int = 0, most: int) -> list[Value]:
        """An array of `least` to `most` elements."""
        return as_array(self._members[key], self.field(key), least=least, most=most)

    def position(self, key: str) -> LogPosition:
        """A log position."""
        return as_position(self._members[key], self.field(key))

    def agent(self, key: str) -> AgentRef:
        """An agent reference with a name."""
        return as_agent(self._members[key], self.field(key))
