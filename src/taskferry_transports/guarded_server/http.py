"""hypercorn's HTTP/1.1 protocol with its holes closed.

hypercorn 0.18 buffers request bodies without back-pressure, times nothing that is half sent, ends the whole
server on a malformed HTTP/2 upgrade or a non-ASCII WebSocket header, and believes X-Forwarded-For.
"""

from __future__ import annotations

import ipaddress
import re
from http import HTTPStatus
from typing import NoReturn, Protocol, cast
from urllib.parse import unquote

import h11
import trio
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Body, EndBody, Request, Response, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol, H11WSConnection
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from hypercorn.typing import ASGISendEvent, ConnectionState, H11SendableEvent
from hypercorn.utils import suppress_body

from taskferry_transports.guarded_server.budgets import UNCOUNTED_BYTES, Crowded, SharedBudget
from taskferry_transports.guarded_server.refusals import refusal_body, refusal_headers
from taskferry_transports.guarded_server.websocket import GuardedWebSocket, Wire

_FORWARDING = {b"forwarded", b"x-real-ip"}
_WITH_PORT = re.compile(r"\[(?P<v6>[^]]+)\](:[0-9]+)?|(?P<v4>[0-9.]+):[0-9]+", re.ASCII)
_UNNAMED = "unnamed"  # No address, and so none of this machine's.


class Link(Wire, Protocol):
    """What HTTP needs of its connection, beyond what a WebSocket does."""

    bodies: SharedBudget

    def await_body(self) -> None:
        """A body is due: be patient for `body_timeout`."""

    def await_handler(self) -> None:
        """The request is complete: the peer owes us nothing."""

    async def hold(self) -> NoReturn:
        """Keep what arrives ahead of its turn until cancelled. Raises once the peer has gone."""


class _Pause:
    """hypercorn's "may read on" event. While h11 pauses, for one answer at a time, we still watch the peer.

    hypercorn alone would not notice that the peer has gone, and keep an event stream for ever. The task that
    waits watches by itself: one more for each request took 5 % of what a daemon takes for a message.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._is_set = False
        self._waiting: trio.CancelScope | None = None

    async def clear(self) -> None:
        self._is_set = False

    async def set(self) -> None:
        self._is_set = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def wait(self) -> None:
        if self._is_set:
            return
        with trio.CancelScope() as self._waiting:
            await self._link.hold()
        self._waiting = None

    def is_set(self) -> bool:
        return self._is_set


class GuardedRequest(HTTPStream):
    """One request and its response."""

    link: Link

    def attach(self, link: Link, counted: str) -> None:
        """Name the connection below, and the peer as it is counted. Comes before anything else."""
        self.link = link
        self._counted = counted
        self._limit = 0
        self._received = 0
        self._held = 0
        self._begun = False
        self._answering = False

    async def handle(self, event: StreamEvent) -> None:
        """Take one event of the connection."""
        if isinstance(event, StreamClosed):
            self.link.bodies.give_back(self, self._counted, self._held)
            self._held = 0
            if not self._begun:
                self.closed = True
        if self.closed:
            return
        if isinstance(event, Request):
            await self._begin(event)
        elif isinstance(event, Body):
            self._received += len(event.data)
            if self._received > self._limit:
                await self._refuse_body()
                return
            if self._received > UNCOUNTED_BYTES and not await self._hold(len(event.data)):
                return
            await super().handle(event)
        else:
            if isinstance(event, EndBody):
                self.link.await_handler()
            await super().handle(event)

    async def app_send(self, message: ASGISendEvent | None) -> None:
        """Take one ASGI message; after the end it goes nowhere, and the application is being told."""
        if self.closed:
            # Without this an endless response would never let go of the event loop again.
            await trio.lowlevel.checkpoint()
            return
        if message is None and self._answering and self.state is ASGIHTTPState.REQUEST:
            # The application was cancelled while its head was sent: there is no place for another answer.
            await self.send(StreamClosed(stream_id=self.stream_id))
            return
        if message is not None and message["type"] == "http.response.start":
            self._answering = True
        if (
            message is not None
            and message["type"] == "http.response.body"
            and self.state is ASGIHTTPState.RESPONSE
            and suppress_body(self.scope["method"], int(self.response["status"]))
        ):
            # Such a response is complete with its headers (RFC 9110 section 6.4.1); an endless one spins.
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await super().app_send(message)

    async def _begin(self, event: Request) -> None:
        # Of the path as the application reads it: `/%73ignup` is `/signup`.
        path = unquote(event.raw_path.partition(b"?")[0].decode("ascii"))
        self._limit = self.link.guard.body_limit(path)
        declared = 0
        for name, value in event.headers:
            if name == b"content-length":
                declared = int(value)
        if declared > self._limit:
            self.state = ASGIHTTPState.REQUEST
            await self._refuse_body()
            return
        self._begun = True
        self.link.await_body()
        await super().handle(event)

    async def _hold(self, size: int) -> bool:
        """Take memory for more of a large body; False if there is none for this peer."""
        try:
            await self.link.bodies.take(self, self._counted, size)
        except Crowded:
            await self._turn_away(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too-much-under-way",
                "Your address has as much under way as it may.",
                "Send it again once something else has come to its end.",
            )
            return False
        self._held += size
        return True

    async def _refuse_body(self) -> None:
        await self._turn_away(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "body-too-large",
            f"The body is larger than {self._limit} bytes.",
            "Send less at once.",
        )

    async def _turn_away(self, status: HTTPStatus, code: str, message: str, next_step: str) -> None:
        if self.state is ASGIHTTPState.REQUEST:
            await self.refuse(status, code, message, next_step)
        await self.send(StreamClosed(stream_id=self.stream_id))

    async def refuse(self, status: HTTPStatus, code: str, message: str, next_step: str) -> None:
        """Answer instead of the application."""
        body = refusal_body(code, message, next_step)
        self.state = ASGIHTTPState.CLOSED
        await self.send(
            Response(stream_id=self.stream_id, headers=refusal_headers(body), status_code=status.value)
        )
        await self.send(Body(stream_id=self.stream_id, data=body))
        await self.send(EndBody(stream_id=self.stream_id))


class _Head(h11.Connection):
    """HTTP/1.1 as h11 reads it, whose errors hold nothing."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """As h11's."""
        try:
            return super().next_event()
        except h11.RemoteProtocolError as error:
            # It was raised by a frame that names it: a cycle, which would hold all that was read until the
            # collector came by, and a server's comes seldom.
            error.__traceback__ = error.__context__ = None
            raise


