"""What the shapes of the answers are made of."""

from __future__ import annotations

from typing import Final

from .fields import Schema

__all__ = ["FLAG", "HASH", "NUMBER", "OK", "TEXT", "TEXTS", "TIME", "many", "maybe", "page", "record", "ref"]

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "integer"}
FLAG: Final[Schema] = {"type": "boolean"}
OK: Final[Schema] = {"const": True}
HASH: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
TEXTS: Final[Schema] = {"type": "array", "items": TEXT}


def ref(name: str) -> Schema:
    """A component by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def many(item: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": item}


def maybe(schema: Schema) -> Schema:
    """A value or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def record(optional: dict[str, Schema] | None = None, /, **members: Schema) -> Schema:
    """A closed object: all members but the `optional` ones are always there."""
    return {
        "type": "object",
        "properties": {**members, **(optional or {})},
        "required": list(members),
        "additionalProperties": False,
    }


SEARCH_BYTES: Final = 1_024
"""Of words to search for."""


def page(name: str, item: Schema) -> Schema:
    """Some items and where to go on: the cursor is empty at the end."""
    return record(**{name: many(item), "cursor": TEXT, "more": FLAG})


def searched_page(name: str, item: Schema) -> Schema:
    """As `page`; `cut` says that there may be more of what was searched for than the page shows."""
    return record(**{name: many(item), "cursor": TEXT, "more": FLAG, "cut": FLAG})
