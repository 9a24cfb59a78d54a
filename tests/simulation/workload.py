"""Plans by seed: what people do in a world, weighed so that whole tasks come about, and what fails."""

from __future__ import annotations

import random
from collections.abc import Iterator

import attrs

from .chance import Chance
from .plan import Deed, Fault, Kind, Owner, Plan, Step

__all__ = ["LIES", "make_plan"]

#: How often each deed comes up; in so many steps of a world each comes up somewhere in a few dozen worlds.
_DEEDS = {
    Deed.ACT: 60,
    Deed.ASK: 7,
    Deed.ASK_BRIEFLY: 3,
    Deed.ACT_BLINDLY: 5,
    Deed.SAY: 10,
    Deed.READ: 8,
    Deed.PERMIT: 4,
    Deed.ROTATE: 3,
    Deed.LINK: 4,
    Deed.REVOKE: 2,
    Deed.SEVER: 0.3,
    Deed.RECONNECT: 3,
    Deed.ACCEPT: 5,
    Deed.APPROVE: 2,
    Deed.INTRODUCE: 2,
    Deed.PROVE: 2,
}
_FAULTS = {
    Kind.KILL: 16,
    Kind.POWER: 6,
    Kind.CUT: 8,
    Kind.SILENCE: 3,
    Kind.DEAF: 2,
    Kind.MUTE: 2,
    Kind.PARTITION: 4,
    Kind.JUMP: 2,
    Kind.FULL: 2,
    Kind.SYNC: 2,
    Kind.SLOW: 2,
    Kind.RESTORE: 1,
}
#: What may come between two bursts of messages to somebody, done by whoever gets them.
_BETWEEN = {
    Deed.PERMIT: 6,
    Deed.SEVER: 2,
    Deed.ROTATE: 3,
    Deed.LINK: 3,
    Deed.REVOKE: 2,
    Deed.READ: 2,
}
_BURSTS = {Deed.SAY_MANY: 5, Deed.SAY_AT_ONCE: 3, Deed.SAY_AGAIN: 4}
#: The ways in which a relay may lie about one frame.
LIES = (
    "drop",
    "replay",
    "reorder",
    "false-accept",
    "false-refuse",
    "swallow",
    "swallow-one",
    "spoil-parcel",
    "spoil-mail",
    "truncate-log",
    "other-log",
    "false-notice",
    "goaway",
)
#: So much is done at an owner's second machine, if there is one.
_ELSEWHERE = 0.25
#: A burst and what belongs to it are over in so many seconds.
_SCENE_S = 4.0
#: A program touches the world, and a link carries a frame, about so often in a world of this size.
_TOUCHES = 1_500
_FRAMES = 120
_CALLS = 600


def make_plan(seed: int) -> Plan:
    """The world of a seed."""
    chance = Chance(seed)
    draw = chance.stream("plan")
    owners = tuple(_owners(draw))
    storm = [one for one in owners if not one.quiet]
    steps_count = draw.randrange(20, 140)
    ends_s = draw.choice((30.0, 90.0, 240.0))
    steps = [_step(draw, storm, ends_s) for _ in range(steps_count)]
    for one in owners:
        if one.quiet:
            steps += [
                Step(round(draw.uniform(0, ends_s), 3), one.machines[0], Deed.SAY, draw.getrandbits(30))
                for _ in range(3)
            ]
    scenes = chance.stream("scenes")
    scenes_count = scenes.choice((0, 0, 1, 2, 4))
    faults_of_scenes: list[Fault] = []
    for _ in range(scenes_count):
        more, befalls = _scene(scenes, storm, ends_s)
        steps += more
        faults_of_scenes += befalls
    lying = draw.random() < 0.25
    faults = list(_faults(draw, storm, ends_s, lying=lying))
    slow = draw.random() < 0.3
    roomy = scenes_count > 0 and scenes.random() < 0.6
    return Plan(
        seed=seed,
        owners=tuple(attrs.evolve(one, lax=roomy and scenes.random() < 0.7) for one in owners),
        relay_store="sqlite" if draw.random() < 0.3 else "memory",
        delay_s=(0.001, 2.0) if slow else (0.001, 0.08),
        ends_s=ends_s,
        steps=tuple(sorted(steps, key=lambda step: step.at_s)),
        faults=(*faults, *faults_of_scenes),
        roomy=roomy,
    )


