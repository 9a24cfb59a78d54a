"""The quarantine has bounds: what is beyond them is counted, and what is proven goes last."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon import quarantine
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.port import GrantChange
from taskferry_protocol.messages import TextMessage

from .forger import Forger, codes, forging, still_arrives
from .worlds import OWNER


async def _counted(forger: Forger) -> dict[str, int]:
    return dict(quarantine.dropped(await Draft(forger.bob).setting("quarantine-dropped")))


async def test_beyond_so_many_items_the_oldest_unproven_is_only_counted(monkeypatch):
    """Noise is dropped before what a peer signed, oldest first; the owner hears of it once."""
    monkeypatch.setattr(quarantine, "MOST_ITEMS", 3)
    async with forging() as (forger, bob):
        await bob.set_permissions(OWNER, ("writer", "@alice/requester"), GrantChange(classes=("task",)))
        for number in range(2):
            await forger.deliver(await forger.seal(TextMessage("let me in")))
            await forger.hand_over(b"noise %d" % number, bytes(80))
        assert sorted(await codes(bob)) == ["bad-cose", "not-permitted", "not-permitted"]
        await forger.deliver(await forger.seal(TextMessage("let me in")))
        assert await codes(bob) == ["not-permitted"] * 3
        await forger.hand_over(b"more noise", bytes(80))
        await forger.deliver(await forger.seal(TextMessage("let me in")))
        assert await codes(bob) == ["not-permitted"] * 3
        assert await _counted(forger) == {"bad-cose": 3, "not-permitted": 1}
        assert [alarm for alarm in (await bob.status()).alarms if "quarantine is full" in alarm]


async def test_unproven_bytes_are_kept_in_part_and_bounded_in_sum(monkeypatch):
    """Of noise only the beginning is kept, and of large items no more than the bound allows."""
    monkeypatch.setattr(quarantine, "MOST_BYTES", 4 * quarantine.FIRST_BYTES)
    async with forging() as (forger, bob):
        for number in range(9):
            await forger.hand_over(bytes([number]) * 200_000, bytes(80))
        lines = await forger.bob.store.quarantine_lines()
        assert [line.size for line in lines] == [quarantine.FIRST_BYTES] * 4
        assert sum((await _counted(forger)).values()) == 5
        await still_arrives(forger, bob)


@pytest.mark.parametrize("times", [1, 5])
async def test_the_same_item_again_is_kept_once(times):
    """A relay that repeats noise fills nothing with it."""
    async with forging() as (forger, bob):
        for _ in range(times):
            await forger.hand_over(b"noise", bytes(80))
        assert len(await codes(bob)) == 1
