"""The listening side over HTTP long-poll: Quart-Trio routes that hand each link to a handler.

A token names a link; it is stored hashed. Requests may be repeated, may overlap, and may come over any
connection; the link lives as long as requests keep coming.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable, Mapping
from enum import Enum

import attrs
import trio
from quart import Response, request
from quart_trio import QuartTrio

from taskferry_transports.counting import counted_as
from taskferry_transports.guarded_server import DRAINING_STATE, refusal_body
from taskferry_transports.longpoll_end import LongPollEnd
from taskferry_transports.longpoll_wire import (
    LINK_HEADER,
    MAX_WAIT,
    MEDIA_TYPE,
    OFFSETS_HEADER,
    PROTOCOL_HEADER,
    WAIT_HEADER,
    Offsets,
    WireFault,
    decode_frames,
    encode_frames,
    read_offsets,
    read_wait,
)
from taskferry_transports.port import (
    DEFAULT_MAX_FRAME,
    SUBPROTOCOL,
    Handler,
    LinkInfo,
    Liveness,
)

_LOG = logging.getLogger(__name__)


@attrs.frozen
class LongPollLimits:
    """What a link may take from us. Times in seconds, sizes in bytes."""

    max_frame: int = DEFAULT_MAX_FRAME
    max_body: int = DEFAULT_MAX_FRAME + 65_536
    """A body holds the largest frame, or many small ones. The server's `body_limits` must allow it."""
    buffer_bytes: int = 262_144
    """Frames that wait, in each direction of each link; one larger frame alone may wait, too."""
    buffer_frames: int = 256
    max_links: int = 4096
    """Two of the largest buffers each: what an operator's memory can bear is decided here."""
    max_links_per_peer: int = 64
    uncounted_peers: frozenset[str] = frozenset({"127.0.0.1", "::1"})
    """Addresses without a limit of their own, as in `GuardConfig`."""
    room_timeout: float = 5.0
    """How long an upload waits for a slow handler before it is told to come again."""
    token_lifetime: float = 600.0
    """A token that nobody used for so long is forgotten; until then its end can be told."""
    liveness: Liveness = attrs.field(factory=Liveness)
    """A client asks at least every ping interval; one that was silent for two has gone."""


class _Phase(Enum):
    OPEN = "open"
    CLOSED = "link-closed"
    GONE = "link-gone"


class LongPollServerTransport(LongPollEnd):
    """A `Transport` over requests that come to us."""

    def __init__(self, peer: str, limits: LongPollLimits) -> None:
        super().__init__(
            peer,
            max_frame=limits.max_frame,
            buffer_bytes=limits.buffer_bytes,
            buffer_frames=limits.buffer_frames,
        )
        self.counted = counted_as(peer)
        self._limits = limits
        self._phase = _Phase.OPEN
        self._uploading = trio.Lock()
        self._waiting: trio.CancelScope | None = None
        self._peer_finished = False
        self.heard_at = trio.current_time()
        """When the last request arrived."""

    async def aclose(self) -> None:
        """Close; what was sent stays to be fetched for as long as the client keeps asking."""
        self._closed = True
        self._inbox.discard(trio.ClosedResourceError("this transport was closed here"))
        self._finish(_Phase.CLOSED, trio.ClosedResourceError("this transport was closed here"))
        await trio.lowlevel.checkpoint()

    # --- what the requests do ------------------------------------------------------------------------------

    async def take(self, send: int, frames: list[bytes]) -> bool:
        """Take what is new of an upload; False when the handler is too slow to take all of it in time."""
        async with self._uploading:
            with trio.move_on_after(self._limits.room_timeout):
                for frame in self._incoming.fresh(send, frames):
                    if self._peer_finished:
                        raise WireFault("after-end", "a frame came after the last one")
                    if frame:
                        await self._inbox.put(frame)
                    else:
                        self._peer_finished = True
                        self._inbox.end(trio.EndOfChannel())
                    self._incoming.take()
                return True
        return False

    async def wait_for_frames(self, received: int, seconds: float) -> list[bytes]:
        """Frames from `received` on, waiting for the first; a newer call ends an older one's wait."""
        if self._waiting is not None:
            self._waiting.cancel()
        with trio.move_on_after(seconds) as scope:
            self._waiting = scope
            while self._outbox.outgoing.end <= received and self._phase is _Phase.OPEN:
                await self._outbox.wait_beyond(received)
        if self._waiting is scope:
            self._waiting = None
            return self._outbox.outgoing.batch(received, self._limits.max_body)
        return []

    def acknowledge(self, received: int) -> None:
        """The client has so many of our frames."""
        self._outbox.acknowledge(received)

    def offsets(self, send: int) -> Offsets:
        """Where we stand, for an answer whose body begins at index `send`."""
        return Offsets(send, self._incoming.received)

    def ending(self, received: int) -> str | None:
        """The code to tell a client that has fetched everything, once the link is over."""
        if self._phase is _Phase.CLOSED and received < self._outbox.outgoing.end:
            return None
        return None if self._phase is _Phase.OPEN else self._phase.value

    @property
    def is_open(self) -> bool:
        """Whether neither side has ended the link."""
        return self._phase is _Phase.OPEN

    @property
    def is_held(self) -> bool:
        """Whether it is open, or holds frames that were not fetched yet."""
        return self.is_open or self._outbox.outgoing.end > self._outbox.outgoing.first

    def hang_up(self) -> None:
        """The client said goodbye, and so fetches nothing more."""
        self._outbox.outgoing.clear()
        self._inbox.end(trio.EndOfChannel())
        self._finish(_Phase.CLOSED, trio.BrokenResourceError("the peer has gone"))

    def break_off(self, reason: str) -> None:
        """The client vanished or broke the rules. What it did not fetch is let go."""
        self._outbox.outgoing.clear()
        self._inbox.end(trio.BrokenResourceError(reason))
        self._finish(_Phase.GONE, trio.BrokenResourceError(reason))

    def _finish(self, phase: _Phase, error: Exception) -> None:
        if self._phase is _Phase.OPEN:
            self._phase = phase
        self._outbox.end(error)


