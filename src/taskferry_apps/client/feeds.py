"""The daemon's feed (Server-Sent Events, WHATWG HTML section 9.2): read, and resumed where it broke off."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from typing import Final

import attrs

from ..system import jitter
from .errors import DaemonAway, NotReady, refusal_of
from .plans import Channel, Clock, Open, Pause, Plan, ReadFeed
from .reading import read_object
from .requests import Answer, JsonObject, body_of, get, refused
from .results import Event
from .retries import wait_before_retry

__all__ = ["Feed", "Lines"]

#: A line longer than any that a daemon writes: whoever sends one is none.
_LONGEST_LINE: Final = 1_048_576


class Lines:
    """From the bytes of a feed to the JSON objects in it."""

    def __init__(self, place: int | None = None) -> None:
        self._rest = b""
        self._kind = ""
        self.place = place
        """The last id that was told, with an event or without."""

    def take(self, piece: bytes) -> Iterator[JsonObject]:
        """The events that are complete now. Raises Refused for one that the daemon ends the feed with."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            raise DaemonAway("The feed sends a line without end.", "Is that a daemon?")
        for line in lines:
            name, _, value = line.decode("utf-8", "replace").rstrip("\r").partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                self._kind = value
            elif name == "id" and value.isascii() and value.isdigit():
                self.place = int(value)
            elif name == "data":
                told = json.loads(value)
                if self._kind == "refused":
                    # The answer had begun when the daemon had to refuse: a credential was revoked, say.
                    raise refusal_of(0, told["error"])
                yield told
            elif not name:
                self._kind = ""


@attrs.define
class Feed:
    """What happens, one event after the other; broken off, it goes on after the last one that came.

    `place` is the id of the event that was given last: begin there to go on in another program.
    """

    agent: str
    patience_s: float
    place: int | None = None
    channel: Channel = attrs.field(factory=Channel)
    _lines: Lines = attrs.field(factory=Lines)
    _ready: deque[Event] = attrs.field(factory=deque)
    _is_known: bool = False

    def next_event(self) -> Plan[Event]:
        """The next event.

        Raises DaemonAway when there is no daemon for too long, Refused when it will tell no more.
        """
        attempt = 0
        begun: float = yield Clock()
        while not self._ready:
            try:
                yield from self._hear()
                attempt, begun = 0, (yield Clock())
            except (DaemonAway, NotReady) as error:
                attempt += 1
                now: float = yield Clock()
                left = self.patience_s - (now - begun)
                wait = wait_before_retry(error, attempt, jitter(), left_s=left, is_known=self._is_known)
                if wait is None:
                    raise
                yield Pause(wait)
        event = self._ready.popleft()
        self.place = event.id
        return event

    def _hear(self) -> Plan[None]:
        if self.channel.stream is None:
            yield from self._open()
        piece: bytes = yield ReadFeed(self.channel)
        if not piece:
            raise DaemonAway("The daemon has closed the feed.", "Start it again: taskferry up")
        self._ready.extend(_event(told) for told in self._lines.take(piece))

    def _open(self) -> Plan[None]:
        after = self.place if self._lines.place is None else self._lines.place
        self._lines = Lines(after)
        answer: Answer = yield Open(get("/events", body_of, after=after, agent=self.agent), self.channel)
        if answer.status != 200:
            raise refused(answer)
        self._is_known = True


def _event(told: JsonObject) -> Event:
    return read_object(Event, {"message_id": None, "task_id": None, **told, "facts": dict(told)})
