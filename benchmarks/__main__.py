"""`python -m benchmarks`: measure, print a table, keep the figures as JSON.

A full run takes some minutes and writes `benchmarks/results/latest.json`, from which `--write-docs` makes
`docs/performance.md`. `--quick` and `--only` print what they find, and write only what `--output` names.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .daemon import measure_daemon
from .history import measure_history
from .idle import measure_idle
from .processes import BenchmarkFailed
from .report import GROUPS, print_table, write_docs
from .results import (
    Figure,
    as_json,
    describe_machine,
    file_system,
    make_report,
    read_report,
    write_report,
)
from .sealing import measure_sealing
from .startup import measure_startup
from .stored import measure_stored
from .traffic import FLOWS, FULL, QUICK, Workshop, measure_backlog, measure_flow, measure_latency
from .waking import measure_waking
from .whole import measure_whole

LATEST = Path(__file__).parent / "results" / "latest.json"
#: A disk of memory would make every commit free.
NO_DISKS = frozenset({"tmpfs", "ramfs"})

BENCHMARKS: dict[str, Callable[[Workshop], list[Figure]]] = {
    **{flow.name: partial(measure_flow, flow=flow) for flow in FLOWS},
    "latency": measure_latency,
    "backlog": measure_backlog,
    "waking": measure_waking,
    "daemon": measure_daemon,
    "stored": measure_stored,
    "history": measure_history,
    "idle": measure_idle,
    "sealing": measure_sealing,
    "startup": measure_startup,
    "whole": measure_whole,
}


def main() -> int:
    """Run what was asked for; 1 if something could not be measured."""
    asked = _arguments()
    if asked.write_docs:
        print(f"Wrote {write_docs(read_report(LATEST))}.")
        return 0
    base: Path = asked.folder
    if file_system(base) in NO_DISKS:
        print(f"{base} is in memory; name a folder on a disk with --folder.", file=sys.stderr)
        return 1
    scale = QUICK if asked.quick else FULL
    names = [name for name in BENCHMARKS if not asked.only or name in asked.only]
    machine = describe_machine(base)
    began = time.monotonic()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="taskferry-bench-", dir=base) as folder:
        for number, name in enumerate(names, 1):
            heading = f"[{number}/{len(names)}] {GROUPS[name]}"
            shop = Workshop(Path(folder), scale, partial(_tell, began, heading), kept=asked.history)
            try:
                figures += BENCHMARKS[name](shop)
            except BenchmarkFailed as failure:
                print(f"{heading}: {failure}", file=sys.stderr)
                return 1
    report = make_report(figures, scale.name, time.monotonic() - began, machine)
    if asked.output:
        write_report(report, asked.output)
    elif not asked.quick and not asked.only:
        write_report(report, LATEST)
    if asked.json:
        sys.stdout.write(as_json(report))
    else:
        print_table(report)
    return 0


def _tell(began: float, heading: str, what: str) -> None:
    print(f"{time.monotonic() - began:4.0f} s  {heading}: {what}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute: small numbers, one run of each")
    parser.add_argument(
        "--only", action="append", choices=list(BENCHMARKS), help="one benchmark; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--output", type=Path, help="write the JSON to this file, too")
    parser.add_argument(
        "--write-docs", action="store_true", help="write docs/performance.md from the last run"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="where databases go: a folder on a disk",
    )
    parser.add_argument(
        "--history",
        type=Path,
        help="a directory that `python -m benchmarks.big_history` made: `daemon` sends from a copy of it",
    )
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
