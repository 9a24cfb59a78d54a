"""What the exporter sends, and that no collector holds the program up, fills it, or learns a secret."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from structlog.testing import capture_logs

from taskferry_apps import system
from taskferry_apps.exposition import exposition, histogram_family
from taskferry_apps.histogram import Histogram
from taskferry_apps.telemetry.exporter import Exporter, Pace
from taskferry_apps.telemetry.families import span_families
from taskferry_apps.telemetry.posting import Target
from taskferry_apps.telemetry.spans import BATCH, Spans
from taskferry_protocol.ids import Hash

from .collector import Collector, collecting, facts

SECRET = "canary-of-the-collectors-credential"
PACE = Pace(spans_s=0.01, numbers_s=0.05, deadline_s=0.3, finish_s=1.0)
HASH = Hash(bytes(range(32)))
HOSTILE = ("hang", "fail", "busy", "close", "flood", "trickle", "redirect", "nonsense", "reject")


@attrs.frozen
class Running:
    """An exporter at work, and where its spans come from."""

    exporter: Exporter
    spans: Spans

    async def until(self, found) -> None:
        """Wait until it is so."""
        with trio.fail_after(20):
            while not found():
                await trio.sleep(0.01)


@pytest.fixture
def collector() -> Iterator[Collector]:
    """One that takes all."""
    with collecting() as collector:
        yield collector


@asynccontextmanager
async def exporting(collector: Collector, *, most: int = 4096, pace: Pace = PACE) -> AsyncIterator[Running]:
    """An exporter that sends to a collector."""
    spans = Spans(system.entropy, most=most)
    seconds = Histogram((0.1, 1.0))
    for value in (0.05, 0.5, 0.6, 7.0):
        seconds.add(value)

    async def collect():
        counted = CounterMetricFamily("taskferry_test_things", "Things.", labels=("code",))
        counted.add_metric(("good",), 3)
        return [
            counted,
            GaugeMetricFamily("taskferry_test_level", "A level.", 2.5),
            histogram_family("taskferry_test_seconds", "How long.", seconds),
        ]

    target = Target(collector.url, {"authorization": f"Bearer {SECRET}"})
    exporter = Exporter(target, {"service.name": "test"}, spans, collect, pace)
    async with trio.open_nursery() as nursery:
        await nursery.start(exporter.run)
        yield Running(exporter, spans)
        nursery.cancel_scope.cancel()


async def test_spans_arrive_as_they_were_taken(collector):
    """Name, time, facts and code; a message's trace begins with its hash; the credential goes along."""
    async with exporting(collector) as running:
        began = running.spans.now() - 5_000_000
        running.spans.of_message("sent", HASH, began, {"count": 3, "code": "expired"}, "expired")
        running.spans.of_work("worked", began, {"route": "/v1/x", "status": 200})
        await running.until(lambda: len(collector.spans) == 2)
        await running.until(lambda: running.exporter.spans.sent == 2)
        sent, worked = collector.spans
        assert (sent.name, sent.trace_id, sent.start_time_unix_nano) == ("sent", HASH[:16], began)
        assert 5_000_000 <= sent.end_time_unix_nano - began < 60_000_000_000
        assert facts(sent) == {"count": 3, "code": "expired"}
        assert (sent.status.code, sent.status.message) == (2, "expired")
        assert facts(worked) == {"route": "/v1/x", "status": 200}
        assert worked.status.code == 0
        assert len(worked.trace_id) == 16
        assert len(sent.span_id) == 8
        assert collector.programs[0] == {"service.name": "test"}
        assert collector.headers[0]["authorization"] == f"Bearer {SECRET}"
        assert running.exporter.dropped == 0


async def test_numbers_arrive_as_prometheus_would_read_them(collector):
    """A counter, a gauge and a histogram, whose steps are no longer cumulative."""
    async with exporting(collector) as running:
        await running.until(lambda: len(collector.metrics) == 3)
    counted = collector.metrics["taskferry_test_things"].sum
    assert counted.is_monotonic
    assert [point.as_double for point in counted.data_points] == [3]
    assert counted.data_points[0].attributes[0].value.string_value == "good"
    assert collector.metrics["taskferry_test_level"].gauge.data_points[0].as_double == 2.5
    steps = collector.metrics["taskferry_test_seconds"].histogram.data_points[0]
    assert (list(steps.explicit_bounds), list(steps.bucket_counts)) == ([0.1, 1.0], [1, 2, 1])
    assert (steps.count, steps.sum) == (4, pytest.approx(8.15))


