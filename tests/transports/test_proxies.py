"""Proxies of the environment: the right one is asked, and one that cannot be used ends a dial and no more."""

from __future__ import annotations

import socket
import sys
import types
from urllib.request import getproxies_environment

import pytest
import trio

from taskferry_apps.cli import doctor_network
from taskferry_apps.cli.doctor_checks import Look
from taskferry_apps.cli.doctor_network import relay_from_here
from taskferry_apps.cli.doctor_relay import of_url
from taskferry_apps.daemon.meeting_client import MeetingFailed, open_meeting
from taskferry_transports import proxies
from taskferry_transports.longpoll_client import LongPollDialer, LongPollSettings
from taskferry_transports.port import DialRefused, ProxyUnusable, Unreachable, UpgradeRefused
from taskferry_transports.proxies import proxy_for

from .lying_server import answering, said

FAR = "http://relay.invalid/v1/link"
OPENED = said(b'{"token":"' + b"a" * 43 + b'"}', "201 Created")


@pytest.fixture(autouse=True)
def no_proxy_but_the_tests(monkeypatch):
    """What this machine has set is nobody's business here."""
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_PROXY".upper(), raising=False)


def far_away() -> LongPollSettings:
    """Another host, to which these tests may speak without TLS."""
    return LongPollSettings(FAR, plaintext_hosts=frozenset({"relay.invalid"}))


@pytest.mark.parametrize(
    "proxy",
    [
        "socks://127.0.0.1:9",
        "socks5h://127.0.0.1:9",
        "ftp://127.0.0.1:9",
        "http://secret:of:mine",
        "http://[::1",
    ],
)
async def test_a_dial_is_refused_where_its_proxy_cannot_be_used(monkeypatch, proxy):
    """Whatever the environment names as proxy, the daemon goes on, and a password in it is not told."""
    monkeypatch.setenv("ALL_PROXY", proxy)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            with pytest.raises(ProxyUnusable) as refused:
                await LongPollDialer(nursery, far_away()).dial()
    assert isinstance(refused.value, DialRefused)
    assert "of:mine" not in str(refused.value)
    assert "HTTP_PROXY" in str(refused.value)


async def test_machines_do_not_meet_by_a_proxy_that_cannot_be_used(monkeypatch):
    """A machine that is being linked says so instead of ending."""
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:9")
    with pytest.raises(MeetingFailed, match="proxy"):
        async with open_meeting("https://relay.invalid"):
            pass


async def test_the_proxy_that_is_meant_is_asked_whatever_the_others_are(monkeypatch):
    """One for other programs, or a host spared in a form that is not known here, is in nobody's way."""
    with trio.fail_after(10):
        async with answering(OPENED, said(b"", "410 Gone")) as url, trio.open_nursery() as nursery:
            monkeypatch.setenv("HTTP_PROXY", url)
            monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
            monkeypatch.setenv("HTTPS_PROXY", "ftp://127.0.0.1:9")
            monkeypatch.setenv("NO_PROXY", "[::1,http://x:y:z,other.invalid")
            transport = await LongPollDialer(nursery, far_away()).dial()
            await transport.aclose()


