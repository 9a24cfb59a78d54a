"""What an open page is told of: every change since it was made, also those from before it began to follow."""

from __future__ import annotations

import re

import trio
import trio.testing

from taskferry_apps.daemon.bell import Bell
from taskferry_apps.daemon.pages.live import LiveBody, Streams


def body(bell: Bell, seen: int) -> LiveBody:
    """The feed of a page that was made when the bell had rung so often."""
    return LiveBody(lambda: bell.next, lambda: seen != bell.rings, lambda: True, trio.Event(), Streams())


async def test_a_page_from_before_a_change_is_told_as_soon_as_it_follows():
    """Between a page and its feed lies a moment; what changed in it does not wait for the next change."""
    bell = Bell()
    seen = bell.rings
    bell.ring()
    with trio.fail_after(5):
        async with body(bell, seen) as hints:
            assert [(await anext(aiter(hints))) for _ in range(2)][1].startswith(b"event: changed")


async def test_a_page_that_is_up_to_date_is_told_of_the_next_change_alone(nursery):
    """After the greeting there is silence until something changes."""
    bell = Bell()
    async with body(bell, bell.rings) as hints:
        told = aiter(hints)
        assert b"event: open" in await anext(told)
        bell_rang = False

        async def ring() -> None:
            nonlocal bell_rang
            await trio.testing.wait_all_tasks_blocked()
            bell_rang = True
            bell.ring()

        nursery.start_soon(ring)
        with trio.fail_after(5):
            assert (await anext(told)).startswith(b"event: changed")
        assert bell_rang


async def test_each_page_carries_how_many_changes_it_knows_of(alice):
    """The number rises with what is changed in between."""
    numbers: list[int] = []
    for name in ("one", "two"):
        numbers += map(int, re.findall(r'data-as-of="([0-9]+)"', await alice.page("/dashboard/agents")))
        await alice.done("/dashboard/agents", do="create", name=name)
    assert len(numbers) == 2
    assert numbers[0] < numbers[1]
