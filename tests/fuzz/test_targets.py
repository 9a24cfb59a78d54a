"""Each fuzz target on the specification's vectors and on random mutations of them, in the fast suite."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.targets import TARGETS, run, seeds

MUTATIONS = 300


def mutated(data: bytes, dice: random.Random) -> bytes:
    """`data` with a few bytes changed, taken out, doubled or put in."""
    raw = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(raw) + 1)
        match dice.randrange(4):
            case 0:
                raw[place:place] = dice.randbytes(dice.randint(1, 4))
            case 1:
                del raw[place : place + dice.randint(1, 8)]
            case 2:
                raw[place:place] = raw[place : place + dice.randint(1, 16)]
            case _:
                raw[place : place + 1] = bytes((dice.randrange(256),))
    return bytes(raw)


@pytest.mark.parametrize("name", TARGETS)
def test_what_a_target_starts_from_gets_through(name: str) -> None:
    """One input at least is taken: from what is refused at its first byte no fuzzer gets anywhere."""
    assert any(run(name, data) for data in seeds(name))


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_are_a_value_or_a_coded_rejection(name: str) -> None:
    """Vectors, mutations of them and noise: only coded rejections come out, and nothing is misread."""
    dice = random.Random(name)
    known = list(seeds(name)) or [b""]
    for data in known[:100]:
        run(name, data)
    for _ in range(MUTATIONS):
        run(name, mutated(dice.choice(known), dice))
        run(name, dice.randbytes(dice.randrange(64)))
