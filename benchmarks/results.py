"""What a run found: figures with their bars, and where they were taken."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import attrs

__all__ = ["Bar", "Figure", "Report", "Way", "describe_machine", "file_system", "read_report", "write_report"]

ROOT = Path(__file__).parent.parent


class Way(StrEnum):
    """On which side of its bar a figure should be."""

    AT_LEAST = "at least"
    AT_MOST = "at most"
    BELOW = "below"


@attrs.frozen
class Bar:
    """What a figure must reach."""

    way: Way
    value: float

    def is_met(self, value: float) -> bool:
        """Whether a figure is on the right side."""
        match self.way:
            case Way.AT_LEAST:
                return value >= self.value
            case Way.AT_MOST:
                return value <= self.value
            case Way.BELOW:
                return value < self.value


@attrs.frozen
class Figure:
    """One measured number."""

    group: str
    """The benchmark, as `--only` names it."""
    label: str
    value: float
    unit: str
    bar: Bar | None = None
    spread: tuple[float, float] | None = None
    """The lowest and the highest of the runs of which `value` is the median."""

    @property
    def verdict(self) -> str:
        """`met`, `not met`, or nothing where there is no bar."""
        if self.bar is None:
            return ""
        return "met" if self.bar.is_met(self.value) else "not met"


@attrs.frozen
class Report:
    """A whole run."""

    taken_at: str
    commit: str
    scale: str
    """`full` or `quick`."""
    seconds: float
    machine: dict[str, str]
    figures: tuple[Figure, ...]


def file_system(folder: Path) -> str:
    """The type of the file system that holds a folder, such as `ext4`; `unknown` where /proc does not say."""
    best, found = -1, "unknown"
    mounts = Path("/proc/self/mounts")
    for line in mounts.read_text().splitlines() if mounts.exists() else ():
        _, point, kind, *_ = line.split()
        if folder.resolve().is_relative_to(point) and len(point) > best:
            best, found = len(point), kind
    return found


def describe_machine(folder: Path) -> dict[str, str]:
    """What the figures depend on, in words."""
    model = "unknown"
    cpus = Path("/proc/cpuinfo")
    for line in cpus.read_text().splitlines() if cpus.exists() else ():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": f"{os.cpu_count()} cores, {model} ({platform.machine()})",
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "file system": file_system(folder),
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def describe_commit() -> str:
    """The commit that is checked out, and whether files in `src` differ from it."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--", "src", "benchmarks/*.py")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit} with changes" if changed else commit


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def make_report(figures: list[Figure], scale: str, seconds: float, machine: dict[str, str]) -> Report:
    """A report of what was found just now."""
    taken_at = datetime.now(UTC).isoformat(timespec="seconds")
    return Report(taken_at, describe_commit(), scale, round(seconds, 1), machine, tuple(figures))


def as_json(report: Report) -> str:
    """The report as JSON, each figure with its verdict."""
    members = attrs.asdict(report)
    for member, figure in zip(members["figures"], report.figures, strict=True):
        member["verdict"] = figure.verdict
    return json.dumps(members, indent=2) + "\n"


def write_report(report: Report, path: Path) -> None:
    """Keep a report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(as_json(report))


def read_report(path: Path) -> Report:
    """A report that was kept."""
    members = json.loads(path.read_text())
    figures = []
    for member in members.pop("figures"):
        del member["verdict"]
        bar = member.pop("bar")
        spread = member.pop("spread")
        figures.append(
            Figure(
                **member,
                bar=Bar(Way(bar["way"]), bar["value"]) if bar else None,
                spread=tuple(spread) if spread else None,
            )
        )
    return Report(**members, figures=tuple(figures))
