"""How long the whole takes: the demo as a new user sees it, and continuous integration with its parts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from .processes import BenchmarkFailed
from .results import Bar, Figure, Way
from .traffic import FULL, Workshop

__all__ = ["measure_whole"]

ROOT = Path(__file__).parent.parent
DEMO, TEST, CI = Bar(Way.BELOW, 60.0), Bar(Way.BELOW, 300.0), Bar(Way.BELOW, 900.0)
#: A run that takes longer than this hangs.
PATIENCE_S = 1_800
#: The lines by which `.ci/run` tells what each of its parts took.
_PART = re.compile(r"^== (make [^\n:]+): (\d+) s, exit 0$", re.MULTILINE)


def measure_whole(shop: Workshop) -> list[Figure]:
    """Seconds of `taskferry demo`; in a full run those of `.ci/run`, and of `make test` as part of it."""
    shop.tell("running the demo")
    seconds, _ = _timed([sys.executable, "-m", "taskferry_apps.cli", "demo"])
    figures = [Figure("whole", "taskferry demo", seconds, "s", DEMO)]
    if shop.scale is not FULL:
        return figures
    shop.tell("running .ci/run, which takes some minutes")
    seconds, said = _timed(["bash", ".ci/run"])
    parts = {command: float(took) for command, took in _PART.findall(said)}
    figures += [
        Figure("whole", command, took, "s", TEST if command == "make test" else None)
        for command, took in parts.items()
    ]
    return [*figures, Figure("whole", ".ci/run", seconds, "s", CI)]


def _timed(command: list[str]) -> tuple[float, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKFERRY_")}
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE_S, env=environment
    )
    took = time.perf_counter() - began
    if done.returncode:
        raise BenchmarkFailed(f"{' '.join(command)} ended with {done.returncode}: {done.stdout[-1_000:]}")
    return took, done.stdout
