"""One request to the local API, described and not sent: what it asks, and what its answer means."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, Generic, Protocol, Self, TypeVar
from urllib.parse import quote

import attrs

from ..system import entropy
from .errors import Refused, TaskFerryError, passed_on, refusal_of, stranger
from .reading import Unreadable, parsed, read_object

__all__ = [
    "Answer",
    "JsonObject",
    "Request",
    "Sink",
    "as_object",
    "body_of",
    "get",
    "listed",
    "path_of",
    "post",
    "refused",
    "value_of",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

JsonObject = dict[str, object]

#: The status of an action that another device of the owner's is to carry out.
PASSED_ON: Final = 202
#: What a request may take beyond the seconds that it asks the daemon to wait.
_SLACK_S: Final = 30.0


class Sink(Protocol):
    """Where a long answer goes, piece by piece. Blocking; raises FileTrouble."""

    def begin(self) -> None:
        """A body begins; of an earlier one nothing is kept."""

    def write(self, piece: bytes) -> None:
        """Keep the next piece."""

    def finish(self) -> None:
        """The body is complete."""

    def abandon(self) -> None:
        """It never will be: keep nothing. Does nothing after `finish`."""


@attrs.frozen
class Answer:
    """What came back: the HTTP status and the whole body. `url` is the daemon's address, for errors."""

    status: int
    body: bytes = attrs.field(repr=False)
    url: str


@attrs.frozen
class Request(Generic[T_co]):
    """`key` makes a repeated POST safe; `wait_s` is how long the daemon was asked to wait.

    With a `sink`, the body of the answer goes there, unless it is a refusal.
    """

    method: str
    path: str
    read: Callable[[Answer], T_co] = attrs.field(repr=False)
    query: Mapping[str, str] = attrs.field(factory=dict)
    body: Mapping[str, object] | None = attrs.field(default=None, repr=False)
    key: str | None = None
    wait_s: float = 0.0
    sink: Sink | None = attrs.field(default=None, repr=False)

    @property
    def patience_s(self) -> float:
        """After how many seconds of silence the daemon counts as away."""
        return self.wait_s + _SLACK_S

    def __iter__(self) -> Generator[Self, Any, T_co]:
        """`yield from` a request in a plan gives what it means."""
        meant: T_co = yield self
        return meant


def path_of(*steps: str | int) -> str:
    """A path, with whatever an id may hold made harmless."""
    return "".join(f"/{quote(str(step), safe='')}" for step in steps)


def get(path: str, read: Callable[[Answer], T], *, wait_s: float = 0.0, **query: object) -> Request[T]:
    """A GET; members of the query that are None or empty are left out."""
    return Request(
        "GET",
        path,
        read,
        {name: _word(value) for name, value in query.items() if value not in (None, "")},
        wait_s=wait_s,
    )


def post(
    path: str, read: Callable[[Answer], T], body: Mapping[str, object], key: str | None = None
) -> Request[T]:
    """A POST that takes effect once however often it is sent; members that are None or empty are left out.

    `key` is for programs that keep it themselves, so that they can ask again after their own crash.
    """
    given = {name: value for name, value in body.items() if value not in (None, "", [], ())}
    return Request("POST", path, read, body=given, key=key or entropy(16).hex())


def body_of(answer: Answer) -> bytes:
    """The bytes of an answer; none where they went into a sink. Raises Refused for one that is no 200."""
    if answer.status != 200:
        raise refused(answer)
    return answer.body


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_object(answer: Answer) -> JsonObject:
    """The JSON object in an answer. Raises Refused for one that is no success, NotTaskFerry for no object."""
    if answer.status not in (200, PASSED_ON):
        raise refused(answer)
    try:
        value = parsed(answer.body)
    except Unreadable:
        value = None
    if not isinstance(value, dict):
        raise stranger(answer.status, answer.url)
    return value


def refused(answer: Answer) -> Refused:
    """The error in an answer; also one that says that another device was asked."""
    try:
        told: Any = parsed(answer.body)
        if answer.status == PASSED_ON:
            return passed_on(told["request"])
        # The server below the API refuses what is no HTTP in the same words, without the frame around them.
        return refusal_of(answer.status, told.get("error", told))
    except (Unreadable, KeyError, TypeError, AttributeError):
        return stranger(answer.status, answer.url)


def value_of(kind: type[T], member: str = "") -> Callable[[Answer], T]:
    """A reader of an answer, or of one member of it, as `kind`."""

    def read(answer: Answer) -> T:
        if answer.status == PASSED_ON:
            raise refused(answer)
        told = as_object(answer)
        return _shaped(answer, lambda: read_object(kind, told[member] if member else told))

    return read


def listed(kind: type[T], member: str) -> Callable[[Answer], tuple[T, ...]]:
    """A reader of a list in an answer."""

    def read(answer: Answer) -> tuple[T, ...]:
        told = as_object(answer)
        return _shaped(answer, lambda: tuple(read_object(kind, item) for item in _items(told[member])))

    return read


def _items(value: object) -> list[object]:
    if not isinstance(value, list):
        raise Unreadable("no list")
    return value


def _shaped(answer: Answer, make: Callable[[], T]) -> T:
    try:
        return make()
    except (Unreadable, KeyError) as error:
        raise _other_version(answer, error) from None


def _other_version(answer: Answer, error: Exception) -> TaskFerryError:
    told = stranger(answer.status, answer.url)
    told.message = f"The daemon at {answer.url} answers otherwise than this client knows ({error})."
    told.next_step = "Use the same version of TaskFerry for both."
    return told
