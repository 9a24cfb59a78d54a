"""The dialling side over HTTP long-poll, for networks that let no WebSocket through. Uses httpx.

One request at a time waits for frames from the other side; another carries ours there. Both may be repeated.
A lost connection is therefore no lost link: only silence for two ping intervals is.
"""

from __future__ import annotations

import json
import logging
import re
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import attrs
import httpx
import trio

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
)
from taskferry_transports.loopback import is_loopback
from taskferry_transports.port import (
    DEFAULT_MAX_FRAME,
    SUBPROTOCOL,
    DialRefused,
    DialTimedOut,
    Liveness,
    PlaintextForbidden,
    ProxyUnusable,
    TlsFailed,
    Unreachable,
    UpgradeRefused,
)
from taskferry_transports.proxies import for_httpx, proxy_for, refusal_by
from taskferry_transports.reasons import reason_of
from taskferry_transports.whole_answer import Answer, ask

_LOG = logging.getLogger(__name__)

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_REPEAT_AFTER = 0.2  # Seconds before a failed request is repeated, so that a dead server costs no busy loop.
_OPEN_ANSWER_BYTES = 4096
_QUIET_S = 1.0  # Without a frame: whoever was asked something has answered.


@attrs.frozen
class LongPollSettings:
    """Where to dial and within which limits. Times in seconds, sizes in bytes."""

    url: str
    """`https://host[:port]/path`, or `http://` for this machine; `/open` and `/exchange` are added."""
    tls: ssl.SSLContext | None = None
    """Used for https; the system's certificate authorities when None."""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    max_frame: int = DEFAULT_MAX_FRAME
    max_body: int = DEFAULT_MAX_FRAME + 65_536
    """No larger than the server's limit; holds the largest frame, or many small ones."""
    buffer_bytes: int = 262_144
    buffer_frames: int = 256
    liveness: Liveness = attrs.field(factory=Liveness)
    """How long a request for frames may wait, and when a silent server counts as gone."""
    dial_timeout: float = 15.0
    close_timeout: float = 2.0
    plaintext_hosts: frozenset[str] = frozenset()
    """Hosts besides this machine to which http:// is allowed, because the operator wrote them down."""


