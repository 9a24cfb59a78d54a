"""Messages through a server: how many a second, at what cost, how soon, and how a backlog drains.

Every measurement is of fresh processes on a fresh database; relay and bare pipeline take turns, and medians
are compared, because machines are noisy.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from taskferry_apps import system
from taskferry_protocol.ids import Instant

from .cast import make_owner, seal_text, write_parcels
from .processes import BenchmarkFailed, Kind, Server, clients, serving
from .results import Bar, Figure, Way

__all__ = ["Flow", "Run", "Scale", "Workshop", "carry", "enrol", "measure_backlog", "measure_latency"]

SHARE = Bar(Way.AT_LEAST, 80.0)


@attrs.frozen
class Scale:
    """How long to measure."""

    name: str
    messages: int
    """In one run of a throughput."""
    repeats: int
    """Runs of each kind."""
    paced: int
    """Messages of one latency run."""
    backlog: int
    crowds: tuple[int, ...]
    """Numbers of idle connections."""
    stored: tuple[int, int]
    """Envelopes stored before the cost of one more is measured: few and many."""
    operations: int
    """Of each kind of cryptographic operation."""
    starts: int
    """Of the command line; and looks at each page."""
    history: tuple[int, int]
    """Tasks and messages that a daemon keeps while its lists are measured."""
    questions: int
    """Of each kind, over that history."""


FULL = Scale(
    "full", 20_000, 3, 500, 20_000, (1_000, 5_000), (1_000, 1_000_000), 4_000, 15, (100_000, 1_000_000), 60
)
QUICK = Scale("quick", 2_000, 1, 100, 4_000, (200,), (1_000, 20_000), 400, 3, (1_000, 10_000), 20)


@attrs.frozen
class Flow:
    """Who sends how: `pairs` owners each to one other, `frame` parcels a frame, `depth` frames ahead."""

    name: str
    pairs: int
    frame: int
    depth: int
    bar: Bar | None = None


FLOWS = (
    Flow("pair", 1, 1, 64, SHARE),
    Flow("pairs", 50, 4, 8, SHARE),
    Flow("frames", 50, 32, 4, SHARE),
)


@attrs.frozen
class Run:
    """What one run of a flow came to."""

    rate: float
    """Messages a second, from the first sent to the last acknowledged by its recipient."""
    cpu_us: float
    """Processor time of the server for each, in microseconds."""


@attrs.define
class Workshop:
    """Where benchmarks keep their databases and sealed parcels, and whom they tell how far they are."""

    folder: Path
    scale: Scale
    tell: Callable[[str], None]
    now: Instant = attrs.field(factory=system.now)
    kept: Path | None = None
    """A daemon's directory with a long history, to begin with where a benchmark can."""
    _sealed: dict[tuple[int, int], Path] = attrs.field(factory=dict)

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        """An empty folder for one run."""
        with tempfile.TemporaryDirectory(dir=self.folder) as made:
            yield Path(made)

    def parcels(self, pairs: int, each: int) -> Path:
        """A file with `each` sealed parcels for each of the pairs; sealed once, sent by every run."""
        path = self._sealed.get((pairs, each))
        if path is None:
            self.tell(f"sealing {pairs * each:,} messages")
            path = self._sealed[pairs, each] = self.folder / f"parcels-{pairs}-{each}.cbor"
            lists: list[list[bytes]] = []
            for number in range(pairs):
                sender, recipient = (make_owner(n, self.now) for n in (2 * number, 2 * number + 1))
                lists.append([seal_text(sender, recipient, n, self.now)[0] for n in range(1, each + 1)])
            write_parcels(path, lists)
        return path

    def plan(self, role: str, server: Server, owners: Sequence[int], **more: object) -> dict[str, object]:
        """A plan for a client process."""
        return {"role": role, "url": server.url, "now": self.now, "owners": list(owners), **more}


def enrol(shop: Workshop, server: Server, kind: Kind, pairs: int) -> None:
    """Let the owners of so many pairs join, and connect them; a bare pipeline knows nobody."""
    if kind is Kind.RELAY:
        with clients(shop.plan("enrol", server, range(2 * pairs))) as (client,):
            client.go()
            client.hear()


def carry(shop: Workshop, server: Server, flow: Flow, parcels: Path, each: int, skip: int = 0) -> Run:
    """Send `each` messages a pair, after the first `skip`, through a server and have them acknowledged."""
    senders, recipients = range(0, 2 * flow.pairs, 2), range(1, 2 * flow.pairs, 2)
    what = {"parcels": str(parcels), "skip": skip, "count": each}
    sending = shop.plan("send", server, senders, **what, frame=flow.frame, depth=flow.depth)
    with clients(sending, shop.plan("receive", server, recipients, count=each)) as (sender, recipient):
        before = server.cpu_s
        recipient.go()
        sender.go()
        said: Any = sender.hear()
        heard: Any = recipient.hear()
        used = server.cpu_s - before
    count = each * flow.pairs
    return Run(count / (heard["ended"] - said["began"]), used / count * 1e6)


