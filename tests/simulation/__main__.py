"""`python -m tests.simulation --seeds 500`: worlds of real relays and daemons that fail by seed."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections import Counter

import structlog

from .coverage import Coverage
from .plan import Plan
from .running import Outcome, run_plan
from .shrink import shrink
from .workload import make_plan

#: Sets of text come in another order in each process unless this is fixed.
HASH_SEED = "0"
PROGRESS_EVERY = 10


def main() -> int:
    """Run one world a seed; the first that does not hold ends the run with its shortest trace, and code 1."""
    options = _options()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    covered = Coverage()
    failed = _run(options, covered)
    print("\n".join(covered.table()))
    return 1 if failed else 0


def _run(options: argparse.Namespace, covered: Coverage) -> int:
    """How many worlds did not hold. Interrupted, it is over with the world at hand."""
    begun = time.monotonic()
    failed = 0
    stopped: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: stopped.append(number))
    for number, seed in enumerate(range(options.first, options.first + options.seeds), 1):
        outcome = run_plan(make_plan(seed))
        covered.take(outcome.coverage)
        if options.trace:
            print("\n".join(outcome.trace))
        if not outcome.holds:
            failed += 1
            _show(outcome, options.shrink)
            if not options.go_on:
                return failed
        if number % PROGRESS_EVERY == 0 or number == options.seeds or stopped:
            spent = time.monotonic() - begun
            print(f"{number} of {options.seeds} seeds, {failed} do not hold, {spent:.0f} s", flush=True)
        if stopped:
            break
    return failed


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument(
        "--shrink", type=int, default=150, metavar="RUNS", help="runs to make a failure short"
    )
    parser.add_argument("--trace", action="store_true", help="print what happens in every world")
    parser.add_argument("--go-on", action="store_true", help="go on after a seed that does not hold")
    return parser.parse_args()


def _show(outcome: Outcome, runs: int) -> None:
    seed = outcome.plan.seed
    kinds = _kinds(outcome)

    def fails_alike(plan: Plan) -> bool:
        return bool(_kinds(run_plan(plan)) & kinds)

    short = shrink(outcome.plan, fails_alike, runs) if runs else outcome.plan
    told = run_plan(short)
    print(f"seed {seed} does not hold; what is needed for it:\n")
    print(short)
    print("\nwhat happens then:\n")
    print("\n".join(told.trace))
    print(f"\nrun it again with: python -m tests.simulation --first {seed} --seeds 1", flush=True)


def _kinds(outcome: Outcome) -> set[str]:
    """Breaches without the names and numbers in them, so that a shorter world's is known as the same."""
    words = Counter(
        " ".join(word for word in breach.split() if word.isalpha()) for breach in outcome.breaches
    )
    return set(words)


def _with_fixed_hashes() -> None:
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        environment = {**os.environ, "PYTHONHASHSEED": HASH_SEED}
        os.execve(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]], environment)


if __name__ == "__main__":
    _with_fixed_hashes()
    sys.exit(main())
