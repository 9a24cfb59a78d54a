"""Fuzz every target with coverage guidance: `python -m tests.fuzz --minutes 10 [TARGET ...]`.

The time is shared by the targets, two of which run at once. If one finds a bug, its input is kept, and the
exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.targets import TARGETS, seeds

AT_ONCE = min(2, os.cpu_count() or 1)
#: A frame is 1 MiB at most; shorter inputs reach the same code sooner.
MOST_BYTES = 4096
MEMORY_MB = 1024


def fuzz(name: str, seconds: int, findings: Path) -> tuple[bool, int, str]:
    """Whether the target held, how often it ran, and the end of its output if it did not."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder)
        for number, seed in enumerate(seeds(name)):
            (corpus / f"{number:05}").write_bytes(seed)
        process = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.fuzz.one",
                name,
                str(corpus),
                f"-max_total_time={seconds}",
                f"-max_len={MOST_BYTES}",
                f"-rss_limit_mb={MEMORY_MB}",
                "-timeout=10",
                "-print_final_stats=1",
                f"-artifact_prefix={findings}/{name}-",
            ],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd=Path(__file__).parents[2],
        )
    runs = re.search(r"number_of_executed_units:\s*(\d+)", process.stderr)
    held = process.returncode == 0 and runs is not None
    return held, int(runs[1]) if runs else 0, "" if held else process.stderr[-3000:]


def main() -> int:
    """Fuzz, and print a line a target."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        parser.error(f"no such target: {unknown[0]}; there are {', '.join(TARGETS)}")
    options.keep.mkdir(parents=True, exist_ok=True)
    seconds = max(2, int(options.minutes * 60 * AT_ONCE / len(names)))
    failed = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for name, (held, runs, output) in zip(
            names, pool.map(lambda name: fuzz(name, seconds, options.keep.resolve()), names), strict=True
        ):
            print(
                f"{'held ' if held else 'BROKE'} {name:<20} {runs:>12,} executions in {seconds} s", flush=True
            )
            if not held:
                failed += 1
                print(output)
    if failed:
        print(f"{failed} targets broke; the inputs are in {options.keep}")
    elif not any(options.keep.iterdir()):
        options.keep.rmdir()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
