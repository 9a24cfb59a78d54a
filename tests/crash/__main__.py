"""`python -m tests.crash --kills 2000`: trials of 50 kills each until so many have been survived."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.crash.trial import run_trial


def main() -> int:
    """Run trials one after another, a line each."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    survived, seed = 0, options.seed
    while survived < options.kills:
        with tempfile.TemporaryDirectory(prefix="taskferry-crash-") as folder:
            audit = run_trial(Path(folder), seed=seed, kills=min(50, options.kills - survived), tasks=1)
        survived += audit.kills
        print(
            f"seed {seed}: {audit.kills} kills, {audit.messages} messages and {audit.tasks} tasks, "
            f"all there once, in {audit.seconds:.0f} s; {survived} of {options.kills}",
            flush=True,
        )
        seed += 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
