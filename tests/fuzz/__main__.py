"""Fuzz every target with coverage guidance: `python -m tests.fuzz --minutes 10 [TARGET ...]`.

The time is shared by the targets, two of which run at once. If one finds a bug, its input is kept, and the
exit code is 1. With `--state`, corpora and counts are kept between runs: `--executions N` goes on until each
target has had N in all, and a run that was cut off loses two minutes of each at most. `--blind N` then has N
mutations of each corpus tried without coverage, which is several times as fast.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.kept import keep
from tests.fuzz.rounds import MOST_BYTES, Progress, fuzz, fuzz_blindly, inputs_in
from tests.fuzz.targets import TARGETS
from tests.fuzz.warm import WarmProcesses

#: Longer rounds lose more when they are cut off, shorter ones start more processes.
ROUND_SECONDS = 120


class Course:
    """The rounds of one target, until its share of time is over, its executions are done, or it breaks."""

    def __init__(
        self,
        processes: WarmProcesses,
        state: Path,
        findings: Path,
        seconds: int,
        options: argparse.Namespace,
    ) -> None:
        self.processes = processes
        self.state = state
        self.findings = findings
        self.seconds = seconds
        self.executions: int = options.executions
        self.blind: int = options.blind
        self.most_bytes: int = options.most_bytes

    def run(self, name: str) -> tuple[Progress, str]:
        """What the target has come to, and the end of the fuzzer's output if it broke."""
        progress = Progress.load(name, self.state)
        said = self._guided(progress) if self.seconds or self.executions else ""
        return progress, said or self._blindly(progress)

    def _blindly(self, progress: Progress) -> str:
        while (left := self.blind - progress.blind) > 0:
            said = fuzz_blindly(
                progress,
                self.state / progress.target,
                self.findings,
                seconds=ROUND_SECONDS,
                executions=left,
                most_bytes=self.most_bytes,
            )
            progress.save(self.state)
            if said:
                return said
        return ""

    def _guided(self, progress: Progress) -> str:
        name, begun = progress.target, progress.seconds
        while True:
            left = self.executions - progress.executions
            time = self.seconds - int(progress.seconds - begun) if self.seconds else ROUND_SECONDS
            if (self.executions and left <= 0) or time < 1:
                return ""
            said = fuzz(
                self.processes,
                progress,
                self.state / name,
                self.findings,
                seconds=min(time, ROUND_SECONDS),
                executions=max(0, left),
                most_bytes=self.most_bytes,
            )
            progress.save(self.state)
            if said:
                return said
            if not self.executions and time <= ROUND_SECONDS:
                return ""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=0.0, help="for all targets together")
    parser.add_argument("--executions", type=int, default=0, metavar="N", help="for each target, in all runs")
    parser.add_argument("--blind", type=int, default=0, metavar="N", help="the same without coverage")
    parser.add_argument("--most-bytes", type=int, default=MOST_BYTES, metavar="N", help="of an input")
    parser.add_argument("--state", type=Path, help="a folder outside the repository for corpora and counts")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="where findings go")
    parser.add_argument("--json", action="store_true", help="print one JSON document at the end")
    parser.add_argument("--at-once", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--save-corpus", action="store_true", help="only keep what --state holds here")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    options = parser.parse_args()
    unknown = [name for name in options.targets if name not in TARGETS]
    if unknown:
        parser.error(f"no such target: {unknown[0]}; there are {', '.join(TARGETS)}")
    if options.save_corpus and options.state is None:
        parser.error("--save-corpus needs the --state of a run")
    return options


def _save_corpora(names: list[str], state: Path) -> int:
    for name in names:
        # Each input there reached something that none before it did.
        if (state / name).is_dir():
            print(f"{name:<20} {keep(name, inputs_in(state / name)):>5} inputs kept")
    return 0


def _from_both_ends(names: list[str]) -> list[str]:
    """In another order: two that run at once are seldom of one family, so that each is loaded once."""
    turned = [name for pair in zip(names, reversed(names), strict=True) for name in pair]
    return list(dict.fromkeys(turned))


def main() -> int:
    """Fuzz, and print a line a target."""
    options = _arguments()
    names: list[str] = options.targets or list(TARGETS)
    if options.save_corpus:
        return _save_corpora(names, options.state)
    minutes = options.minutes or (0.0 if options.executions or options.blind else 10.0)
    options.keep.mkdir(parents=True, exist_ok=True)
    seconds = max(2, int(minutes * 60 * options.at_once / len(names))) if minutes else 0
    out = sys.stderr if options.json else sys.stdout
    found: list[Progress] = []
    failed = 0
    with tempfile.TemporaryDirectory() as folder, WarmProcesses() as processes:
        state = options.state or Path(folder)
        state.mkdir(parents=True, exist_ok=True)
        course = Course(processes, state, options.keep.resolve(), seconds, options)
        with ThreadPoolExecutor(options.at_once) as pool:
            for progress, said in pool.map(course.run, _from_both_ends(names)):
                found.append(progress)
                failed += bool(said)
                word = "BROKE" if said else "held "
                line = f"{word} {progress.target:<20} {progress.executions:>12,} executions"
                rates = f"{progress.rate:>8,.0f}/s {progress.edges:>6} edges"
                if progress.blind:
                    rates += f" {progress.blind:>12,} blind {progress.blind_rate:>8,.0f}/s"
                print(line, rates, *([f"\n{said}"] if said else []), file=out, flush=True)
    if options.json:
        print(json.dumps([progress.report() for progress in found], indent=1))
    if failed:
        print(f"{failed} targets broke; the inputs are in {options.keep}", file=out)
    elif not any(options.keep.iterdir()):
        options.keep.rmdir()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
