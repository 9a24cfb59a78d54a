"""How numbers are written for Prometheus: what this house counts, as families of its client library."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeHistogramMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from .histogram import Histogram

__all__ = ["METRICS_TYPE", "exposition", "histogram_family", "level_family", "process_families"]

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def histogram_family(name: str, about: str, histogram: Histogram) -> HistogramMetricFamily:
    """A histogram as it is scraped."""
    return HistogramMetricFamily(name, about, buckets=_steps(histogram), sum_value=histogram.total)


def level_family(name: str, about: str, histogram: Histogram) -> GaugeHistogramMetricFamily:
    """A histogram of how things are now, whose steps may fall: it is asked for shares, and for no rate."""
    return GaugeHistogramMetricFamily(name, about, buckets=_steps(histogram), gsum_value=histogram.total)


def _steps(histogram: Histogram) -> list[tuple[str, float]]:
    ends = [*(f"{end:.12g}" for end in histogram.ends), "+Inf"]
    return list(zip(ends, accumulate(histogram.counts), strict=True))


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
