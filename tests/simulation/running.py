"""One world from its plan to its end: what happened, what was covered, and what did not hold."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

import attrs
import trio

from taskferry_apps.daemon.late_mail import LATE
from taskferry_apps.daemon.own_news import UNTOLD
from taskferry_stores.port import StoreError

from .auditor import Books, audit, is_put_out, open_books, unended, waits
from .chance import Chance
from .company import company_counted
from .coverage import Coverage, effects_counted
from .determinism import run_world
from .happening import arm, heal
from .liar import Liar
from .plan import Plan, Step
from .power import PowerCut
from .second_looks import due
from .town import Town, founded

__all__ = ["Outcome", "run_plan"]

#: Virtual seconds between two looks at whether all is quiet, and after how many of them, in which no queue
#: became shorter, one stops waiting: a peer who lets through two messages a minute makes them wait for hours.
LOOK_S = 15.0
LOOKS = 240
#: Longer than a daemon lets pass between two rounds of its housekeeping.
ROUND_S = 90.0
#: After a month whatever is still on its way has expired.
MONTH_MS = 31 * 24 * 60 * 60 * 1000


@attrs.frozen
class Outcome:
    """What became of a world."""

    plan: Plan
    breaches: tuple[str, ...]
    coverage: Coverage
    trace: tuple[str, ...]
    digest: str

    @property
    def holds(self) -> bool:
        """Whether all that must hold does."""
        return not self.breaches


def run_plan(plan: Plan) -> Outcome:
    """Run it. The same plan gives the same outcome, to the last line of its trace."""
    with (
        tempfile.TemporaryDirectory(dir=_fast_folder()) as folder,
        effects_counted() as effects,
        company_counted() as company,
    ):
        outcome = run_world(Chance(plan.seed), partial(_main, plan, Path(folder)))
    gc.collect()
    outcome.coverage.add("message types", effects.elements())
    outcome.coverage.add("company", company.elements())
    return outcome


def _fast_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


async def _main(plan: Plan, folder: Path) -> Outcome:
    outcome: Outcome | None = None
    try:
        async with founded(plan, folder) as town:
            outcome = await _tell(town)
    except* PowerCut:
        if outcome is None:
            raise
    assert outcome is not None
    return outcome


async def _tell(town: Town) -> Outcome:
    plan = town.plan
    liar = Liar(town.observer, town.trace, town.ledger)
    town.network.carrier = liar
    town.trace.tell("world", "begins")
    base = town.now
    async with trio.open_nursery() as nursery:
        arm(town, nursery, plan.faults, liar)
        for step in plan.steps:
            nursery.start_soon(_perform, town, step, base)
        await trio.sleep_until(base + plan.ends_s)
        nursery.cancel_scope.cancel()
    heal(town, liar)
    await _settle(town)
    books = await _books(town)
    breaches = [] if plan.lies else unended(town, books)
    if plan.lies or (not breaches and waits(town, books)):
        # Whatever a liar has lost, or a device that was put out cannot send or fetch, is lost after its time.
        for machine in (town.relay, *town.machines.values()):
            machine.clock.off_ms += MONTH_MS
        await trio.sleep(ROUND_S)
        await _settle(town)
        books = await _books(town)
    breaches += audit(town, books)
    breaches += [
        f"{one.name} is down for good" for one in town.machines.values() if one.lives and not one.is_up
    ]
    for breach in breaches:
        town.trace.tell("auditor", f"! {breach}")
    return Outcome(
        plan,
        tuple(breaches),
        Coverage.of(town, books),
        tuple(town.trace.coarse()),
        town.trace.digest,
    )


async def _books(town: Town) -> dict[str, Books]:
    up = {name: machine for name, machine in town.machines.items() if machine.is_up}
    return {name: await open_books(machine, town.usual_rate) for name, machine in up.items()}


async def _perform(town: Town, step: Step, base: float) -> None:
    await trio.sleep_until(base + step.at_s)
    await town.actors[step.who].perform(step)


async def _settle(town: Town) -> None:
    """Until every program runs, nothing waits to be sent, and nothing came or went for a while."""
    moved, shortest, looks = -1, sys.maxsize, LOOKS
    while looks:
        looks -= 1
        await trio.sleep(LOOK_S)
        machines = [machine for machine in town.machines.values() if machine.lives]
        if not town.relay.is_up or not all(machine.is_up for machine in machines):
            continue
        now = town.observer.moved
        waiting = sum([await _waiting(machine.daemon) for machine in machines if not is_put_out(machine)])
        if now == moved and not waiting:
            return
        if waiting < shortest:
            shortest, looks = waiting, LOOKS
        moved = now


async def _waiting(daemon: object) -> int:
    store = daemon._core.store  # type: ignore[attr-defined]
    try:
        stats = await store.stats()
        noted = len(await store.settings((LATE, UNTOLD)))
        owed = len(await store.receipts_owed(1)) + await due(daemon._core)  # type: ignore[attr-defined]
        return int(stats.outbox_waiting) + owed + noted
    except StoreError:
        return 1  # its disk has failed, and it has still to notice and to start again
