"""A link that breaks while the relay looks something up for it: the next one finds it as it is."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

import pytest
import trio
import trio.testing

from taskferry_apps.relay import usage as usage_module
from taskferry_apps.relay.core import Policy
from taskferry_apps.relay.usage import Usages
from taskferry_apps.relay_client import LinkEnded
from taskferry_protocol.admission import MailboxLimits
from taskferry_protocol.ids import DeviceId
from taskferry_stores.memory import MemoryRelayStore

from .conftest import GENERATION, ORIGIN, World, codes, serving, take
from .people import connect, person, seal

T = TypeVar("T")


class Slow(MemoryRelayStore):
    """A store that is slow at one kind of look, until it is not."""

    def __init__(self, look: str) -> None:
        super().__init__(GENERATION)
        self.look = look
        self.is_slow = False
        self.looking = trio.Event()
        self.gate = trio.Event()

    async def _answered(self, look: str, answer: Awaitable[T]) -> T:
        found = await answer
        if self.is_slow and look == self.look:
            self.looking.set()
            await self.gate.wait()
        return found

    async def usage(self, devices):
        """How full mailboxes are."""
        return await self._answered("usage", super().usage(devices))

    async def shares(self, devices):
        """Whose mail is in them."""
        return await self._answered("shares", super().shares(devices))


@pytest.mark.parametrize(
    ("look", "entries", "mail", "more"),
    [("usage", 4, ("alice", "alice", "carol", "dave"), 1), ("shares", 8, ("alice",) * 4 + ("carol",) * 2, 3)],
)
async def test_what_was_taken_out_of_a_mailbox_makes_room_though_the_look_at_it_was_cut_off(
    monkeypatch: pytest.MonkeyPatch, look: str, entries: int, mail: tuple[str, ...], more: int
) -> None:
    """What a device has taken counts as taken, also for who comes after the one whose link broke."""
    monkeypatch.setattr(usage_module, "SHARES_EVERY_S", 0.0)
    store = Slow(look)
    limits = MailboxLimits(entries=entries, strangers=2)
    async with serving(store, Policy([ORIGIN], limits=limits)) as world:
        await world.introduce()
        bob, people = world.bob, {"alice": world.alice}
        for number, name in enumerate(("carol", "dave"), 3):
            people[name] = person(name, number, world.now)
            async with world.open(people[name]) as client:
                await client.call(connect(people[name], bob, world.now))

        async def sent(name: str) -> list[str]:
            async with world.open(people[name]) as client:
                return codes(await client.send([seal(people[name], bob, "hi", world.now).parcel]))

        with trio.fail_after(20):
            for name in mail:
                assert await sent(name) == ["accepted"]
            async with world.open(bob) as client:
                await take(client, 4)
                while (await store.usage([bob.keys.id]))[bob.keys.id].count > len(mail) - 4:
                    await trio.sleep(0.01)
            await cut_off(world, store, [seal(world.alice, bob, "lost", world.now).parcel])
            assert [await sent("alice") for _ in range(more)] == [["accepted"]] * more


async def cut_off(world: World, store: Slow, parcels: list[bytes]) -> None:
    """Alice's link breaks while the relay looks something up for what she sends."""
    async with world.open(world.alice) as client, trio.open_nursery() as nursery:

        async def send() -> None:
            with suppress(LinkEnded):
                await client.send(parcels)

        store.is_slow = True
        nursery.start_soon(send)
        await store.looking.wait()
        for link in world.relay._links:
            link._scope.cancel()
    store.is_slow = False


async def test_looks_that_were_cut_off_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of mailboxes that were looked at in vain no more are remembered than of others."""
    monkeypatch.setattr(usage_module, "USAGES_HELD", 2)
    store = Slow("usage")
    usages = Usages(store, MailboxLimits())
    store.is_slow = True
    for number in range(20):
        with trio.CancelScope() as scope:
            scope.cancel()
            await usages.load(None, [DeviceId(bytes([number]) * 32)])
    store.is_slow = False
    await usages.load(None, [DeviceId(bytes(32))])
    assert len(usages.totals) <= 3


async def test_a_link_that_broke_before_its_session_opened_puts_no_later_one_out() -> None:
    """The relay is slow to open the first; its device has dialled again by then, and keeps that session."""
    store = Slow("usage")
    async with serving(store, Policy([ORIGIN])) as world:
        with trio.fail_after(20):
            await world.introduce()
            store.is_slow = True
            with trio.CancelScope() as broken:
                async with trio.open_nursery() as nursery:

                    async def dials() -> None:
                        async with world.open(world.alice):
                            pass

                    nursery.start_soon(dials)
                    await store.looking.wait()
                    broken.cancel()
            store.is_slow = False
            async with world.open(world.alice) as client:
                store.gate.set()
                await trio.testing.wait_all_tasks_blocked()
                assert client.ended is None
                assert codes(await client.send([seal(world.alice, world.bob, "hi", world.now).parcel])) == [
                    "accepted"
                ]
