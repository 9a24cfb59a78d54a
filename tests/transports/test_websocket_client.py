"""What the dialling side says when it gets no link, and what a bad server cannot do to it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from contextlib import asynccontextmanager
from functools import partial

import attrs
import pytest
import trio
import trustme

from taskferry_transports.guarded_server import GuardConfig
from taskferry_transports.longpoll_client import LongPollDialer, LongPollSettings
from taskferry_transports.loopback import is_loopback
from taskferry_transports.port import (
    DialTimedOut,
    PlaintextForbidden,
    TlsFailed,
    Unreachable,
    UpgradeRefused,
)
from taskferry_transports.websocket_client import WebSocketDialer, WebSocketSettings

from .pairs import running
from .raw import make_app

DIALERS = {
    "websocket": (WebSocketDialer, WebSocketSettings, "ws"),
    "longpoll": (LongPollDialer, LongPollSettings, "http"),
}


@pytest.fixture(params=sorted(DIALERS))
def dialer_for(request):
    """Make a dialer of either kind for a host and port."""
    dialer, settings, scheme = DIALERS[request.param]

    def make(nursery, host, port, *, tls=None, dial_timeout=0.5, **more):
        secure = "s" if tls is not None else ""
        url = f"{scheme}{secure}://{host}:{port}/echo"
        return dialer(nursery, settings(url, tls=tls, dial_timeout=dial_timeout, **more))

    return make


@asynccontextmanager
async def answering(answer: bytes, *, then_close=True):
    """A server that answers every connection the same, after its first bytes."""

    async def handle(stream):
        await stream.receive_some(65_536)
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(answer)
        if not then_close:
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def dial(dialer_for, port, host="127.0.0.1", **more):
    """Dial and hang up again."""
    async with trio.open_nursery() as nursery:
        transport = await dialer_for(nursery, host, port, **more).dial()
        await transport.aclose()
        nursery.cancel_scope.cancel()


def only(group: BaseException) -> BaseException:
    """The one error inside nested groups."""
    while isinstance(group, BaseExceptionGroup):
        (group,) = group.exceptions
    return group


async def refusal(dialer_for, port, host="127.0.0.1", **more):
    """The error of a dial that fails."""
    try:
        await dial(dialer_for, port, host, **more)
    except BaseExceptionGroup as group:
        return only(group)
    raise AssertionError("the dial succeeded")


@pytest.mark.parametrize(
    "status", ["200 OK", "400 Bad Request", "403 Forbidden", "426 Upgrade Required", "502 Bad Gateway"]
)
async def test_http_answer_without_a_link_is_a_refused_upgrade(dialer_for, status, leaping_clock):
    """Any status but the wanted one is told with its number."""
    async with answering(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno".encode()) as port:
        refused = await refusal(dialer_for, port)
    assert isinstance(refused, UpgradeRefused)
    assert refused.status == int(status[:3])


async def test_redirect_is_not_followed(dialer_for, leaping_clock):
    """A redirect is a refusal: it could lead into a private network."""
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with answering(answer) as port:
        refused = await refusal(dialer_for, port)
    assert refused.status == 302


async def test_retry_after_is_passed_on(dialer_for, leaping_clock):
    """A busy server's wish reaches the caller."""
    answer = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
    async with answering(answer) as port:
        refused = await refusal(dialer_for, port)
    assert (refused.status, refused.retry_after) == (503, 7)


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"])
async def test_connection_closed_at_the_upgrade_is_a_refused_upgrade(dialer_for, answer, leaping_clock):
    """A proxy that closes, talks nonsense, or strips the upgrade's headers, refuses it."""
    async with answering(answer) as port:
        assert isinstance(await refusal(dialer_for, port), UpgradeRefused)


async def test_connection_reset_before_our_request_is_a_refused_upgrade(nursery, monkeypatch, leaping_clock):
    """A relay that dies between its backlog and our first byte costs no waiting: no later byte would tell."""
    connected = trio.Event()

    async def die(stream):
        await connected.wait()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.socket.close()

    listeners = await nursery.start(partial(trio.serve_tcp, die, 0, host="127.0.0.1"))
    port = listeners[0].socket.getsockname()[1]
    dialer = WebSocketDialer(nursery, WebSocketSettings(f"ws://127.0.0.1:{port}/echo", dial_timeout=60.0))
    connect = dialer._connect

    async def connect_and_wait_for_the_reset():
        tcp = await connect()
        connected.set()
        await trio.lowlevel.wait_readable(tcp.socket)
        return tcp

    monkeypatch.setattr(dialer, "_connect", connect_and_wait_for_the_reset)
    with trio.fail_after(10), pytest.raises(UpgradeRefused, match="instead of upgrading"):
        await dialer.dial()


async def test_websocket_without_our_subprotocol_is_refused(leaping_clock):
    """Some other WebSocket service is no relay."""
    async with running(make_app(), GuardConfig()) as bound, trio.open_nursery() as nursery:
        settings = WebSocketSettings(f"ws://127.0.0.1:{bound.port}/any-subprotocol")
        with pytest.raises(UpgradeRefused, match=r"not taskferry\.1"):
            await WebSocketDialer(nursery, settings).dial()


