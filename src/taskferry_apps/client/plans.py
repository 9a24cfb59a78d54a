"""Plans: what a call does, step by step, without doing it.

A plan is a generator that yields steps and is sent what came of them; a driver, synchronous or not, does
nothing but the steps. So there is one description of every call, and of its waiting and trying again.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import attrs

from ..system import jitter
from .errors import TaskFerryError
from .requests import Answer, Request
from .retries import wait_before_retry

__all__ = [
    "Channel",
    "Clock",
    "Doing",
    "Open",
    "Pause",
    "Plan",
    "ReadFeed",
    "ReadFiles",
    "Send",
    "Step",
    "Ties",
    "carried_out",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@attrs.frozen
class Send:
    """Send a request once; gives its Answer. Raises DaemonAway, ClientClosed, FileTrouble."""

    request: Request[Any]


@attrs.frozen
class Pause:
    """Wait for so many seconds."""

    seconds: float


@attrs.frozen
class Clock:
    """Gives seconds on a clock that only goes forward."""


@attrs.frozen
class ReadFiles:
    """Gives the contents of files of this machine as the API takes them. Raises FileTrouble."""

    paths: Sequence[Path]


@attrs.define(eq=False)
class Channel:
    """A feed that a driver holds open; `stream` is the driver's own."""

    stream: Any = None


@attrs.frozen
class Open:
    """Open a feed in a channel; gives an Answer, with a body only where it was refused. Raises DaemonAway."""

    request: Request[Any]
    channel: Channel


@attrs.frozen
class ReadFeed:
    """Gives the next bytes of an open feed, none at its end. Raises DaemonAway."""

    channel: Channel


Step = Send | Pause | Clock | ReadFiles | Open | ReadFeed
"""What drivers do."""

Plan = Generator[Request[Any] | Step, Any, T]
"""What a call does; it may yield requests, which `carried_out` sends and sends again."""


class Doing(Protocol[T_co]):
    """A request or a plan: `yield from` it gives its outcome."""

    def __iter__(self) -> Generator[Any, Any, T_co]:
        """Its steps."""


@attrs.define
class Ties:
    """What a client knows of itself and its daemon."""

    patience_s: float
    """Seconds for which one request is tried again."""
    agent: str = ""
    """For whom it acts; empty until the daemon has been asked."""
    is_known: bool = False
    """Whether the daemon has answered before."""


def carried_out(doing: Doing[T], ties: Ties) -> Generator[Step, Any, T]:
    """A plan in which nothing but steps is left: each request is sent, and again where that helps."""
    inner = iter(doing)
    try:
        step = next(inner)
        while True:
            try:
                came = (yield from _sent(step, ties)) if isinstance(step, Request) else (yield step)
            except TaskFerryError as error:
                step = inner.throw(error)
            else:
                step = inner.send(came)
    except StopIteration as ended:
        outcome: T = ended.value
        return outcome
    finally:
        inner.close()


def _sent(request: Request[T], ties: Ties) -> Generator[Step, Any, T]:
    begun: float = yield Clock()
    attempt = 0
    while True:
        try:
            answer: Answer = yield Send(request)
            ties.is_known = True
            return request.read(answer)
        except TaskFerryError as error:
            attempt += 1
            now: float = yield Clock()
            left = ties.patience_s - (now - begun)
            wait = wait_before_retry(error, attempt, jitter(), left_s=left, is_known=ties.is_known)
            if wait is None:
                raise
        yield Pause(wait)
