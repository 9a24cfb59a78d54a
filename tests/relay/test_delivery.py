"""Mail goes in at one end and comes out at the other: once, in order, whoever is away."""

from __future__ import annotations

import trio

from taskferry_apps.relay.core import Policy
from taskferry_protocol.frame_items import Cursor, ParcelAccepted, Window

from .conftest import ORIGIN, codes, mails, serving, take
from .people import read_text, seal


async def test_a_message_arrives(friends):
    """What one device sends, the other opens."""
    async with friends.open(friends.alice) as alice, friends.open(friends.bob) as bob:
        outcomes = await alice.send([seal(friends.alice, friends.bob, "hello", friends.now).parcel])
        assert outcomes == (ParcelAccepted(1),)
        (entry,) = mails(await take(bob, 1))
        assert read_text(friends.bob, entry) == "hello"


async def test_many_messages_arrive_in_order(friends):
    """Batches larger than a window come out as they went in."""
    texts = [f"number {n}" for n in range(1500)]
    parcels = [seal(friends.alice, friends.bob, text, friends.now).parcel for text in texts]
    async with (
        friends.open(friends.alice) as alice,
        friends.open(friends.bob) as bob,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(alice.send, parcels)
        entries = mails(await take(bob, len(texts)))
    assert [read_text(friends.bob, entry) for entry in entries] == texts
    assert [entry.offset for entry in entries] == sorted(entry.offset for entry in entries)


async def test_mail_waits_for_a_device_that_is_away(friends):
    """A recipient that connects later gets everything, and a second connection nothing of it again."""
    parcels = [seal(friends.alice, friends.bob, f"{n}", friends.now).parcel for n in range(300)]
    async with friends.open(friends.alice) as alice:
        assert set(codes(await alice.send(parcels))) == {"accepted"}
    async with friends.open(friends.bob) as bob:
        entries = mails(await take(bob, 300))
        cursor = Cursor(bob.ready.generation, entries[-1].offset)
    assert [read_text(friends.bob, entry) for entry in entries] == [f"{n}" for n in range(300)]
    async with friends.open(friends.bob, cursor=cursor) as bob, friends.open(friends.alice) as alice:
        await alice.send([seal(friends.alice, friends.bob, "new", friends.now).parcel])
        (entry,) = mails(await take(bob, 1))
        assert read_text(friends.bob, entry) == "new"


async def test_what_was_not_acknowledged_comes_again(friends):
    """A device that vanished before it committed gets the same entries at the same offsets."""
    parcels = [seal(friends.alice, friends.bob, f"{n}", friends.now).parcel for n in range(10)]
    async with friends.open(friends.alice) as alice:
        await alice.send(parcels)
    async with friends.open(friends.bob) as bob:
        first = await bob.deliveries()
        await bob.ack(first[3].offset)
    cursor = Cursor(friends.store.generation, first[3].offset)
    async with friends.open(friends.bob, cursor=cursor) as bob:
        again = await take(bob, 6)
    assert again == list(first[4:])


async def test_a_cursor_is_an_acknowledgement(friends):
    """A daemon that committed and lost the connection before it could say so is not given it again."""
    async with friends.open(friends.alice) as alice:
        await alice.send([seal(friends.alice, friends.bob, f"{n}", friends.now).parcel for n in range(5)])
    async with friends.open(friends.bob) as bob:
        entries = await bob.deliveries()
    cursor = Cursor(friends.store.generation, entries[2].offset)
    async with friends.open(friends.bob, cursor=cursor) as bob:
        assert bob.ready.next_offset > entries[2].offset
        assert await take(bob, 2) == list(entries[3:])


async def test_what_was_acknowledged_is_gone_even_for_who_forgot_it(friends):
    """A daemon that lost its cursor is not given again what it said that it has."""
    async with friends.open(friends.alice) as alice:
        await alice.send([seal(friends.alice, friends.bob, f"{n}", friends.now).parcel for n in range(3)])
        async with friends.open(friends.bob) as bob:
            entries = await take(bob, 3)
        await alice.send([seal(friends.alice, friends.bob, "new", friends.now).parcel])
        async with friends.open(friends.bob) as bob:
            (entry,) = mails(await take(bob, 1))
            assert entry.offset > entries[-1].offset


async def test_what_was_acknowledged_is_gone_after_a_restart(store):
    """The store is told of it, so a relay that starts later gives out no more than is new."""
    async with serving(store, Policy([ORIGIN])) as world:
        await world.introduce()
        alice, bob = world.alice, world.bob
        async with world.open(alice) as sender, world.open(bob) as recipient:
            await sender.send([seal(alice, bob, f"{n}", world.now).parcel for n in range(3)])
            entries = await take(recipient, 3)
            with trio.fail_after(20):
                while (await store.usage([bob.keys.id]))[bob.keys.id].acked < entries[-1].offset:
                    await trio.sleep(0.01)
    async with (
        serving(store, Policy([ORIGIN])) as world,
        world.open(alice) as sender,
        world.open(bob) as recipient,
    ):
        await sender.send([seal(alice, bob, "new", world.now).parcel])
        (entry,) = mails(await take(recipient, 1))
        assert read_text(bob, entry) == "new"


async def test_a_small_window_is_kept(friends):
    """Never more than the daemon's window is under way, and all of it arrives."""
    async with friends.open(friends.alice) as alice:
        await alice.send([seal(friends.alice, friends.bob, f"{n}", friends.now).parcel for n in range(40)])
    async with friends.open(friends.bob, window=Window(3, 1_000_000)) as bob:
        first = await bob.deliveries()
        assert len(first) == 3
        assert not bob._inbox
        await bob.ack(first[-1].offset)
        await take(bob, 37)


async def test_sending_again_has_no_effect_and_the_first_place_is_answered(friends):
    """The relay knows an envelope by its id, and delivers it once."""
    sent = seal(friends.alice, friends.bob, "once", friends.now)
    async with friends.open(friends.alice) as alice, friends.open(friends.bob) as bob:
        (first,) = await alice.send([sent.parcel])
        assert await alice.send([sent.parcel, sent.parcel]) == (first, first)
        await alice.send([seal(friends.alice, friends.bob, "next", friends.now).parcel])
        texts = [read_text(friends.bob, entry) for entry in mails(await take(bob, 2))]
    assert texts == ["once", "next"]
