"""How numbers are written for Prometheus: what this house counts, as families of its client library."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from .histogram import Histogram

__all__ = ["METRICS_TYPE", "exposition", "histogram_family", "process_families"]

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def histogram_family(name: str, about: str, histogram: Histogram) -> HistogramMetricFamily:
    """A histogram as it is scraped."""
    ends = [*(f"{end:g}" for end in histogram.ends), "+Inf"]
    return HistogramMetricFamily(
        name,
        about,
        buckets=list(zip(ends, accumulate(histogram.counts), strict=True)),
        sum_value=histogram.total,
    )


def process_families() -> Iterable[Metric]:
    """The process's own: memory, processor time, file descriptors."""
    return ProcessCollector(registry=None).collect()


def exposition(families: Iterable[Metric]) -> bytes:
    """These, and the process's own: memory, processor time, file descriptors.

    The text format of Prometheus, version 0.0.4 and 1.0.0 alike.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given(families))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Given(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Every metric, once."""
        return self._families
