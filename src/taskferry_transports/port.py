"""What a transport is: the port that every adapter of this package obeys, and the errors of the port.

A transport moves opaque, non-empty byte frames both ways.
Frames arrive whole, in order and at most once; when a transport breaks, the tail may be lost.
Redelivery belongs to the layer above. Nothing here knows WebSocket, HTTP or the content of a frame.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import ClassVar, Literal, Protocol

import attrs
import trio

SUBPROTOCOL = "taskferry.1"
"""The WebSocket subprotocol, and the name of the framing, that both ends must agree on."""

DEFAULT_MAX_FRAME = 1 << 20
"""One mebibyte: a batch of envelopes fits, and a hostile peer can make us hold no more than this at once."""

TransportKind = Literal["websocket", "longpoll", "memory"]


class FrameTooLarge(ValueError):
    """Our own caller offered a frame over the limit. Nothing was sent, and the transport still works."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"a frame of {size} bytes is over the limit of {limit}")
        self.size = size
        self.limit = limit


def check_frames(frames: Iterable[bytes], max_frame: int) -> None:
    """Raise `FrameTooLarge`, or `ValueError` for an empty frame, unless all of these may be sent."""
    for frame in frames:
        if not frame:
            raise ValueError("a frame is never empty")
        if len(frame) > max_frame:
            raise FrameTooLarge(len(frame), max_frame)


class Transport(Protocol):
    """One link to one peer. Errors are trio's, in trio's meanings.

    - `trio.ClosedResourceError`: we closed it (or, from `send`, called `send_eof`).
    - `trio.EndOfChannel`, from `receive` only: the peer finished or closed, all its frames taken.
    - `trio.BrokenResourceError`: the peer vanished, fell silent, closed while we send, or broke the rules.
    - `trio.BusyResourceError`: two of our tasks use the same direction at once.
    """

    @property
    def kind(self) -> TransportKind:
        """Which adapter carries the frames."""

    @property
    def peer(self) -> str:
        """The other end, as text for logs; never a secret."""

    @property
    def max_frame(self) -> int:
        """The largest frame in bytes, in either direction."""

    async def send(self, *frames: bytes) -> None:
        """Send frames, in order; blocks while the peer does not take what it was sent.

        Several at once cost little more than one. Return means "on their way", not "arrived".
        Raises `FrameTooLarge`, or `ValueError` for an empty frame, before anything is sent.
        A send that is cancelled half-way breaks the transport: half a frame is never followed by another.
        """

    async def send_eof(self) -> None:
        """Say that no more frames follow. The peer gets `EndOfChannel` after them, and can still send."""

    async def receive(self) -> bytes:
        """Wait for the next frame. A cancelled call loses nothing."""

    def receive_nowait(self) -> bytes | None:
        """The next frame, if it is known to have arrived; None also at the end, which `receive` tells."""

    async def aclose(self) -> None:
        """Close both directions; frames already sent are still delivered if the peer takes them soon.

        Idempotent. Calls that other tasks have under way end with `ClosedResourceError`.
        """


@attrs.frozen
class LinkInfo:
    """What a listening side knows about an arriving transport besides its frames."""

    peer: str
    """The address of the other end, as text for logs."""
    path: str
    """The request path under which it arrived."""
    headers: Mapping[str, str]
    """The request's headers, names in lower case. They are claims of the peer."""
    draining: trio.Event
    """Set when the server is about to stop: say goodbye and end soon."""


Handler = Callable[[Transport, LinkInfo], Awaitable[None]]
"""Serves one arriving transport. The transport is closed when it returns or raises."""


class Listener(Protocol):
    """A place where transports arrive."""

    async def serve(self, handler: Handler) -> None:
        """Run `handler` in a task of its own for each transport that arrives, until cancelled."""


class Dialer(Protocol):
    """Opens transports to one fixed place."""

    async def dial(self) -> Transport:
        """Open one transport, or raise a kind of `DialRefused`."""


class DialRefused(Exception):
    """No transport could be opened. `reason` is one plain sentence; nothing in it is secret."""

    retryable: ClassVar[bool] = True
    """Whether the same call may succeed later although nobody changes anything."""

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
        """Seconds that the other side asked us to wait, if it did."""

    @property
    def is_busy(self) -> bool:
        """Whether the server itself turned us away, and would by any other way."""
        return False


class Unreachable(DialRefused):
    """No TCP connection: the name does not resolve, nobody listens, no route."""


class TlsFailed(DialRefused):
    """The TCP connection stands but TLS does not: mostly a certificate that is wrong or a clock that is."""

    retryable: ClassVar[bool] = False


class DialTimedOut(DialRefused):
    """Nothing answered in time. `stage` says what we waited for."""

    def __init__(self, reason: str, *, stage: Literal["connect", "tls", "upgrade"]) -> None:
        super().__init__(reason)
        self.stage = stage


class UpgradeRefused(DialRefused):
    """Something answered, but with no link for us: an HTTP status, a closed connection, a stripped upgrade.

    For a WebSocket this is the sign to fall back to long-poll.
    """

    def __init__(self, reason: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(reason, retry_after=retry_after)
        self.status = status

    @property
    def is_busy(self) -> bool:
        """By what the status says."""
        return self.status in {429, 503}


class PlaintextForbidden(DialRefused):
    """We refuse to speak without TLS to a host that is not this machine."""

    retryable: ClassVar[bool] = False


class ProxyUnusable(DialRefused):
    """The proxy that is set for the address is of no kind that we can speak to."""

    retryable: ClassVar[bool] = False


@attrs.frozen
class Liveness:
    """When a silent peer counts as gone. Any bytes from it count as life.

    The defaults find a frozen peer in `worst_case` = 22.5 seconds, and must stay under 30.
    """

    ping_interval: float = 10.0
    """Seconds between our pings. Under the 30 to 60 s after which home routers forget idle connections."""
    silent_intervals: int = 2
    """So many intervals without a byte and the peer is gone: one lost ping alone must not break a link."""

    @property
    def dead_after(self) -> float:
        """Seconds of silence that end the transport."""
        return self.ping_interval * self.silent_intervals

    @property
    def check_every(self) -> float:
        """Seconds between two looks at the silence."""
        return self.ping_interval / 4

    @property
    def worst_case(self) -> float:
        """Seconds within which a frozen peer is surely noticed."""
        return self.dead_after + self.check_every
