"""From a JSON object to a frozen value: each member by the type of its field, and nothing else believed.

Members that are not known are passed over, since a newer daemon may tell more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, cast, get_args, get_origin, get_type_hints

import attrs

__all__ = ["Unreadable", "read_object"]

T = TypeVar("T")

_PLAIN: Final = (str, bool)


class Unreadable(Exception):
    """The value is not of the shape that the local API describes."""


def read_object(kind: Callable[..., T], value: object) -> T:
    """An instance of the attrs class `kind`. Raises Unreadable.

    A field's `key` in its metadata is the member's name where that is no good name in Python.
    """
    if not isinstance(value, dict):
        raise Unreadable(f"{kind.__name__} is no object")
    found: dict[str, Any] = {}
    for name, key, wanted, is_needed in _fields(kind):
        if key in value:
            found[name] = _read(wanted, value[key], f"{kind.__name__}.{key}")
        elif is_needed:
            raise Unreadable(f"{kind.__name__}.{key} is missing")
    return kind(**found)


@cache
def _fields(kind: Callable[..., object]) -> tuple[tuple[str, str, Any, bool], ...]:
    hints = get_type_hints(kind)
    return tuple(
        (field.name, field.metadata.get("key", field.name), hints[field.name], field.default is attrs.NOTHING)
        for field in attrs.fields(cast(type, kind))
        if field.init
    )


def _read(wanted: Any, value: object, where: str) -> object:
    if wanted in _PLAIN and type(value) is wanted:
        return value
    if wanted is int and type(value) is int:
        return value
    if wanted is datetime and isinstance(value, str):
        return _moment(value, where)
    if attrs.has(wanted):
        return read_object(wanted, value)
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin is UnionType:
        # Unions here are all of the form X | None.
        (one,) = (kind for kind in inner if kind is not NoneType)
        return None if value is None else _read(one, value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_read(inner[0], item, where) for item in value)
    if origin is Mapping and isinstance(value, dict):
        return value
    raise Unreadable(f"{where} is not as described")


def _moment(text: str, where: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise Unreadable(f"{where} is no time") from None
