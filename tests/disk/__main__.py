"""`python -m tests.disk`: each call of each program fails in each way, in every operation.

That is long; `--every 7 --seed 3` tries one call in seven, from the third on, and other seeds try the others.
`--only talk` is one operation. What fails is reported, its files are kept, and the next has its turn.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

import attrs

from tests.disk.operations import OPERATIONS, TARGETS
from tests.disk.preload import NoCompiler, Writes
from tests.disk.trial import Outcome, run_trial


def main() -> int:
    """Run the trials one after another, a line each; 1 if one failed, 2 without a compiler."""
    parser = argparse.ArgumentParser(prog="python -m tests.disk")
    parser.add_argument("--every", type=int, default=1, help="one call in so many (default 1: all)")
    parser.add_argument("--seed", type=int, default=1, help="the first of them (default 1)")
    parser.add_argument("--most", type=int, default=1_000, help="so many calls of an operation at most")
    parser.add_argument("--only", choices=sorted(OPERATIONS), action="append", help="this operation")
    parser.add_argument("--json", action="store_true", help="end with one JSON object for programs")
    options = parser.parse_args()
    talk = sys.stderr if options.json else sys.stdout
    done: list[Outcome] = []
    failed: dict[str, str] = {}
    for operation in options.only or OPERATIONS:
        for target in TARGETS[operation]:
            for how in Writes:
                name = f"{operation}, {target}'s writes, {how.name.lower()}"
                folder = Path(tempfile.mkdtemp(prefix="taskferry-disk-"))
                try:
                    outcome = run_trial(
                        folder,
                        operation,
                        target,
                        how,
                        first=1 + (options.seed - 1) % options.every,
                        every=options.every,
                        most=options.most,
                    )
                except NoCompiler as reason:
                    print(f"Not possible here: {reason}.", file=talk)
                    return 2
                except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
                    failed[name] = str(error)
                    print(f"{name}: FAILED, its files are in {folder}", file=talk)
                    traceback.print_exception(error, file=talk)
                else:
                    done.append(outcome)
                    shutil.rmtree(folder)
                    print(f"{name}: {_line(outcome)}", file=talk)
                talk.flush()
    calls, ended = (sum(numbers) for numbers in zip(*((one.cases, one.ended) for one in done), strict=True))
    if options.json:
        outcomes = [attrs.asdict(outcome) for outcome in done]
        print(json.dumps({"calls": calls, "ended": ended, "failed": failed, "trials": outcomes}))
    else:
        print(f"{calls} calls failed, {ended} times a program ended for it; {len(failed)} trials failed.")
    return 1 if failed else 0


def _line(outcome: Outcome) -> str:
    refusals = ", ".join(f"{count} {code}" for code, count in outcome.refusals.items()) or "none"
    return (
        f"{outcome.cases} calls, ended {outcome.ended} times, refusals: {refusals}; all done once, "
        f"in {outcome.seconds:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
