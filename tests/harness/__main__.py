"""`python -m tests.harness --seeds 500`: whole tasks in worlds whose network and machines fail, by seed."""

from __future__ import annotations

import argparse
import sys
import time

from tests.harness.stories import STORMY, check_agreement, scene, tell


def main() -> int:
    """Tell the story once a seed; the first seed that does not hold ends the run with its trace."""
    parser = argparse.ArgumentParser(prog="python -m tests.harness")
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--first", type=int, default=1_000)
    options = parser.parse_args()
    begun = time.monotonic()
    for number, seed in enumerate(range(options.first, options.first + options.seeds), 1):
        stage = scene(seed, STORMY)
        try:
            check_agreement(stage, tell(stage))
        except Exception:
            print("\n".join(map(str, stage.world.trace()[-60:])))
            print(f"seed {seed} does not hold; run it again with --first {seed} --seeds 1")
            raise
        if number % 50 == 0 or number == options.seeds:
            print(f"{number} of {options.seeds} seeds hold, {time.monotonic() - begun:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