class LongPollDialer:
    """Opens links at one URL. The nursery carries the tasks that ask and post."""

    def __init__(self, nursery: trio.Nursery, settings: LongPollSettings) -> None:
        self._nursery = nursery
        self._settings = settings
        parts = urlsplit(settings.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("a long-poll address starts with https:// or http:// and names a host")
        self._host = parts.hostname
        self._plain = parts.scheme == "http"

    @property
    def by_proxy(self) -> bool:
        """Whether a proxy that is set for this address is what carries the requests."""
        try:
            return proxy_for(self._settings.url) is not None
        except ProxyUnusable:
            return False

    @property
    def _proxy(self) -> httpx.Proxy:
        return httpx.Proxy(proxy_for(self._settings.url) or "http://")

    async def dial(self) -> LongPollTransport:
        """Open one link, or raise a kind of `DialRefused`."""
        settings = self._settings
        if self._plain and not is_loopback(self._host) and self._host not in settings.plaintext_hosts:
            raise PlaintextForbidden(f"http:// to {self._host} would travel unprotected; use https://")
        client = httpx.AsyncClient(
            verify=settings.tls or self._authorities(),
            # A proxy of the environment is often why long-poll is needed.
            proxy=for_httpx(proxy_for(settings.url)),
            trust_env=False,
            # A compressed answer could inflate beyond its bound.
            headers={"Accept-Encoding": "identity", **settings.headers},
            timeout=settings.liveness.dead_after,
            limits=httpx.Limits(max_connections=4, max_keepalive_connections=2),
            follow_redirects=False,
        )
        try:
            token = await self._open(client)
            transport = LongPollTransport(client, token, settings, urlsplit(settings.url).netloc)
        except BaseException:
            with trio.CancelScope(shield=True):
                await client.aclose()
            raise
        self._nursery.start_soon(transport._run)
        return transport

    def _authorities(self) -> ssl.SSLContext:
        """The system's. httpx's own are a file that takes long to read."""
        if self._plain and is_loopback(self._host):
            # Neither TLS nor a proxy with it is in the way: it is asked for, trusts nobody, and is not used.
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return ssl.create_default_context()

    async def _open(self, client: httpx.AsyncClient) -> str:
        try:
            with trio.fail_after(self._settings.dial_timeout):
                answer = await ask(
                    client,
                    "POST",
                    f"{self._settings.url}/open",
                    {PROTOCOL_HEADER: SUBPROTOCOL},
                    b"",
                    _OPEN_ANSWER_BYTES,
                )
        except (httpx.HTTPError, trio.TooSlowError) as error:
            raise self._refusal(error) from error
        if answer.status != 201:
            raise UpgradeRefused(
                f"{self._host} answered the opening with HTTP status {answer.status}",
                status=answer.status,
                retry_after=answer.retry_after,
            )
        try:
            token = json.loads(answer.body)["token"]
        except (ValueError, KeyError, TypeError, RecursionError):
            token = None
        if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
            raise UpgradeRefused(f"{self._host} answered the opening with something else than a link")
        return token

    def _refusal(self, error: httpx.HTTPError | trio.TooSlowError) -> DialRefused:
        cause: BaseException | None = error
        # Of two with TLS nobody tells which it was.
        proxy = " or the proxy that is set for it" if self._proxy.url.scheme == "https" else ""
        while cause is not None:
            if isinstance(cause, ssl.SSLError):
                return TlsFailed(f"TLS with {self._host}{proxy} failed: {cause}")
            cause = cause.__cause__ or cause.__context__
        # With a proxy set, nothing else is connected to.
        place = f"the proxy that is set for {self._host}" if self.by_proxy else self._host
        if isinstance(error, httpx.ConnectTimeout):
            return DialTimedOut(f"cannot connect to {place} in time", stage="connect")
        if isinstance(error, (httpx.TimeoutException, trio.TooSlowError)):
            return DialTimedOut(f"{self._host} did not answer in time", stage="upgrade")
        if isinstance(error, httpx.ConnectError):
            return Unreachable(f"cannot connect to {place}: {reason_of(error)}")
        if isinstance(error, httpx.ProxyError):
            return UpgradeRefused(refusal_by(place, error, named=self._proxy.auth is not None))
        return UpgradeRefused(f"{self._host} closed the connection instead of answering")


class LongPollTransport(LongPollEnd):
    """A `Transport` over requests that we make; made by `LongPollDialer.dial`."""

    def __init__(self, client: httpx.AsyncClient, token: str, settings: LongPollSettings, peer: str) -> None:
        super().__init__(
            peer,
            max_frame=settings.max_frame,
            buffer_bytes=settings.buffer_bytes,
            buffer_frames=settings.buffer_frames,
        )
        self._client = client
        self._token = token
        self._settings = settings
        self._scope = trio.CancelScope()
        self._over = False
        self._said_goodbye: trio.Event | None = None
        self._heard_at = trio.current_time()
        # Set, and replaced by a fresh one, whenever a frame comes or goes.
        self._moved = trio.Event()
        self.over = trio.Event()
        """Set once the link has ended, however it has."""

    async def wait_quiet(self) -> None:
        """Wait until no frame has come or gone for a second."""
        while True:
            with trio.move_on_after(_QUIET_S):
                await self._moved.wait()
                continue
            return

    async def leave(self, reason: str) -> None:
        """Close; but whoever receives takes what has come, and is told the reason then."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._inbox.end(trio.BrokenResourceError(reason))
        await self._close()

    async def aclose(self) -> None:
        """Post what is held within the close timeout, say goodbye, and stop."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._inbox.discard(trio.ClosedResourceError("this transport was closed here"))
        await self._close()

    async def _close(self) -> None:
        self._closed = True
        self._outbox.end(trio.ClosedResourceError("this transport was closed here"))
        # The tasks close the HTTP client only afterwards: under a request it would leave a socket open.
        self._said_goodbye = trio.Event()
        try:
            if not self._over:
                with trio.move_on_after(self._settings.close_timeout):
                    while self._outbox.outgoing.first < self._outbox.outgoing.end and not self._over:
                        await self._outbox.wait_for_change()
                    await self._request("DELETE", "", {}, b"")
        except httpx.HTTPError as error:
            _LOG.debug("goodbye to %s failed: %s", self.peer, error)
        finally:
            self._said_goodbye.set()
            self._scope.cancel()
        await trio.lowlevel.checkpoint()

    # --- the tasks -----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._post_for_ever)
                    nursery.start_soon(self._watch_silence, nursery.cancel_scope)
                    await self._fetch_for_ever()
                    nursery.cancel_scope.cancel()
        except* Exception as failed:  # noqa: BLE001
            # The one boundary: whatever a server makes httpx stumble over ends this link, not the program.
            _LOG.warning("link to %s failed", self.peer, exc_info=failed)
        finally:
            self._end(trio.BrokenResourceError("the link was abandoned"))
            with trio.CancelScope(shield=True):
                if self._said_goodbye is not None:
                    await self._said_goodbye.wait()
                await self._client.aclose()

    async def _fetch_for_ever(self) -> None:
        while not self._over:
            received = self._incoming.received
            # An answer held back for a ping interval is the other side's sign of life.
            wait = min(self._settings.liveness.ping_interval, MAX_WAIT)
            first = self._outbox.outgoing.first
            answer = await self._exchange(Offsets(first, received), b"", {WAIT_HEADER: f"{wait:.3f}"})
            if answer is None:
                continue
            try:
                offsets = read_offsets(answer.headers.get(OFFSETS_HEADER))
                frames = decode_frames(answer.body, max_frame=self.max_frame)
                fresh = self._incoming.fresh(offsets.send, frames)
            except WireFault as fault:
                self._end(trio.BrokenResourceError(f"the peer broke the rules: {fault}"))
                return
            for frame in fresh:
                self._note_moved()
                if frame:
                    await self._inbox.put(frame)
                else:
                    self._inbox.end(trio.EndOfChannel())
                self._incoming.take()

    async def _post_for_ever(self) -> None:
        outgoing = self._outbox.outgoing
        while not self._over:
            # Even with nothing to say we ask: a fetch may be stuck behind our own slow reader.
            with trio.move_on_after(self._settings.liveness.ping_interval):
                await self._outbox.wait_beyond(outgoing.first)
            if outgoing.first == outgoing.end and self._closed:
                await trio.sleep_forever()
            first = outgoing.first
            body = encode_frames(outgoing.batch(first, self._settings.max_body))
            if body:
                self._note_moved()
            answer = await self._exchange(Offsets(first, self._incoming.received), body, {})
            if answer is None:
                continue
            try:
                self._outbox.acknowledge(read_offsets(answer.headers.get(OFFSETS_HEADER)).received)
            except WireFault as fault:
                self._end(trio.BrokenResourceError(f"the peer broke the rules: {fault}"))
                return
            if answer.status == 429:
                await trio.sleep(min(answer.retry_after or 1.0, self._settings.liveness.ping_interval))

    async def _watch_silence(self, scope: trio.CancelScope) -> None:
        liveness = self._settings.liveness
        silence = 0.0
        while silence <= liveness.dead_after:
            await trio.sleep(liveness.check_every)
            silence = trio.current_time() - self._heard_at
        self._end(trio.BrokenResourceError(f"the peer fell silent for {liveness.dead_after:g} s"))
        scope.cancel()

    async def _exchange(self, offsets: Offsets, body: bytes, extra: Mapping[str, str]) -> Answer | None:
        """One exchange; None means: try again, or stop if the link is over."""
        headers = {OFFSETS_HEADER: str(offsets), "Content-Type": MEDIA_TYPE, **extra}
        try:
            answer = await self._request("POST", "/exchange", headers, body)
        except httpx.HTTPError as error:
            _LOG.debug("an exchange with %s failed: %r", self.peer, error)
            await trio.sleep(min(_REPEAT_AFTER, self._settings.liveness.check_every))
            return None
        self._heard_at = trio.current_time()
        if answer.status == 200 or (answer.status == 429 and OFFSETS_HEADER in answer.headers):
            return answer
        if answer.status in {502, 503, 504}:
            # A proxy whose server is just restarting; if that lasts, the link is gone, and it will say so.
            await trio.sleep(_REPEAT_AFTER)
            return None
        if answer.status == 410 and b'"link-closed"' in answer.body:
            self._end(trio.EndOfChannel())
        else:
            self._end(trio.BrokenResourceError(f"the peer answered with HTTP status {answer.status}"))
        return None

    async def _request(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        return await ask(
            self._client,
            method,
            self._settings.url + path,
            {LINK_HEADER: self._token, **headers},
            body,
            self._settings.max_body,
        )

    def _note_moved(self) -> None:
        self._moved.set()
        self._moved = trio.Event()

    def _end(self, error: Exception) -> None:
        self._over = True
        self.over.set()
        self._inbox.end(error)
        if isinstance(error, trio.EndOfChannel):
            error = trio.BrokenResourceError("the peer has gone")
        self._outbox.end(error)
