"""What is seen of a relay during a long run, and what it says of growth."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import attrs

from benchmarks.processes import Server

__all__ = ["Sample", "growth_per_hour", "look"]

#: The first part of a run fills caches and pools; growth is told of the rest.
WARM_UP = 0.25
MIB = 2**20


@attrs.frozen
class Sample:
    """The relay at one moment; latencies and rates are of the time since the last one."""

    at_s: float
    resident_mib: float
    descriptors: int
    wal_mib: float
    database_mib: float
    cpu_percent: float
    online: int
    arrived_per_s: float
    p50_ms: float
    p99_ms: float


def look(
    server: Server,
    database: Path,
    *,
    at_s: float,
    cpu_percent: float,
    online: int,
    arrived_per_s: float,
    delays: Sequence[float],
) -> Sample:
    """A sample, now."""
    cuts = statistics.quantiles(delays, n=100, method="inclusive") if len(delays) > 1 else [0.0] * 99
    wal = database.with_name(database.name + "-wal")
    return Sample(
        at_s=round(at_s, 1),
        resident_mib=round(server.resident_bytes / MIB, 1),
        descriptors=server.descriptors,
        wal_mib=round(_size(wal), 1),
        database_mib=round(_size(database), 1),
        cpu_percent=round(cpu_percent, 1),
        online=online,
        arrived_per_s=round(arrived_per_s, 1),
        p50_ms=round(cuts[49], 2),
        p99_ms=round(cuts[98], 2),
    )


def _size(path: Path) -> float:
    try:
        return path.stat().st_size / MIB
    except FileNotFoundError:
        return 0.0


def growth_per_hour(samples: Sequence[Sample], name: str) -> float:
    """By how much a value rises in an hour: the slope of a line through all samples but the warm-up's."""
    rest = samples[int(len(samples) * WARM_UP) :]
    if len(rest) < 3:
        return 0.0
    slope, _ = statistics.linear_regression(
        [sample.at_s for sample in rest], [getattr(sample, name) for sample in rest]
    )
    return slope * 3_600
