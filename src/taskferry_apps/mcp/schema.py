"""The small part of JSON Schema that the tools use, and reading arguments by it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar, cast

import attrs

__all__ = [
    "Arguments",
    "BadArgument",
    "Schema",
    "array",
    "closed",
    "flag",
    "one_of",
    "read_arguments",
    "text",
    "whole",
]

Schema = dict[str, object]

T = TypeVar("T")

_WORDS: Final[Mapping[str, tuple[type, str]]] = {
    "string": (str, "a text"),
    "integer": (int, "a whole number"),
    "boolean": (bool, "true or false"),
    "array": (list, "a list"),
    "object": (dict, "an object"),
}


def _described(schema: Schema, about: str) -> Schema:
    return {**schema, "description": about} if about else schema


def text(about: str = "", *, most: int | None = None) -> Schema:
    """A text of at most `most` characters."""
    schema: Schema = {"type": "string"}
    if most is not None:
        schema["maxLength"] = most
    return _described(schema, about)


def whole(about: str = "", *, least: int | None = None, most: int | None = None) -> Schema:
    """A whole number."""
    schema: Schema = {"type": "integer"}
    if least is not None:
        schema["minimum"] = least
    if most is not None:
        schema["maximum"] = most
    return _described(schema, about)


def flag(about: str = "") -> Schema:
    """True or false."""
    return _described({"type": "boolean"}, about)


def one_of(*words: str, about: str = "") -> Schema:
    """One of these words."""
    return _described({"enum": list(words)}, about)


def array(items: Schema, about: str = "", *, most: int | None = None) -> Schema:
    """A list of at most `most`."""
    schema: Schema = {"type": "array", "items": items}
    if most is not None:
        schema["maxItems"] = most
    return _described(schema, about)


def closed(required: Sequence[str] = (), /, **members: Schema) -> Schema:
    """An object that has these members and no others."""
    schema: Schema = {"type": "object", "properties": members, "additionalProperties": False}
    if required:
        schema["required"] = list(required)
    return schema


@attrs.frozen
class BadArgument(Exception):
    """An argument cannot be used; `message` says which and why, in a sentence."""

    message: str

    def __str__(self) -> str:
        return self.message


@attrs.frozen
class Arguments:
    """Arguments that fit their schema."""

    given: Mapping[str, object]

    def text(self, name: str) -> str:
        """A text; empty if it was left out."""
        return cast(str, self.given.get(name, ""))

    def whole(self, name: str) -> int | None:
        """A whole number, if it was given."""
        return cast("int | None", self.given.get(name))

    def texts(self, name: str) -> list[str]:
        """A list of texts; empty if it was left out."""
        return cast("list[str]", self.given.get(name, []))

    def has(self, name: str) -> bool:
        """Whether it was given."""
        return name in self.given


def read_arguments(schema: Schema, given: object) -> Arguments:
    """Arguments as a tool takes them; members that are null count as left out. Raises BadArgument."""
    if not isinstance(given, dict):
        raise BadArgument("The arguments must be an object.")
    meant = {name: value for name, value in given.items() if value is not None}
    _check(schema, meant, "")
    return Arguments(meant)


def _check(schema: Schema, value: object, where: str) -> None:
    here = where or "The arguments"
    if "enum" in schema:
        words = cast("list[str]", schema["enum"])
        if not isinstance(value, str) or value not in words:
            raise BadArgument(f"{here} must be one of {', '.join(words)}.")
        return
    if "type" not in schema:
        return
    kind, words_for = _WORDS[cast(str, schema["type"])]
    # True is an int to Python, and no number to anybody else.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadArgument(f"{here} must be {words_for}.")
    match value:
        case str():
            _check_length(schema, "maxLength", value, here, "characters")
            _check_unicode(value, here)
        case int():
            _check_bounds(schema, value, here)
        case list():
            _check_length(schema, "maxItems", value, here, "items")
            for number, item in enumerate(value):
                _check(cast(Schema, schema["items"]), item, f"{where}[{number}]")
        case dict():
            _check_members(schema, value, where)
        case _:
            pass


def _check_unicode(value: str, here: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadArgument(f"{here} holds half of a surrogate pair, which is no text.") from None


def _check_length(schema: Schema, bound: str, value: str | list[object], here: str, of: str) -> None:
    most = schema.get(bound)
    if isinstance(most, int) and len(value) > most:
        raise BadArgument(f"{here} has {len(value)} {of}; at most {most} fit.")


def _check_bounds(schema: Schema, value: int, here: str) -> None:
    least, most = schema.get("minimum"), schema.get("maximum")
    if isinstance(least, int) and value < least:
        raise BadArgument(f"{here} must be at least {least}.")
    if isinstance(most, int) and value > most:
        raise BadArgument(f"{here} must be at most {most}.")


def _check_members(schema: Schema, value: Mapping[str, object], where: str) -> None:
    members = cast("dict[str, Schema] | None", schema.get("properties"))
    if members is None:
        return
    prefix = f"{where}." if where else ""
    for name in value:
        if name not in members:
            known = ", ".join(members) or "none"
            raise BadArgument(f"There is no argument {json.dumps(prefix + name)[:80]}; there are: {known}.")
    for name in cast("list[str]", schema.get("required", [])):
        if name not in value:
            raise BadArgument(f"{prefix}{name} is missing.")
    for name, member in value.items():
        _check(members[name], member, prefix + name)