async def test_endless_refusal_is_not_buffered(dialer_for, leaping_clock):
    """A refusal page without end is given up after its bound."""
    answer = b"HTTP/1.1 403 Forbidden\r\n\r\n" + bytes(1_000_000)
    async with answering(answer, then_close=False) as port:
        assert isinstance(await refusal(dialer_for, port), UpgradeRefused)


async def test_silent_server_times_out_at_the_upgrade(dialer_for, leaping_clock):
    """A server that accepts and then says nothing is reported as such, in time."""
    async with answering(b"", then_close=False) as port:
        refused = await refusal(dialer_for, port)
    assert isinstance(refused, DialTimedOut)
    assert refused.stage == "upgrade"


async def test_closed_port_is_unreachable(dialer_for, leaping_clock):
    """Nobody listens: unreachable, and worth a retry."""
    async with answering(b"") as port:
        pass
    refused = await refusal(dialer_for, port)
    assert isinstance(refused, Unreachable)
    assert refused.retryable


async def test_plain_text_to_another_host_is_forbidden(dialer_for):
    """Without TLS only this machine is dialled, unless someone wrote another down."""
    for host in ("relay.example", "10.0.0.1", "localhost.example"):
        assert isinstance(await refusal(dialer_for, 1, host), PlaintextForbidden)
    # Whoever is asked for the name may take a while to say that there is none.
    allowed = await refusal(
        dialer_for, 1, "127.0.0.1.invalid", plaintext_hosts=frozenset({"127.0.0.1.invalid"}), dial_timeout=15
    )
    assert isinstance(allowed, Unreachable)
    assert not PlaintextForbidden.retryable


async def test_untrusted_certificate_is_a_tls_failure(dialer_for, leaping_clock):
    """A certificate of an unknown authority is named as the reason, and no retry will help."""
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(server_side)
    async with running(make_app(), GuardConfig(tls=server_side)) as bound:
        refused = await refusal(dialer_for, bound.port, tls=ssl.create_default_context())
    assert isinstance(refused, TlsFailed)
    assert not refused.retryable


async def test_link_over_tls_carries_frames(leaping_clock):
    """With a trusted certificate the link works."""
    authority = trustme.CA()
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    async with running(make_app(), GuardConfig(tls=server_side)) as bound, trio.open_nursery() as nursery:
        settings = WebSocketSettings(f"wss://127.0.0.1:{bound.port}/echo", tls=client_side)
        transport = await WebSocketDialer(nursery, settings).dial()
        await transport.send(b"over TLS" * 10_000)
        assert await transport.receive() == b"over TLS" * 10_000
        await transport.send_eof()
        with pytest.raises(trio.EndOfChannel):
            await transport.receive()
        await transport.aclose()


async def test_a_plain_link_within_a_machine_reads_no_certificates(dialer_for, leaping_clock, monkeypatch):
    """Whom to trust takes a tenth of a second to read, and nobody proves anything there."""

    def read(*args, **kwargs):
        raise AssertionError("certificates were read")

    monkeypatch.setattr(ssl, "create_default_context", read)
    async with answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno") as port:
        refused = await refusal(dialer_for, port)
    assert isinstance(refused, UpgradeRefused)


async def test_oversized_frame_from_the_server_breaks_the_link(leaping_clock):
    """The reason names the size."""
    async with running(make_app(), GuardConfig()) as bound, trio.open_nursery() as nursery:
        settings = WebSocketSettings(f"ws://127.0.0.1:{bound.port}/flood-link", max_frame=20_000)
        transport = await WebSocketDialer(nursery, settings).dial()
        with pytest.raises(trio.BrokenResourceError, match="1009"):
            await transport.receive()
        await transport.aclose()


async def test_cancelling_the_nursery_breaks_the_transport(leaping_clock):
    """A transport whose tasks are gone says so and hangs nowhere."""
    async with running(make_app(), GuardConfig()) as bound:
        async with trio.open_nursery() as nursery:
            settings = WebSocketSettings(f"ws://127.0.0.1:{bound.port}/echo")
            transport = await WebSocketDialer(nursery, settings).dial()
            nursery.cancel_scope.cancel()
        with pytest.raises(trio.BrokenResourceError):
            await transport.receive()
        with pytest.raises(trio.BrokenResourceError):
            await transport.send(b"x")
        await transport.aclose()


@pytest.mark.parametrize("url", ["http://x/", "ws:///path", "relay.example", ""])
async def test_address_that_is_none_is_refused_at_once(url, nursery, leaping_clock):
    """A wrong scheme or a missing host is an error of the configuration."""
    with pytest.raises(ValueError, match="address"):
        WebSocketDialer(nursery, WebSocketSettings(url))


def test_loopback_is_judged_without_resolving():
    """Only literal loopback addresses and `localhost` count as this machine."""
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost"]))
    others = ["127.0.0.1.example", "0.0.0.0", "10.0.0.1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "local"]
    assert not any(map(is_loopback, others))


def test_settings_are_values():
    """Settings can be varied without touching the original."""
    first = WebSocketSettings("wss://relay.example/v1/ws")
    assert attrs.evolve(first, max_frame=1).url == first.url
