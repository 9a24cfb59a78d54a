"""`python -m tests.crowd --minutes 10`: many programs at one daemon, and a count of what each was told."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.crowd.trial import Lost, run_trial


def main() -> int:
    """Run one trial, and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.crowd")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--agents", type=int, default=10)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two messages to one agent")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="taskferry-crowd-") as folder:
        try:
            tally = run_trial(Path(folder), options.minutes * 60, options.agents, options.pause)
        except Lost as lost:
            print(lost, file=sys.stderr)
            return 1
    print(
        f"{options.agents} agents, each waiting, polling and streaming: {tally.messages} messages in "
        f"{tally.seconds:.0f} s, each told once to all three"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
