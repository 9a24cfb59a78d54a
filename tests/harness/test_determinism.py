"""One seed, one world: the same to the last byte, whoever runs it and when."""

import subprocess
import sys
from pathlib import Path

from taskferry_protocol.harness import Network, World
from taskferry_protocol.harness.chance import Chance

from .stories import STORMY, scene, tell

ROOT = Path(__file__).parents[2]
PROGRAM = """
from tests.harness.stories import STORMY, scene, tell
from taskferry_protocol.harness import Lies
stage = scene(9, STORMY)
tell(stage)
print(stage.world.trace())
"""


def test_same_seed_same_trace():
    """Two worlds of one seed in which the same is done have one trace."""
    traces = []
    for _ in range(2):
        stage = scene(4, STORMY)
        tell(stage)
        traces.append(stage.world.trace())
    assert traces[0] == traces[1]
    assert traces[0].count("\n") > 50


def test_another_seed_makes_another_world():
    """Seeds differ in keys and in luck."""
    assert scene(1).alice.id != scene(2).alice.id


def test_trace_does_not_depend_on_the_interpreters_hashing():
    """Python orders sets differently in each process; nothing in a world goes by that."""
    traces = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for hash_seed in ("1", "2", "3")
    }
    assert len(traces) == 1
    assert all(traces)


def test_time_passes_only_when_it_is_let():
    """A world stands still between calls, and leaps over the time in which nothing happens."""
    world = World(1, Network())
    start = world.now
    world.device("alice")
    assert world.now == start
    world.run(3_600_000)
    assert world.now == start + 3_600_000


def test_streams_of_chance_do_not_disturb_each_other():
    """A draw from one stream leaves what the others give as it was."""
    one, other = Chance(1).stream("a"), Chance(1).stream("a")
    Chance(1).stream("b").entropy(8)
    assert one.entropy(8) == other.entropy(8) != one.entropy(8)


def test_chance_keeps_within_its_bounds():
    """Every number within bounds is drawn in time, and nothing outside."""
    chance = Chance(1)
    assert {chance.between((2, 4)) for _ in range(100)} == {2, 3, 4}
    assert 20 < sum(chance.happens(0.5) for _ in range(100)) < 80
    assert not chance.happens(0)