class LongPollServer:
    """All long-poll links of one server. Mount it on an app, and run it beside the app."""

    def __init__(
        self, handler: Handler, entropy: Callable[[int], bytes], limits: LongPollLimits | None = None
    ) -> None:
        self._handler = handler
        self._entropy = entropy
        self._limits = limits or LongPollLimits()
        self._links: dict[bytes, LongPollServerTransport] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run handlers, and forget dead links, until cancelled. Links can be opened only while this runs."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                while True:
                    await trio.sleep(self._limits.liveness.check_every)
                    self._look_after_all(trio.current_time())
            finally:
                self._nursery = None

    def mount(self, app: QuartTrio, path: str) -> None:
        """Add `POST {path}/open`, `POST {path}/exchange` and `DELETE {path}` to an app."""
        name = f"taskferry-longpoll:{path}:"
        app.add_url_rule(f"{path}/open", name + "open", self._open, methods=["POST"])
        app.add_url_rule(f"{path}/exchange", name + "exchange", self._exchange, methods=["POST"])
        app.add_url_rule(path, name + "close", self._close, methods=["DELETE"])

    # --- routes --------------------------------------------------------------------------------------------

    async def _open(self) -> Response:
        if request.headers.get(PROTOCOL_HEADER) != SUBPROTOCOL:
            return _refuse(400, "unknown-protocol", f"This address speaks {SUBPROTOCOL}.", "Say so.")
        draining = request.scope["state"][DRAINING_STATE]
        if self._nursery is None or draining.is_set():
            return _refuse(503, "stopping", "This server is stopping.", "Try again later.", retry_after=5)
        peer = request.headers["Remote-Addr"]
        if self._too_many(peer):
            return _refuse(
                429, "too-many-links", "Too many links are open.", "Try again later.", retry_after=10
            )
        token = base64.urlsafe_b64encode(self._entropy(32)).rstrip(b"=")
        link = LongPollServerTransport(peer, self._limits)
        self._links[hashlib.sha256(token).digest()] = link
        headers = {name.lower(): value for name, value in request.headers.items()}
        self._nursery.start_soon(self._serve, link, LinkInfo(peer, request.path, headers, draining))
        answer = b'{"token": "%s", "max_frame": %d}' % (token, self._limits.max_frame)
        return _answer(answer, {"Content-Type": "application/json"}, status=201)

    async def _exchange(self) -> Response:
        link = self._find()
        if link is None:
            return _unknown_link()
        link.heard_at = trio.current_time()
        length = request.content_length
        if length is not None and length > self._limits.max_body:
            return _refuse(413, "body-too-large", "The body is too large.", "Send fewer frames at once.")
        try:
            offsets = read_offsets(request.headers.get(OFFSETS_HEADER))
            wait = read_wait(request.headers.get(WAIT_HEADER))
            ending = link.ending(offsets.received)
            if ending is not None:
                return _refuse(410, ending, "The link is over.", "Open a new one.")
            body: bytes = await request.body
            frames = decode_frames(body, max_frame=self._limits.max_frame)
            link.acknowledge(offsets.received)
            everything = not frames or await link.take(offsets.send, frames)
            if not everything:
                return _refuse(
                    429,
                    "link-full",
                    "The receiver is slow.",
                    "Send the rest again.",
                    retry_after=1,
                    headers={OFFSETS_HEADER: str(link.offsets(offsets.received))},
                )
            answer: list[bytes] = []
            if wait is not None:
                # An idle wait ends with the ping interval: the next request is the client's sign of life.
                patience = min(wait, MAX_WAIT, self._limits.liveness.ping_interval)
                answer = await link.wait_for_frames(offsets.received, patience)
                ending = link.ending(offsets.received)
                if not answer and ending is not None:
                    return _refuse(410, ending, "The link is over.", "Open a new one.")
        except WireFault as fault:
            if fault.code not in {"bad-offsets", "bad-wait", "gap"}:
                link.break_off(f"the peer broke the rules: {fault}")
            status = {"frame-too-large": 413, "gap": 409}.get(fault.code, 400)
            return _refuse(status, fault.code, f"{fault}.", "Open a new link.")
        return _answer(
            encode_frames(answer),
            {"Content-Type": MEDIA_TYPE, OFFSETS_HEADER: str(link.offsets(offsets.received))},
        )

    async def _close(self) -> Response:
        link = self._find()
        if link is None:
            return _unknown_link()
        link.hang_up()
        return _answer(b"", {}, status=204)

    # --- links ---------------------------------------------------------------------------------------------

    def _find(self) -> LongPollServerTransport | None:
        token = request.headers.get(LINK_HEADER, "")
        return self._links.get(hashlib.sha256(token.encode("utf-8", "replace")).digest())

    @property
    def open_links(self) -> int:
        """Links that are held, those among them whose end can still be told."""
        return len(self._links)

    def _too_many(self, peer: str) -> bool:
        if len(self._links) >= self._limits.max_links:
            self._forget([key for key, link in self._links.items() if not link.is_open])
        network = counted_as(peer)
        mine = sum(link.counted == network and link.is_held for link in self._links.values())
        counted = peer not in self._limits.uncounted_peers
        return len(self._links) >= self._limits.max_links or (
            counted and mine >= self._limits.max_links_per_peer
        )

    def _look_after_all(self, now: float) -> None:
        for link in self._links.values():
            if now - link.heard_at > self._limits.liveness.dead_after:
                link.break_off(f"the peer fell silent for {self._limits.liveness.dead_after:g} s")
        lifetime = self._limits.token_lifetime
        self._forget([key for key, link in self._links.items() if now - link.heard_at > lifetime])

    def _forget(self, keys: list[bytes]) -> None:
        for key in keys:
            del self._links[key]

    async def _serve(self, link: LongPollServerTransport, info: LinkInfo) -> None:
        try:
            await self._handler(link, info)
        except* (trio.BrokenResourceError, trio.EndOfChannel) as ended:
            _LOG.debug("link of %s ended: %s", link.peer, ended.exceptions[0])
        except* Exception as failed:  # noqa: BLE001
            # The one boundary: a handler's error ends its own link and no other.
            _LOG.error("handler of the link of %s failed", link.peer, exc_info=failed)
            link.break_off("the handler failed")
        finally:
            with trio.CancelScope(shield=True):
                await link.aclose()


def _unknown_link() -> Response:
    return _refuse(401, "unknown-link", "No link has this token.", "Open a new one.")


def _answer(body: bytes, headers: Mapping[str, str], *, status: int = 200) -> Response:
    return Response(body, status=status, headers={**headers, "Cache-Control": "no-store"})


def _refuse(
    status: int,
    code: str,
    message: str,
    next_step: str,
    *,
    retry_after: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    extra = {"Retry-After": str(retry_after)} if retry_after is not None else {}
    return _answer(
        refusal_body(code, message, next_step),
        {"Content-Type": "application/json", **extra, **(headers or {})},
        status=status,
    )
