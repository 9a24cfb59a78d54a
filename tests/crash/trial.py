"""One trial: several pairs of agents at work, programs killed meanwhile, and an audit at the end."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import attrs

from taskferry_apps.local_client import LocalClient
from tests.crash.audit import audit, audit_files
from tests.crash.bursts import widen
from tests.crash.stories import STORIES, Lane, Pulse
from tests.crash.world import World, befriend, link, set_up

__all__ = ["Outcome", "run_trial"]

#: Seconds between something that succeeds and the kill: within them comes what it leads to.
AFTER_S: Final = (0.0, 0.15)
#: How many things succeed between kills; none of them, and programs die while they start.
BEATS: Final = (0, 1, 2, 3, 5)
#: However little succeeds, nobody lives longer than so many seconds.
LONGEST_S: Final = 4.0
#: Seconds until the next start.
DOWN_S: Final = (0.0, 0.3)
#: How often two programs die at once.
PAIRS: Final = 0.3


@attrs.frozen
class Outcome:
    """What a trial counted; it raises AssertionError if anything does not hold."""

    seed: int
    kills: Counter[str]
    """By program."""
    pairs: int
    """How often two were killed at once; both count in `kills`, too."""
    messages: int
    tasks: int
    stories: Counter[str]
    seconds: float


@attrs.define
class _Reaper:
    """Kills programs and starts them again, in a thread, until there were enough kills."""

    world: World
    dice: random.Random
    kills: int
    pulse: Pulse
    pairs: int = 0
    ending: threading.Event = attrs.field(factory=threading.Event)
    trouble: list[BaseException] = attrs.field(factory=list)

    def run(self) -> None:
        """Reap. What goes wrong is kept for the trial, which raises it."""
        try:
            while self.world.kills.total() < self.kills and not self.ending.is_set():
                self._strike()
        except BaseException as error:  # noqa: BLE001
            self.trouble.append(error)

    def _strike(self) -> None:
        dice, left = self.dice, self.kills - self.world.kills.total()
        self.pulse.wait(dice.choice(BEATS), LONGEST_S)
        if self.ending.wait(dice.uniform(*AFTER_S)):
            return
        two = left > 1 and dice.random() < PAIRS
        names = dice.sample(self.world.names, 2 if two else 1)
        self.world.kill(*names)
        self.pairs += two
        for name in names:
            self.ending.wait(dice.uniform(*DOWN_S))
            self.world.start(name)


def run_trial(folder: Path, *, seed: int, kills: int, lanes: int = 3, second: bool | None = None) -> Outcome:
    """Kill programs `kills` times while `lanes` pairs of agents work, and count.

    Unless `second` says so, the seed decides whether Alice has a second machine.
    """
    begun = time.monotonic()
    dice = random.Random(seed)
    daemons = (
        ("alice", "bob", "second") if (seed % 2 == 0 if second is None else second) else ("alice", "bob")
    )
    with World(folder, daemons=daemons) as world, ExitStack() as clients:

        def client(name: str) -> LocalClient:
            return clients.enter_context(world.client(name))

        alice, bob = client("alice"), client("bob")
        other = client("second") if "second" in daemons else None
        set_up(alice, "alice", [f"asks{number}" for number in range(lanes)], world.relay_url)
        set_up(bob, "bob", [f"does{number}" for number in range(lanes)], world.relay_url)
        if other is not None:
            link(alice, other, world.relay_url)
        for number in range(lanes):
            befriend(alice, bob, f"asks{number}", f"does{number}")
            widen(alice, bob, f"asks{number}", f"does{number}", second=other)
        reaper = _Reaper(world, dice, kills, pulse := Pulse())
        working = [
            Lane(
                world,
                number,
                seed,
                client("alice"),
                client("bob"),
                client("second") if other else None,
                pulse,
            )
            for number in range(lanes)
        ]
        _work(working, reaper)
        audit(world, working, alice, bob, other)
    audit_files(folder)
    return Outcome(
        seed,
        world.kills,
        reaper.pairs,
        sum(len(texts) for lane in working for texts in lane.texts.values()),
        sum(len(lane.tasks) for lane in working),
        sum((lane.told for lane in working), Counter()),
        time.monotonic() - begun,
    )


def _work(lanes: list[Lane], reaper: _Reaper) -> None:
    """Tell stories in all lanes for as long as programs are killed, each lane each story once at least."""

    def tell(lane: Lane) -> None:
        try:
            while killing.is_alive() or lane.rounds < len(STORIES):
                if reaper.trouble:
                    return
                names = list(STORIES)
                name = names[lane.rounds] if lane.rounds < len(names) else lane.dice.choice(names)
                STORIES[name](lane)
                lane.told[name] += 1
                lane.rounds += 1
        except BaseException as error:  # noqa: BLE001 - the trial raises it
            reaper.trouble.append(error)
            reaper.ending.set()

    killing = threading.Thread(target=reaper.run)
    killing.start()
    telling = [threading.Thread(target=tell, args=(lane,)) for lane in lanes]
    for thread in telling:
        thread.start()
    for thread in (*telling, killing):
        thread.join()
    if reaper.trouble:
        raise reaper.trouble[0]
