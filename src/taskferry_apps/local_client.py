"""A small synchronous client for the command line and the demo: any path of the local API, as plain JSON.

Programs use `taskferry_apps.client`, of which this has the errors, the connection and the reading of answers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from .client.address import Address
from .client.blocking_wire import BlockingWire
from .client.errors import DaemonAway as DaemonUnreachable
from .client.errors import Refused as ApiError
from .client.plans import Channel
from .client.requests import Answer, JsonObject, Request, as_object, body_of, refused

__all__ = ["ApiError", "DaemonUnreachable", "JsonObject", "LocalClient"]

#: The longest wait that the API allows; nobody here waits longer.
_LONGEST_WAIT_S: Final = 60.0


class LocalClient:
    """One daemon, one credential. Use as a context manager. Nothing is tried again."""

    def __init__(self, url: Address, token: str) -> None:
        self._wire = BlockingWire(url, token)

    @property
    def url(self) -> str:
        """The daemon's address; empty while it is not known."""
        return self._wire.url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wire.close()

    def get(self, path: str, **query: str | int | None) -> JsonObject:
        """The JSON object at `path`. Raises ApiError, DaemonUnreachable."""
        wanted = {name: str(value) for name, value in query.items() if value is not None}
        return as_object(self._send("GET", path, query=wanted))

    def health(self) -> JsonObject:
        """How the daemon is. Raises DaemonUnreachable, also where something else answers; ApiError."""
        answer = self.get("/health")
        match answer.get("service"):
            case "daemon":
                return answer
            case "relay":
                message = f"A relay answers at {self.url}, and no daemon."
            case _:
                message = f"Whatever answers at {self.url} is no TaskFerry daemon."
        raise DaemonUnreachable(message, "Name this machine's daemon with --url, or start it: taskferry up")

    def get_bytes(self, path: str) -> bytes:
        """The raw body at `path`: an artifact's file, an exported handoff."""
        return body_of(self._send("GET", path))

    def post(self, path: str, body: Mapping[str, object], *, key: str | None = None) -> JsonObject:
        """What the daemon answers to `body`. With `key`, repeating the call has no second effect."""
        return as_object(self._send("POST", path, body=body, key=key))

    def patch(self, path: str, body: Mapping[str, object]) -> JsonObject:
        """What the daemon answers to a change of what stands at `path`."""
        return as_object(self._send("PATCH", path, body=body))

    @contextmanager
    def download(self, path: str, body: Mapping[str, object]) -> Iterator[tuple[int, Iterator[bytes]]]:
        """The size of a long answer, and its pieces. Raises ApiError, DaemonUnreachable."""
        with self._wire.stream(Request("POST", path, body_of, body=body, wait_s=_LONGEST_WAIT_S)) as answer:
            yield int(answer.headers.get("Content-Length", "0")), answer.iter_raw(65_536)

    def delete(self, path: str) -> JsonObject:
        """Delete what stands at `path`."""
        return as_object(self._send("DELETE", path))

    def task_action(self, task: str, action: str, body: Mapping[str, object]) -> JsonObject:
        """`POST /tasks/{task}/{action}`."""
        return self.post(f"/tasks/{quote(task, safe='')}/{action}", body)

    def events(self, *, after: int | None = None, agent: str | None = None) -> Iterator[JsonObject]:
        """The daemon's event feed from `after` on, without end; ends when the daemon closes it."""
        return (event for _, event in self.follow(after=after, agent=agent) if event is not None)

    def follow(
        self,
        *,
        after: int | None = None,
        agent: str | None = None,
        wake: bool | None = None,
        runtime: str | None = None,
    ) -> Iterator[tuple[int, JsonObject | None]]:
        """The feed with the place after each event; first comes where it begins, with no event.

        The same place comes again, with no event, whenever the daemon has said that it is still there. With
        `wake`, only what needs an agent, or the program `runtime` of one. Ends when the daemon closes it.
        Raises ApiError, DaemonUnreachable.
        """
        # A third of what this module takes to be imported, and few commands follow anything.
        from .client.feeds import Lines

        asked = {"after": after, "agent": agent, "wake": "true" if wake else None, "runtime": runtime}
        query = {name: str(value) for name, value in asked.items() if value is not None}
        channel, lines = Channel(), Lines()
        answer = self._wire.open(Request("GET", "/events", body_of, query), channel)
        if answer.status != 200:
            raise refused(answer)
        try:
            while piece := self._wire.read(channel):
                yield from lines.steps(piece)
                if lines.place is not None:
                    yield lines.place, None
        finally:
            self._wire.drop(channel)

    def wait_healthy(self, seconds: float) -> JsonObject:
        """`/health`, as soon as the daemon answers; DaemonUnreachable when it has not after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.health()
            except DaemonUnreachable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _send(self, method: str, path: str, **more: Any) -> Answer:
        return self._wire.send(Request(method, path, as_object, wait_s=_LONGEST_WAIT_S, **more))
