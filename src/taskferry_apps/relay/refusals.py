"""How the relay refuses a program over HTTP: a code, a sentence, and the next step."""

from __future__ import annotations

from typing import Final

from quart import Response, jsonify

__all__ = ["PROGRAMS", "refused_json"]

#: What stands below here is for programs, and is refused in JSON, an unknown path too.
PROGRAMS: Final = "/v1/"


def refused_json(status: int, code: str, message: str, next_step: str) -> Response:
    """`{"ok": false, "error": {"code", "message", "next"}}`, kept by nobody on its way."""
    response = jsonify({"ok": False, "error": {"code": code, "message": message, "next": next_step}})
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    return response
