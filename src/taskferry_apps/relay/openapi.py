"""The OpenAPI 3.1 document of what a relay serves to programs. Pages for people are not in it.

A test compares it with the routes that are served, so neither gains a path that the other lacks.
"""

from __future__ import annotations

from typing import Final

from quart import Response, jsonify
from quart_trio import QuartTrio

from .directory import QUERY_CHARS
from .refusals import PROGRAMS

__all__ = ["OPENAPI_PATH", "describe", "mount_document"]

OPENAPI_PATH: Final = "/openapi.json"

Schema = dict[str, object]

_TEXT: Final[Schema] = {"type": "string"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_JSON: Final = "application/json"
_LETTER: Final = "application/octet-stream"
_FRAMES: Final = "application/cbor-seq"


def _object(**members: Schema) -> Schema:
    return {**_some(**members), "required": list(members)}


def _some(**members: Schema) -> Schema:
    """An object of which any member may be missing."""
    return {"type": "object", "properties": members, "additionalProperties": False}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _maybe(kind: str) -> Schema:
    return {"type": [kind, "null"]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_COMPONENTS: Final[Schema] = {
    "Refusal": _object(
        ok={"const": False},
        error=_object(
            code={"type": "string", "pattern": "^[a-z0-9-]+$"}, message=_TEXT, next={"type": "string"}
        ),
    ),
    "LinkRefusal": _object(code={"type": "string", "pattern": "^[a-z0-9-]+$"}, message=_TEXT, next=_TEXT),
    "Listing": _object(
        handle=_TEXT,
        account={"type": "string", "pattern": "^[0-9a-f]{64}$"},
        display_name=_TEXT,
        tagline=_TEXT,
        description=_TEXT,
        capabilities=_list(_TEXT),
        tags=_list(_TEXT),
        updated_at={"type": "string", "format": "date-time"},
    ),
    "Community": _object(agents=_list(_ref("Listing")), cursor=_TEXT, more={"type": "boolean"}),
    "Ticket": _object(
        ok={"const": True},
        state={"const": "ticket"},
        owner=_TEXT,
        ticket=_TEXT,
        link=_TEXT,
        command=_TEXT,
        expires_at={"type": "string", "format": "date-time"},
    ),
    "OperatorStatus": _object(
        ok={"const": True},
        status=_TEXT,
        connected_clients=_COUNT,
        store=_object(
            clients=_COUNT,
            agents=_COUNT,
            public_agents=_COUNT,
            invites=_COUNT,
            connections=_COUNT,
            queued_messages=_COUNT,
            pending_messages=_COUNT,
        ),
        suspended=_COUNT,
        held=_COUNT,
        queue_age_s=_COUNT,
        commit_ms=_maybe("number"),
        refusals=_list(_object(what=_TEXT, code=_TEXT, count=_COUNT)),
        limits=_list(
            _object(name=_TEXT, value={"type": "number"}, unit=_TEXT, source=_TEXT, used=_maybe("integer"))
        ),
        findings=_list(_object(severity=_TEXT, text=_TEXT, next=_TEXT)),
    ),
}

_PLACE: Final[Schema] = {
    "name": "place",
    "in": "path",
    "required": True,
    "description": "Where two machines meet.",
    "schema": {"type": "string", "minLength": 1},
}
_MEETING: Final[Schema] = {
    "name": "TaskFerry-Meeting",
    "in": "header",
    "required": False,
    "description": "The token of this side.",
    "schema": _TEXT,
}
_LINK: Final[Schema] = {
    "name": "TaskFerry-Link",
    "in": "header",
    "required": False,
    "description": "The token that opening gave.",
    "schema": _TEXT,
}


def _query(name: str, about: str, **schema: object) -> Schema:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": about,
        "schema": {"type": "string", **schema},
    }


def _operation(
    name: str,
    about: str,
    answers: dict[str, tuple[str, Schema | None]],
    *,
    parameters: tuple[Schema, ...] = (),
    body: tuple[str, Schema] | None = None,
    refusal: str = "Refusal",
    secured: bool = False,
) -> Schema:
    responses: Schema = {
        code: {
            "description": "Done.",
            **({"content": {media: {"schema": schema}}} if schema is not None else {}),
        }
        for code, (media, schema) in answers.items()
    }
    responses["default"] = {
        "description": "Refused: a code for programs, a sentence, and the next step.",
        "content": {_JSON: {"schema": _ref(refusal)}},
    }
    operation: Schema = {
        "operationId": name,
        "summary": about,
        "security": [{}, {"operator": []}] if secured else [],
        "responses": responses,
    }
    if parameters:
        operation["parameters"] = [*parameters]
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {body[0]: {"schema": body[1]}}}
    return operation


def _service(status: str) -> Schema:
    return _object(status={"const": status}, service={"const": "relay"})


