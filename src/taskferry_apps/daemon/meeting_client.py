"""The daemon's end of a place to meet at a relay (spec/session.md section 9). Uses httpx."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import httpx
import trio

from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.limits import LINKING_LETTER_BYTES
from taskferry_protocol.linking import read_place
from taskferry_transports.loopback import is_loopback
from taskferry_transports.port import ProxyUnusable
from taskferry_transports.proxies import for_httpx, proxy_for
from taskferry_transports.whole_answer import Answer, ask

from .port import DaemonRefusal

__all__ = ["Meeting", "MeetingFailed", "open_meeting"]

_TOKEN: Final = "TaskFerry-Meeting"  # noqa: S105 - the name of a header
_TOKEN_SHAPE: Final = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_PATIENCE_S: Final = 40.0
_WAIT_S: Final = 20
#: What is read of an answer: a letter, or a few words about a place.
_ANSWER_BYTES: Final = 2 * LINKING_LETTER_BYTES
#: A lost connection is no lost meeting.
_RETRY_S: Final = 0.5
_TRIES: Final = 20
_NO_RELAY: Final = "what answers at that address is no relay, or an older one"


class MeetingFailed(Exception):
    """The place to meet is no more, or the relay cannot be asked; the text says which."""


def _base(relay: str) -> str:
    parts = urlsplit(relay)
    secure = parts.scheme in {"https", "wss"}
    if not secure and not is_loopback(parts.hostname or ""):
        raise DaemonRefusal(
            "bad-value", "Off this machine a relay is reached by https:// alone.", detail={"field": "relay"}
        )
    return f"{'https' if secure else 'http'}://{parts.netloc}{parts.path.rstrip('/')}/v1/meetings"


class Meeting:
    """One side of a place, once it has a token."""

    def __init__(self, http: httpx.AsyncClient, base: str, place: str = "") -> None:
        self._http = http
        self._base = base
        self.place = place
        self._headers: dict[str, str] = {}
        self._taken = 0

    async def open(self) -> None:
        """Make the place. Raises MeetingFailed."""
        answer = _object(await self._ask("POST", self._base))
        try:
            # It goes into addresses, so that it is looked at even though the relay has just made it.
            self.place = read_place(answer["place"])
            self._take_token(answer)
        except (RemoteProtocolError, KeyError):
            raise MeetingFailed(_NO_RELAY) from None

    async def join(self) -> None:
        """Be the second side. Raises MeetingFailed."""
        answer = _object(await self._ask("POST", f"{self._base}/{self.place}/join"))
        try:
            self._take_token(answer)
        except KeyError:
            raise MeetingFailed(_NO_RELAY) from None

    def _take_token(self, answer: dict[str, str]) -> None:
        # It goes into a header, which takes far from every text.
        if _TOKEN_SHAPE.fullmatch(answer["token"]) is None:
            raise MeetingFailed(_NO_RELAY)
        self._headers = {_TOKEN: answer["token"]}

    async def send(self, letter: bytes) -> None:
        """Leave a letter. Raises MeetingFailed."""
        await self._ask("POST", f"{self._base}/{self.place}", letter)

    async def receive(self) -> bytes:
        """The other side's next letter, however long it takes. Raises MeetingFailed once all is over."""
        url = f"{self._base}/{self.place}?after={self._taken}&wait={_WAIT_S}"
        while True:
            answer = await self._ask("GET", url)
            if answer.status == httpx.codes.OK:
                self._taken += 1
                if len(answer.body) > LINKING_LETTER_BYTES:
                    raise MeetingFailed("the relay gave something that is no letter")
                return answer.body

    async def end(self) -> None:
        """Leave the place. Raises nothing."""
        try:
            await ask(self._http, "DELETE", f"{self._base}/{self.place}", self._headers, b"", _ANSWER_BYTES)
        except httpx.HTTPError:
            pass  # it ends by itself

    async def _ask(self, method: str, url: str, body: bytes = b"") -> Answer:
        for _ in range(_TRIES):
            if self._http.is_closed:
                raise MeetingFailed("the try is over")
            try:
                answer = await ask(self._http, method, url, self._headers, body, _ANSWER_BYTES)
            except httpx.DecodingError:
                raise MeetingFailed(_NO_RELAY) from None
            except httpx.HTTPError as error:
                if method != "GET":
                    raise MeetingFailed(f"the relay cannot be reached ({type(error).__name__})") from error
                await trio.sleep(_RETRY_S)
                continue
            if answer.status in (httpx.codes.OK, httpx.codes.NO_CONTENT):
                return answer
            raise MeetingFailed(_reason(answer))
        raise MeetingFailed("the relay cannot be reached")


def _object(answer: Answer) -> dict[str, str]:
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise MeetingFailed(_NO_RELAY) from None
    if not isinstance(found, dict):
        raise MeetingFailed(_NO_RELAY)
    return {key: value for key, value in found.items() if isinstance(value, str)}


def _reason(answer: Answer) -> str:
    if answer.status == httpx.codes.NOT_FOUND:
        return "there is no such place to meet: the code is wrong, or its ten minutes are over"
    if answer.status == httpx.codes.CONFLICT:
        return "two machines have met there already"
    if answer.status == httpx.codes.TOO_MANY_REQUESTS:
        return "the relay asks to wait a few minutes"
    return f"the relay answered {answer.status}"


def _authorities(base: str) -> ssl.SSLContext:
    """The system's. httpx's own are a file that takes long to read, and that an upgrade takes away."""
    if base.startswith("http:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # asked for, and not used
    return ssl.create_default_context()


@asynccontextmanager
async def open_meeting(
    relay: str, place: str = "", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Meeting]:
    """A side without a token yet, at a relay's URL, which proves itself by `tls`; None: as usual.

    Raises DaemonRefusal(bad-value), MeetingFailed.
    """
    base = _base(relay)
    try:
        proxy = for_httpx(proxy_for(base))
    except ProxyUnusable as error:
        raise MeetingFailed(error.reason) from None
    async with httpx.AsyncClient(
        verify=tls or _authorities(base),
        proxy=proxy,
        trust_env=False,
        headers={"Accept-Encoding": "identity"},
        timeout=_PATIENCE_S,
        # Minutes may lie between two letters: nothing is sent into a connection that has gone meanwhile.
        limits=httpx.Limits(max_keepalive_connections=0),
        follow_redirects=False,
    ) as http:
        yield Meeting(http, base, place)
