"""When receipts are said: the first at once, those that follow together, and none is forgotten."""

from __future__ import annotations

from math import inf
from typing import Any

import attrs
import pytest
import trio

from taskferry_apps.daemon import receipts
from taskferry_apps.daemon.receipts import GATHER_S, LOOK_AGAIN_S, Receipts
from taskferry_protocol.limits import RECEIPT_ITEMS


@attrs.define
class Owing:
    """As much of a core and its store as is asked; owed is a list of anything."""

    owed: list[int]
    owes_receipts: bool = True
    looks: int = 0
    lock: trio.Lock = attrs.Factory(trio.Lock)

    @property
    def store(self):
        """The store."""
        return self

    async def receipts_owed(self, limit):
        """Some of what is owed."""
        await trio.lowlevel.checkpoint()
        self.looks += 1
        return tuple(self.owed[:limit])

    def owe(self, *items):
        """What a commit does."""
        self.owed += items
        self.owes_receipts = True


def saying_of(core: Any) -> Receipts:
    """Who says what such a core owes."""
    return Receipts(core)


@pytest.fixture
def said(monkeypatch):
    """What was said together, each time."""
    all_said = []

    async def say_all(core, owed):
        await trio.lowlevel.checkpoint()
        all_said.append(list(owed))
        del core.owed[: len(owed)]

    monkeypatch.setattr(receipts, "_say_all", say_all)
    return all_said


async def test_what_follows_soon_is_said_together(said, autojump_clock):
    """The first receipt goes at once, and what is owed in the next moment goes in one go after it."""
    core = Owing([1])
    saying = saying_of(core)
    await saying.say()
    assert said == [[1]]
    for item in (2, 3, 4):
        core.owe(item)
        await saying.say()
        assert 0 < saying.wait_s <= GATHER_S
    assert said == [[1]]
    await trio.sleep(saying.wait_s)
    await saying.say()
    assert said == [[1], [2, 3, 4]]


async def test_after_a_pause_a_receipt_is_said_at_once(said, autojump_clock):
    """Whoever sends now and then hears without delay."""
    core = Owing([])
    saying = saying_of(core)
    for item in (1, 2, 3):
        core.owe(item)
        assert saying.wait_s == 0
        await saying.say()
        await trio.sleep(GATHER_S)
    assert said == [[1], [2], [3]]


async def test_nobody_looks_where_nothing_is_owed_but_now_and_then(said, autojump_clock):
    """A daemon that owes nothing does not ask its store each time, and yet it asks again after a while."""
    core = Owing([])
    saying = saying_of(core)
    for _ in range(10):
        await saying.say()
    assert core.looks == 1
    assert saying.wait_s == inf
    core.owed.append(1)  # of which no commit said a word
    await trio.sleep(LOOK_AGAIN_S)
    await saying.say()
    assert said == [[1]]


async def test_what_comes_to_be_owed_during_a_look_is_said_after_it(said, autojump_clock):
    """A commit that ends between the look and its end is not taken for one before it."""
    core = Owing([1])
    saying = saying_of(core)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(saying.say)
        while not core.looks:
            await trio.lowlevel.checkpoint()
        core.owes_receipts = True
    await trio.sleep(GATHER_S)
    core.owed.append(2)
    await saying.say()
    assert said == [[1], [2]]


async def test_more_than_one_round_says_goes_on_at_once(said, autojump_clock):
    """A crowd does not wait for its turn between full rounds."""
    core = Owing(list(range(2 * RECEIPT_ITEMS + 1)))
    saying = saying_of(core)
    while core.owed:
        assert saying.wait_s == 0
        await saying.say()
    assert [len(some) for some in said] == [RECEIPT_ITEMS, RECEIPT_ITEMS, 1]


async def test_what_could_not_be_said_is_owed_still(monkeypatch, autojump_clock):
    """A fault or a hanging up forgets nothing."""

    async def fail(core, owed):
        raise OSError

    monkeypatch.setattr(receipts, "_say_all", fail)
    core = Owing([1])
    with pytest.raises(OSError):
        await saying_of(core).say()
    assert core.owes_receipts