class GuardedH11(H11Protocol):
    """HTTP/1.1 on one connection. HTTP/2 is never spoken, nor switched to."""

    link: Link

    def attach(self, link: Link) -> None:
        """Name the connection below. Comes before anything else."""
        self.link = link
        self.connection = _Head(h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size)
        self.can_read = _Pause(link)
        self._asks_for_head = False
        self._brings_body = False
        self._head = b""
        """Of an answer whose length it tells: it goes with the first of its body, in one write."""

    async def handle(self, event: Event) -> None:
        """Take one event of the connection."""
        if isinstance(event, RawData) and isinstance(self.stream, GuardedWebSocket):
            # Past the upgrade every byte belongs to the WebSocket.
            await self.stream.feed(event.data)
            return
        try:
            await super().handle(event)
        except h11.RemoteProtocolError as error:
            await self.refuse(
                HTTPStatus(error.error_status_hint),
                "bad-request",
                f"The request cannot be read: {error}.",
                "Send a plain HTTP/1.1 request.",
            )
            await self.send(Closed())

    async def refuse(self, status: HTTPStatus, code: str, message: str, next_step: str) -> None:
        """Answer for a request that never became one, if nothing was answered yet."""
        body = refusal_body(code, message, next_step)
        if self.connection.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            headers = refusal_headers(body) + self.config.response_headers("h11")
            await self._send_h11_event(h11.Response(status_code=status.value, headers=headers))
            await self._send_h11_event(h11.Data(data=body))
            await self._send_h11_event(h11.EndOfMessage())

    async def _maybe_recycle(self) -> None:
        self._asks_for_head = False
        await super()._maybe_recycle()

    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        if self._asks_for_head and isinstance(event, h11.Data):
            # Refusals, too, end with their headers there (RFC 9110 section 9.3.2).
            return
        if self._brings_body and isinstance(event, h11.Response) and self._is_body_due():
            # The connection ends with this answer: told so, a client sends its next request by another one.
            kept = [(name, value) for name, value in event.headers if name != b"connection"]
            event = h11.Response(status_code=event.status_code, headers=[*kept, (b"connection", b"close")])
        try:
            data = self._head + self.connection.send(event)
        except h11.LocalProtocolError:
            if self.connection.their_state != h11.ERROR:
                raise
        else:
            # What has no length may be an event stream: whoever waits for its head need not wait for events.
            has_length = isinstance(event, h11.Response) and b"content-length" in dict(event.headers)
            self._head = data if has_length else b""
            if data and not has_length:
                await self.send(RawData(data))
        if cast(h11.Connection, self.connection).our_state is h11.ERROR:
            # Whoever broke the rules was answered already. An endless response would never let go again.
            await trio.lowlevel.checkpoint()

    def _is_body_due(self) -> bool:
        return self.connection.their_state is h11.SEND_BODY

    def fall_apart(self) -> None:
        """The connection is over: refer to nothing that refers back."""
        stream, self.stream = self.stream, None
        if stream is not None:
            del stream.send
        del self.can_read, self.send, self.task_group

    async def _check_protocol(self, event: h11.Request) -> None:
        self._asks_for_head = event.method == b"HEAD"
        # RFC 9110 section 7.8 lets a server ignore an upgrade, and so every offer of h2c is ignored. A client
        # that begins with HTTP/2 outright gets the answer that RFC 9113 section 3.4 wants for it.
        if event.http_version not in {b"1.0", b"1.1"}:
            raise h11.RemoteProtocolError("only HTTP/1.1 is spoken here", error_status_hint=505)
        # Methods are told apart by case (RFC 9110 section 9.1), though hypercorn would take `head` for HEAD.
        if not event.method.isupper():
            raise h11.RemoteProtocolError("the method is unknown", error_status_hint=501)
        # Whole addresses are for proxies; here the host stands in `Host` alone, which is what is checked.
        if not event.target.startswith(b"/"):
            raise h11.RemoteProtocolError("the target is no path", error_status_hint=400)
        names = {name for name, _ in event.headers}
        self._brings_body = not names.isdisjoint((b"content-length", b"transfer-encoding"))
        if {b"content-length", b"transfer-encoding"} <= names:
            # RFC 9112 section 6.3: a proxy that goes by the other one would take what follows for its own.
            raise h11.RemoteProtocolError("the body has two lengths", error_status_hint=400)

    async def _create_stream(self, request: h11.Request) -> None:
        headers, client = _believable(list(request.headers), self.client, self.link.guard.trusted_proxies)
        method = request.method.decode("ascii").upper()
        state = dict(self.connection_state)
        kind = GuardedWebSocket if method == "GET" and _asks_for_websocket(headers) else GuardedRequest
        if kind is GuardedWebSocket:
            headers = [(name, value) for name, value in headers if name != b"sec-websocket-extensions"]
            if any(not value.isascii() for name, value in headers if name.startswith(b"sec-websocket-")):
                raise h11.RemoteProtocolError("a WebSocket header is not ASCII", error_status_hint=400)
            if cast(h11.Connection, self.connection).trailing_data[0]:
                # RFC 6455 section 4.1: the client waits for our answer before it sends anything.
                raise h11.RemoteProtocolError(
                    "data came before the upgrade was answered", error_status_hint=400
                )
        stream = kind(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        stream.attach(self.link, self.link.guard.counted(client[0]) if client is not None else "")
        self.stream = stream
        if isinstance(stream, GuardedWebSocket):
            self.link.await_handler()
            self.connection = H11WSConnection(cast(h11.Connection, self.connection))
        await stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=headers,
                http_version=request.http_version.decode("ascii"),
                method=method,
                raw_path=request.target,
                state=ConnectionState(state),
            )
        )
        self.keep_alive_requests += 1
        await self.context.mark_request()


