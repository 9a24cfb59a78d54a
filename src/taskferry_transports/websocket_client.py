"""The dialling side over WebSocket (RFC 6455). The only importer of trio-websocket.

Where a proxy is set for the address, it is dialled through that, and directly where that gives no tunnel.
One binary message is one frame; an empty binary message says "I send no more".
Both ends ping; a peer that gives no byte for two intervals is gone.
"""

from __future__ import annotations

import logging
import ssl
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Literal, NoReturn, cast
from urllib.parse import urlsplit

import attrs
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection, wrap_client_stream

from taskferry_transports.frame_queue import OneAtATime
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
    TransportKind,
    Unreachable,
    UpgradeRefused,
    check_frames,
)
from taskferry_transports.proxies import proxy_for
from taskferry_transports.reasons import reason_of
from taskferry_transports.tunnel import open_tunnel, takes_tunnels
from taskferry_transports.upgrade_refusals import refusal_of
from taskferry_transports.watched_stream import WatchedStream

_LOG = logging.getLogger(__name__)

_RECEIVE_BYTES = 65536  # One read takes a whole batch of frames; trio-websocket's own default is 4 KiB.
PING_S = 3.0  # Who answers later is better polled: a relay hangs up on those who say nothing for ten.
_POLITE_CODES = {1000, 1001, 1005}  # RFC 6455 section 7.4.1: normal, going away, no code given.


@attrs.frozen
class WebSocketSettings:
    """Where to dial and within which limits. Times are in seconds, sizes in bytes."""

    url: str
    """`wss://host[:port]/path`, or `ws://` for this machine."""
    tls: ssl.SSLContext | None = None
    """Used for wss; the system's certificate authorities when None."""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    max_frame: int = DEFAULT_MAX_FRAME
    liveness: Liveness = attrs.field(factory=Liveness)
    dial_timeout: float = 15.0
    """For name, TCP, TLS and upgrade together: slow mobile networks manage in ten.

    A proxy has half of it to open a tunnel.
    """
    send_timeout: float = 30.0
    """A peer that takes nothing for so long is gone, even if it still pings."""
    close_timeout: float = 2.0
    """How long a polite goodbye may take; nobody should wait a minute to leave."""
    plaintext_hosts: frozenset[str] = frozenset()
    """Hosts besides this machine to which ws:// is allowed, because the operator wrote them down."""
    proxy_for: Callable[[str], str | None] = proxy_for
    """The proxy that is set for an http or https address, if one is. Raises ProxyUnusable."""


