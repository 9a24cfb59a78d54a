"""`taskferry doctor --relay`: a relay from outside and on its own machine, well or not, and no relay."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
import trustme

from taskferry_apps import relay_probe
from taskferry_apps.cli import asking, doctor_network
from taskferry_apps.cli.doctor_checks import Look
from taskferry_apps.cli.doctor_relay import of_database, of_url
from taskferry_apps.relay_probe import Probed
from taskferry_apps.system import now
from taskferry_protocol.records import Generation
from taskferry_stores.sqlite import back_up_relay, manifest_path, open_relay_store
from taskferry_transports.guarded_server import GuardConfig
from tests.telemetry.collector import collecting
from tests.transports.lying_server import said, serving
from tests.transports.pairs import running
from tests.transports.raw import make_app
from tests.transports.test_tunnel import serverside, tunnels

from .test_ops_pages import served


async def reached(url: str) -> dict[str, Look]:
    """What is found of a URL, by what was looked at."""
    return {look.check: look for look in await trio.to_thread.run_sync(lambda: list(of_url(url)))}


def looked(database: Path, backup: Path | None = None, config: Path | None = None) -> dict[str, Look]:
    """What is found of a database."""
    return {look.check: look for look in of_database(database, config, backup)}


async def test_a_relay_that_is_well_is_reached_by_both_transports(tmp_path: Path) -> None:
    """A session opens by each, the clock is compared, and its own word is shown."""
    async with served(tmp_path) as site:
        found = await reached(site.url)
    assert set(found) == {"TLS", "relay from here", "WebSocket", "long-polling", "clock", "status"}
    assert {look.level for name, look in found.items() if name != "status"} == {"ok"}


@pytest.mark.parametrize("works", ["websocket", "longpoll"])
def test_one_way_through_this_machines_proxy_is_enough(monkeypatch: pytest.MonkeyPatch, works: str) -> None:
    """Daemons take the one that gets through; what is in the way of the other stands here."""

    def probed(url: str, transport: str, authorities: Path | None) -> Probed:
        return Probed(transport, opened=transport == works, reason="the proxy answered with 405")

    monkeypatch.setattr(relay_probe, "probe", probed)
    monkeypatch.setattr(doctor_network, "relay_from_here", lambda *_, **__: iter(()))
    monkeypatch.setattr(doctor_network, "is_proxied", lambda _: True)
    found = {look.check: look for look in of_url("https://127.0.0.1:9")}
    names = {"websocket": "WebSocket", "longpoll": "long-polling"}
    assert found[names.pop(works)].level == "ok"
    (other,) = names.values()
    assert found[other].level == "warn"
    assert "405" in found[other].text
    assert "proxy that is set" in found[other].remedy


async def test_a_relay_that_answers_though_a_proxy_is_down_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a daemon that was taken home dials it; the proxy is named all the same."""
    monkeypatch.setattr(asking, "proxy_for", lambda _: "http://127.0.0.1:9")
    async with served(tmp_path) as site:
        found = await reached(site.url)
    assert found["proxy"].level == "warn"
    assert "refused" in found["proxy"].text.lower()
    assert {found[name].level for name in ("TLS", "relay from here", "WebSocket", "status")} <= {"ok", "warn"}


async def test_a_relay_that_answers_though_a_proxy_is_not_trusted_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Daemons tell that proxy nothing, and dial the relay directly, which they do trust."""
    async with (
        served(tmp_path) as site,
        tunnels(9, serverside(trustme.CA(), "127.0.0.1")) as (proxy, port),
    ):
        monkeypatch.setattr(asking, "proxy_for", lambda _: f"https://127.0.0.1:{port}")
        found = await reached(site.url)
        assert proxy.asked == []
    assert found["proxy"].level == "warn"
    assert "certificate" in found["proxy"].text
    assert found["relay from here"].level == "ok"


async def test_a_relay_that_is_not_trusted_through_a_proxy_is_looked_at_by_no_other_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As no daemon dials it then."""
    stranger = GuardConfig(tls=serverside(trustme.CA(), "127.0.0.1"))
    async with running(make_app(), stranger) as bound, tunnels(bound.port) as (_, port):
        monkeypatch.setattr(asking, "proxy_for", lambda _: f"http://127.0.0.1:{port}")
        monkeypatch.setattr(doctor_network, "is_proxied", lambda _: True)
        found = await reached(f"https://127.0.0.1:{bound.port}")
    assert found["relay from here"].level == "fail"
    assert "certificate" in found["relay from here"].text
    assert "proxy" not in found


