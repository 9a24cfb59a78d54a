"""A relay that stops, and one whose disk gives out."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from taskferry_apps.relay.core import Policy
from taskferry_apps.relay_client import CallRefused, LinkEnded
from taskferry_protocol.accounts import rename
from taskferry_protocol.calls import AppendStatements
from taskferry_protocol.frame_items import ParcelAccepted, Refusal
from taskferry_stores.port import StoreFailed, StoreFull

from .conftest import ORIGIN, PausedStore, mails, serving, take
from .people import read_text, seal


async def test_what_was_handed_in_is_answered_before_the_goodbye():
    """Draining waits for the disk, tells the outcome, and only then says goaway."""
    store = PausedStore()
    async with serving(store, Policy([ORIGIN])) as world:
        await world.introduce()
        async with world.open(world.alice) as alice, trio.open_nursery() as nursery:
            store.gate = trio.Event()
            pending = await alice.submit([seal(world.alice, world.bob, "last", world.now).parcel])
            with trio.fail_after(5):
                while not store.gate.statistics().tasks_waiting:
                    await trio.sleep(0.001)
            nursery.start_soon(world.relay.drain)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert not world.relay.is_healthy
            store.gate.set()
            with trio.fail_after(5):
                assert await pending.wait() == (ParcelAccepted(1),)
                assert (await alice.wait_ended()).code == "shutting-down"


async def test_a_draining_relay_takes_no_sessions(world):
    """Whoever comes too late finds the door closed."""
    await world.relay.drain()
    with pytest.raises(LinkEnded), trio.fail_after(5):
        async with world.open(world.alice):
            pass


async def test_a_full_disk_refuses_and_the_relay_goes_on():
    """The sender is told to come back; once there is room, the same envelope passes."""
    store = PausedStore()
    async with serving(store, Policy([ORIGIN])) as world:
        await world.introduce()
        async with world.open(world.alice) as alice, world.open(world.bob) as bob:
            sent = seal(world.alice, world.bob, "patient", world.now).parcel
            store.fault = StoreFull("no space")
            (outcome,) = await alice.send([sent])
            assert isinstance(outcome, Refusal)
            assert outcome.code == "internal"
            assert outcome.detail.retry_after
            store.fault = None
            assert await alice.send([sent]) == (ParcelAccepted(1),)
            (entry,) = mails(await take(bob, 1))
            assert read_text(world.bob, entry) == "patient"


async def test_a_full_disk_takes_no_newcomers_and_no_statements_and_the_relay_goes_on():
    """Both are told so, and served once there is room."""
    store = PausedStore()
    async with serving(store, Policy([ORIGIN])) as world, world.open(world.alice) as alice:
        store.fault = StoreFull("no space")
        statement = rename(world.alice.log.state, "ann", at=world.now, by=world.alice.manage)
        call = AppendStatements(2, (statement,))
        with pytest.raises(CallRefused) as refused:
            await alice.call(call)
        assert refused.value.refusal.code == "internal"
        with pytest.raises(LinkEnded) as ended, trio.fail_after(5):
            async with world.open(world.bob):
                pass
        assert ended.value.code == "internal"
        store.fault = None
        await alice.call(call)
        async with world.open(world.bob) as bob:
            assert bob.ready.log == world.bob.log.position


async def test_a_failed_disk_ends_the_relay_and_links_are_told():
    """Nothing is answered as accepted, everybody is told, and the relay raises."""
    store = PausedStore()
    codes = []
    with pytest.raises(ExceptionGroup) as caught:
        async with serving(store, Policy([ORIGIN])) as world:
            await world.introduce()
            async with world.open(world.alice) as alice:
                store.fault = StoreFailed("the disk is gone")
                pending = await alice.submit([seal(world.alice, world.bob, "x", world.now).parcel])
                try:
                    await pending.wait()
                except LinkEnded as ended:
                    codes.append(ended.code)
                    raise
    assert codes == ["internal"]
    assert caught.group_contains(StoreFailed)
