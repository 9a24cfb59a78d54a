"""A small synchronous client of the daemon's local API, for the command line and the demo agents.

It carries no state but the address and the credential; every answer is the JSON object that the daemon gave.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Final, NoReturn, Self
from urllib.parse import quote

import attrs
import httpx

__all__ = ["ApiError", "DaemonUnreachable", "JsonObject", "LocalClient"]

JsonObject = dict[str, object]

#: Longer than the longest wait that the API allows, so that a long-poll never ends from this side.
_PATIENCE_S: Final = 90.0


class DaemonUnreachable(Exception):
    """No daemon answers at its address."""


@attrs.frozen
class ApiError(Exception):
    """The daemon refused: a code for programs, a sentence for people, and the next step."""

    status: int
    code: str
    message: str
    next_step: str
    detail: Mapping[str, object]

    def __str__(self) -> str:
        return f"{self.message} {self.next_step}".strip()


class LocalClient:
    """One daemon, one credential. Use as a context manager."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        # No proxy and no netrc from the environment: the credential goes to the daemon and nowhere else.
        self._http = httpx.Client(
            base_url=self.url,
            headers=[(b"authorization", b"Bearer " + token.encode())] if token else [],
            timeout=_PATIENCE_S,
            trust_env=False,
            # On loopback there is no TLS, and reading the system's certificates takes a while.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if self.url.startswith("http:") else True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: str | int | None) -> JsonObject:
        """The JSON object at `path`. Raises ApiError, DaemonUnreachable."""
        wanted = {name: value for name, value in query.items() if value is not None}
        return _read(self._send("GET", path, params=wanted))

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
        raise DaemonUnreachable(f"{message} Name this machine's daemon with --url, or start it: taskferry up")

    def get_bytes(self, path: str) -> bytes:
        """The raw body at `path`: an artifact's file, an exported handoff."""
        return self._send("GET", path).content

    def post(self, path: str, body: Mapping[str, object], *, key: str | None = None) -> JsonObject:
        """What the daemon answers to `body`. With `key`, repeating the call has no second effect."""
        headers = {"Idempotency-Key": key} if key else {}
        return _read(self._send("POST", path, json=body, headers=headers))

    @contextmanager
    def download(self, path: str, body: Mapping[str, object]) -> Iterator[tuple[int, Iterator[bytes]]]:
        """The size of a long answer, and its pieces. Raises ApiError, DaemonUnreachable."""
        try:
            with self._http.stream("POST", path, json=body) as answer:
                if answer.is_error:
                    answer.read()
                    _refuse(answer)
                yield int(answer.headers.get("Content-Length", "0")), answer.iter_raw(65_536)
        except httpx.TransportError as error:
            raise DaemonUnreachable(f"The connection to the daemon at {self.url} ended: {error}") from error

    def delete(self, path: str) -> JsonObject:
        """Delete what stands at `path`."""
        return _read(self._send("DELETE", path))

    def task_action(self, task: str, action: str, body: Mapping[str, object]) -> JsonObject:
        """`POST /tasks/{task}/{action}`."""
        return self.post(f"/tasks/{quote(task, safe='')}/{action}", body)

    def events(self, *, after: int | None = None, agent: str | None = None) -> Iterator[JsonObject]:
        """The daemon's event feed from `after` on, without end; ends when the daemon closes it."""
        return (event for _, event in self.follow(after=after, agent=agent) if event is not None)

    def follow(
        self, *, after: int | None = None, agent: str | None = None, wake: bool | None = None
    ) -> Iterator[tuple[int, JsonObject | None]]:
        """The feed with the place after each event; first comes where it begins, with no event.

        With `wake`, only what needs an agent. Ends when the daemon closes it.
        Raises ApiError, DaemonUnreachable.
        """
        asked = {"after": after, "agent": agent, "wake": "true" if wake else None}
        query = {name: value for name, value in asked.items() if value is not None}
        try:
            with self._http.stream("GET", "/events", params=query) as answer:
                if answer.is_error:
                    answer.read()
                    _refuse(answer)
                yield from _events_in(answer)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise DaemonUnreachable(f"The connection to the daemon at {self.url} ended: {error}") from error

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

    def _send(self, method: str, path: str, **how: object) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **how)  # type: ignore[arg-type]
        except httpx.ReadTimeout as error:
            raise DaemonUnreachable(
                f"The daemon at {self.url} took longer than {_PATIENCE_S:.0f} seconds to answer. See its log."
            ) from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise DaemonUnreachable(
                f"No daemon answers at {self.url}. Start it with `taskferry up`, or name another with --url."
            ) from error
        if answer.is_error:
            _refuse(answer)
        return answer


def _read(answer: httpx.Response) -> JsonObject:
    try:
        value = answer.json()
    except ValueError:
        raise _stranger(answer) from None
    if not isinstance(value, dict):
        raise _stranger(answer)
    return value


def _events_in(answer: httpx.Response) -> Iterator[tuple[int, JsonObject | None]]:
    kind, place, begun = "", 0, False
    for line in answer.iter_lines():
        name, _, value = line.partition(":")
        if name == "event":
            kind = value.strip()
        elif name == "id":
            place = int(value)
            if not begun:
                begun = True
                yield place, None
        elif name == "data":
            event = json.loads(value)
            if kind == "refused":
                # The answer had begun when the daemon had to refuse: a credential was revoked, for instance.
                raise _error(answer.status_code, event["error"])
            yield place, event


def _refuse(answer: httpx.Response) -> NoReturn:
    try:
        told = answer.json()
        # The server below the API refuses what is no HTTP in the same words, without the frame around them.
        raise _error(answer.status_code, told.get("error", told))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _stranger(answer) from None


def _error(status: int, told: Mapping[str, object]) -> ApiError:
    return ApiError(status, str(told["code"]), str(told["message"]), str(told.get("next", "")), told)


def _stranger(answer: httpx.Response) -> ApiError:
    return ApiError(
        answer.status_code,
        "not-taskferry",
        f"Whatever listens at {answer.url.host}:{answer.url.port} does not speak TaskFerry's local API.",
        "Check --url.",
        {},
    )
