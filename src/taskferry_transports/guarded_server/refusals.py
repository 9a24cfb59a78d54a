"""The one shape of an HTTP refusal: a code for programs, a sentence for people, and what to do next."""

from __future__ import annotations

import json
from http import HTTPStatus


def refusal_body(code: str, message: str, next_step: str) -> bytes:
    """The JSON object `{"code", "message", "next"}`."""
    return json.dumps({"code": code, "message": message, "next": next_step}).encode()


def refusal_headers(body: bytes) -> list[tuple[bytes, bytes]]:
    """Headers for such a body; the connection ends with it."""
    return [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]


def raw_refusal(status: HTTPStatus, body: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """A whole HTTP/1.1 response, for connections that get no request parsed."""
    lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
    lines += [name + b": " + value for name, value in (*refusal_headers(body), *extra)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