def _owners(draw: random.Random) -> Iterator[Owner]:
    names = [("alice", "planner"), ("bob", "writer"), ("carol", "reader")]
    for name, agent in names[: draw.choice((2, 2, 3))]:
        yield Owner(
            name,
            agent,
            devices=2 if draw.random() < 0.4 else 1,
            store="sqlite" if draw.random() < 0.25 else "memory",
            skew_s=round(draw.uniform(-60, 60), 3) if draw.random() < 0.3 else 0.0,
        )
    if draw.random() < 0.35:
        yield Owner("erin", "sower", quiet=True)
        yield Owner("frank", "reaper", quiet=True)


def _step(draw: random.Random, owners: list[Owner], ends_s: float) -> Step:
    (deed,) = draw.choices(tuple(_DEEDS), tuple(_DEEDS.values()))
    owner = draw.choice(owners)
    machine = owner.machines[-1 if draw.random() < _ELSEWHERE else 0]
    return Step(round(draw.uniform(0, ends_s), 3), machine, deed, draw.getrandbits(30))


def _scene(draw: random.Random, owners: list[Owner], ends_s: float) -> tuple[list[Step], list[Fault]]:
    """One says much at once, while whoever gets it does something about it, or is away."""
    says, gets = draw.sample(owners, 2)
    begins_s = draw.uniform(0, max(1.0, ends_s - _SCENE_S))

    def at() -> float:
        return round(begins_s + draw.uniform(0, _SCENE_S), 3)

    def step(owner: Owner, weights: dict[Deed, int]) -> Step:
        (deed,) = draw.choices(tuple(weights), tuple(weights.values()))
        machine = owner.machines[-1 if draw.random() < _ELSEWHERE else 0]
        return Step(at(), machine, deed, draw.getrandbits(30))

    steps = [Step(round(begins_s, 3), says.machines[0], Deed.SAY_MANY, draw.getrandbits(30))]
    steps += [step(says, _BURSTS) for _ in range(draw.randrange(1, 4))]
    steps += [step(gets, _BURSTS) for _ in range(draw.randrange(2))]
    steps += [step(gets, _BETWEEN) for _ in range(draw.randrange(3))]
    faults = []
    if draw.random() < 0.4:
        # It comes back to all of it at once.
        faults.append(Fault(Kind.PARTITION, gets.machines[0], round(begins_s, 3), 2 * _SCENE_S))
    if draw.random() < 0.5:
        who = draw.choice((says.machines[0], gets.machines[0], "relay"))
        faults.append(Fault(Kind.KILL, who, draw.randrange(1, 4 * _TOUCHES), round(draw.uniform(0, 5), 3)))
    return steps, faults


def _faults(draw: random.Random, owners: list[Owner], ends_s: float, *, lying: bool) -> Iterator[Fault]:
    names = [name for owner in owners for name in owner.machines]
    for _ in range(draw.choice((0, 2, 5, 9, 14))):
        (kind,) = draw.choices(tuple(_FAULTS), tuple(_FAULTS.values()))
        if kind is Kind.RESTORE and lying:
            continue
        yield _fault(draw, kind, names, ends_s)
    if lying:
        for _ in range(draw.randrange(1, 8)):
            kind = Kind.ROLLBACK if draw.random() < 0.15 else Kind.LIE
            at = draw.randrange(1, _FRAMES // 3) if kind is Kind.LIE else round(draw.uniform(0, ends_s), 3)
            yield Fault(kind, draw.choice(names), at, draw.randrange(len(LIES)))


def _fault(draw: random.Random, kind: Kind, names: list[str], ends_s: float) -> Fault:
    who = draw.choice(names)
    length = round(draw.choice((0.5, 5.0, 40.0)) * draw.random(), 3)
    at: float = round(draw.uniform(0, ends_s), 3)
    match kind:
        case Kind.KILL:
            who = draw.choice((*names, "relay", "relay"))
            at = draw.randrange(1, _TOUCHES)
        case Kind.POWER:
            who = draw.choice((*names, "relay"))
            at = draw.randrange(1, _CALLS)
        case Kind.CUT | Kind.SILENCE | Kind.DEAF | Kind.MUTE:
            at = draw.randrange(1, _FRAMES)
        case Kind.JUMP:
            who = draw.choice((*names, "relay"))
            length = round(draw.uniform(-100, 100), 3)
        case Kind.FULL | Kind.SYNC | Kind.SLOW:
            who = draw.choice((*names, "relay"))
        case Kind.RESTORE:
            who = "relay"
        case _:
            pass
    return Fault(kind, who, at, length)