def measure_flow(shop: Workshop, flow: Flow) -> list[Figure]:
    """Throughput and cost of a flow, as a share of the bare pipeline's."""
    each = max(flow.frame, shop.scale.messages // flow.pairs // flow.frame * flow.frame)
    parcels = shop.parcels(flow.pairs, each)
    runs: dict[Kind, list[Run]] = {kind: [] for kind in Kind}
    for turn in range(shop.scale.repeats):
        for kind in Kind:
            shop.tell(f"{kind.value}, run {turn + 1} of {shop.scale.repeats}")
            with shop.fresh() as folder, serving(kind, folder) as server:
                enrol(shop, server, kind, flow.pairs)
                runs[kind].append(carry(shop, server, flow, parcels, each))
    relay, bare = ([run.rate for run in runs[kind]] for kind in (Kind.RELAY, Kind.BARE))
    share = statistics.median(relay) / statistics.median(bare) * 100
    return [
        _median(flow.name, "relay", relay, "messages/s"),
        _median(flow.name, "bare pipeline", bare, "messages/s"),
        Figure(flow.name, "relay's share of bare", share, "%", flow.bar),
        _median(flow.name, "relay's CPU", [r.cpu_us for r in runs[Kind.RELAY]], "us/message"),
        _median(flow.name, "bare pipeline's CPU", [r.cpu_us for r in runs[Kind.BARE]], "us/message"),
    ]


def _median(group: str, label: str, values: Sequence[float], unit: str, bar: Bar | None = None) -> Figure:
    return Figure(group, label, statistics.median(values), unit, bar, (min(values), max(values)))


PACE_HZ = 50
#: Before and after the runs, so that a busy disk shows in figures of its own.
SYNCS, SYNC_BYTES = 50, 16_384
P50, P99 = Bar(Way.AT_MOST, 2.0), Bar(Way.AT_MOST, 4.0)


def measure_latency(shop: Workshop) -> list[Figure]:
    """From the sender's process to the recipient's, one message each 20 ms."""
    count = shop.scale.paced
    parcels = shop.parcels(1, count)
    delays: dict[Kind, list[float]] = {kind: [] for kind in Kind}
    syncs = _sync_times(shop.folder)
    for turn in range(shop.scale.repeats):
        for kind in Kind:
            shop.tell(f"{kind.value}, run {turn + 1} of {shop.scale.repeats}")
            with shop.fresh() as folder, serving(kind, folder) as server:
                enrol(shop, server, kind, 1)
                delays[kind].extend(_delays(shop, server, parcels, count))
    syncs += _sync_times(shop.folder)
    figures = [Figure("latency", f"the disk alone, {name}", value, "ms") for name, value in _cuts(syncs)]
    for kind in Kind:
        for (name, value), bar in zip(_cuts(delays[kind]), (P50, P99), strict=True):
            judged = bar if kind is Kind.RELAY else None
            figures.append(Figure("latency", f"{kind.value}, {name}", value, "ms", judged))
    return figures


def _cuts(values: Sequence[float]) -> tuple[tuple[str, float], tuple[str, float]]:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return ("p50", cuts[49]), ("p99", cuts[98])


def _sync_times(folder: Path) -> list[float]:
    """Milliseconds to have one small addition to a file put on the disk: the least that a commit takes."""
    times: list[float] = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(SYNCS):
            file.write(os.urandom(SYNC_BYTES))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began) * 1e3)
            time.sleep(1 / PACE_HZ)
    return times


def _delays(shop: Workshop, server: Server, parcels: Path, count: int) -> list[float]:
    """Milliseconds from send to arrival, for each message."""
    sending = shop.plan("send-paced", server, [0], parcels=str(parcels), count=count, interval_s=1 / PACE_HZ)
    with clients(sending, shop.plan("receive", server, [1], count=count)) as (sender, recipient):
        recipient.go()
        sender.go()
        sent: Any = sender.hear()
        came: Any = recipient.hear()
    return [(there - here) * 1e3 for here, there in zip(sent["times"], came["times"], strict=True)]


def measure_backlog(shop: Workshop) -> list[Figure]:
    """A device comes back to a full mailbox."""
    count = shop.scale.backlog
    parcels = shop.parcels(1, count)
    rates: dict[Kind, list[float]] = {kind: [] for kind in Kind}
    for turn in range(shop.scale.repeats):
        for kind in Kind:
            shop.tell(f"{kind.value}, run {turn + 1} of {shop.scale.repeats}")
            with shop.fresh() as folder, serving(kind, folder) as server:
                enrol(shop, server, kind, 1)
                rates[kind].append(_drain(shop, server, parcels, count))
    label = f"{count:,} waiting, drained in order"
    relay, bare = rates[Kind.RELAY], rates[Kind.BARE]
    share = statistics.median(relay) / statistics.median(bare) * 100
    return [
        _median("backlog", label, relay, "messages/s", Bar(Way.AT_LEAST, 8_000.0)),
        _median("backlog", "bare pipeline", bare, "messages/s"),
        Figure("backlog", "relay's share of bare", share, "%"),
    ]


def _drain(shop: Workshop, server: Server, parcels: Path, count: int) -> float:
    """Fill a mailbox while its device is away; messages a second once it is back."""
    sending = shop.plan("send", server, [0], parcels=str(parcels), count=count, frame=32, depth=8)
    with clients(sending) as (sender,):
        sender.go()
        sender.hear()
    # What writing left behind is no part of reading.
    time.sleep(0.5)
    with clients(shop.plan("drain", server, [1], count=count)) as (device,):
        device.go()
        said: Any = device.hear()
    if not said["in_order"]:
        raise BenchmarkFailed("the backlog did not come in order")
    return count / float(said["ended"] - said["began"])
