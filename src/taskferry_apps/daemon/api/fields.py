"""The fields that requests carry, declared once: how each is read, and how OpenAPI describes it.

Reading raises DaemonRefusal with the code missing-field, unknown-field, wrong-type or bad-value and the
field's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Generic, TypeVar, cast

import attrs

from ..port import DaemonRefusal
from .body import Json
from .errors import refusal

__all__ = [
    "Choice",
    "Field",
    "Flag",
    "Form",
    "Kind",
    "Listed",
    "Nested",
    "NoFields",
    "OneOrMore",
    "Schema",
    "Text",
    "Values",
    "Whole",
    "bad_value",
    "optional",
    "required",
    "wrong_type",
]

Schema = dict[str, Any]
"""A JSON Schema (draft 2020-12), as it stands in the OpenAPI document."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
D = TypeVar("D")

_SHOWN_NAME: Final = 64


def bad_value(field: str, message: str) -> DaemonRefusal:
    """The type is right, the value is not."""
    return refusal("bad-value", message, "Mend that value and try again.", field=field)


def wrong_type(field: str, wanted: str) -> DaemonRefusal:
    """Another type of JSON was expected."""
    return refusal("wrong-type", f"{field} must be {wanted}.", "Mend the type and try again.", field=field)


class Kind(Generic[T_co]):
    """What a field may hold."""

    @property
    def schema(self) -> Schema:
        """The JSON Schema of it."""
        raise NotImplementedError

    def read(self, value: Json, where: str) -> T_co:
        """The value in the daemon's terms. Raises DaemonRefusal naming `where`."""
        raise NotImplementedError

    def of_text(self, text: str, where: str) -> T_co:
        """The same from a query or a path, where everything is text."""
        return self.read(text, where)


@attrs.frozen
class Text(Kind[str]):
    """A text of so many bytes of UTF-8, all of which match `pattern` if there is one; `example` says how."""

    most: int
    least: int = 0
    pattern: str = ""
    wanted: str = ""

    @property
    def schema(self) -> Schema:
        """At most `most` characters, since no character has less than one byte."""
        schema: Schema = {"type": "string", "maxLength": self.most}
        if self.least:
            schema["minLength"] = self.least
        if self.pattern:
            schema["pattern"] = f"^(?:{self.pattern})$"
        return schema

    def read(self, value: Json, where: str) -> str:
        """The text itself."""
        if not isinstance(value, str):
            raise wrong_type(where, "a text")
        if len(value) > self.most or len(value.encode()) > self.most:
            raise bad_value(where, f"{where} is longer than {self.most} bytes.")
        if len(value.strip()) < self.least:
            raise bad_value(where, f"{where} is empty." if not value else f"{where} is too short.")
        if self.pattern and not re.fullmatch(self.pattern, value, re.ASCII):
            raise bad_value(where, f"{where} must be {self.wanted}.")
        return value


@attrs.frozen
class Choice(Kind[str]):
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def schema(self) -> Schema:
        """An enumeration."""
        return {"type": "string", "enum": list(self.words)}

    def read(self, value: Json, where: str) -> str:
        """The word itself."""
        if not isinstance(value, str):
            raise wrong_type(where, "a text")
        if value not in self.words:
            raise bad_value(where, f"{where} must be one of {', '.join(self.words)}.")
        return value


