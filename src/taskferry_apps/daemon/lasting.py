"""Whether anything that a request did lasts already, for what its caller is told if the rest fails.

Commits, keys that were saved and statements that the relay took are noted for the request under way, in its
own context. Only where nothing was noted may a full disk be answered with "nothing of this was stored".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import attrs

__all__ = ["apart", "note_lasting", "request_begins", "something_lasts"]


@attrs.define
class _Request:
    """One request, known by all contexts that were copied from its own."""

    lasts: bool = False


_UNDER_WAY: Final[ContextVar[_Request | None]] = ContextVar("taskferry what lasts", default=None)


def request_begins() -> None:
    """From here on, in this context, what is noted is noted for a request of its own."""
    _UNDER_WAY.set(_Request())


def note_lasting() -> None:
    """Something is on a disk, here or at the relay, and stays though what follows fails."""
    request = _UNDER_WAY.get()
    if request is not None:
        request.lasts = True


def something_lasts() -> bool:
    """Whether anything was noted since the request began."""
    request = _UNDER_WAY.get()
    return request is not None and request.lasts


@contextmanager
def apart() -> Iterator[None]:
    """What is done in this block is done for others, too: for whom it lasts is noted by whoever knows."""
    token = _UNDER_WAY.set(None)
    try:
        yield
    finally:
        _UNDER_WAY.reset(token)
