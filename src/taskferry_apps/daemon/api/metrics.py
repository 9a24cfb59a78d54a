"""`GET /metrics`: the daemon's numbers for Prometheus, by a token that reads nothing else, or the owner's."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from quart import Response, request
from quart_trio import QuartTrio

from taskferry_protocol.ids import Hash, sha256

from ...disk import Disk, disk_of
from ...release import version
from ...settings import DaemonSettings
from ..numbers_port import Numbers
from ..port import DaemonService
from .guard import bearer_secret, identify, owner_only, unauthorized

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from ...telemetry.spans import Spans

__all__ = ["add_metrics", "daemon_families"]

_TRANSPORTS: Final = ("websocket", "longpoll")


def add_metrics(app: QuartTrio, daemon: DaemonService, settings: DaemonSettings, spans: Spans | None) -> None:
    """Serve them; the application's guard against web pages stands before this, too."""

    @app.get("/metrics", provide_automatic_options=False)
    async def metrics() -> Response:
        await _admit(daemon, settings.metrics_token)
        # Costs a daemon that nobody watches neither the time nor the memory.
        from ...exposition import METRICS_TYPE, exposition

        numbers = await daemon.numbers.read()
        text = exposition(daemon_families(numbers, disk_of(settings.database), spans))
        return Response(text, content_type=METRICS_TYPE)


async def _admit(daemon: DaemonService, token: Hash | None) -> None:
    """Let in whoever shows the token or the owner's credential. Raises DaemonRefusal."""
    secret = bearer_secret(request.headers.get("Authorization"))
    if secret is None:
        raise unauthorized("A credential is needed.")
    if token is not None and hmac.compare_digest(sha256(secret.encode("utf-8", "surrogateescape")), token):
        return
    caller = await identify(daemon, secret)
    if not caller.is_owner:
        raise await owner_only(
            daemon,
            caller,
            "GET /metrics",
            "Set TASKFERRY_METRICS_TOKEN on the daemon, and let what reads numbers send that.",
        )


def daemon_families(numbers: Numbers, disk: Disk, spans: Spans | None) -> Iterator[Metric]:
    """Every metric of a daemon, once; of its `spans`, where any are sent."""
    from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

    from ...exposition import histogram_family
    from ...telemetry.families import span_families

    yield InfoMetricFamily("taskferry_daemon", "The daemon's release.", {"version": version()})
    yield histogram_family(
        "taskferry_daemon_commit_seconds", "How long commits took to be on disk.", numbers.commits
    )
    connected = GaugeMetricFamily(
        "taskferry_daemon_connected",
        "1 for the way by which the relay is reached now.",
        labels=("transport",),
    )
    for transport in _TRANSPORTS:
        connected.add_metric((transport,), int(numbers.transport == transport))
    yield connected
    stats = numbers.stats
    for name, text, value in (
        ("relay_refuses", "1 while the relay refuses the session.", int(bool(numbers.refused))),
        ("stopped", "1 while it signs nothing, since a copy of it may be at work.", int(numbers.stopped)),
        ("outbox_waiting", "Messages that no relay has taken yet.", stats.outbox_waiting),
        ("outbox_relayed", "Messages at the relay, their delivery not known yet.", stats.outbox_relayed),
        ("inbox_unread", "Items that no agent has read.", numbers.unread),
        ("inbox_read", "Items that were read and not processed.", numbers.read),
        ("quarantined", "Items that arrived and had no effect.", stats.quarantined),
        ("receipts_owed", "Receipts still to be sent.", stats.receipts_owed),
        ("messages", "Messages kept.", stats.messages),
        ("tasks", "Tasks kept.", stats.tasks),
        ("known_accounts", "Owners known here, this one among them.", stats.accounts),
        ("agents_seen", "Agents that a program has acted as since the start.", numbers.programs),
        ("database_bytes", "The database's file.", disk.database),
        ("log_bytes", "Its write-ahead log.", disk.log),
        ("disk_free_bytes", "Free space where the database is.", disk.free),
    ):
        yield GaugeMetricFamily(f"taskferry_daemon_{name}", text, value)
    yield from span_families(spans)
