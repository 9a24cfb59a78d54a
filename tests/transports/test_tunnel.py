"""A WebSocket through an HTTP proxy: what is asked of the proxy, and what one that lies cannot do."""

from __future__ import annotations

import base64
import socket
import ssl
from contextlib import asynccontextmanager

import pytest
import trio
import trustme

from taskferry_transports.fallback import FallbackDialer
from taskferry_transports.guarded_server import GuardConfig
from taskferry_transports.longpoll_client import LongPollDialer, LongPollSettings
from taskferry_transports.memory import memory_pair
from taskferry_transports.port import (
    DialRefused,
    DialTimedOut,
    Liveness,
    PlaintextForbidden,
    ProxyUnusable,
    TlsFailed,
    Unreachable,
    UpgradeRefused,
)
from taskferry_transports.tunnel import open_tunnel
from taskferry_transports.websocket_client import WebSocketDialer, WebSocketSettings

from .lying_server import said, serving
from .pairs import TunnelProxy, running
from .raw import make_app

BY_USER = "http://us%40er:of-mine@"
OPENED = b"HTTP/1.1 200 Connection established\r\n"


def lying(answer: bytes, *, closes: bool = True):
    """A proxy that answers whatever it is asked the same, and hangs up or does not."""

    async def serve(stream):
        await stream.receive_some(65_536)
        await stream.send_all(answer)
        if closes:
            await stream.aclose()
        else:
            await trio.sleep_forever()

    return serving(serve)


def by(url, proxy, **more) -> WebSocketSettings:
    """Settings for a relay on this machine that a proxy stands before, as if it were far away."""
    settings = {"dial_timeout": 10.0, **more}
    return WebSocketSettings(url, proxy_for=lambda _: proxy, **settings)


@pytest.fixture(autouse=True)
def no_proxy_but_the_tests(monkeypatch):
    """What this machine has set is nobody's business here."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_PROXY".upper(), raising=False)


@pytest.fixture
def nobody():
    """A relay's address on this machine where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"ws://127.0.0.1:{bound.getsockname()[1]}/echo"


async def refusal(settings) -> DialRefused:
    """Why a dial is refused."""
    async with trio.open_nursery() as nursery:
        with pytest.raises(DialRefused) as refused:
            await WebSocketDialer(nursery, settings).dial()
    return refused.value


async def echoes(settings) -> bool:
    """Whether a frame comes back over a fresh link."""
    async with trio.open_nursery() as nursery:
        transport = await WebSocketDialer(nursery, settings).dial()
        await transport.send(b"there and back" * 5_000)
        answer = await transport.receive()
        await transport.aclose()
        nursery.cancel_scope.cancel()
    return answer == b"there and back" * 5_000


@asynccontextmanager
async def tunnels(port, tls=None):
    """A proxy whose tunnels all lead to a port, with TLS of its own or without."""
    async with trio.open_nursery() as nursery:
        proxy = TunnelProxy(port, tls)
        yield proxy, await nursery.start(proxy.run)
        nursery.cancel_scope.cancel()


def serverside(authority, name):
    """TLS of a server that an authority vouches for under a name."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


async def test_a_proxy_is_asked_for_a_tunnel_with_its_credentials_and_nothing_more():
    """One request, as the RFC has it; what the relay is asked for is the relay's alone."""
    async with running(make_app(), GuardConfig()) as bound, tunnels(bound.port) as (proxy, port):
        settings = by(f"ws://127.0.0.1:{bound.port}/echo", f"{BY_USER}127.0.0.1:{port}")
        assert await echoes(settings)
    place = f"127.0.0.1:{bound.port}"
    credentials = base64.b64encode(b"us@er:of-mine").decode()
    head = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\nProxy-Authorization: Basic {credentials}\r\n\r\n"
    assert proxy.asked == [head.encode()]


