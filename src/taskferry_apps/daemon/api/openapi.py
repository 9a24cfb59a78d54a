"""The OpenAPI 3.1 document, made from the same table that is served."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .fields import Field, Schema
from .schemas import COMPONENTS, ref
from .table import Access, Repeat, Route

__all__ = ["describe"]

_ABOUT: Final = (
    "The local API of a TaskFerry daemon, for programs on its own machine. Every request but two shows a "
    "credential; web pages of other origins are refused. Ids of messages and tasks may be shortened to 8 or "
    "more digits. Optional fields may be null. Unknown fields are refused."
)
_REFUSED: Final = "Refused: a code for programs, a sentence, and the next step."
_KEY: Final[Schema] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "With the same key and body, the first answer is given again for a day.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
}
_LAST_EVENT: Final[Schema] = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The id of the last event that was seen; outranks `after`.",
    "schema": {"type": "string"},
}
_STREAM: Final = "text/event-stream"


def describe(routes: Iterable[Route], version: str) -> Schema:
    """The document for these routes."""
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "TaskFerry local API", "version": version, "description": _ABOUT},
        "paths": paths,
        "components": {
            "schemas": COMPONENTS,
            "securitySchemes": {"credential": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> Schema:
    headers = [_KEY] if route.repeat in (Repeat.ONCE, Repeat.EACH) else []
    headers += [_LAST_EVENT] if route.media == _STREAM else []
    parameters = [
        *(_parameter(field, "path") for field in route.parameters.fields),
        *(_parameter(field, "query") for field in route.query.fields),
        *headers,
    ]
    operation: Schema = {
        "operationId": route.name,
        "summary": route.about,
        "security": [] if route.access is Access.ANYBODY else [{"credential": []}],
        "responses": {
            "200": {"description": "Done.", "content": {route.media: {"schema": route.answer}}},
            **_later(route),
            "default": {
                "description": _REFUSED,
                "content": {"application/json": {"schema": ref("Error")}},
            },
        },
    }
    if route.access is Access.OWNER:
        operation["description"] = "The owner's credential is needed."
    if route.name == "health":
        operation["security"] = [{}, {"credential": []}]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        content = {"application/json": {"schema": route.body.schema}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _later(route: Route) -> Schema:
    if route.later is None:
        return {}
    text = "Passed on to the owner's device that has to do it; what came of it can be asked for."
    return {"202": {"description": text, "content": {route.media: {"schema": route.later}}}}


def _parameter(field: Field[object], place: str) -> Schema:
    schema = dict(field.kind.schema)
    return {
        "name": field.name,
        "in": place,
        "required": field.is_required,
        "description": field.about,
        "schema": schema,
    }
