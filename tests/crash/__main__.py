"""`python -m tests.crash --kills 2000`: trials of 50 kills each until so many have been survived.

A trial that fails is reported, its files are kept, and the next seed has its turn. `--seed` goes on where
another run has ended.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path

import attrs

from tests.crash.trial import Outcome, run_trial


def main() -> int:
    """Run trials one after another, a line each; 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--kills", type=int, default=200, help="how many kills in all (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="the first trial's seed (default 1)")
    parser.add_argument("--each", type=int, default=50, help="how many kills in a trial (default 50)")
    parser.add_argument("--json", action="store_true", help="end with one JSON object for programs")
    options = parser.parse_args()
    talk = sys.stderr if options.json else sys.stdout
    survived: list[Outcome] = []
    failed: dict[int, str] = {}
    seed, done = options.seed, 0
    while done < options.kills:
        folder = Path(tempfile.mkdtemp(prefix="taskferry-crash-"))
        kills = min(options.each, options.kills - done)
        done += kills
        try:
            outcome = run_trial(folder, seed=seed, kills=kills)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
            failed[seed] = str(error)
            print(f"seed {seed}: FAILED, its files are in {folder}", file=talk)
            traceback.print_exception(error, file=talk)
        else:
            survived.append(outcome)
            shutil.rmtree(folder)
            print(_line(outcome, done, options.kills), file=talk)
        talk.flush()
        seed += 1
    summary = _summary(survived, failed, seed)
    if options.json:
        print(json.dumps(summary))
    else:
        print(f"{summary['kills']} kills survived, {len(failed)} trials failed; --seed {seed} goes on.")
    return 1 if failed else 0


def _line(outcome: Outcome, done: int, wanted: int) -> str:
    return (
        f"seed {outcome.seed}: {outcome.kills.total()} kills, {outcome.pairs} times two at once; "
        f"{outcome.messages} messages and {outcome.tasks} tasks, all there once, "
        f"in {outcome.seconds:.0f} s; {done} of {wanted}"
    )


def _summary(survived: list[Outcome], failed: dict[int, str], seed: int) -> dict[str, object]:
    return {
        "kills": sum(outcome.kills.total() for outcome in survived),
        "killed": dict(sum((outcome.kills for outcome in survived), Counter())),
        "pairs": sum(outcome.pairs for outcome in survived),
        "messages": sum(outcome.messages for outcome in survived),
        "tasks": sum(outcome.tasks for outcome in survived),
        "stories": dict(sum((outcome.stories for outcome in survived), Counter())),
        "seconds": round(sum(outcome.seconds for outcome in survived), 1),
        "failed": failed,
        "next_seed": seed,
        "trials": [attrs.asdict(outcome) for outcome in survived],
    }


if __name__ == "__main__":
    sys.exit(main())
