"""`python -m tests.floods --minutes 10`: attack a relay for so long, and say what came of it."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import attrs

from tests.floods.strangers import ATTACKS
from tests.floods.trial import run_trial


def main() -> int:
    """Run one trial."""
    parser = argparse.ArgumentParser(prog="python -m tests.floods")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    names = [*(attack.__name__ for attack, _ in ATTACKS), "insiders"]
    parser.add_argument(
        "--only", nargs="*", default=[], choices=names, metavar="ATTACK", help=f"some of {', '.join(names)}"
    )
    options = parser.parse_args()
    command = f"make flood MINUTES={options.minutes:g}"
    with tempfile.TemporaryDirectory(prefix="taskferry-floods-") as folder:
        figures = run_trial(Path(folder), options.minutes * 60, command, options.only)
    if options.json is not None:
        options.json.write_text(json.dumps(attrs.asdict(figures), indent=2, sort_keys=True) + "\n")
    for attack, outcomes in sorted(figures.outcomes.items()):
        told = ", ".join(f"{code} {count:,}" for code, count in sorted(outcomes.items()))
        print(f"{attack:22} {told}")
    print(
        f"relay {figures.before_mib:.0f} MiB before, {figures.most_mib:.0f} at most, "
        f"{figures.last_mib:.0f} at last, {figures.cpu_percent} % of a core, "
        f"{figures.starved_percent} % of the time without one that it wanted; "
        f"{figures.messages:,} honest messages, {figures.lost} lost, p50 {figures.median_ms:.0f} ms, "
        f"p99 {figures.p99_ms:.0f} ms (before {figures.calm_p99_ms:.0f}), at most {figures.worst_ms:.0f} ms"
    )
    if not figures.is_judged:
        print("other programs had the processor for most of the time: latency is not judged")
    faults = figures.faults()
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
