"""The relay's numbers for Prometheus. No label names an account, an agent or a device."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from ..release import version
from .meter import BUCKETS_S, Meter
from .snapshot import Snapshot

__all__ = ["metrics_text"]


def metrics_text(meter: Meter, snapshot: Snapshot) -> bytes:
    """The text format of Prometheus, version 0.0.4 and 1.0.0 alike."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Numbers(meter, snapshot))
    return generate_latest(registry)


class _Numbers(Collector):
    def __init__(self, meter: Meter, snapshot: Snapshot) -> None:
        self._meter = meter
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """Every metric, once."""
        yield InfoMetricFamily("taskferry_relay", "The relay's release.", {"version": version()})
        yield from self._counted()
        yield from self._gauged()

    def _counted(self) -> Iterator[Metric]:
        meter = self._meter
        yield CounterMetricFamily(
            "taskferry_relay_envelopes", "Envelopes committed since the start.", meter.envelopes
        )
        yield CounterMetricFamily(
            "taskferry_relay_sessions", "Sessions opened since the start.", meter.sessions
        )
        refusals = CounterMetricFamily(
            "taskferry_relay_refusals", "Refusals since the start, by code.", labels=("what", "code")
        )
        for (what, code), count in sorted(meter.refusals.items()):
            refusals.add_metric((what, code), count)
        yield refusals
        counts = accumulate(meter.buckets)
        ends = [*map(str, BUCKETS_S), "+Inf"]
        yield HistogramMetricFamily(
            "taskferry_relay_commit_seconds",
            "How long groups of envelopes took to be on disk.",
            buckets=list(zip(ends, counts, strict=True)),
            sum_value=meter.commit_seconds,
        )

    def _gauged(self) -> Iterator[Metric]:
        view = self._snapshot.overview
        for name, text, value in (
            (
                "start_time_seconds",
                "When the relay started, in seconds since 1970.",
                self._meter.started / 1000,
            ),
            ("healthy", "1 where all is well.", int(self._snapshot.verdict.word == "well")),
            (
                "disk_full",
                "1 while the disk has no room for mail.",
                int(self._meter.disk_full_at is not None),
            ),
            ("online_devices", "Devices that have a session now.", self._snapshot.online),
            ("accounts", "Accounts.", view.accounts),
            ("suspended_accounts", "Accounts that the operator has suspended.", view.suspended),
            ("held_accounts", "Accounts whose log has forked.", view.held),
            ("devices", "Devices that ever had mail.", view.devices),
            ("agents", "Agents that have a card.", view.agents),
            ("public_agents", "Agents in the public directory.", view.public_agents),
            ("invites", "Published invites.", view.invites),
            ("connections", "Connections that have not ended.", view.connections),
            ("mailboxes_waiting", "Mailboxes that hold anything.", view.mailboxes),
            ("waiting_entries", "Mailbox entries that nobody has acknowledged.", view.waiting),
            ("waiting_bytes", "Their bytes.", view.waiting_bytes),
            (
                "oldest_waiting_seconds",
                "How long the oldest envelope waits.",
                self._snapshot.queue_age_ms / 1000,
            ),
        ):
            yield GaugeMetricFamily(f"taskferry_relay_{name}", text, value)
