"""`python -m tests.simulation.turns`: one small world with a burst, and in it a fault at each touch in turn.

Seeds meet a moment by chance. Here a program dies at its first touch of the world, then at its second, and so
on to its last; or its machine goes dark at each call of its disk. `--every 7 --first 3` tries one in seven.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping

import attrs
import structlog

from .coverage import Coverage
from .plan import Deed, Fault, Kind, Owner, Plan, Step
from .running import run_plan

__all__ = ["SCENES"]

#: The change of `Actor.permit` that leaves messages out, by its number.
_NO_MESSAGES = 22
#: Likewise the one that leaves out everything but messages, and the one that takes that back.
_MESSAGES_ALONE, _EVERYTHING = 0, 11
_BURST = (
    Step(1.0, "alice1", Deed.SAY_MANY, 4),
    Step(1.1, "alice1", Deed.SAY_MANY, 6),
    Step(2.0, "bob1", Deed.SAY_AT_ONCE, 21),
    Step(3.0, "alice1", Deed.SAY_AGAIN, 1),
    Step(3.2, "alice1", Deed.SAY_AGAIN, 2),
    Step(6.0, "alice1", Deed.SAY_AGAIN, 5),
)
_CALM = Plan(
    seed=7,
    owners=(Owner("alice", "planner", lax=True), Owner("bob", "writer", lax=True)),
    relay_store="memory",
    delay_s=(0.001, 0.02),
    ends_s=12.0,
    steps=_BURST,
    faults=(),
    roomy=True,
)
SCENES: Mapping[str, Plan] = {
    "burst": _CALM,
    "backlog": attrs.evolve(_CALM, faults=(Fault(Kind.PARTITION, "bob1", 0.5, 4.0),)),
    "withdrawn": attrs.evolve(_CALM, steps=(*_BURST, Step(1.09, "bob1", Deed.PERMIT, _NO_MESSAGES))),
    "fresh key": attrs.evolve(_CALM, steps=(*_BURST, Step(1.09, "bob1", Deed.ROTATE, 0))),
    "allowed again": attrs.evolve(
        _CALM,
        steps=(
            Step(1.0, "alice1", Deed.ASK, 0),
            Step(2.2, "bob1", Deed.PERMIT, _MESSAGES_ALONE),
            Step(2.5, "alice1", Deed.ACT, 0),
            Step(8.0, "bob1", Deed.PERMIT, _EVERYTHING),
        ),
        faults=(Fault(Kind.PARTITION, "bob1", 2.0, 4.0),),
    ),
    "strict": attrs.evolve(_CALM, owners=(_CALM.owners[0], Owner("bob", "writer"))),
}
"""Worlds by what they are about."""


def main() -> int:
    """Run all scenes, or one; a line for each program; 1 if anything did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.turns")
    parser.add_argument("--every", type=int, default=1, help="one touch in so many (default 1: all)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (default 1)")
    parser.add_argument("--fault", choices=("kill", "power"), default="kill", help="default: kill")
    parser.add_argument("--only", choices=sorted(SCENES), action="append", help="this scene")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    kind, covered, failed = Kind(options.fault), Coverage(), 0
    for name in options.only or SCENES:
        # Only a real file has calls at which it could be torn.
        for store in ("sqlite",) if kind is Kind.POWER else ("memory", "sqlite"):
            scene = SCENES[name]
            owners = tuple(attrs.evolve(one, store=store) for one in scene.owners)
            plan = attrs.evolve(scene, owners=owners, relay_store=store)
            for who in ("alice1", "bob1", "relay"):
                begun, at, runs = time.monotonic(), options.first, 0
                while True:
                    outcome = run_plan(attrs.evolve(plan, faults=(*plan.faults, Fault(kind, who, at, 0.3))))
                    if not outcome.holds:
                        failed += 1
                        print(f"{name}, {store}: {who} at {at}: {'; '.join(outcome.breaches)}")
                    covered.take(outcome.coverage)
                    if not outcome.coverage.counts["faults"][kind.value]:
                        break
                    at, runs = at + options.every, runs + 1
                spent = time.monotonic() - begun
                print(f"{name}, {store}: {runs} times {kind.value} of {who}, {spent:.0f} s", flush=True)
    print(*covered.table(), f"{failed} did not hold", sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