class WebSocketDialer:
    """Dials one URL. The nursery carries the tasks that read and ping; without it, transports break."""

    def __init__(self, nursery: trio.Nursery, settings: WebSocketSettings) -> None:
        self._nursery = nursery
        self._settings = settings
        parts = urlsplit(settings.url)
        if parts.scheme not in {"ws", "wss"} or not parts.hostname:
            raise ValueError("a WebSocket address starts with wss:// or ws:// and names a host")
        self._tls = parts.scheme == "wss"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._tls else 80)
        self._resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    async def dial(self) -> WebSocketTransport:
        """Open one transport, or raise a kind of `DialRefused`."""
        host = self._host
        if not self._tls and not is_loopback(host) and host not in self._settings.plaintext_hosts:
            raise PlaintextForbidden(f"ws:// to {host} would travel unprotected; use wss://")
        deadline = trio.current_time() + self._settings.dial_timeout
        proxy = self._proxy()
        if proxy is None:
            return await self._dial(deadline)
        try:
            # What a proxy passes may be the upgrade alone.
            return await self._answered(await self._dial(deadline, await self._tunnel(proxy)), deadline)
        except (Unreachable, DialTimedOut, UpgradeRefused) as by_proxy:
            answered = isinstance(by_proxy, UpgradeRefused) and by_proxy.status is not None
            if trio.current_time() >= deadline or (by_proxy.is_busy and by_proxy.retry_after is not None):
                raise  # a relay that is busy says for how long
            # Whoever took this machine home has no use for the office's proxy; and what answered may be that.
            try:
                return await self._dial(deadline)
            except DialRefused as directly:
                by_proxy.reason = directly.reason = f"{by_proxy.reason}; and directly, {directly.reason}"
                if answered:
                    raise by_proxy from directly
                raise

    async def dial_tried(self) -> WebSocketTransport:
        """Open one over which a ping has come back: some networks pass an upgrade, and nothing after it."""
        return await self._answered(await self.dial(), trio.current_time() + PING_S)

    async def _answered(self, transport: WebSocketTransport, deadline: float) -> WebSocketTransport:
        try:
            with trio.CancelScope(deadline=deadline):
                if await transport.is_answered():
                    return transport
            raise DialTimedOut(f"{self._host} took the upgrade, and nothing came after it", stage="upgrade")
        except BaseException:
            transport.drop()
            raise

    async def _tunnel(self, proxy: str) -> WatchedStream:
        """A stream to the host through its proxy, TLS and all."""
        place = f"the proxy that is set for {self._host}"
        with trio.move_on_after(self._settings.dial_timeout / 2):
            way = await open_tunnel(proxy, self._host, self._port)
            try:
                return await self._secure(*way)
            except TlsFailed as failed:
                broken = failed.__cause__
                if broken is not None and isinstance(broken.__cause__, ssl.SSLCertVerificationError):
                    # Who answers there is not to be trusted; that is no reason to look for another way.
                    raise
                raise UpgradeRefused(f"the way through {place} leads nowhere: {failed.reason}") from failed
        raise DialTimedOut(f"{place} did not answer in time", stage="connect")

    def _proxy(self) -> str | None:
        """The proxy that is asked for a tunnel; what cannot give one is in nobody's way."""
        try:
            proxy = self._settings.proxy_for(f"{'https' if self._tls else 'http'}://{self._place()}")
        except ProxyUnusable:
            return None
        return proxy if proxy is not None and takes_tunnels(proxy) else None

    async def _dial(self, deadline: float, stream: WatchedStream | None = None) -> WebSocketTransport:
        """Over this stream; None: directly."""
        waiting_for: Literal["connect", "tls", "upgrade"] = "connect"
        with trio.CancelScope(deadline=deadline):
            if stream is None:
                tcp = await self._connect()
                waiting_for = "tls"
                stream = await self._secure(tcp, tcp.socket)
            waiting_for = "upgrade"
            return await self._upgrade(stream)
        raise DialTimedOut(
            f"{self._host} did not answer in time (waiting for: {waiting_for})", stage=waiting_for
        )

    async def _connect(self) -> trio.SocketStream:
        try:
            return await trio.open_tcp_stream(self._host, self._port)
        except (OSError, ValueError) as error:
            # A name that cannot be encoded is a ValueError, an unreachable host an OSError.
            why = reason_of(error)
            raise Unreachable(f"cannot connect to {self._host} port {self._port}: {why}") from error

    async def _secure(self, stream: trio.abc.Stream, tcp: trio.socket.SocketType) -> WatchedStream:
        peer = f"{self._host}:{self._port}"
        if not self._tls:
            return WatchedStream(stream, tcp, peer, self._settings.send_timeout)
        context = self._settings.tls or ssl.create_default_context()
        try:
            secured = trio.SSLStream(stream, context, server_hostname=self._host, https_compatible=True)
            await secured.do_handshake()
        except (trio.BrokenResourceError, OSError, ValueError) as error:
            # A name that cannot be in a certificate is a ValueError.
            tcp.close()
            raise TlsFailed(f"TLS with {self._host} failed: {error.__cause__ or error}") from error
        except BaseException:
            tcp.close()
            raise
        return WatchedStream(secured, tcp, peer, self._settings.send_timeout)

    async def _upgrade(self, stream: WatchedStream) -> WebSocketTransport:
        transport = WebSocketTransport(stream, self._settings)
        try:
            await self._nursery.start(transport._run, self._host_header(), self._resource)
        except BaseException:
            stream.abort()
            raise
        return transport

    def _place(self) -> str:
        return f"{self._bracketed()}:{self._port}"

    def _host_header(self) -> str:
        return self._bracketed() if self._port in {80, 443} else self._place()

    def _bracketed(self) -> str:
        return f"[{self._host}]" if ":" in self._host else self._host


