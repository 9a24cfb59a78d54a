"""Spans: what was done, when, how long it took and how it ended. They wait here, a bounded number of them.

Only facts that are named here pass, as with the log: a fact that nobody thought of cannot carry a payload, a
key or somebody's name out. Nothing in here waits or fails, so it may be called where time counts.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import attrs
import trio

from taskferry_protocol.ids import Entropy, Hash

from .standing import Standing

__all__ = ["BATCH", "FACTS", "Fact", "Span", "Spans"]

Fact = str | int

FACTS: Final = frozenset(
    {"account", "class", "code", "count", "device", "method", "refused", "request", "route", "status"}
)
"""The names of what a span may say."""
_LONGEST_FACT: Final = 128
TRACE_BYTES: Final = 16
#: So many go out together; as soon as there are as many, they go.
BATCH: Final = 512
#: About 2 MB.
MOST: Final = 4096


@attrs.frozen
class Span:
    """Something that was done. Times in nanoseconds since 1970; `code` is "" where it went well."""

    name: str
    trace: bytes
    began: int
    ended: int
    facts: Mapping[str, Fact]
    code: str = ""


class Spans:
    """Takes spans until somebody takes them away; what finds no room is counted and forgotten."""

    def __init__(
        self,
        entropy: Entropy,
        one_in: int = 1,
        *,
        most: int = MOST,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._entropy = entropy
        self._one_in = one_in
        self._most = most
        self._waiting: deque[Span] = deque()
        self._many = trio.Event()
        self.now = clock
        """The wall clock in nanoseconds."""
        self.dropped = 0
        """How many found no room."""
        self.export = Standing("spans")
        """How sending them stands."""

    @property
    def lost(self) -> int:
        """How many were made, and are neither waiting nor taken by a collector."""
        return self.dropped + self.export.dropped

    def follows(self, hash: Hash) -> bool:
        """Whether a message's spans are wanted: on every machine that it passes, the same are."""
        return self._is_chosen(hash[:TRACE_BYTES])

    def of_message(
        self, name: str, hash: Hash, began: int, facts: Mapping[str, Fact] | None = None, code: str = ""
    ) -> None:
        """Something ended now that was done for a message. Its hash begins the id of its trace."""
        if self.follows(hash):
            self._put(name, hash[:TRACE_BYTES], began, facts or {}, code)

    def of_work(self, name: str, began: int, facts: Mapping[str, Fact] | None = None, code: str = "") -> None:
        """Something ended now that belongs to no message."""
        trace = self._entropy(TRACE_BYTES)
        if self._is_chosen(trace):
            self._put(name, trace, began, facts or {}, code)

    def take(self, most: int = BATCH) -> list[Span]:
        """Take the oldest away."""
        waiting = self._waiting
        return [waiting.popleft() for _ in range(min(most, len(waiting)))]

    async def many(self) -> None:
        """Wait until there are enough to be worth a request."""
        if len(self._waiting) < BATCH:
            self._many = trio.Event()
            await self._many.wait()

    def __len__(self) -> int:
        return len(self._waiting)

    def _is_chosen(self, trace: bytes) -> bool:
        return self._one_in == 1 or int.from_bytes(trace[8:], "big") % self._one_in == 0

    def _put(self, name: str, trace: bytes, began: int, facts: Mapping[str, Fact], code: str) -> None:
        if len(self._waiting) >= self._most:
            self.dropped += 1
            return
        said = {
            key: value if isinstance(value, int) else value[:_LONGEST_FACT]
            for key, value in facts.items()
            if key in FACTS
        }
        self._waiting.append(Span(name, trace, began, max(began, self.now()), said, code))
        if len(self._waiting) >= BATCH:
            self._many.set()
