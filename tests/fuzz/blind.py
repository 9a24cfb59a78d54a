"""Mutations without coverage: what guided rounds have found, changed at random, five to twenty times as fast.

Coverage finds the way to an input that is nearly accepted; a bug behind it may need a value that no branch
tells apart from others. Rounds are seeded by their number, and a finding's input is kept like any other.
A round is a process: `python -m tests.fuzz.blind NAME CORPUS --findings FOLDER --seed 7 --executions 500000`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .families import family_of

__all__ = ["Mutator", "blind_round"]

#: An input that takes so long is a finding.
SLOWEST_S = 10
#: Between two looks at the clock.
TURN = 256
#: Values at which numbers and lengths of CBOR, UTF-8 and JSON change their form.
EDGES = bytes(
    (0, 1, 0x17, 0x18, 0x1B, 0x1F, 0x20, 0x3B, 0x40, 0x58, 0x5F, 0x7F, 0x80, 0xBF, 0xF4, 0xF7, 0xFF)
)
_TREE = Path(__file__).parents[2]


class Mutator:
    """Gives inputs of at most `most_bytes`: each is one of the pool after one to four changes."""

    def __init__(self, pool: Sequence[bytes], seed: int, most_bytes: int) -> None:
        """Raises ValueError for an empty pool."""
        if not pool:
            raise ValueError("nothing to change")
        self._pool = pool
        self._dice = random.Random(seed)
        self._most = most_bytes

    def next(self) -> bytes:
        """The next input."""
        chance = self._dice.random
        raw = bytearray(self._one())
        for _ in range(1 + int(chance() * 4)):
            if not raw:
                raw += self._one()
                continue
            place, count = int(chance() * len(raw)), 1 + int(chance() * 8)
            match int(chance() * 8):
                case 0:
                    raw[place] ^= 1 << int(chance() * 8)
                case 1:
                    raw[place] = int(chance() * 256)
                case 2:
                    raw[place] = EDGES[int(chance() * len(EDGES))]
                case 3:
                    raw[place] = raw[place] + (1 if chance() < 0.5 else 255) & 255
                case 4:
                    raw[place:place] = self._dice.randbytes(count)
                case 5:
                    del raw[place : place + count]
                case 6:
                    raw[place:place] = raw[place : place + count]
                case _:
                    other = self._one()
                    there = int(chance() * (len(other) + 1))
                    raw[place : place + count] = other[there : there + count]
        return bytes(raw[: self._most])

    def _one(self) -> bytes:
        return self._pool[int(self._dice.random() * len(self._pool))]


def blind_round(
    target: str, corpus: Path, findings: Path, *, seed: int, executions: int, seconds: int, most_bytes: int
) -> tuple[int, str]:
    """One round in a process of its own: how many executions, and what was said if the target broke."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.blind", target, str(corpus)),
            *("--findings", str(findings), "--seed", str(seed), "--executions", str(executions)),
            *("--seconds", str(seconds), "--most-bytes", str(most_bytes)),
        ],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd=_TREE,
    )
    try:
        told = json.loads(done.stdout.splitlines()[-1])
        return int(told["executions"]), str(told["broke"])
    except (IndexError, KeyError, ValueError):
        return 0, done.stderr or f"exit code {done.returncode}"


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.blind")
    parser.add_argument("target")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--findings", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--most-bytes", type=int, default=4096)
    asked = parser.parse_args()
    pool = [path.read_bytes() for path in sorted(asked.corpus.iterdir())]
    fitting = [data for data in pool if len(data) <= asked.most_bytes] or [b"\x00"]
    mutator = Mutator(fitting, asked.seed, asked.most_bytes)
    count, broke = _run(asked, mutator)
    print(json.dumps({"executions": count, "broke": broke}))
    return 1 if broke else 0


def _run(asked: argparse.Namespace, mutator: Mutator) -> tuple[int, str]:
    family = family_of(asked.target)
    # The time of this process alone: a crowded machine makes no input slow.
    signal.signal(signal.SIGVTALRM, _too_slow)
    ends = time.monotonic() + asked.seconds
    count = 0
    data = b""
    try:
        while count < asked.executions and time.monotonic() < ends:
            signal.setitimer(signal.ITIMER_VIRTUAL, SLOWEST_S)
            for _ in range(min(TURN, asked.executions - count)):
                data = mutator.next()
                family.run(asked.target, data)
                count += 1
    except Exception as error:  # noqa: BLE001 - whatever comes out of a target is what is looked for
        name = f"{asked.target}-blind-{hashlib.sha256(data).hexdigest()[:16]}"
        (asked.findings / name).write_bytes(data)
        return count, f"{name}: {type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return count, ""


def _too_slow(number: int, frame: object) -> None:
    raise TimeoutError(f"{TURN} inputs took longer than {SLOWEST_S} seconds of work")


if __name__ == "__main__":
    sys.exit(_main())
