"""Batches of messages that are alike but for what is in them: each is judged as if it had come alone."""

from __future__ import annotations

import attrs

from taskferry_apps.relay.core import Policy
from taskferry_protocol.admission import MailboxLimits
from taskferry_protocol.cbor import decode, encode
from taskferry_protocol.connections import read_request
from taskferry_protocol.envelope import encode_parcel, read_parcel
from taskferry_protocol.frame_items import ParcelAccepted

from .conftest import ORIGIN, codes, mails, serving, take
from .people import Sent, connect, end, person, read_text, seal, seal_raw


def texts(world, *numbers: int) -> list[Sent]:
    """Messages from Alice to Bob, all of one size."""
    return [seal(world.alice, world.bob, f"{n:04}", world.now) for n in numbers]


def damaged(sent: Sent) -> bytes:
    """The parcel with another signature."""
    parcel = read_parcel(decode(sent.parcel))
    raw = parcel.envelope[:-1] + bytes((parcel.envelope[-1] ^ 1,))
    return encode_parcel(attrs.evolve(parcel, envelope=raw))


async def test_a_batch_arrives_whole_and_in_order(friends):
    """More than is decided on at once, in one frame; each with a place of its own."""
    async with friends.open(friends.bob) as bob, friends.open(friends.alice) as alice:
        sent = texts(friends, *range(100))
        outcomes = await alice.send([one.parcel for one in sent])
        assert outcomes == tuple([ParcelAccepted(n) for n in range(1, 101)])
        entries = mails(await take(bob, 100))
        assert [entry.envelope for entry in entries] == [one.sealed.envelope.raw for one in sent]
        assert [read_text(friends.bob, entry) for entry in entries] == [f"{n:04}" for n in range(100)]


async def test_what_is_amiss_in_the_midst_is_refused_alone(friends):
    """A bad signature, a stranger's name, a life that is over, a repeat, and what is no parcel at all."""
    alice, bob, carol = friends.alice, friends.bob, person("carol", 3, friends.now)
    async with friends.open(alice) as client, friends.open(bob) as other, friends.open(carol):
        sent = texts(friends, *range(6))
        over = seal(alice, bob, "over", friends.now, life_ms=1)
        friends.clock.ahead_ms += 5
        parcels = [
            *(sent[0].parcel, sent[1].parcel, damaged(sent[2]), sent[3].parcel),
            *(seal(alice, carol, "0000", friends.now).parcel, sent[4].parcel, over.parcel),
            *(sent[0].parcel, sent[5].parcel, encode("no parcel"), sent[2].parcel),
        ]
        outcomes = await client.send(parcels)
        assert codes(outcomes) == [
            *("accepted", "accepted", "bad-signature", "accepted", "not-connected", "accepted", "expired"),
            *("accepted", "accepted", "wrong-type", "accepted"),
        ]
        assert outcomes[0] == outcomes[7]
        entries = mails(await take(other, 6))
        assert [read_text(bob, entry) for entry in entries] == [
            "0000",
            "0001",
            "0003",
            "0004",
            "0005",
            "0002",
        ]


async def test_a_batch_fills_no_more_than_there_is_room_for(store):
    """The first that finds no room is told so, and all behind it."""
    async with serving(store, Policy([ORIGIN], limits=MailboxLimits(entries=40, strangers=40))) as world:
        await world.introduce()
        async with world.open(world.alice) as alice:
            outcomes = await alice.send([one.parcel for one in texts(world, *range(30))])
            assert codes(outcomes) == ["accepted"] * 20 + ["mailbox-full"] * 10


async def test_a_batch_spends_its_rate_and_what_was_accepted_stays_so(world):
    """Sent again when nothing is left of the rate, the accepted ones keep their places."""
    async with world.open(world.bob), world.open(world.alice) as alice:
        await alice.call(connect(world.alice, world.bob, world.now, rate=5))
        parcels = [one.parcel for one in texts(world, *range(8))]
        outcomes = await alice.send(parcels)
        assert codes(outcomes) == ["accepted"] * 5 + ["rate-limited"] * 3
        again = await alice.send(parcels)
        assert again[:5] == outcomes[:5]
        assert codes(again) == codes(outcomes)


async def test_a_batch_behind_the_end_of_a_connection_is_refused(world):
    """What held for the batch before holds for none after it."""
    alice, bob = world.alice, world.bob
    call = connect(alice, bob, world.now)
    request = read_request(call.request, alice.log)
    async with world.open(bob) as other, world.open(alice) as client:
        await client.call(call)
        assert codes(await client.send([one.parcel for one in texts(world, 1, 2, 3)])) == ["accepted"] * 3
        await other.call(end(bob, request, world.now))
        assert (
            codes(await client.send([one.parcel for one in texts(world, 4, 5, 6)])) == ["not-connected"] * 3
        )


async def test_what_a_batch_took_is_missing_for_the_next(store):
    """Each of its messages counts, those with bad signatures do not, and each account counts for itself."""
    async with serving(store, Policy([ORIGIN], limits=MailboxLimits(entries=40, strangers=40))) as world:
        await world.introduce()
        carol = person("carol", 3, world.now)
        async with world.open(world.alice) as alice, world.open(carol) as other:
            await other.call(connect(carol, world.bob, world.now))
            first = [one.parcel for one in texts(world, *range(12))]
            bad = [damaged(one) for one in texts(world, *range(12, 15))]
            assert codes(await alice.send([*first, *bad])) == ["accepted"] * 12 + ["bad-signature"] * 3
            more = [one.parcel for one in texts(world, *range(15, 27))]
            assert codes(await alice.send(more)) == ["accepted"] * 8 + ["mailbox-full"] * 4
            hers = [seal(carol, world.bob, f"{n:04}", world.now).parcel for n in range(12)]
            assert codes(await other.send(hers)) == ["accepted"] * 10 + ["mailbox-full"] * 2


async def test_requests_that_come_again_together_count_once(world):
    """Of a repeated batch none is taken for another request: there is still room for the third."""
    alice, bob = world.alice, world.bob
    async with world.open(bob), world.open(alice) as client:
        asked = [seal_raw(alice, bob, world.now).parcel for _ in range(3)]
        first = await client.send(asked[:2])
        assert codes(first) == ["accepted"] * 2
        assert await client.send(asked[:2]) == first
        assert codes(await client.send(asked[2:])) == ["accepted"]