@pytest.mark.parametrize(
    ("spared", "url", "is_spared"),
    [
        ("relay.example", "https://relay.example", True),
        ("RELAY.example:443", "https://relay.example:443/x", True),
        ("relay.example:8443", "https://relay.example:443/x", False),
        (".example", "https://relay.example", True),
        ("*.example", "https://relay.example", True),
        ("lay.example", "https://relay.example", False),
        ("other,*", "https://relay.example", True),
        ("relay.example:443", "https://relay.example", True),
        ("relay.example:80", "https://relay.example", False),
        ("10.0.0.0/8", "https://10.1.2.3:8443", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.0.0.0/8", "https://relay.example", False),
        ("fd00::/8", "https://[fd00::1]", True),
        ("FD00:0:0::1", "https://[fd00::1]", True),
        ("fd00::1", "https://[fd00::1]:8443", True),
        ("[fd00::1]:8443", "https://[fd00::1]:8443", True),
        ("", "https://relay.example", False),
        ("", "http://127.0.0.1:8080", True),
        ("", "http://localhost:8080", True),
    ],
)
def test_hosts_are_spared_a_proxy(spared, url, is_spared):
    """NO_PROXY names hosts, with a port or without, domains and networks; this machine is always spared."""
    named = {"all": "127.0.0.1:9", "no": spared}
    assert proxy_for(url, named) == (None if is_spared else "http://127.0.0.1:9")


@pytest.fixture
def macos(monkeypatch):
    """A Mac with a proxy in its system's settings, which except some hosts, and with no variable set."""
    settings = types.ModuleType("_scproxy")
    excepted = ["*.Local", "169.254/16", "10.1", "relay.example", "*.lan.example", None, "fd00::/8", "x/y"]
    answer = {"exclude_simple": True, "exceptions": excepted}
    monkeypatch.setattr(settings, "_get_proxy_settings", lambda: answer, raising=False)
    monkeypatch.setitem(sys.modules, "_scproxy", settings)
    named = {"https": "http://127.0.0.1:9"}
    monkeypatch.setattr(proxies, "getproxies", lambda: getproxies_environment() or named)


@pytest.mark.parametrize(
    ("host", "is_spared"),
    [
        ("relay.example", True),
        ("other.example", False),
        ("a.relay.example", False),
        ("printer.local", True),
        ("a.lan.example", True),
        ("lan.example", False),
        ("169.254.7.7", True),
        ("169.255.7.7", False),
        ("10.1.2.3", True),
        ("10.2.2.3", False),
        ("[fd00::1]", True),
        ("[fe00::1]", False),
        ("intranet", True),
        ("127.0.0.1", True),
    ],
)
def test_the_systems_settings_of_a_mac_name_a_proxy_and_whom_they_except(macos, host, is_spared):
    """What its browsers do is what a daemon does that no shell has started; no name is resolved for it."""
    assert proxy_for(f"https://{host}:8443") == (None if is_spared else "http://127.0.0.1:9")


def test_variables_come_before_the_systems_settings(macos, monkeypatch):
    """Whoever sets one has decided for this program, exceptions included."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:8")
    assert proxy_for("https://relay.example") == "http://127.0.0.1:8"
    monkeypatch.setenv("NO_PROXY", "relay.example")
    assert proxy_for("https://relay.example") is None


@pytest.mark.parametrize("proxy", ["http://secret:of:mine", "ftp://127.0.0.1:9"])
def test_a_proxy_of_the_system_that_cannot_be_used_is_refused_like_any(macos, monkeypatch, proxy):
    """It ends a dial and no more, and is not repeated."""
    monkeypatch.setattr(proxies, "getproxies", lambda: {"https": proxy})
    with pytest.raises(ProxyUnusable) as refused:
        proxy_for("https://other.example")
    assert "mine" not in refused.value.reason


def test_the_doctor_asks_a_relay_of_this_machine_by_no_proxy(monkeypatch):
    """What a daemon would not use, the doctor does not look at."""
    monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:9")
    looks = list(relay_from_here("http://127.0.0.1:9", clock=False))
    assert [look.check for look in looks if look.level == "fail"] == ["relay from here"]


def test_the_doctor_looks_at_a_relay_through_its_proxy(monkeypatch):
    """Where nothing but the proxy gets out, a certificate that cannot be seen directly is no fault."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    looks = list(relay_from_here("https://relay.invalid", clock=False))
    assert [(look.check, look.level) for look in looks] == [("TLS", "ok"), ("relay from here", "fail")]
    assert "through the proxy" in looks[1].text
    assert "NO_PROXY" in looks[1].remedy


def test_the_doctor_names_a_proxy_that_cannot_be_used(monkeypatch):
    """A daemon may do without it, as long as its WebSocket gets through."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setattr(doctor_network, "certificate", lambda *_: Look("TLS", "ok", "fine"))
    looks = [(look.check, look.level) for look in relay_from_here("https://relay.invalid", clock=False)]
    assert looks == [("TLS", "ok"), ("proxy", "warn")]


def test_the_doctor_looks_at_all_of_a_relay_though_its_proxy_cannot_be_used(monkeypatch):
    """Each look that needs the proxy says that it is unusable, and none ends the others."""
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:9")
    monkeypatch.setattr(doctor_network, "certificate", lambda *_: Look("TLS", "ok", "fine"))
    looks = {look.check: look for look in of_url("https://relay.invalid")}
    assert [looks[name].level for name in ("proxy", "WebSocket", "long-polling", "status")] == [
        "warn",
        "fail",
        "fail",
        "warn",
    ]
    assert "proxy that is set" in looks["long-polling"].text


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "403 No"])
async def test_a_proxy_that_refuses_is_named_as_who_refuses(monkeypatch, status):
    """The relay has not said a word; whoever set the proxy has to mend it."""
    settings = LongPollSettings("https://relay.invalid/v1/link")
    with trio.fail_after(10):
        async with answering(said(b"", status)) as url, trio.open_nursery() as nursery:
            monkeypatch.setenv("HTTPS_PROXY", url)
            with pytest.raises(UpgradeRefused, match=f"the proxy .* HTTP status {status[:3]}"):
                await LongPollDialer(nursery, settings).dial()


async def test_a_proxy_that_is_down_is_named_as_what_is_down(monkeypatch):
    """Not the relay, which may well be up."""
    with socket.socket() as bound, trio.fail_after(10):
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{bound.getsockname()[1]}")
        async with trio.open_nursery() as nursery:
            with pytest.raises(Unreachable, match="the proxy that is set for relay"):
                await LongPollDialer(nursery, far_away()).dial()
