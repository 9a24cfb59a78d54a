"""Numbers about the sending of spans itself, for whoever reads `/metrics` beside a collector."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from .spans import Spans

__all__ = ["span_families"]


def span_families(spans: Spans | None) -> Iterator[Metric]:
    """What became of the spans since the start; nothing where none are sent."""
    if spans is None:
        return
    became = CounterMetricFamily(
        "taskferry_telemetry_spans", "Spans since the start, by what became of them.", labels=("outcome",)
    )
    became.add_metric(("sent",), spans.export.sent)
    became.add_metric(("lost",), spans.lost)
    yield became
    yield GaugeMetricFamily(
        "taskferry_telemetry_failing",
        "1 while the collector does not take them.",
        int(bool(spans.export.failure)),
    )