class WebSocketTransport:
    """A `Transport` over a WebSocket that we dialled; made by `WebSocketDialer.dial`."""

    kind: TransportKind = "websocket"

    def __init__(self, stream: WatchedStream, settings: WebSocketSettings) -> None:
        self.peer = stream.peer
        self.max_frame = settings.max_frame
        self._stream = stream
        self._settings = settings
        self._socket: WebSocketConnection
        self._scope = trio.CancelScope()
        self._sending = OneAtATime("another task is already sending")
        self._receiving = OneAtATime("another task is already receiving")
        self._closed = False
        self._finished = False
        self._peer_finished = False

    async def send(self, *frames: bytes) -> None:
        """Send a binary message for each frame."""
        check_frames(frames, self.max_frame)
        await self._send(*frames)

    async def send_eof(self) -> None:
        """Send the empty message that ends our direction."""
        await self._send(b"")
        self._finished = True

    async def receive(self) -> bytes:
        """Wait for the next binary message."""
        with self._receiving:
            if self._closed:
                raise trio.ClosedResourceError("this transport was closed here")
            if self._peer_finished:
                raise trio.EndOfChannel
            try:
                message = await self._socket.get_message()
            except ConnectionClosed:
                self._raise_ended()
            if isinstance(message, str):
                self._stream.break_off("the peer sent text, where only binary messages may come")
                self._raise_ended()
            if not message:
                self._peer_finished = True
                raise trio.EndOfChannel
            return message

    def receive_nowait(self) -> bytes | None:
        """None: trio-websocket does not tell what has arrived."""
        return None

    async def is_answered(self) -> bool:
        """Wait until a ping has come back; False if the connection ended before."""
        answered = False
        async with trio.open_nursery() as nursery:
            # trio-websocket leaves whoever waits for an answer alone when the connection ends.
            nursery.start_soon(self._cancel_at_end, nursery.cancel_scope)
            with suppress(ConnectionClosed):
                await self._socket.ping()
                answered = True
            nursery.cancel_scope.cancel()
        return answered

    async def _cancel_at_end(self, scope: trio.CancelScope) -> None:
        await self._stream.ended.wait()
        scope.cancel()

    async def aclose(self) -> None:
        """Say goodbye within the close timeout, then drop the connection."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        try:
            # While a send is stuck, a goodbye would only queue up behind it.
            if not self._sending.busy:
                with trio.move_on_after(self._settings.close_timeout):
                    await self._socket.aclose()
        finally:
            self.drop()
        await trio.lowlevel.checkpoint()

    def drop(self) -> None:
        """Drop the connection at once."""
        self._stream.abort()
        self._scope.cancel()

    async def _send(self, *messages: bytes) -> None:
        with self._sending:
            if self._closed or self._finished:
                raise trio.ClosedResourceError("this transport was closed here")
            try:
                for message in messages:
                    await self._socket.send_message(message)
            except ConnectionClosed:
                if self._closed:
                    raise trio.ClosedResourceError("this transport was closed here") from None
                raise trio.BrokenResourceError(self._stream.broken or "the peer has gone") from None

    def _raise_ended(self) -> NoReturn:
        if self._closed:
            raise trio.ClosedResourceError("this transport was closed here") from None
        closed = self._socket.closed
        if self._stream.broken is None and closed is not None and closed.code in _POLITE_CODES:
            raise trio.EndOfChannel from None
        reason = self._stream.broken
        if reason is None and closed is not None and closed.code != 1006:
            reason = f"closed with {closed.code} {closed.reason or closed.name}"
        raise trio.BrokenResourceError(reason or "the peer vanished") from None

    async def _run(
        self,
        host_header: str,
        resource: str,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Own the tasks of this connection: trio-websocket's reader, our pings, the watch over silence."""
        refusal: UpgradeRefused | None = None
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._cancel_when_ended, nursery.cancel_scope)
                    self._socket = await wrap_client_stream(
                        nursery,
                        # It asks for no more than the stream interface, whatever its annotation says.
                        cast("trio.SocketStream", self._stream),
                        host_header,
                        resource,
                        subprotocols=[SUBPROTOCOL],
                        extra_headers=[
                            (k.encode("ascii"), v.encode("ascii")) for k, v in self._settings.headers.items()
                        ],
                        message_queue_size=1,
                        max_message_size=self.max_frame,
                        receive_buffer_size=_RECEIVE_BYTES,
                    )
                    if self._socket.subprotocol != SUBPROTOCOL:
                        refusal = UpgradeRefused(f"{self.peer} speaks WebSocket, but not {SUBPROTOCOL}")
                        self._stream.abort()
                    else:
                        self._stream.upgraded = True
                        task_status.started()
                        nursery.start_soon(self._keep_alive, nursery)
        except* ConnectionRejected as rejected:
            first = _first(rejected)
            refusal = refusal_of(self.peer, first.status_code, first.headers)
        except* Exception as failed:  # noqa: BLE001
            # The one boundary: whatever a relay makes trio-websocket stumble over ends this connection,
            # never the program around it. (A ping that crosses our close makes it raise, for one.)
            _LOG.debug("connection to %s failed", self.peer, exc_info=failed)
        finally:
            self._stream.abort()
        if not self._stream.upgraded:
            await trio.lowlevel.checkpoint_if_cancelled()
            raise refusal or UpgradeRefused(f"{self.peer} closed the connection instead of upgrading it")

    async def _cancel_when_ended(self, scope: trio.CancelScope) -> None:
        """Before the upgrade trio-websocket waits for ever on a connection that has ended: wake it.

        Afterwards its reader ends by itself, and must, since it still hands out what has arrived.
        """
        await self._stream.ended.wait()
        if not self._stream.upgraded:
            scope.cancel()

    async def _keep_alive(self, nursery: trio.Nursery) -> None:
        liveness = self._settings.liveness
        count = 0
        next_ping = trio.current_time() + liveness.ping_interval
        while not self._stream.ended.is_set():
            with trio.move_on_after(liveness.check_every):
                await self._stream.ended.wait()
            now = trio.current_time()
            if now - self._stream.waiting_since > liveness.dead_after:
                self._stream.break_off(f"the peer fell silent for {liveness.dead_after:g} s")
            elif now >= next_ping:
                next_ping = now + liveness.ping_interval
                count += 1
                nursery.start_soon(self._ping, struct.pack("!I", count & 0xFFFFFFFF))

    async def _ping(self, payload: bytes) -> None:
        # The answer matters only as bytes that arrive, so nobody waits for it longer than it could count.
        with trio.move_on_after(self._settings.liveness.dead_after), suppress(ConnectionClosed):
            await self._socket.ping(payload)


def _first(group: BaseExceptionGroup[ConnectionRejected]) -> ConnectionRejected:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
