"""`python -m benchmarks.load --minutes 60`: a relay under thousands of devices, looked at all the while.

Writes `benchmarks/results/load.json` and `docs/images/load.svg`, which `docs/performance.md` shows. Ends with
code 1 if a message that the relay accepted never arrived.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import attrs
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.processes import BenchmarkFailed, Client, Kind, Server, raise_descriptor_limit, serving
from benchmarks.results import describe_machine
from taskferry_apps import system

from .chart import chart_of
from .watching import Sample, growth_per_hour, look

ROOT = Path(__file__).parent.parent.parent
RESULT = ROOT / "benchmarks" / "results" / "load.json"
PICTURE = ROOT / "docs" / "images" / "load.svg"
PROCESSES = 4
#: What the relay needs besides its connections.
SPARE_DESCRIPTORS = 300
PATIENCE_S = 900.0
GROWING = ("resident_mib", "descriptors", "wal_mib", "database_mib", "p99_ms")


def main() -> int:
    """Run, tell, and keep what was seen."""
    asked = _arguments()
    if asked.devices > raise_descriptor_limit() - SPARE_DESCRIPTORS:
        print("so many connections need more open files than the system allows", file=sys.stderr)
        return 1
    try:
        report = _run(asked)
    except BenchmarkFailed as failure:
        print(f"the long run failed: {failure}", file=sys.stderr)
        return 1
    if not asked.dry:
        RESULT.write_text(json.dumps(report, indent=1) + "\n")
        samples = [Sample(**sample) for sample in report["samples"]]
        arrived = report["counts"]["arrived"]
        title = f"{asked.devices:,} devices, {asked.minutes:.0f} minutes, {arrived:,} messages"
        PICTURE.write_text(chart_of(samples, title))
    print(json.dumps({key: value for key, value in report.items() if key != "samples"}, indent=1))
    return 1 if report["never_arrived"] or report["refused"] else 0


def _run(asked: argparse.Namespace) -> dict[str, Any]:
    console = Console(stderr=True)
    machine = describe_machine(asked.folder)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=asked.folder)))
        server = stack.enter_context(serving(Kind.RELAY, folder))
        said: SimpleQueue[dict[str, Any]] = SimpleQueue()
        people = [Client(plan, "benchmarks.load.people") for plan in _plans(asked, server)]
        for one in people:
            stack.callback(one.close)
            threading.Thread(target=_listen, args=(one, said), daemon=True).start()
        _join(asked.devices, said, console)
        for one in people:
            one.go()
        samples, counts, never = _watch(asked, server, folder, said, console)
    return {
        "devices": asked.devices,
        "minutes": asked.minutes,
        "rate": asked.rate,
        "churn": asked.churn,
        "command": f"make load MINUTES={asked.minutes:g}",
        "machine": machine,
        "beside": asked.beside,
        "counts": dict(counts),
        "never_arrived": never,
        "refused": sum(count for what, count in counts.items() if what.startswith("refused")),
        "growth_per_hour": {name: round(growth_per_hour(samples, name), 2) for name in GROWING},
        "highest": {name: max(getattr(s, name) for s in samples) for name in GROWING},
        "samples": [attrs.asdict(sample) for sample in samples],
    }


def _join(devices: int, said: SimpleQueue[dict[str, Any]], console: Console) -> None:
    """Wait until all processes have their devices in and connected, which takes some minutes."""
    columns = (TextColumn("devices join"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=devices)
        ready = 0
        while ready < PROCESSES:
            heard = _hear(said, PATIENCE_S)
            ready += bool(heard.get("ready"))
            progress.advance(bar, heard.get("joined", 0))


def _plans(asked: argparse.Namespace, server: Server) -> list[dict[str, object]]:
    now = system.now()
    each = asked.devices // PROCESSES // 2 * 2
    return [
        {
            "role": "live",
            "url": server.url,
            "now": now,
            "owners": list(range(number * each, (number + 1) * each)),
            "rate": asked.rate / PROCESSES,
            "churn": asked.churn / PROCESSES,
            "seconds": asked.minutes * 60,
            "every": asked.every,
        }
        for number in range(PROCESSES)
    ]


def _listen(one: Client, said: SimpleQueue[dict[str, Any]]) -> None:
    """Pass on what a process says, until it has said its last or failed."""
    try:
        while True:
            heard: dict[str, Any] = one.hear()
            said.put(heard)
            if heard.get("ended"):
                return
    except BenchmarkFailed as failure:
        said.put({"failed": str(failure)})


def _hear(said: SimpleQueue[dict[str, Any]], seconds: float) -> dict[str, Any]:
    try:
        heard = said.get(timeout=seconds)
    except Empty:
        raise BenchmarkFailed(f"a client has said nothing for {seconds:.0f} s") from None
    if "failed" in heard:
        raise BenchmarkFailed(heard["failed"])
    return heard


def _watch(
    asked: argparse.Namespace,
    server: Server,
    folder: Path,
    said: SimpleQueue[dict[str, Any]],
    console: Console,
) -> tuple[Sequence[Sample], Counter[str], int]:
    """A sample each time that all processes have said how they are; then the last words of all."""
    began = last = time.monotonic()
    used, arrived_before, never = server.cpu_s, 0, 0
    samples: list[Sample] = []
    latest: list[dict[str, Any]] = []
    ended: list[dict[str, Any]] = []
    while len(ended) < PROCESSES:
        heard = _hear(said, PATIENCE_S)
        (ended if heard.get("ended") else latest).append(heard)
        if len(latest) < PROCESSES:
            continue
        now = time.monotonic()
        arrived = sum(one["counts"].get("arrived", 0) for one in latest)
        samples.append(
            look(
                server,
                folder / "relay.db",
                at_s=now - began,
                cpu_percent=(server.cpu_s - used) / (now - last) * 100,
                online=sum(one["online"] for one in latest),
                arrived_per_s=max(0, arrived - arrived_before) / (now - last),
                delays=[delay for one in latest for delay in one["delays"]],
            )
        )
        last, used, arrived_before, latest = now, server.cpu_s, arrived, []
        newest = samples[-1]
        console.print(
            f"{newest.at_s / 60:6.1f} of {asked.minutes:g} min  {newest.online:>6,} there  "
            f"{newest.arrived_per_s:6.0f}/s  p99 {newest.p99_ms:7.1f} ms  "
            f"{newest.resident_mib:6.0f} MiB  cpu {newest.cpu_percent:3.0f} %"
        )
    counts: Counter[str] = Counter()
    for one in ended:
        counts.update(one["counts"])
        never += one["never_arrived"]
    if not samples:
        raise BenchmarkFailed("the run was too short for one look")
    return samples, counts, never


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--devices", type=int, default=5_000)
    parser.add_argument("--rate", type=float, default=100.0, help="messages a second, by all devices")
    parser.add_argument("--churn", type=float, default=5.0, help="devices that go away each second")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two looks")
    parser.add_argument("--beside", default="", help="what else the machine does, told with the figures")
    parser.add_argument("--dry", action="store_true", help="tell, and keep nothing")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the relay's database goes"
    )
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