@attrs.frozen
class Whole(Kind[int]):
    """A whole number within bounds, both included."""

    low: int = 0
    high: int = 2**53 - 1

    @property
    def schema(self) -> Schema:
        """An integer within the bounds."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}

    def read(self, value: Json, where: str) -> int:
        """The number itself; true is no number."""
        if type(value) is not int:
            raise wrong_type(where, "a whole number")
        if not self.low <= value <= self.high:
            raise bad_value(where, f"{where} must be from {self.low} to {self.high}.")
        return value

    def of_text(self, text: str, where: str) -> int:
        """Decimal digits."""
        if not re.fullmatch("[0-9]{1,16}", text, re.ASCII):
            raise wrong_type(where, "a whole number")
        return self.read(int(text), where)


@attrs.frozen
class Flag(Kind[bool]):
    """True or false."""

    @property
    def schema(self) -> Schema:
        """A boolean."""
        return {"type": "boolean"}

    def read(self, value: Json, where: str) -> bool:
        """The boolean itself; 1 is none."""
        if not isinstance(value, bool):
            raise wrong_type(where, "true or false")
        return value

    def of_text(self, text: str, where: str) -> bool:
        """`true` or `1`, `false` or `0`."""
        if text.lower() not in ("true", "1", "false", "0"):
            raise wrong_type(where, "true or false")
        return text.lower() in ("true", "1")


@attrs.frozen
class Listed(Kind[tuple[T, ...]]):
    """A list of values of one kind."""

    kind: Kind[T]
    most: int
    least: int = 0

    @property
    def schema(self) -> Schema:
        """An array."""
        schema: Schema = {"type": "array", "items": self.kind.schema, "maxItems": self.most}
        return {**schema, "minItems": self.least} if self.least else schema

    def read(self, value: Json, where: str) -> tuple[T, ...]:
        """Each item, named by its index."""
        if not isinstance(value, list):
            raise wrong_type(where, "a list")
        if not self.least <= len(value) <= self.most:
            raise bad_value(where, f"{where} must have {self.least} to {self.most} items.")
        return tuple(self.kind.read(item, f"{where}[{index}]") for index, item in enumerate(value))


@attrs.frozen
class OneOrMore(Kind[tuple[T, ...]]):
    """One value, or a list of them."""

    kind: Kind[T]
    most: int

    @property
    def schema(self) -> Schema:
        """Either form."""
        return {"anyOf": [self.kind.schema, Listed(self.kind, self.most, 1).schema]}

    def read(self, value: Json, where: str) -> tuple[T, ...]:
        """Always a tuple."""
        if isinstance(value, list):
            return Listed(self.kind, self.most, 1).read(value, where)
        return (self.kind.read(value, where),)


class _Required:
    """Marks a field that has no default."""


_REQUIRED: Final = _Required()


@attrs.frozen
class Field(Generic[T_co]):
    """A named place for a value. Make one with `required` or `optional`."""

    name: str
    kind: Kind[T_co]
    about: str
    default: T_co | _Required

    @property
    def is_required(self) -> bool:
        """Whether it may be left out."""
        return isinstance(self.default, _Required)

    @property
    def schema(self) -> Schema:
        """With its description; null stands for what is left out."""
        schema = dict(self.kind.schema)
        if not self.is_required:
            kind = schema.get("type")
            if isinstance(kind, str) and "enum" not in schema:
                schema["type"] = [kind, "null"]
            elif schema:
                schema = {"anyOf": [schema, {"type": "null"}]}
        return {**schema, "description": self.about}


def required(name: str, kind: Kind[T], about: str) -> Field[T]:
    """A field without which the request means nothing."""
    return Field(name, kind, about, _REQUIRED)


def optional(name: str, kind: Kind[T], about: str, default: D) -> Field[T | D]:
    """A field that may be left out, or null, for `default`."""
    return Field[T | D](name, kind, about, default)


class Values:
    """What a form read: look a value up by its field."""

    def __init__(self, found: Mapping[str, object]) -> None:
        self._found = found

    def __getitem__(self, field: Field[T]) -> T:
        # The form read it by this very field's kind.
        return cast(T, self._found[field.name])


@attrs.frozen
class Form:
    """The fields of one object; no others may stand in it."""

    fields: tuple[Field[object], ...]

    @classmethod
    def of(cls, *fields: Field[object]) -> Form:
        """A form of these fields."""
        return cls(fields)

    @property
    def schema(self) -> Schema:
        """A closed object."""
        schema: Schema = {
            "type": "object",
            "properties": {field.name: field.schema for field in self.fields},
            "additionalProperties": False,
        }
        needed = [field.name for field in self.fields if field.is_required]
        return {**schema, "required": needed} if needed else schema

    def read(self, value: Json, where: str = "") -> Values:
        """The fields of a JSON object. `where` is its own place, empty for the body."""
        if not isinstance(value, dict):
            raise wrong_type(where or "body", "an object")
        before = f"{where}." if where else ""
        self._check_known(value, before)
        found: dict[str, object] = {}
        for field in self.fields:
            given = value.get(field.name)
            if given is not None:
                found[field.name] = field.kind.read(given, before + field.name)
            else:
                found[field.name] = _default(field, before + field.name, is_null=field.name in value)
        return Values(found)

    def read_texts(self, pairs: Iterable[tuple[str, str]]) -> Values:
        """The fields of a query or a path; an empty text counts as left out."""
        given: dict[str, str] = {}
        for name, text in pairs:
            if name in given:
                raise bad_value(name[:_SHOWN_NAME], "It is given twice.")
            given[name] = text
        self._check_known(given, "")
        found: dict[str, object] = {}
        for field in self.fields:
            given_text = given.get(field.name)
            if given_text:
                found[field.name] = field.kind.of_text(given_text, field.name)
            else:
                found[field.name] = _default(field, field.name, is_null=False)
        return Values(found)

    def _check_known(self, names: Iterable[str], before: str) -> None:
        known = {field.name for field in self.fields}
        for name in names:
            if name not in known:
                raise refusal(
                    "unknown-field",
                    "There is no field of that name here.",
                    f"Known are: {', '.join(sorted(known))}." if known else "Leave it out.",
                    field=f"{before}{name[:_SHOWN_NAME]}",
                )


def _default(field: Field[object], where: str, *, is_null: bool) -> object:
    if not field.is_required:
        return field.default
    if is_null:
        raise wrong_type(where, "given, not null")
    raise refusal("missing-field", f"{where} is missing.", "Add it and try again.", field=where)


@attrs.frozen
class Nested(Kind[Values]):
    """An object with fields of its own."""

    form: Form

    @property
    def schema(self) -> Schema:
        """The form's."""
        return self.form.schema

    def read(self, value: Json, where: str) -> Values:
        """The inner fields, named below this one."""
        return self.form.read(value, where)


NoFields: Final = Form(())
