"""Whole worlds by seed, the same twice, and an auditor that is able to find fault."""

from __future__ import annotations

from functools import cache

import attrs
import pytest

from .plan import Deed, Fault, Kind, Owner, Plan, Step
from .running import Outcome, run_plan
from .shrink import shrink
from .turns import SCENES
from .workload import LIES, make_plan

#: Some seconds' worth; `make sim` runs as many more as one likes.
SEEDS = range(1, 17)

CALM = Plan(
    seed=7,
    owners=(Owner("alice", "planner"), Owner("bob", "writer")),
    relay_store="memory",
    delay_s=(0.001, 0.02),
    ends_s=10.0,
    steps=(
        Step(1.0, "alice1", Deed.ASK, 0),
        Step(2.0, "bob1", Deed.ACT, 0),
        Step(3.0, "alice1", Deed.SAY, 0),
    ),
    faults=(),
)


@cache
def first_run(seed: int) -> Outcome:
    """What became of the world of a seed when it was run first."""
    return run_plan(make_plan(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_world_holds(seed):
    """Whatever befalls it, nothing is lost, nothing comes twice, and both ends agree."""
    outcome = first_run(seed)
    assert outcome.holds, "\n".join((*outcome.breaches, str(outcome.plan), *outcome.trace))


@pytest.mark.parametrize("seed", [3, 9])
def test_one_seed_gives_one_run(seed):
    """Two runs of a seed are the same to the last frame."""
    assert run_plan(make_plan(seed)).digest == first_run(seed).digest


def test_another_seed_gives_another_run():
    """The trace holds enough to tell two runs apart."""
    assert run_plan(CALM).digest != run_plan(attrs.evolve(CALM, seed=8)).digest


def test_a_killed_program_goes_on_from_its_disk():
    """At whichever touch a daemon dies, what its agents were told is there in its next life."""
    for touch in range(10, 300, 50):
        plan = attrs.evolve(CALM, faults=(Fault(Kind.KILL, "alice1", touch, 0.5),))
        outcome = run_plan(plan)
        assert outcome.holds, outcome.breaches


BURST = attrs.evolve(
    CALM,
    owners=tuple(attrs.evolve(one, lax=True) for one in CALM.owners),
    roomy=True,
    ends_s=20.0,
    steps=(
        Step(1.0, "alice1", Deed.SAY_MANY, 4),
        Step(1.1, "alice1", Deed.SAY_MANY, 5),
        Step(2.0, "bob1", Deed.SAY_AT_ONCE, 21),
        Step(3.0, "alice1", Deed.SAY_AGAIN, 1),
    ),
)


@pytest.mark.parametrize("scene", sorted(SCENES.keys() - {"allowed again"}))
def test_a_burst_is_whole_whoever_is_killed_in_it(scene):
    """A kill in the midst of it, of who sends, of who takes, or of the relay, and on neither store a loss."""
    for who, touch, store in (("alice1", 180, "memory"), ("bob1", 333, "sqlite"), ("relay", 90, "memory")):
        plan = attrs.evolve(
            SCENES[scene],
            relay_store=store,
            owners=tuple(attrs.evolve(one, store=store) for one in SCENES[scene].owners),
            faults=(*SCENES[scene].faults, Fault(Kind.KILL, who, touch, 0.3)),
        )
        outcome = run_plan(plan)
        assert outcome.coverage.counts["faults"]["kill"], "nothing was killed"
        assert outcome.holds, outcome.breaches


def test_what_is_said_at_once_goes_in_company():
    """Bursts reach the ways on which many are posted, decided on, delivered and taken together."""
    outcome = run_plan(BURST)
    assert outcome.holds, outcome.breaches
    met = outcome.coverage.counts["company"]
    for name in ("posted 9 to 64", "parcels 9 to 64", "mail 9 to 64", "taken 9 to 64", "lane: carried"):
        assert met[name], met


@pytest.mark.parametrize(
    ("lie", "came_by", "rung"),
    [
        ("spoil-parcel", "refused in the midst", "failed bad-signature"),
        ("spoil-mail", "run: ended by a decision", "expired expired"),
        ("swallow-one", "lane: alike", "expired expired"),
    ],
)
def test_one_that_is_spoilt_among_many_is_the_only_one_lost(lie, came_by, rung):
    """Whatever is wrong with one in the midst, those before and behind it arrive, once."""
    who = "bob1" if lie == "spoil-mail" else "alice1"
    outcome = run_plan(attrs.evolve(BURST, faults=(Fault(Kind.LIE, who, 1, LIES.index(lie)),)))
    assert outcome.holds, outcome.breaches
    assert outcome.coverage.counts["company"][came_by]
    ends = outcome.coverage.counts["rungs"]
    assert ends[rung] == 1, ends
    assert ends["delivered"] == ends.total() - 1, ends


def test_what_was_refused_on_its_way_comes_back_once_it_is_allowed():
    """A task is cancelled while its worker's owner allows less: that arrives when more is allowed again."""
    scene = SCENES["allowed again"]
    narrow = run_plan(attrs.evolve(scene, steps=scene.steps[:-1]))
    assert narrow.holds, narrow.breaches
    assert narrow.coverage.counts["rungs"]["failed quarantined: not-permitted"] == 1
    wide = run_plan(scene)
    assert wide.holds, wide.breaches
    assert set(wide.coverage.counts["rungs"]) == {"delivered"}
    ended = [outcome.coverage.counts["task states"]["cancelled"] for outcome in (narrow, wide)]
    assert ended[0] < ended[1], "it ends at one side, and then at both"


@pytest.mark.parametrize(("who", "touch"), [("alice1", 70), ("bob1", 82), ("bob1", 91), ("relay", 38)])
def test_it_comes_back_whoever_is_killed_meanwhile(who, touch):
    """Before, while and after it is let in."""
    scene = SCENES["allowed again"]
    owners = tuple(attrs.evolve(one, store="sqlite") for one in scene.owners)
    outcome = run_plan(
        attrs.evolve(scene, owners=owners, faults=(*scene.faults, Fault(Kind.KILL, who, touch, 0.3)))
    )
    assert outcome.coverage.counts["faults"]["kill"], "nothing was killed"
    assert outcome.holds, outcome.breaches
    assert set(outcome.coverage.counts["rungs"]) == {"delivered"}


def test_a_failing_plan_is_made_short():
    """What a failure does not need is left out of its plan."""
    plan = make_plan(4)
    needed = plan.steps[3]
    short = shrink(plan, lambda candidate: needed in candidate.steps, runs=200)
    assert (short.steps, short.faults) == ((needed,), ())


def test_a_restored_relay_is_given_again_what_other_devices_lack():
    """One device has confirmed it, the other was away, and the relay has gone back behind it."""
    plan = attrs.evolve(
        CALM,
        owners=(Owner("alice", "planner"), Owner("bob", "writer", devices=2)),
        ends_s=40.0,
        steps=(
            Step(1.0, "bob1", Deed.LINK, 0),
            Step(5.0, "alice1", Deed.ASK, 0),
            Step(12.0, "bob1", Deed.ACT, 0),
            Step(13.0, "alice1", Deed.SAY, 0),
        ),
        faults=(Fault(Kind.PARTITION, "bob2", 10.0, 20.0), Fault(Kind.RESTORE, "relay", 16.0, 1.0)),
    )
    outcome = run_plan(plan)
    assert outcome.holds, outcome.breaches


def test_what_came_before_its_task_is_not_left_out():
    """A new machine is sent its owner's confirmation in a task before the task: it shows it all the same."""
    plan = attrs.evolve(
        CALM,
        seed=10,
        owners=(Owner("alice", "planner", devices=2), Owner("bob", "writer")),
        delay_s=(0.001, 2.0),
        ends_s=60.0,
        steps=(
            Step(7.113, "alice1", Deed.ASK, 0),
            Step(7.116, "alice1", Deed.LINK, 0),
            Step(14.135, "bob1", Deed.ACT, 185509672),
            Step(35.236, "bob1", Deed.ACT, 725836463),
        ),
        faults=(Fault(Kind.CUT, "alice1", 5, 0.0),),
    )
    outcome = run_plan(plan)
    assert outcome.holds, outcome.breaches