async def test_what_is_not_named_never_leaves(collector):
    """A fact under any other name stays here; a long one is cut."""
    async with exporting(collector) as running:
        running.spans.of_work("x", 0, {"text": "canary", "peer": "@ada/bot", "route": "r" * 500})
        await running.until(lambda: len(collector.spans) == 1)
    assert facts(collector.spans[0]) == {"route": "r" * 128}


@pytest.mark.parametrize("elsewhere", ["mailto:x", "https:foo", "http://xn--a/"])
async def test_a_collector_that_sends_to_no_address_is_sent_to_again_later(elsewhere):
    """What it answers ends no export: once it takes what it is sent, it has what comes then."""
    with collecting("redirect") as collector, capture_logs() as logs:
        collector.elsewhere = elsewhere
        async with exporting(collector) as running:
            running.spans.of_work("lost", 0)
            await running.until(lambda: running.exporter.spans.dropped and running.exporter.numbers.failures)
            collector.does = "take"
            running.spans.of_work("kept", 0)
            await running.until(lambda: collector.named("kept") and collector.metrics)
    assert {entry["log_level"] for entry in logs} == {"warning", "info"}


@pytest.mark.parametrize("does", HOSTILE)
async def test_no_collector_holds_anything_up_and_what_is_lost_is_counted_and_said_once(does):
    """Whether it hangs, fails, lies, floods or sends elsewhere; and the secret stays here."""
    with collecting(does) as collector, collecting() as other, capture_logs() as logs:
        collector.elsewhere = other.url
        async with exporting(collector, most=1000) as running:
            for _ in range(3000):
                running.spans.of_work("x", 0)
            assert len(running.spans) == 1000
            assert running.spans.dropped == 2000
            exporter = running.exporter
            await running.until(
                lambda: exporter.spans.failure and exporter.numbers.failures + exporter.numbers.sent
            )
            if does not in ("hang", "trickle", "busy", "close"):
                # These are final: what was offered is lost. Others are offered again, and are under way.
                await running.until(lambda: exporter.dropped >= 2000 + BATCH)
            assert exporter.spans.sent == 0
            with trio.fail_after(5):
                await exporter.finish()
        assert running.exporter.dropped + len(running.spans) == 3000
        told = exposition(span_families(running.spans)).decode()
        assert 'taskferry_telemetry_spans_total{outcome="sent"} 0.0' in told
        assert f'taskferry_telemetry_spans_total{{outcome="lost"}} {float(running.exporter.dropped)}' in told
        assert "taskferry_telemetry_failing 1.0" in told
        assert other.requests == []
    said = [line for line in logs if line["event"] == "telemetry is not taken"]
    assert [line["kind"] for line in said].count("spans") == 1
    assert [line["kind"] for line in said].count("numbers") <= 1
    assert SECRET not in repr(logs)
    assert SECRET not in repr(running.exporter.__dict__)


async def test_a_collector_that_is_not_there_is_tried_again_until_it_is():
    """What waits goes out once it comes up, and both turns stand in the log once."""
    with capture_logs() as logs, collecting("busy") as collector:
        async with exporting(collector) as running:
            running.spans.of_work("x", 0)
            await running.until(lambda: bool(running.exporter.numbers.failure))
            collector.does = "take"
            await running.until(lambda: running.exporter.numbers.sent > 0)
            assert running.exporter.numbers.failure == ""
    told = [line["event"] for line in logs if line["kind"] == "numbers"]
    assert told == ["telemetry is not taken", "telemetry is taken again"]


async def test_the_last_words_are_sent_when_the_program_stops(collector):
    """Nothing waits for the next round then; all of it is there."""
    slow = Pace(spans_s=600, numbers_s=600, finish_s=20)
    async with exporting(collector, pace=slow) as running:
        for _ in range(BATCH - 1):
            running.spans.of_work("x", 0)
        await running.exporter.finish()
        assert len(collector.spans) == BATCH - 1
        assert len(collector.metrics) == 3


async def test_as_many_as_are_worth_a_request_do_not_wait(collector):
    """A full batch goes at once, whatever the pace."""
    async with exporting(collector, pace=Pace(spans_s=600, numbers_s=600)) as running:
        for _ in range(BATCH):
            running.spans.of_work("x", 0)
        await running.until(lambda: len(collector.spans) == BATCH)


def test_of_many_messages_some_are_followed_and_everywhere_the_same():
    """Which ones goes by the hash alone; about one in so many."""
    here, there = Spans(system.entropy, 10), Spans(system.entropy, 10)
    hashes = [Hash(system.entropy(32)) for _ in range(5000)]
    chosen = [hash for hash in hashes if here.follows(hash)]
    assert chosen == [hash for hash in hashes if there.follows(hash)]
    assert 350 < len(chosen) < 650