def _paths() -> dict[str, Schema]:
    bytes_: Schema = {}
    empty = _object()
    return {
        "/health": {
            "get": _operation(
                "health",
                "Whether the relay takes mail.",
                {"200": (_JSON, _service("ok")), "503": (_JSON, _service("stopping"))},
            )
        },
        OPENAPI_PATH: {"get": _operation("openapi", "This document.", {"200": (_JSON, {"type": "object"})})},
        "/metrics": {
            "get": _operation(
                "metrics",
                "Counters and gauges in the text format of Prometheus.",
                {"200": ("text/plain", _TEXT)},
                secured=True,
            )
        },
        f"{PROGRAMS}ops/status": {
            "get": _operation(
                "ops_status",
                "How the relay is, for its operator's programs.",
                {"200": (_JSON, _ref("OperatorStatus"))},
                secured=True,
            )
        },
        f"{PROGRAMS}community": {
            "get": _operation(
                "community",
                "Public agents, the newest first.",
                {"200": (_JSON, _ref("Community"))},
                parameters=(
                    _query("q", "Words to look for.", maxLength=QUERY_CHARS),
                    _query("capability", "One that the agent has.", maxLength=QUERY_CHARS),
                    _query("tag", "One that the agent has.", maxLength=QUERY_CHARS),
                    _query("after", "The cursor of the page before.", pattern="^[1-9][0-9]{0,17}$"),
                ),
            )
        },
        f"{PROGRAMS}signup": {
            "post": _operation(
                "sign_up",
                "Ask for a ticket for a new account.",
                {
                    "201": (_JSON, _ref("Ticket")),
                    "202": (_JSON, _object(ok={"const": True}, state={"const": "mail-coming"})),
                },
                body=(_JSON, _some(owner=_TEXT, email=_TEXT)),
            )
        },
        f"{PROGRAMS}signup/confirm": {
            "post": _operation(
                "confirm_sign_up",
                "Take the ticket by the code that came by mail.",
                {"201": (_JSON, _ref("Ticket"))},
                body=(_JSON, _some(code=_TEXT, owner=_TEXT)),
            )
        },
        f"{PROGRAMS}meetings": {
            "post": _operation(
                "open_meeting",
                "A place where two machines of one owner meet.",
                {"200": (_JSON, _object(place=_TEXT, token=_TEXT))},
            )
        },
        f"{PROGRAMS}meetings/{{place}}/join": {
            "post": _operation(
                "join_meeting",
                "Come to it as the second side.",
                {"200": (_JSON, _object(token=_TEXT))},
                parameters=(_PLACE,),
            )
        },
        f"{PROGRAMS}meetings/{{place}}": {
            "get": _operation(
                "take_letter",
                "The other side's letter of a number; 204 where it has not come in time.",
                {"200": (_LETTER, bytes_), "204": ("", None)},
                parameters=(
                    _PLACE,
                    _MEETING,
                    _query("after", "The number of the letter.", pattern="^[0-9]{1,4}$"),
                    _query("wait", "Seconds to wait for it.", pattern="^[0-9]{1,4}$"),
                ),
            ),
            "post": _operation(
                "leave_letter",
                "Keep a letter for the other side.",
                {"200": (_JSON, empty)},
                parameters=(_PLACE, _MEETING),
                body=(_LETTER, bytes_),
            ),
            "delete": _operation(
                "end_meeting", "End it.", {"200": (_JSON, empty)}, parameters=(_PLACE, _MEETING)
            ),
        },
        f"{PROGRAMS}link/open": {
            "post": _operation(
                "open_link",
                "Begin a session over long-poll (spec/session.md section 9).",
                {"201": (_JSON, _object(token=_TEXT, max_frame=_COUNT))},
                parameters=(
                    {
                        "name": "TaskFerry-Protocol",
                        "in": "header",
                        "required": False,
                        "description": "taskferry.1",
                        "schema": _TEXT,
                    },
                ),
                refusal="LinkRefusal",
            )
        },
        f"{PROGRAMS}link/exchange": {
            "post": _operation(
                "exchange_frames",
                "Frames both ways.",
                {"200": (_FRAMES, bytes_)},
                parameters=(_LINK,),
                body=(_FRAMES, bytes_),
                refusal="LinkRefusal",
            )
        },
        f"{PROGRAMS}link": {
            "delete": _operation(
                "close_link",
                "End the session.",
                {"204": ("", None)},
                parameters=(_LINK,),
                refusal="LinkRefusal",
            )
        },
    }


def describe(version: str) -> Schema:
    """The document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "TaskFerry relay",
            "version": version,
            "description": (
                "What a relay serves to programs over HTTP. Mail itself goes through a session, over "
                "WebSocket at /v1/ws or the long-poll of /v1/link; all of it is sealed."
            ),
        },
        "paths": _paths(),
        "components": {
            "schemas": _COMPONENTS,
            "securitySchemes": {"operator": {"type": "http", "scheme": "bearer"}},
        },
    }


def mount_document(app: QuartTrio, version: str) -> None:
    """Serve it."""

    @app.get(OPENAPI_PATH)
    async def openapi() -> Response:
        return jsonify(describe(version))
