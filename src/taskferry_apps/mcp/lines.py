"""JSON-RPC messages as lines, before anybody believes them: size, form, and the answer to what is neither.

Importing little: the pipe starts with every session of an agent.
"""

from __future__ import annotations

import json
from io import FileIO
from typing import BinaryIO, Final, NamedTuple

__all__ = [
    "MOST_BYTES",
    "NO_DAEMON",
    "BadLine",
    "Line",
    "error_line",
    "failed_line",
    "next_line",
    "read_line",
    "tool_error_line",
    "write_line",
]

Id = str | int

#: One frame between the pipe and the daemon; the largest part of a version fits into it as JSON.
MOST_BYTES: Final = 1_000_000
_PARSE_ERROR: Final = -32700
_INVALID_REQUEST: Final = -32600
#: Of the range that JSON-RPC leaves to implementations.
NO_DAEMON: Final = -32050


class Line(NamedTuple):
    """A message: a request (method and id), a notification (method) or an answer (id)."""

    text: str
    method: str
    id: Id | None
    cancels: Id | None = None
    """The request that a `notifications/cancelled` names."""
    params: object = None

    @property
    def is_request(self) -> bool:
        """Whether an answer is owed."""
        return bool(self.method) and self.id is not None


class BadLine(Exception):
    """A line that is no message; `answer` is what its sender is told."""

    def __init__(self, answer: str) -> None:
        super().__init__(answer)
        self.answer = answer


def read_line(raw: bytes) -> Line:
    """A message in one line of JSON. Raises BadLine."""
    if len(raw) > MOST_BYTES:
        raise _bad(_INVALID_REQUEST, f"The message has more than {MOST_BYTES} bytes. Send less at once.")
    try:
        value = json.loads(raw.decode(), parse_constant=_no_number)
        # Written anew, so that no second parser finds two names, or a number, where this one found another.
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (ValueError, RecursionError):
        raise _bad(_PARSE_ERROR, "This line is not JSON. Each message is one line of JSON-RPC 2.0.") from None
    if isinstance(value, list):
        raise _bad(_INVALID_REQUEST, "MCP has no batches. Send each message in a line of its own.")
    if not isinstance(value, dict) or value.get("jsonrpc") != "2.0":
        raise _bad(_INVALID_REQUEST, "This is no JSON-RPC 2.0 message.")
    id, method = value.get("id"), value.get("method")
    if id is not None and (isinstance(id, bool) or not isinstance(id, str | int)):
        raise _bad(_INVALID_REQUEST, "The id must be a text or a whole number.")
    if "method" in value and not isinstance(method, str):
        raise _bad(_INVALID_REQUEST, "The method must be a text.", id)
    if "method" in value and "id" in value and id is None:
        raise _bad(_INVALID_REQUEST, "The id of a request must not be null.")
    if "method" not in value and id is None:
        raise _bad(_INVALID_REQUEST, "This is neither a request nor an answer.")
    params = value.get("params")
    return Line(text, method or "", id, _cancelled(method, params), params)


def _one_line(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _no_number(word: str) -> object:
    raise ValueError(f"{word} is no JSON")


def _cancelled(method: object, params: object) -> Id | None:
    if method != "notifications/cancelled" or not isinstance(params, dict):
        return None
    named = params.get("requestId")
    return named if isinstance(named, str | int) and not isinstance(named, bool) else None


def _bad(code: int, message: str, id: Id | None = None) -> BadLine:
    return BadLine(error_line(id, code, message))


def error_line(id: Id | None, code: int, message: str) -> str:
    """A JSON-RPC error."""
    return _one_line({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})


def tool_error_line(id: Id, message: str) -> str:
    """The result of a tool that could not do what it was asked, which its model gets to read."""
    content = [{"type": "text", "text": message}]
    return _one_line({"jsonrpc": "2.0", "id": id, "result": {"content": content, "isError": True}})


def failed_line(line: Line, message: str) -> str:
    """The answer to a request that cannot be served."""
    if line.id is None:
        raise ValueError("only requests are answered")
    if line.method == "tools/call":
        return tool_error_line(line.id, message)
    return error_line(line.id, NO_DAEMON, message)


def next_line(stdin: BinaryIO) -> bytes | None:
    """The next line without its end, None at the end. Of one that is too long, only a part over the limit."""
    raw = stdin.readline(MOST_BYTES + 2)
    if not raw:
        return None
    if len(raw) > MOST_BYTES and not raw.endswith(b"\n"):
        while (more := stdin.readline(65_536)) and not more.endswith(b"\n"):
            pass
    return raw.rstrip(b"\r\n")


def write_line(out: FileIO, text: str) -> None:
    """Write one line to an unbuffered file. Blocking; raises OSError, ValueError when nobody reads it."""
    rest = memoryview(text.encode() + b"\n")
    while rest:
        rest = rest[out.write(rest) or 0 :]