def _asks_for_websocket(headers: list[tuple[bytes, bytes]]) -> bool:
    upgrade = connection = b""
    for name, value in headers:
        if name == b"upgrade":
            upgrade = value.strip().lower()
        elif name == b"connection":
            connection = value.lower()
    return upgrade == b"websocket" and b"upgrade" in {token.strip() for token in connection.split(b",")}


def _believable(
    headers: list[tuple[bytes, bytes]], client: tuple[str, int] | None, proxies: frozenset[str]
) -> tuple[list[tuple[bytes, bytes]], tuple[str, int] | None]:
    """Headers without claims about who the client is, and the client; our own proxy's word counts."""
    claimed = [value for name, value in headers if name == b"x-forwarded-for"]
    if client is not None and claimed and client[0] in proxies:
        client = (_named(claimed[-1].rpartition(b",")[2].strip().decode("latin1")), 0)
    kept = [
        (name, value)
        for name, value in headers
        if name not in _FORWARDING and not name.startswith(b"x-forwarded-")
    ]
    return kept, client


def _named(entry: str) -> str:
    """The address that an entry names, which some write with its port.

    Whoever is named in no way that can be read is still not the proxy itself, which may be this machine.
    """
    match = _WITH_PORT.fullmatch(entry)
    try:
        return str(ipaddress.ip_address((match["v6"] or match["v4"]) if match else entry))
    except ValueError:
        return _UNNAMED
