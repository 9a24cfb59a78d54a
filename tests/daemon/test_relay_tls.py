"""Towards the relay over TLS, on real sockets: who proves itself is spoken to, and nobody else is."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import trio
import trustme

from taskferry_apps import system
from taskferry_apps.daemon.compose import CannotStart, routes
from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.relay.app import Surface, create_app
from taskferry_apps.relay.core import Policy, Relay
from taskferry_apps.relay.ops_door import OpsDoor, OpsPolicy
from taskferry_apps.relay.pages import Pages
from taskferry_apps.relay.pages.ops import Shown
from taskferry_apps.relay.sign_up_desk import Offer, SignUpDesk
from taskferry_apps.relay.sign_ups import Allowance
from taskferry_protocol.admission import MailboxLimits
from taskferry_protocol.ids import sha256
from taskferry_stores.memory import MemoryRelayStore
from taskferry_transports.fallback import FallbackDialer
from taskferry_transports.guarded_server import GuardConfig, serve
from taskferry_transports.port import PlaintextForbidden, TlsFailed

from .worlds import GENERATION, OWNER, Machine

NOW = datetime.now(UTC)
PROOFS = {
    "good": {},
    "expired": {"not_before": NOW - timedelta(days=9), "not_after": NOW - timedelta(days=1)},
    "not yet": {"not_before": NOW + timedelta(days=1), "not_after": NOW + timedelta(days=9)},
}


@asynccontextmanager
async def tls_relay(folder, name, **validity):
    """A relay that proves itself under this name; its URL on this machine, and its authority's file."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name, **validity).configure_cert(context)
    trusted = folder / "authority.pem"
    authority.cert_pem.write_to_path(trusted)
    store = MemoryRelayStore(GENERATION)
    relay = Relay(store, Policy(()))
    pages = Pages()
    desk = SignUpDesk(
        store,
        Offer.NONE,
        None,
        lambda: pages.address,
        Allowance.of(60),
        now=system.now,
        entropy=system.entropy,
    )
    shown = Shown(MailboxLimits(), "open", 60, "memory", lambda kind, subject, facts: kind)
    door = OpsDoor(OpsPolicy(), store, relay.audit, system.now, system.entropy)
    surface = Surface(door, shown, community=False)
    app, longpoll, _ = create_app(relay, store, system.entropy, pages, desk, surface)
    async with trio.open_nursery() as nursery:
        await nursery.start(relay.run)
        await nursery.start(longpoll.run)
        bound = await nursery.start(serve, app, GuardConfig(tls=context))
        port = bound.addresses[0][1]
        relay.reachable_at([f"wss://{host}:{port}" for host in ("localhost", "127.0.0.1")])
        yield f"https://localhost:{port}", trusted, store
        nursery.cancel_scope.cancel()


def dialer_of(nursery, url, trusted, kind):
    """What a daemon dials this relay with, by one of its two ways."""
    dialer = routes(nursery, trusted)(url).dialer
    assert isinstance(dialer, FallbackDialer)
    return dialer._websocket if kind == "websocket" else dialer._longpoll


@pytest.mark.parametrize("kind", ["websocket", "longpoll"])
async def test_a_named_authority_is_trusted(tmp_path, kind):
    """Either way gets through to a relay with a certificate of the authority that was named."""
    async with tls_relay(tmp_path, "localhost") as (url, trusted, _), trio.open_nursery() as nursery:
        transport = await dialer_of(nursery, url, trusted, kind).dial()
        assert transport.kind == kind
        await transport.aclose()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["websocket", "longpoll"])
@pytest.mark.parametrize(
    ("proof", "name", "named"),
    [
        ("expired", "localhost", True),
        ("not yet", "localhost", True),
        ("good", "other.example", True),
        ("good", "localhost", False),
        ("good", "localhost", None),
    ],
    ids=["expired", "not yet valid", "another host", "authority not named", "another authority"],
)
async def test_a_relay_that_proves_nothing_is_refused(tmp_path, kind, proof, name, named):
    """Expired, of another host, of an unknown authority: no session begins, and no retry would help."""
    async with tls_relay(tmp_path, name, **PROOFS[proof]) as (url, trusted, store):
        if named is None:
            trustme.CA().cert_pem.write_to_path(trusted)
        async with trio.open_nursery() as nursery:
            with pytest.raises(TlsFailed, match=r"(?i)certificate") as refused:
                await dialer_of(nursery, url, trusted if named is not False else None, kind).dial()
            nursery.cancel_scope.cancel()
        assert not refused.value.retryable
        assert (await store.stats()).accounts == 0


