"""Much waiting mail: delivered in order, without keeping others waiting; and mail whose time is over."""

from __future__ import annotations

import weakref

import trio

from taskferry_apps import system
from taskferry_apps.relay.mailbox import TAIL_BYTES, TAIL_ENTRIES, Mailbox, TailBudget
from taskferry_protocol.frame_items import Mail, Notice, Window
from taskferry_protocol.ids import DeviceId, Hash, MessageId
from taskferry_protocol.records import StoreEnvelope
from taskferry_stores.memory import MemoryRelayStore

from .conftest import GENERATION, mails, take
from .people import connect, person, read_text, seal

WAITING = 20_000


async def fill(friends, count: int) -> None:
    """Put mail for bob straight into the store: what matters here is how it comes out."""
    sent = seal(friends.alice, friends.bob, "waiting", friends.now)
    envelope = sent.sealed.envelope
    header = envelope.header
    for start in range(0, count, 2_000):
        await friends.store.commit(
            [
                StoreEnvelope(
                    friends.alice.keys.id,
                    MessageId(n.to_bytes(16, "big")),
                    header.to,
                    1_000_000 + n,
                    Hash(n.to_bytes(32, "big")),
                    header.created_at,
                    header.expires_at,
                    header.created_at,
                    envelope.raw,
                    ((friends.bob.keys.id, bytes(80)),),
                )
                for n in range(start, start + 2_000)
            ]
        )


async def test_a_long_backlog_comes_in_order_and_delays_nobody(friends):
    """While 20,000 messages go to one device, two others talk as if nothing were."""
    await fill(friends, WAITING)
    carol, dave = person("carol", 3, friends.now), person("dave", 4, friends.now)
    offsets: list[int] = []
    delays: list[float] = []
    done = trio.Event()

    async def drain(client) -> None:
        while len(offsets) < WAITING:
            entries = await client.deliveries()
            offsets.extend(entry.offset for entry in entries)
            await client.ack(entries[-1].offset)
        done.set()

    async with friends.open(carol) as one, friends.open(dave) as other:
        await one.call(connect(carol, dave, friends.now))
        async with friends.open(friends.bob) as bob, trio.open_nursery() as nursery:
            nursery.start_soon(drain, bob)
            while not done.is_set():
                started = system.now()
                await one.send([seal(carol, dave, "quick", friends.now).parcel])
                await take(other, 1)
                delays.append(system.now() - started)
    assert offsets == sorted(set(offsets))
    assert len(offsets) == WAITING
    # Generous, since tests share their machine: it is some milliseconds.
    assert sorted(delays)[len(delays) // 2] < 500


async def test_mail_that_comes_while_a_page_is_read_is_not_lost(friends):
    """The step from the store's pages to fresh mail leaves no gap and repeats nothing."""
    parcels = [seal(friends.alice, friends.bob, f"{n}", friends.now).parcel for n in range(2_000)]
    async with friends.open(friends.alice) as alice:
        await alice.send(parcels[:600])
        async with friends.open(friends.bob) as bob, trio.open_nursery() as nursery:
            nursery.start_soon(alice.send, parcels[600:])
            texts = [read_text(friends.bob, entry) for entry in mails(await take(bob, 2_000))]
    assert texts == [f"{n}" for n in range(2_000)]


async def test_a_slow_device_is_served_from_the_store_and_misses_nothing(friends):
    """Whoever takes one at a time holds no memory but a queue's, and gets all."""
    parcels = [seal(friends.alice, friends.bob, f"{n}", friends.now).parcel for n in range(1_800)]
    async with (
        friends.open(friends.alice) as alice,
        friends.open(friends.bob, window=Window(2, 9_000)) as bob,
    ):
        await alice.send(parcels)
        texts = [read_text(friends.bob, entry) for entry in mails(await take(bob, 1_800))]
    assert texts == [f"{n}" for n in range(1_800)]


async def test_new_mail_that_comes_while_a_page_is_read_is_held_up_to_a_queues_bounds():
    """However long the disk takes: what is beyond them comes with the next page."""
    reading, done = trio.Event(), trio.Event()

    class SlowStore(MemoryRelayStore):
        """Its pages take as long as the test wants."""

        async def mailbox(self, device, after, limit, max_bytes):
            reading.set()
            await done.wait()
            return await super().mailbox(device, after, limit, max_bytes)

    mailbox = Mailbox(SlowStore(GENERATION), DeviceId(bytes(32)), 0, TailBudget())
    held: list[weakref.ref[Mail]] = []

    def put(offset: int, size: int) -> None:
        mail = Mail(offset, bytes(size), b"")
        held.append(weakref.ref(mail))
        mailbox.put([mail])

    for size in (1, 100_000):
        held.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mailbox.read_on)
            await reading.wait()
            for offset in range(1, 3_000):
                put(offset, size)
                alive = sum(ref() is not None for ref in held[-1_300:])
                assert alive <= TAIL_ENTRIES + 1
                assert alive * size <= TAIL_BYTES + 2 * size
            done.set()
        assert mailbox.behind
        assert not len(mailbox)
        reading, done = trio.Event(), trio.Event()


async def test_what_expired_comes_back_as_undeliverable(friends):
    """The sending device is told, even while it is connected, and the mailbox is empty."""
    async with friends.open(friends.alice) as alice:
        sent = seal(friends.alice, friends.bob, "late", friends.now, life_ms=60_000)
        await alice.send([sent.parcel])
        friends.clock.ahead_ms += 120_000
        async with friends.open(friends.alice) as again:
            (notice,) = await take(again, 1)
    assert isinstance(notice, Notice)
    assert (notice.hash, notice.code) == (sent.hash, "expired")
    async with friends.open(friends.alice) as alice, friends.open(friends.bob) as bob:
        await alice.send([seal(friends.alice, friends.bob, "new", friends.now).parcel])
        (entry,) = mails(await take(bob, 1))
        assert read_text(friends.bob, entry) == "new"
