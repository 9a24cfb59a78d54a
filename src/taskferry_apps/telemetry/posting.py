"""One request to a collector: within a deadline, with an answer of bounded size, and never anywhere else."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import attrs
import httpx
import trio

from taskferry_transports.whole_answer import UNREADABLE

from ..client.whole import Whole

__all__ = ["NotTaken", "Target", "open_client", "post"]

ANSWER_BYTES: Final = 65_536
DEADLINE_S: Final = 10.0
#: The collector is there, and says that it could be otherwise in a moment (OTLP, section "Retryable").
_PASSING: Final = frozenset({429, 502, 503, 504})
_REDIRECTS: Final = range(300, 400)
_MEDIA: Final = "application/x-protobuf"


@attrs.frozen
class Target:
    """A collector: its URL, what is sent along as secret headers, and which authorities vouch for it."""

    url: str
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    authorities: Path | None = None

    @property
    def origin(self) -> str:
        """The URL without its path, which may hold a secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


class NotTaken(Exception):
    """A collector did not take it. The text is of this house's words alone, and follows its address.

    `passing`: it may take the same a little later, after `wait_s` if it said so.
    """

    def __init__(self, text: str, *, passing: bool = False, wait_s: float | None = None) -> None:
        super().__init__(text)
        self.passing = passing
        self.wait_s = wait_s


def open_client(target: Target) -> httpx.AsyncClient:
    """What posts there. No proxy, no other credentials, no redirect. Raises OSError (authorities)."""
    return httpx.AsyncClient(
        headers={
            **target.headers,
            "content-type": _MEDIA,
            "accept": _MEDIA,
            "accept-encoding": "identity",
            "user-agent": "taskferry",
        },
        verify=ssl.create_default_context(cafile=target.authorities),
        timeout=DEADLINE_S,
        follow_redirects=False,
        trust_env=False,
    )


async def post(
    client: httpx.AsyncClient, target: Target, path: str, body: bytes, deadline_s: float = DEADLINE_S
) -> bytes:
    """The answer's body. Raises NotTaken."""
    try:
        with trio.fail_after(deadline_s):
            request = client.build_request("POST", target.url + path, content=body)
            request.stream = Whole(body)
            answer = await client.send(request, stream=True)
            try:
                _check(answer)
                return await _read(answer)
            finally:
                await answer.aclose()
    except trio.TooSlowError:
        raise NotTaken(f"it did not answer within {deadline_s:g} s", passing=True) from None
    except httpx.ConnectError as error:
        if any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
            raise NotTaken("no safe connection comes about: its certificate is not trusted here") from None
        raise NotTaken("it cannot be reached", passing=True) from None
    except httpx.TransportError:
        raise NotTaken("the connection broke", passing=True) from None
    except UNREADABLE:
        raise NotTaken("it sends elsewhere, to no address") from None


def _check(answer: httpx.Response) -> None:
    status = answer.status_code
    if status == httpx.codes.OK:
        return
    if status in _REDIRECTS:
        raise NotTaken(f"it sends elsewhere ({status}), and nothing is sent there")
    raise NotTaken(
        f"it answered {status}",
        passing=status in _PASSING,
        wait_s=_seconds(answer.headers.get("retry-after", "")),
    )


async def _read(answer: httpx.Response) -> bytes:
    got = bytearray()
    try:
        async for piece in answer.aiter_raw():
            got += piece
            if len(got) > ANSWER_BYTES:
                # The next read fails then, which ends every generator below; leaving the loop would not.
                await answer.aclose()
    except (httpx.TransportError, httpx.StreamError):
        if len(got) <= ANSWER_BYTES:
            raise
    if len(got) > ANSWER_BYTES:
        raise NotTaken(f"its answer is longer than {ANSWER_BYTES // 1024} KiB")
    return bytes(got)


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