def authorities(folder, monkeypatch) -> tuple[trustme.CA, trustme.CA, ssl.SSLContext]:
    """A company's authority, which the system knows; a relay's; and what trusts the two."""
    companys, relays = trustme.CA(), trustme.CA()
    companys.cert_pem.write_to_path(folder / "company.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "company.pem"))
    trusting = ssl.create_default_context()
    relays.configure_trust(trusting)
    return companys, relays, trusting


async def test_a_proxy_with_tls_carries_tls_to_the_relay(tmp_path, monkeypatch):
    """The proxy proves itself by the system's authorities, the relay through it by those named for it."""
    companys, relays, trusting = authorities(tmp_path, monkeypatch)
    guard = GuardConfig(tls=serverside(relays, "localhost"))
    async with (
        running(make_app(), guard) as bound,
        tunnels(bound.port, serverside(companys, "127.0.0.1")) as (proxy, port),
    ):
        settings = by(f"wss://localhost:{bound.port}/echo", f"https://127.0.0.1:{port}", tls=trusting)
        assert await echoes(settings)
    assert len(proxy.asked) == 1


async def test_polling_trusts_a_proxy_with_tls_as_a_websocket_does(tmp_path, monkeypatch):
    """A company's proxy proves itself by the company's authority, which the system knows."""
    companys, relays, trusting = authorities(tmp_path, monkeypatch)
    guard = GuardConfig(tls=serverside(relays, "relay.invalid"))
    async with (
        running(make_app(), guard) as bound,
        tunnels(bound.port, serverside(companys, "127.0.0.1")) as (proxy, port),
        trio.open_nursery() as nursery,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"https://127.0.0.1:{port}")
        with pytest.raises(UpgradeRefused, match=r"relay.invalid answered .* HTTP status 404"):
            await LongPollDialer(nursery, LongPollSettings("https://relay.invalid/x", tls=trusting)).dial()
    assert proxy.asked[0].startswith(b"CONNECT relay.invalid:443 ")


async def test_a_relay_that_is_not_trusted_is_looked_for_by_no_other_way():
    """Who sits at the tunnel's end, and is not the relay, hears nothing; nor is anybody else asked then."""
    relays, strangers = trustme.CA(), trustme.CA()
    trusting = ssl.create_default_context()
    relays.configure_trust(trusting)
    async with (
        running(make_app(), GuardConfig(tls=serverside(relays, "localhost"))) as relay,
        running(make_app(), GuardConfig(tls=serverside(strangers, "localhost"))) as stranger,
        tunnels(stranger.port) as (_, port),
    ):
        settings = by(f"wss://localhost:{relay.port}/echo", f"http://127.0.0.1:{port}", tls=trusting)
        assert isinstance(await refusal(settings), TlsFailed)


LIES = {
    "wants credentials": (said(b"blah", "407 blah"), "407: it does not take the user and password"),
    "forbids": (said(b"blah", "403 blah"), "HTTP status 403"),
    "does not reach it": (said(b"blah", "502 blah"), "HTTP status 502"),
    "leads elsewhere": (b"HTTP/1.1 302 No\r\nLocation: mailto:blah\r\n\r\n", "HTTP status 302"),
    "goes on": (OPENED + b"Content-Length: 4\r\n\r\nblah", "says more than that there is a way"),
    "is endless": (b"HTTP/1.1 200 blah\r\n" + b"X-Blah: blah\r\n" * 10_000, "without end"),
    "waits for ever": (b"HTTP/1.1 102 blah\r\n\r\n" * 10_000, "without end"),
    "is none": (b"blah blah blah\r\n\r\n", "something else"),
    "closes": (b"", "closed the connection"),
    "closes half-way": (OPENED + b"X-Blah", "closed the connection"),
    "changes": (b"HTTP/1.1 101 blah\r\n\r\n", "something else"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_proxy_that_gives_no_tunnel_ends_a_dial_and_no_more(lie, nobody):
    """It is named as who did it; neither its own words are told, nor what it was told."""
    answer, told = LIES[lie]
    async with lying(answer) as url:
        refused = await refusal(by(nobody, url.replace("http://", BY_USER)))
    assert isinstance(refused, Unreachable)
    assert "the proxy that is set for 127.0.0.1" in refused.reason
    assert told in refused.reason
    assert "and directly, cannot connect" in refused.reason
    assert "blah" not in refused.reason
    assert "mine" not in refused.reason


async def test_a_proxy_that_wants_credentials_is_told_of_where_none_are_set(nobody):
    """Whoever has none is told where they go."""
    async with lying(said(b"", "407 No")) as url:
        refused = await refusal(by(nobody, url))
    assert "USER:PASSWORD" in refused.reason


@pytest.mark.parametrize("piece", [b"", b"X"])
async def test_a_slow_proxy_has_half_of_the_time(piece, leaping_clock):
    """Whether it says nothing, or a letter now and then; the other half is for the direct way."""

    async def slow(stream):
        await stream.receive_some(65_536)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            await trio.sleep(1)
            await stream.send_all(piece)

    began = trio.current_time()
    async with running(make_app(), GuardConfig()) as bound, serving(slow) as url:
        assert await echoes(by(f"ws://127.0.0.1:{bound.port}/echo", url))
    assert trio.current_time() - began >= 5


async def test_a_proxy_and_a_relay_that_are_slow_take_no_more_than_the_whole_time(leaping_clock):
    """And it is told of both."""

    async def slow(stream):
        await trio.sleep_forever()

    began = trio.current_time()
    async with serving(slow) as relay, serving(slow) as url:
        refused = await refusal(by(f"{relay.replace('http', 'ws')}/echo", url))
    assert isinstance(refused, DialTimedOut)
    assert "did not answer in time; and directly, 127.0.0.1 did not answer in time" in refused.reason
    assert trio.current_time() - began < 11


async def test_where_a_tunnel_leads_nowhere_the_relay_is_dialled_directly():
    """Some proxies say yes to everything, and hang up on what they do not let through."""
    relays = trustme.CA()
    trusting = ssl.create_default_context()
    relays.configure_trust(trusting)
    guard = GuardConfig(tls=serverside(relays, "localhost"))
    for closes in (True, False):
        async with running(make_app(), guard) as bound, lying(OPENED + b"\r\n", closes=closes) as url:
            settings = by(f"wss://localhost:{bound.port}/echo", url, tls=trusting, dial_timeout=2.0)
            assert await echoes(settings)


def unusable(url: str) -> str:
    """As where a proxy of no known kind is set."""
    raise ProxyUnusable("of no kind")


@pytest.mark.parametrize("proxy_for", [unusable, lambda _: "socks5://127.0.0.1:9"])
async def test_a_proxy_that_gives_no_tunnels_is_in_nobodys_way(proxy_for):
    """A relay that is reached without it is reached."""
    async with running(make_app(), GuardConfig()) as bound:
        assert await echoes(WebSocketSettings(f"ws://127.0.0.1:{bound.port}/echo", proxy_for=proxy_for))


async def test_a_proxy_that_is_not_trusted_is_told_nothing(monkeypatch, nobody):
    """Least of all the credentials that are for the real one."""
    async with tunnels(9, serverside(trustme.CA(), "127.0.0.1")) as (proxy, port):
        refused = await refusal(by(nobody, f"https://user:of-mine@127.0.0.1:{port}"))
    assert "TLS with the proxy that is set for 127.0.0.1 failed" in refused.reason
    assert proxy.asked == []


async def test_polling_names_a_proxy_with_tls_where_it_may_be_what_is_not_trusted(monkeypatch):
    """Whoever looks for the fault at the relay alone would not find it."""
    async with tunnels(9, serverside(trustme.CA(), "127.0.0.1")) as (_, port), trio.open_nursery() as nursery:
        monkeypatch.setenv("HTTPS_PROXY", f"https://127.0.0.1:{port}")
        with pytest.raises(TlsFailed, match=r"TLS with relay.invalid or the proxy that is set for it"):
            await LongPollDialer(nursery, LongPollSettings("https://relay.invalid/x")).dial()


async def test_a_proxy_makes_no_address_safe_that_is_not():
    """What runs through a tunnel without TLS, the proxy reads."""
    settings = WebSocketSettings("ws://relay.invalid/v1/ws", proxy_for=lambda _: "http://127.0.0.1:9")
    assert isinstance(await refusal(settings), PlaintextForbidden)


@pytest.mark.parametrize(
    ("host", "named"),
    [("fd00::1", b"[fd00::1]:443"), ("bücher.invalid", b"xn--bcher-kva.invalid:443")],
)
async def test_a_proxy_is_told_a_host_as_the_rfc_writes_it(host, named):
    """An address in brackets, a name in ASCII."""
    asked = []

    async def opens(stream):
        asked.append(await stream.receive_some(65_536))
        await stream.send_all(OPENED + b"\r\n")
        await stream.aclose()

    async with serving(opens) as url:
        stream, _ = await open_tunnel(url, host, 443)
        await stream.aclose()
    assert asked == [b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (named, named)]


async def test_a_host_that_is_none_is_asked_for_by_nobody():
    """A name that no request may have makes no request."""
    async with tunnels(9) as (proxy, port):
        with pytest.raises(Unreachable):
            await open_tunnel(f"http://127.0.0.1:{port}", "a b", 443)
        with pytest.raises(Unreachable):
            await open_tunnel(f"http://127.0.0.1:{port}", "ü" * 100, 443)
    assert proxy.asked == []


async def test_a_relay_is_polled_by_a_proxy_that_refuses_tunnels(monkeypatch):
    """What no tunnel leads to, and nobody reaches directly, the proxy may still fetch."""
    asked: list[bytes] = []

    async def fetches(stream):
        asked.append((await stream.receive_some(65_536)).split(b"\r\n")[0])
        await stream.send_all(
            said(b"", "405 No")
            if asked[-1].startswith(b"CONNECT")
            else said(b'{"token":"' + b"a" * 43 + b'"}', "201 Created")
            if b"/open" in asked[-1]
            else said(b"", "410 Gone")
        )
        await stream.aclose()

    async def shut(self):
        raise Unreachable("no way out of here")

    monkeypatch.setattr(WebSocketDialer, "_connect", shut)
    far = frozenset({"relay.invalid"})
    async with serving(fetches) as url, trio.open_nursery() as nursery:
        monkeypatch.setenv("HTTP_PROXY", url)
        longpoll = LongPollDialer(nursery, LongPollSettings("http://relay.invalid/link", plaintext_hosts=far))
        dialer = FallbackDialer(
            WebSocketDialer(nursery, WebSocketSettings("ws://relay.invalid/v1/ws", plaintext_hosts=far)),
            longpoll,
            apart=lambda: longpoll.by_proxy,
        )
        transport = await dialer.dial()
        assert transport.kind == "longpoll"
        assert "HTTP status 405; and directly, no way out of here" in dialer.reason
        await transport.aclose()
        nursery.cancel_scope.cancel()
    assert asked[:2] == [
        b"CONNECT relay.invalid:80 HTTP/1.1",
        b"POST http://relay.invalid/link/open HTTP/1.1",
    ]


async def test_a_name_that_no_certificate_can_have_is_a_refused_dial():
    """A proxy opens a tunnel to anything; what TLS cannot ask for is no relay's, and ends no daemon."""
    async with lying(OPENED + b"\r\n", closes=False) as url:
        refused = await refusal(by("wss://.relay.invalid/v1/ws", url))
    assert isinstance(refused, Unreachable)


async def test_a_tunnel_that_passes_the_upgrade_alone_is_left_for_polling(leaping_clock):
    """Some proxies look into what they carry, and hold back what follows: no session would ever open."""
    async with running(make_app(), GuardConfig()) as bound:

        async def passes_the_head(stream):
            await stream.receive_some(65_536)
            await stream.send_all(OPENED + b"\r\n")
            async with await trio.open_tcp_stream("127.0.0.1", bound.port) as behind:
                await behind.send_all(await stream.receive_some(65_536))
                await stream.send_all(await behind.receive_some(65_536))
                await trio.sleep_forever()

        async with serving(passes_the_head) as url, trio.open_nursery() as nursery:
            began = trio.current_time()
            settings = by(f"ws://127.0.0.1:{bound.port}/echo", url)
            dialer = FallbackDialer(WebSocketDialer(nursery, settings), Polls())
            assert await dialer.dial() is POLLED
            assert trio.current_time() - began < 11
            assert "nothing came after it" in dialer.reason
            with trio.fail_after(5), trio.move_on_after(1) as given_up:
                await WebSocketDialer(nursery, settings).dial()
            assert given_up.cancelled_caught
            await until_ended(nursery)


@asynccontextmanager
async def inspecting(answer: bytes):
    """A proxy that ends all TLS itself, and answers what it is asked in there; its settings are trusted."""
    companys = trustme.CA()
    trusting = ssl.create_default_context()
    companys.configure_trust(trusting)

    async def serve(stream):
        await stream.receive_some(65_536)
        await stream.send_all(OPENED + b"\r\n")
        inner = trio.SSLStream(stream, serverside(companys, "localhost"), server_side=True)
        await inner.receive_some(65_536)
        await inner.send_all(answer)
        await inner.aclose()

    async with serving(serve) as url:
        yield url, trusting, serverside(companys, "localhost")


@pytest.mark.parametrize("page", [said(b"", "403 No"), said(b"", "503 No"), b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_where_a_page_of_the_proxys_answers_the_relay_is_dialled_directly(page):
    """A company's proxy that looks into TLS has one for what it does not reach, such as a relay near by."""
    async with (
        inspecting(page) as (url, trusting, tls),
        running(make_app(), GuardConfig(tls=tls)) as bound,
    ):
        assert await echoes(by(f"wss://localhost:{bound.port}/echo", url, tls=trusting))


BUSY = b"HTTP/1.1 503 No\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(("page", "status"), [(said(b"", "404 No"), 404), (BUSY, 503)])
async def test_a_refused_upgrade_is_told_of_where_nobody_is_reached_directly(page, status, nobody):
    """What answered says more than what does not; and who is busy is asked but once."""
    far = nobody.replace("ws://127.0.0.1", "wss://localhost")
    async with inspecting(page) as (url, trusting, _):
        refused = await refusal(by(far, url, tls=trusting))
    assert isinstance(refused, UpgradeRefused)
    assert refused.status == status
    assert ("and directly, cannot connect" in refused.reason) is (status != 503)


POLLED = memory_pair(liveness=Liveness()).left


class Polls:
    """Where a relay is polled."""

    async def dial(self):
        """As it is here."""
        return POLLED


async def until_ended(nursery):
    """Wait until nothing runs in a nursery: no link is left that nobody has."""
    with trio.fail_after(30):
        while nursery.child_tasks:
            await trio.sleep(0.1)
