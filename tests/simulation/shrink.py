"""A failing plan made as short as it goes: steps and faults are left out one by one while it still fails."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from .plan import Fault, Plan, Step

__all__ = ["shrink"]

Fails = Callable[[Plan], bool]


def shrink(plan: Plan, fails: Fails, runs: int) -> Plan:
    """The shortest failing plan found with at most so many runs; halves go first, then single entries."""
    left = [runs]

    def still(candidate: Plan) -> bool:
        if not left[0]:
            return False
        left[0] -= 1
        return fails(candidate)

    while True:
        short = _with_fewer_steps(_with_fewer_faults(plan, still), still)
        if not left[0] or short == plan:
            return short
        plan = short


def _with_fewer_faults(plan: Plan, fails: Fails) -> Plan:
    kept: list[Fault] = _fewer([*plan.faults], lambda rest: fails(attrs.evolve(plan, faults=tuple(rest))))
    return attrs.evolve(plan, faults=tuple(kept))


def _with_fewer_steps(plan: Plan, fails: Fails) -> Plan:
    kept: list[Step] = _fewer([*plan.steps], lambda rest: fails(attrs.evolve(plan, steps=tuple(rest))))
    return attrs.evolve(plan, steps=tuple(kept))


def _fewer(items: list, fails: Callable[[list], bool]) -> list:
    """As few of them as still fail: ever smaller pieces are left out."""
    piece = max(1, len(items) // 2)
    while items:
        at = 0
        while at < len(items):
            kept = items[:at] + items[at + piece :]
            if fails(kept):
                items = kept
            else:
                at += piece
        if piece == 1:
            break
        piece = max(1, piece // 2)
    return items
