"""What a relay that runs tells a collector, and that it tells nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trio

from taskferry_apps import system
from tests.relay.conftest import codes, take
from tests.relay.people import connect, person, seal
from tests.relay.process import session_at
from tests.relay.test_request_ids import logging_relay

from .collector import Collector, collecting, facts

SECRET = "canary-of-the-collectors-credential"
CANARIES = (b"canary-of-the-content", b"alice", b"bob", b"canary-path")


@pytest.fixture
def collector(monkeypatch):
    """A collector that relays of this test are told to use."""
    with collecting() as collector:
        monkeypatch.setenv("TASKFERRY_RELAY_OTEL_ENDPOINT", collector.url)
        monkeypatch.setenv("TASKFERRY_RELAY_OTEL_HEADERS", f"authorization=Bearer%20{SECRET}")
        yield collector


async def _exchange(url: str) -> tuple[bytes, bytes]:
    """Two owners, a message that arrives and one that is refused; the first one's hash and its device."""
    now = system.now()
    alice, bob = person("alice", 1, now), person("bob", 2, now)
    async with session_at(url, bob) as there, session_at(url, alice, longpoll=True) as here:
        await here.call(connect(alice, bob, now))
        sent = seal(alice, bob, "canary-of-the-content", now)
        stranger = seal(bob, alice, "x", now)
        assert codes(await here.send([sent.parcel, stranger.parcel]))[0] == "accepted"
        await take(there, 1)
    return sent.hash, bob.keys.id


def test_a_message_is_followed_from_admission_to_delivery(tmp_path: Path, collector: Collector) -> None:
    """In one trace that its hash names; with requests, calls and numbers; no name, content or secret."""
    with logging_relay(tmp_path, "--log", "debug", "--log-format", "json") as (url, lines):
        hash, device = trio.run(_exchange, url)
        assert httpx.get(f"{url}/invite/canary-path?x=canary-path", trust_env=False).status_code == 404
        assert httpx.request("CANARY-PATH", f"{url}/canary-path", trust_env=False).status_code in (404, 405)
    # It has stopped, and said its last words before.
    stored, delivered = (collector.named(f"relay {what} message")[0] for what in ("stored", "delivered"))
    assert stored.trace_id == delivered.trace_id == hash[:16]
    assert stored.start_time_unix_nano <= stored.end_time_unix_nano <= delivered.end_time_unix_nano
    assert set(facts(delivered)) == {"device"}
    (batch,) = collector.named("relay took batch")
    assert facts(batch)["count"] == 2
    assert facts(batch)["refused"] == 1
    assert batch.status.message == facts(batch)["code"] != ""
    assert len(collector.named("relay answered PutConnection")) == 1
    (page,) = collector.named("GET /invite/<code>")
    assert facts(page)["status"] == 404
    assert len(collector.named("none none")) == 1
    assert not [span for span in collector.spans if "/v1/link" in span.name]
    became = collector.metrics["taskferry_telemetry_spans"].sum.data_points
    assert {point.attributes[0].value.string_value: point.as_double for point in became}["lost"] == 0
    assert collector.metrics["taskferry_relay_envelopes"].sum.data_points[0].as_double == 1
    assert collector.metrics["process_resident_memory_bytes"].gauge.data_points[0].as_double > 0
    assert collector.programs[0]["service.name"] == "taskferry-relay"
    for raw in collector.bodies:
        assert not [word for word in (*CANARIES, device, device.hex().encode()) if word in raw.lower()]
    assert {headers["authorization"] for headers in collector.headers} == {f"Bearer {SECRET}"}
    assert SECRET not in "".join(lines)


def test_a_relay_serves_and_stops_while_its_collector_hangs(tmp_path: Path, collector: Collector) -> None:
    """Messages pass as ever, and SIGTERM ends it soon (the helper waits no longer than that)."""
    collector.does = "hang"
    with logging_relay(tmp_path) as (url, lines):
        trio.run(_exchange, url)
        numbers = httpx.get(f"{url}/metrics", trust_env=False).text
        assert 'taskferry_telemetry_spans_total{outcome="sent"} 0.0' in numbers
    assert SECRET not in "".join(lines)


def test_without_the_optional_part_it_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    """One sentence with the next step, and no relay that silently tells nothing."""
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TASKFERRY_RELAY_OTEL_ENDPOINT", "http://127.0.0.1:4318")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "taskferry_apps.cli",
            "relay",
            "--addr",
            "127.0.0.1:0",
            "--data",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "TASKFERRY_RELAY_OTEL_ENDPOINT is set" in done.stderr
    assert "pip install 'taskferry[otel]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
