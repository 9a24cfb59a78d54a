"""What a route is: one row says where it is served, to whom, what it reads, and what it answers.

The rows are registered by `app` and described by `openapi`, so that both always tell the same.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import Final

import attrs
import trio

from ..bounds import BOUNDS
from ..port import Caller, DaemonService
from .answers import Object
from .fields import Form, NoFields, Schema, Values

__all__ = [
    "BODY_BYTES",
    "BODY_WITH_FILES_BYTES",
    "Access",
    "Answer",
    "Call",
    "Download",
    "EventStream",
    "Handler",
    "Repeat",
    "Route",
    "Streamed",
]

BODY_BYTES: Final = BOUNDS.body_bytes
BODY_WITH_FILES_BYTES: Final = BOUNDS.body_with_files_bytes


class Access(Enum):
    """Whose credential a route asks for."""

    ANYBODY = "anybody"
    """None is needed; a wrong one is refused all the same."""
    AGENT = "agent"
    """The owner's, or one of an agent's."""
    OWNER = "owner"
    """The owner's alone."""


class Repeat(Enum):
    """What an Idempotency-Key does."""

    HARMLESS = "harmless"
    """The route changes nothing, or the same thing again; a key is not looked at."""
    ONCE = "once"
    """With a key, the first answer is kept for a day and given again."""
    EACH = "each"
    """Each item has a key of its own; a key for all of them is one for each, with the item's number."""
    REFUSED = "refused"
    """The answer holds a secret, which is kept nowhere; so a key is refused."""


@attrs.frozen
class Download:
    """Bytes as a file. `media` is said as it is; what peers name is never passed on as a media type."""

    content: bytes
    name: str
    media: str = "application/octet-stream"


@attrs.frozen
class EventStream:
    """The feed, from a caller's place on; all that happens, or what needs its agents, or one program."""

    after: int
    agent: str
    wake: bool = False
    runtime: str = ""


@attrs.frozen
class Streamed:
    """A long file that is made as it is read; `size` is what it will come to."""

    size: int
    pieces: AbstractAsyncContextManager[AsyncIterator[bytes]]
    name: str


Answer = Object | Download | EventStream | Streamed


@attrs.frozen
class Call:
    """One request, read: who calls, the fields, and when it should end.

    `still_known` raises DaemonRefusal(unauthorized) once the credential was revoked, or lost an agent.
    `draining` is set when the daemon stops: whoever waits ends then.
    """

    caller: Caller | None
    path: Values
    query: Values
    body: Values
    last_event_id: str | None
    draining: trio.Event
    still_known: Callable[[], Awaitable[None]]
    key: str | None = None
    """The Idempotency-Key, where the route uses it by itself (`Repeat.EACH`)."""

    @property
    def known_caller(self) -> Caller:
        """Who calls, on routes that ask for a credential."""
        if self.caller is None:
            raise LookupError("this route lets anybody in")
        return self.caller


Handler = Callable[[DaemonService, Call], Awaitable[Answer]]

_PARAMETER: Final = re.compile(r"\{([a-z]+)\}")


@attrs.frozen(kw_only=True)
class Route:
    """A row. `path` is written as in OpenAPI; `answer` is the schema of a 200, `later` that of a 202, if any.

    A 202 says that it was passed on: its answer has `passed_on`.
    """

    method: str
    path: str
    name: str
    about: str
    handler: Handler
    answer: Schema
    later: Schema | None = None
    access: Access = Access.AGENT
    parameters: Form = NoFields
    query: Form = NoFields
    body: Form | None = None
    body_bytes: int = BODY_BYTES
    repeat: Repeat = Repeat.HARMLESS
    media: str = "application/json"

    @property
    def rule(self) -> str:
        """The path as Quart writes it."""
        return _PARAMETER.sub(r"<\1>", self.path)
