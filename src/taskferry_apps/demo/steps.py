"""What both demo agents share: waiting for work in the inbox, and telling what they do."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from ..local_client import JsonObject, LocalClient

__all__ = ["DemoFailed", "Mail", "Tell", "entries", "entry", "number", "text"]

Tell = Callable[[str], None]
"""Where an agent says, in one line, what it has just done."""

#: Seconds that one request waits at the daemon: an idle agent costs little, and tells soon what its owner has
#: to decide, of which nothing comes through the inbox.
_WAIT_S: Final = 5


class DemoFailed(Exception):
    """The demonstration cannot go on; the text says why."""


def text(value: Mapping[str, object], key: str) -> str:
    """A text member of an answer."""
    member = value.get(key)
    if not isinstance(member, str):
        raise DemoFailed(f"the daemon's answer has no {key}")
    return member


def number(value: Mapping[str, object], key: str) -> int:
    """A number in an answer."""
    member = value.get(key)
    if not isinstance(member, int):
        raise DemoFailed(f"the daemon's answer has no {key}")
    return member


def entry(value: Mapping[str, object], key: str) -> JsonObject:
    """An object member of an answer."""
    member = value.get(key)
    if not isinstance(member, dict):
        raise DemoFailed(f"the daemon's answer has no {key}")
    return member


def entries(value: Mapping[str, object], key: str) -> list[JsonObject]:
    """A list of objects in an answer."""
    member = value.get(key)
    if not isinstance(member, list):
        raise DemoFailed(f"the daemon's answer has no {key}")
    return [item for item in member if isinstance(item, dict)]


class Mail:
    """An agent's inbox, read through once from its oldest unprocessed item on.

    Others may use the same inbox: what is not wanted is passed over and stays there as it was.
    """

    def __init__(
        self, api: LocalClient, agent: str, hear_held: Callable[[Mapping[str, int]], None] | None = None
    ) -> None:
        """`hear_held` gets, each time that it is another, how many tasks of whom wait for the owner first."""
        self._api = api
        self._agent = agent
        self._hear_held = hear_held
        self._held: dict[str, int] = {}
        self._cursor = ""
        self._waiting: deque[JsonObject] = deque()

    def next(self, wanted: Callable[[JsonObject], bool], patience_s: float) -> JsonObject:
        """The next item that is wanted. Raises DemoFailed when there is none in `patience_s`, ApiError."""
        deadline = time.monotonic() + patience_s
        while True:
            while self._waiting:
                item = self._waiting.popleft()
                if wanted(item):
                    return item
            left = deadline - time.monotonic()
            if left <= 0:
                raise DemoFailed(f"nothing came for {self._agent} in {patience_s:.0f} s")
            self.wait(min(left, _WAIT_S))

    def wait(self, seconds: float) -> None:
        """Until something more has come, or for so long."""
        answer = self._api.get(
            "/inbox",
            agent=self._agent,
            unprocessed="true",
            wait=max(1, round(seconds)),
            cursor=self._cursor or None,
        )
        self._cursor = text(answer, "cursor")
        self._waiting.extend(entries(answer, "messages"))
        held = {text(each, "peer"): number(each, "count") for each in entries(answer, "held")}
        if self._hear_held is not None and held != self._held:
            self._hear_held(held)
        self._held = held

    def done(self, item: JsonObject) -> None:
        """Mark an item as processed. Raises ApiError."""
        self._api.post(f"/messages/{text(item, 'id')}/ack", {})