async def test_no_way_around_a_wrong_certificate_is_tried(tmp_path):
    """A daemon falls back to long-poll where an upgrade is lost, and never because TLS failed."""
    async with tls_relay(tmp_path, "other.example") as (url, trusted, _), trio.open_nursery() as nursery:
        route = routes(nursery, trusted)(url)
        with pytest.raises(TlsFailed):
            await route.dialer.dial()
        assert route.notice() == ""
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def tunnels_to(port):
    """The address of a proxy that leads every tunnel to this port of this machine."""

    async def pump(source, sink):
        try:
            async for piece in source:
                await sink.send_all(piece)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # one of the two has gone

    async def serve_one(asked):
        head = b""
        while b"\r\n\r\n" not in head:
            head += await asked.receive_some(4_096)
        assert head.startswith(b"CONNECT relay.invalid:443 ")
        async with asked, await trio.open_tcp_stream("127.0.0.1", port) as there:
            await asked.send_all(b"HTTP/1.1 200 Connected\r\n\r\n")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pump, asked, there)
                await pump(there, asked)
                nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve_one, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["websocket", "longpoll"])
@pytest.mark.parametrize("name", ["relay.invalid", "other.example"])
async def test_through_a_proxy_the_relay_itself_proves_itself(tmp_path, monkeypatch, name, kind):
    """By the authority that was named, as to whoever reaches it directly; the proxy only passes bytes on."""
    async with tls_relay(tmp_path, name) as (url, trusted, _), trio.open_nursery() as nursery:
        async with tunnels_to(int(url.rpartition(":")[2])) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy)
            monkeypatch.delenv("https_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.delenv("no_proxy", raising=False)
            dialer = dialer_of(nursery, "https://relay.invalid", trusted, kind)
            if name == "relay.invalid":
                transport = await dialer.dial()
                assert transport.kind == kind
                await transport.aclose()
            else:
                with pytest.raises(TlsFailed, match=r"(?i)certificate"):
                    await dialer.dial()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["websocket", "longpoll"])
async def test_off_this_machine_nothing_is_sent_in_the_open(kind):
    """http:// and ws:// to another host are refused before anything is dialled."""
    async with trio.open_nursery() as nursery:
        for url in ("http://relay.example", "ws://192.0.2.1:8080"):
            with pytest.raises(PlaintextForbidden):
                await dialer_of(nursery, url, None, kind).dial()
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def a_daemon(trusted):
    """A daemon that trusts this authority."""
    machine = Machine("one")
    async with trio.open_nursery() as nursery:
        daemon = await Daemon.open(
            machine.store,
            machine.vault,
            routes(nursery, trusted),
            owner_digest=sha256(b"owner"),
            now=system.now,
            entropy=system.entropy,
            jitter=lambda: 0.0,
        )
        await nursery.start(daemon.run)
        yield daemon
        nursery.cancel_scope.cancel()


async def test_an_account_is_set_up_over_tls(tmp_path):
    """The whole way: the name is claimed at a relay behind a private authority."""
    async with tls_relay(tmp_path, "localhost") as (url, trusted, _), a_daemon(trusted) as daemon:
        assert (await daemon.set_up(OWNER, "alice", url, "laptop")).name_claimed


async def test_set_up_says_what_is_wrong_with_the_certificate(tmp_path):
    """No account is made, and the sentence names the cause."""
    expired = PROOFS["expired"]
    async with tls_relay(tmp_path, "localhost", **expired) as (url, trusted, _), a_daemon(trusted) as daemon:
        with pytest.raises(DaemonRefusal, match="certificate has expired"):
            await daemon.set_up(OWNER, "alice", url, "laptop")
        assert not (await daemon.status()).set_up


async def test_machines_meet_at_a_relay_behind_a_private_authority(tmp_path):
    """A machine that is linked asks the relay before it has a session there, and believes no other."""
    async with tls_relay(tmp_path, "localhost") as (url, trusted, _):
        async with a_daemon(trusted) as daemon:
            assert (await daemon.devices.link(OWNER, url, "another")).place
        trustme.CA().cert_pem.write_to_path(trusted)
        async with a_daemon(trusted) as daemon:
            with pytest.raises(DaemonRefusal, match="could not meet"):
                await daemon.devices.link(OWNER, url, "another")


async def test_a_file_of_authorities_that_is_none_is_said(tmp_path):
    """Missing or not PEM: the daemon does not start with less trust than was asked for."""
    async with trio.open_nursery() as nursery:
        with pytest.raises(CannotStart, match="TASKFERRY_RELAY_CA"):
            routes(nursery, tmp_path / "missing.pem")
        (tmp_path / "broken.pem").write_text("no certificate")
        with pytest.raises(CannotStart, match="TASKFERRY_RELAY_CA"):
            routes(nursery, tmp_path / "broken.pem")