async def test_of_what_a_proxy_answers_the_number_alone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own words may be any; the number says what to do."""

    async def refuses(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        await stream.send_all(said(b"", "407 Call blah for help"))
        await stream.aclose()

    async with serving(refuses) as proxy:
        monkeypatch.setattr(asking, "proxy_for", lambda _: proxy)
        monkeypatch.setattr(doctor_network, "is_proxied", lambda _: True)
        found = await reached("https://127.0.0.1:9")
    assert found["relay from here"].level == "fail"
    assert "HTTP status 407: it wants a user and a password" in found["relay from here"].text
    assert not [look for look in found.values() if "blah" in look.text]


async def test_an_address_that_the_relay_does_not_know_is_said(tmp_path: Path) -> None:
    """It answers, and would refuse every daemon that comes this way."""
    async with served(tmp_path, origins="wss://relay.example") as site:
        found = await reached(site.url)
    for name in ("WebSocket", "long-polling"):
        assert found[name].level == "fail"
        assert "--origins" in found[name].remedy


@contextmanager
def something_else() -> Iterator[str]:
    """A web server that says it is well, and is no relay."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"\x1b[")

        def log_message(self, *words: object) -> None:
            """It keeps quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_what_is_no_relay_is_told_apart() -> None:
    """Neither transport comes to a session, with what a proxy would have to let through."""
    with something_else() as url:
        found = await reached(url)
    assert (found["WebSocket"].level, found["long-polling"].level) == ("fail", "fail")
    assert "/v1/ws" in found["WebSocket"].remedy
    assert found["status"].level == "warn"


async def test_a_relay_in_the_open_is_not_dialled() -> None:
    """Off this machine nothing without TLS is spoken to, and nonsense is no address."""
    for url in ("http://relay.example", "ftp://relay.example", "http://"):
        found = await reached(url)
        assert [look.level for look in found.values()] == ["fail"], url


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A relay's database."""
    path = tmp_path / "relay.db"

    async def make() -> None:
        async with open_relay_store(path, generation=Generation(b"g" * 16)) as store:
            await store.stats()

    trio.run(make)
    return path


def test_a_database_that_is_well(database: Path, tmp_path: Path) -> None:
    """Everything is ok, and the backup is known by its manifest."""
    backup = tmp_path / "backup" / "relay.db"
    backup.parent.mkdir()
    os.chmod(tmp_path, 0o700)
    back_up_relay(database, backup, now(), lambda _, __: None)
    found = looked(database, backup)
    wrong = {name for name, look in found.items() if look.level != "ok"}
    assert not wrong - {"disk space"}
    assert {"file modes", "write-ahead log", "database", "backup", "origins"} <= set(found)


def test_each_trouble_has_its_next_step(database: Path, tmp_path: Path) -> None:
    """A database that others read, an old backup, none at all, links that lead elsewhere, a proxy unknown."""
    backup = tmp_path / "backup.db"
    back_up_relay(database, backup, 1, lambda _, __: None)  # type: ignore[arg-type]
    os.chmod(database, 0o644)
    config = tmp_path / "relay.toml"
    config.write_text('[relay]\norigins = ["ws://127.0.0.1:9"]\npublic_url = "http://else.example"\n')
    found = looked(database, backup, config)
    assert found["file modes"].level == "fail"
    assert (found["backup"].level, found["public URL"].level) == ("warn", "fail")
    assert (found["origins"].level, found["proxy"].level) == ("warn", "warn")
    assert found["relay from here at 127.0.0.1:9"].level == "fail"
    for look in found.values():
        assert look.remedy or look.level == "ok" or look.check == "database"
    manifest = json.loads(manifest_path(backup).read_text())
    manifest_path(backup).write_text(json.dumps(manifest | {"size": "large"}))
    assert looked(database, backup)["backup"].level == "fail"
    assert looked(database, tmp_path / "none.db")["backup"].level == "fail"
    assert looked(tmp_path / "nothing.db")["database"].level == "fail"
    (tmp_path / "text.db").write_text("no database " * 99)
    assert looked(tmp_path / "text.db")["database"].level == "fail"
    config.write_text("[relay]\nsignup = 'perhaps'\n")
    assert looked(database, None, config)["configuration"].level == "fail"


@pytest.mark.parametrize(
    ("does", "level", "words"),
    [("take", "ok", "takes spans and numbers"), ("redirect", "warn", "sends elsewhere (307)")],
)
def test_a_collector_is_asked_whether_it_takes_telemetry(
    database: Path, monkeypatch: pytest.MonkeyPatch, does: str, level: str, words: str
) -> None:
    """With nothing in it; a relay without a collector has nothing to say."""
    assert "telemetry" not in looked(database)
    with collecting(does) as collector:
        monkeypatch.setenv("TASKFERRY_RELAY_OTEL_ENDPOINT", collector.url)
        monkeypatch.setenv("TASKFERRY_RELAY_OTEL_HEADERS", "x-key=canary-of-the-credential")
        found = looked(database)["telemetry"]
        assert (found.level, bool(found.remedy)) == (level, level != "ok")
        assert words in found.text
        assert "canary" not in found.text + found.remedy
        assert collector.spans == []
