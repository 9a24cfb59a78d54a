"""The relay's numbers for Prometheus. No label names an account, an agent or a device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from ..disk import Disk
from ..exposition import exposition, histogram_family, level_family
from ..release import version
from ..telemetry.families import span_families
from ..telemetry.spans import Spans
from .meter import Meter
from .snapshot import Snapshot, Spread

__all__ = ["TRANSPORTS", "metrics_text", "relay_families"]

#: Each is there from the start, so that a rate can be asked of it.
TRANSPORTS: Final = ("websocket", "longpoll")


def metrics_text(meter: Meter, snapshot: Snapshot, spread: Spread, disk: Disk, spans: Spans | None) -> bytes:
    """The text format of Prometheus."""
    return exposition(relay_families(meter, snapshot, spread, disk, spans))


def relay_families(
    meter: Meter, snapshot: Snapshot, spread: Spread, disk: Disk, spans: Spans | None
) -> Iterator[Metric]:
    """Every metric of a relay, once; of its `spans`, where any are sent."""
    yield from _Numbers(meter, snapshot, disk).all()
    yield level_family(
        "taskferry_relay_mailbox_entries",
        "Mailboxes that hold anything, by how many entries; within a minute.",
        spread.entries,
    )
    yield level_family(
        "taskferry_relay_mailbox_age_seconds",
        "Mailboxes that hold anything, by how long their oldest envelope waits; within a minute.",
        spread.ages,
    )
    yield from span_families(spans)


class _Numbers:
    def __init__(self, meter: Meter, snapshot: Snapshot, disk: Disk) -> None:
        self._meter = meter
        self._snapshot = snapshot
        self._disk = disk

    def all(self) -> Iterator[Metric]:
        """Every metric, once."""
        yield InfoMetricFamily("taskferry_relay", "The relay's release.", {"version": version()})
        yield from self._counted()
        yield from self._timed()
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
        admissions = CounterMetricFamily(
            "taskferry_relay_admissions",
            "Envelopes decided on since the start, by code; accepted once they are on disk.",
            labels=("code",),
        )
        admissions.add_metric(("accepted",), meter.envelopes)
        for (what, code), count in sorted(meter.refusals.items()):
            if what == "envelope":
                admissions.add_metric((code,), count)
        yield admissions

    def _timed(self) -> Iterator[Metric]:
        meter = self._meter
        yield histogram_family(
            "taskferry_relay_commit_seconds",
            "How long groups of envelopes took to be on disk.",
            meter.commits,
        )
        yield histogram_family(
            "taskferry_relay_commit_envelopes", "Envelopes in a group that was committed.", meter.groups
        )
        yield histogram_family(
            "taskferry_relay_wake_seconds",
            "From a commit to the frame with its mail, for recipients who are there.",
            meter.wakes,
        )

    def _gauged(self) -> Iterator[Metric]:
        view, fullest, disk = self._snapshot.overview, self._snapshot.fullest, self._disk
        links = GaugeMetricFamily("taskferry_relay_links", "Open connections.", labels=("transport",))
        for transport in sorted({*TRANSPORTS, *self._meter.links}):
            links.add_metric((transport,), self._meter.links[transport])
        yield links
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
            ("queued_envelopes", "Envelopes that wait for the next commit.", self._meter.queued),
            ("database_bytes", "The database's file.", disk.database),
            ("log_bytes", "Its write-ahead log.", disk.log),
            ("disk_free_bytes", "Free space where the database is.", disk.free),
            ("fullest_mailbox_entries", "Of the fullest.", max((box.count for box in fullest), default=0)),
            ("fullest_mailbox_bytes", "Of the fullest.", max((box.bytes for box in fullest), default=0)),
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
