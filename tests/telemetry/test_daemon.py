"""What a daemon tells a collector of its messages and requests, and how its doctor speaks of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import trio

from taskferry_apps import system
from taskferry_apps.daemon.doctor_port import Level
from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_apps.daemon.telemetry import Followed
from taskferry_apps.local_client import LocalClient
from taskferry_apps.relay_client import LinkEnded, RelayClient
from taskferry_apps.telemetry.exporter import Exporter, Pace
from taskferry_apps.telemetry.posting import Target
from taskferry_apps.telemetry.spans import Spans
from taskferry_protocol.calls import GetAccount
from taskferry_protocol.ids import AccountId, AgentRef, Hash, Instant
from taskferry_protocol.records import DropOutbox, OutboxRecord, PutOutbox, RelayedOutbox, Rung, SetRung
from tests import warm
from tests.daemon.test_ladder import say
from tests.daemon.worlds import OWNER, Machine, a_world, connected, on_rung, set_up, until

from .collector import collecting, facts

SECRET = "canary-of-the-collectors-credential"


async def test_a_message_is_followed_from_the_outbox_to_its_delivery_and_at_its_recipient():
    """One trace at both daemons: sent, stored there, heard of here."""
    here, there = Spans(system.entropy), Spans(system.entropy)
    async with a_world() as world, connected(world) as (a, b):
        a.numbers.tell(Followed(here).took)
        b.numbers.tell(Followed(there).took)
        message = await say(a, "canary")
        await on_rung(a, message, "delivered")
        mine = [span for span in here.take() if span.trace == message[:16]]
        theirs = [span for span in there.take() if span.trace == message[:16]]
    assert [span.name for span in mine] == ["daemon sent message", "daemon heard of delivery"]
    assert [span.code for span in mine] == ["", ""]
    assert mine[0].began <= mine[0].ended <= mine[1].ended
    assert [span.name for span in theirs] == ["daemon stored message"]
    assert theirs[0].facts == {"class": "message"}


async def test_each_call_to_the_relay_has_a_span_and_a_refused_one_its_code():
    """From the question to its answer, by its kind; what was asked stays here."""
    spans = Spans(system.entropy)
    followed = Followed(spans)
    async with a_world() as world, world.running(Machine("alice")) as alice:
        alice.numbers.tell(followed.took, followed)
        await set_up(alice, "alice", "requester")
        with pytest.raises(DaemonRefusal):
            await alice.request_connection(OWNER, "requester", "@nobody/writer", "hello")
    asked = {span.name: span for span in spans.take() if span.name.startswith("daemon asked ")}
    assert asked["daemon asked FindAccount"].facts == {"code": "unknown-account"}
    assert {span.code for span in asked.values()} == {"", "unknown-account"}
    assert all(span.began <= span.ended for span in asked.values())


async def test_a_call_without_an_answer_has_a_span_that_says_why(monkeypatch):
    """The session ended under it; or whoever waited gave up."""
    spans = Spans(system.entropy)
    nowhere: Any = SimpleNamespace(greeting=b"")
    client = RelayClient(nowhere, nowhere, system.now, Followed(spans))

    async def ended(self, request):
        raise LinkEnded(None, "the relay hung up")

    async def silent(self, request):
        await trio.sleep_forever()

    monkeypatch.setattr(RelayClient, "_ask", ended)
    with pytest.raises(LinkEnded):
        await client.call(GetAccount(AccountId(bytes(32)), 0))
    monkeypatch.setattr(RelayClient, "_ask", silent)
    with trio.move_on_after(0):
        await client.call(GetAccount(AccountId(bytes(32)), 0))
    assert [(span.name, span.code) for span in spans.take()] == [
        ("daemon asked GetAccount", "link-ended"),
        ("daemon asked GetAccount", "given-up"),
    ]


def test_a_message_that_fails_says_why_and_one_without_receipts_ends_at_the_relay():
    """The code that its sender sees ends its span, though it leaves the outbox with the same commit."""
    spans = Spans(system.entropy)
    followed = Followed(spans)
    first, second, third = (Hash(bytes([n] * 32)) for n in (1, 2, 3))
    to = AgentRef(AccountId(bytes(32)), "writer")
    for hash in (first, second, third):
        entry = OutboxRecord(hash, to, 1, "message", b"", Instant(0), Instant(0))
        followed.took([PutOutbox(entry), PutOutbox(attrs.evolve(entry, attempts=1))])
    gone = SetRung(first, "requester", Rung.FAILED, "not-permitted", Instant(0))
    followed.took([DropOutbox((first,)), gone])
    followed.took([DropOutbox((second,))])
    followed.took([RelayedOutbox((third,))])
    followed.took([SetRung(third, "requester", Rung.EXPIRED, "", Instant(0)), DropOutbox((third,))])
    found = [(span.trace[0], span.name, span.code) for span in spans.take()]
    assert found == [
        (1, "daemon sent message", "not-permitted"),
        (2, "daemon sent message", ""),
        (3, "daemon sent message", ""),
        (3, "daemon heard of delivery", "expired"),
    ]


@pytest.mark.parametrize(
    ("does", "level", "words"),
    [
        ("take", Level.OK, "1 spans and "),
        ("fail", Level.WARN, "The latest spans were not taken: it answered 500"),
    ],
)
async def test_the_doctor_says_whether_they_are_taken(does, level, words):
    """How many went where, or why the latest did not, with the next step."""
    spans = Spans(system.entropy)

    async def collect():
        return []

    with collecting(does) as collector:
        exporter = Exporter(Target(collector.url), {}, spans, collect, Pace(spans_s=0.01))
        async with a_world() as world, world.running(Machine("alice")) as a, trio.open_nursery() as nursery:
            await nursery.start(exporter.run)
            assert not [found for found in await a.doctor.examine(OWNER) if found.check == "telemetry"]
            a.doctor.exporter = exporter
            spans.of_work("x", 0)

            async def told():
                (found,) = [one for one in await a.doctor.examine(OWNER) if one.check == "telemetry"]
                return found if words in found.text else None

            found = await until(told)
            assert found.level is level
            assert collector.url in found.text
            nursery.cancel_scope.cancel()


@contextmanager
def _daemon(data: Path) -> Iterator[tuple[LocalClient, list[str]]]:
    """A daemon process that is stopped at the end; then the list has what it logged."""
    said: list[str] = []
    words = ["up", "--addr", "127.0.0.1:0", "--data", str(data)]
    with TemporaryFile() as log:
        with open(os.devnull, "r+b") as nothing:
            process = warm.start(words, os.environ, Path.cwd(), stdin=nothing, stdout=nothing, stderr=log)
        try:
            deadline = time.monotonic() + 30
            while not (data / "daemon.json").exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            url = json.loads((data / "daemon.json").read_bytes())["url"]
            with LocalClient(url, (data / "owner.token").read_text().strip()) as client:
                yield client, said
        finally:
            process.terminate()
            process.wait(30)
            log.seek(0)
            said.extend(log.read().decode().splitlines())


def test_a_daemon_sends_its_requests_and_numbers(tmp_path, monkeypatch):
    """Requests by their route, and its numbers, at the latest when it stops; no credential in its log."""
    with collecting() as collector:
        monkeypatch.setenv("TASKFERRY_CLIENT_OTEL_ENDPOINT", collector.url)
        monkeypatch.setenv("TASKFERRY_CLIENT_OTEL_HEADERS", f"x-key={SECRET}")
        with _daemon(tmp_path) as (client, said):
            client.health()
    (first, *_) = [span for span in collector.spans if span.name.endswith("/health")]
    assert facts(first)["status"] == 200
    assert "taskferry_daemon_messages" in collector.metrics
    assert collector.programs[0]["service.name"] == "taskferry-daemon"
    assert {headers["x-key"] for headers in collector.headers} == {SECRET}
    assert said
    assert SECRET not in "".join(said)
