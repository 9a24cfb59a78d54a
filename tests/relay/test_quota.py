"""How much may wait for a device, from one account and from all, what is not committed yet among it."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest
import trio
import trio.testing

from taskferry_apps.relay.core import Policy
from taskferry_apps.relay.limits import USUAL
from taskferry_protocol.admission import MailboxLimits
from taskferry_protocol.cbor import decode
from taskferry_protocol.frame_items import Outcome, ParcelAccepted
from taskferry_protocol.ids import AccountId, DeviceId

from .conftest import ORIGIN, PausedStore, codes, mails, serving, take
from .people import connect, person, read_text, seal, seal_raw


def small(entries: int) -> Policy:
    """A relay with small mailboxes."""
    return Policy([ORIGIN], limits=MailboxLimits(entries=entries, strangers=entries))


async def test_one_account_fills_half_of_a_mailbox_and_others_still_get_in(store):
    """Beyond that the sender is told so, and once there is room its mail passes again."""
    async with serving(store, small(20)) as world:
        await world.introduce()
        alice, bob, carol = world.alice, world.bob, person("carol", 3, world.now)
        async with world.open(alice) as first, world.open(carol) as second:
            await second.call(connect(carol, bob, world.now))
            for n in range(10):
                assert codes(await first.send([seal(alice, bob, f"{n}", world.now).parcel])) == ["accepted"]
            last = seal(alice, bob, "too much", world.now).parcel
            assert codes(await first.send([last])) == ["mailbox-full"]
            for n in range(5):
                assert codes(await second.send([seal(carol, bob, f"{n}", world.now).parcel])) == ["accepted"]
            more = seal(carol, bob, "more", world.now).parcel
            assert codes(await second.send([more])) == ["mailbox-full"]
            async with world.open(bob) as client:
                await take(client, 15)
                with trio.fail_after(10):
                    while codes(await first.send([last])) == ["mailbox-full"]:
                        await trio.lowlevel.checkpoint()
                (entry,) = mails(await take(client, 1))
                assert read_text(bob, entry) == "too much"


async def test_an_owner_fills_its_own_mailbox_whole(store):
    """Between agents of one owner there is nobody else to keep a share for."""
    async with serving(store, small(8)) as world, world.open(world.bob):
        alice = world.alice
        async with world.open(alice) as client:
            parcels = [seal(alice, alice, f"{n}", world.now).parcel for n in range(9)]
            assert codes(await client.send(parcels)) == ["accepted"] * 8 + ["mailbox-full"]


async def test_what_waits_for_the_disk_counts():
    """A limit is not passed by sending faster than the relay commits."""
    store = PausedStore()
    async with serving(store, small(10)) as world:
        await world.introduce()
        async with world.open(world.alice) as client:
            store.gate = trio.Event()
            parcels = [seal(world.alice, world.bob, f"{n}", world.now).parcel for n in range(12)]
            pending = [await client.submit([parcel]) for parcel in parcels]
            await trio.testing.wait_all_tasks_blocked()
            store.gate.set()
            outcomes = [codes(await one.wait())[0] for one in pending]
            assert outcomes == ["accepted"] * 5 + ["mailbox-full"] * 7


@attrs.define
class Gone:
    """Whoever hands in a batch and is not there for the answer."""

    account: AccountId
    device: DeviceId

    def answer(self, batch: int, outcomes: Sequence[Outcome]) -> None:
        """Nobody hears it."""
        raise AssertionError((batch, outcomes))


async def test_a_batch_that_is_broken_off_fills_nothing():
    """Whoever hangs up while its batch is decided on leaves no pending entries behind."""
    store = PausedStore()
    async with serving(store, small(80)) as world:
        await world.introduce()
        alice, bob = world.alice, world.bob
        async with world.open(alice) as client:
            # What deciding needs is in memory afterwards, so that the next batch stops between its pieces.
            await client.send([seal(alice, bob, "first", world.now).parcel])
            values = [decode(seal(alice, bob, f"{n}", world.now).parcel) for n in range(39)]
            for _ in range(3):
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await world.relay._engine.take(Gone(alice.agent.account, alice.keys.id), [(0, values)])
                assert scope.cancelled_caught
            outcome = await client.send([seal(alice, bob, "last", world.now).parcel])
            assert outcome == (ParcelAccepted(2),)


async def test_requests_in_a_batch_that_is_broken_off_were_not_made():
    """Whoever hangs up has asked for nothing yet, nor answered anybody."""
    async with serving(PausedStore(), Policy([ORIGIN])) as world:
        alice, bob = world.alice, world.bob
        async with world.open(bob), world.open(alice) as client:
            await client.send([seal(alice, bob, "none", world.now).parcel])
            asked = [seal_raw(alice, bob, world.now).parcel for _ in range(6)]
            rest = [seal(alice, bob, f"{n}", world.now).parcel for n in range(36)]
            reached = trio.Event()

            async def accepted(ids):
                # What was decided on before, the first piece, is taken back.
                if len(looks) == 1:
                    reached.set()
                    await trio.sleep_forever()
                looks.append(ids)
                return {}

            looks = []
            with trio.CancelScope() as scope, pytest.MonkeyPatch.context() as patch:
                patch.setattr(world.store, "accepted", accepted)
                async with trio.open_nursery() as nursery:
                    values = [decode(parcel) for parcel in [*asked[:3], *rest, *asked[3:]]]
                    gone = Gone(alice.agent.account, alice.keys.id)
                    nursery.start_soon(world.relay._engine.take, gone, [(0, values)])
                    with trio.fail_after(10):
                        await reached.wait()
                    scope.cancel()
            assert codes(await client.send(asked[3:])) == ["accepted"] * 3


async def test_what_is_broken_off_counts_as_sent():
    """Looking at it cost the relay as much, so that hanging up early is no way to send without end."""
    bounds = attrs.evolve(USUAL, sends=60)
    async with serving(PausedStore(), Policy([ORIGIN], bounds=bounds)) as world:
        await world.introduce()
        alice, bob = world.alice, world.bob
        async with world.open(alice) as client:
            values = [decode(seal(alice, bob, f"{n}", world.now).parcel) for n in range(39)]
            for _ in range(2):
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await world.relay._engine.take(Gone(alice.agent.account, alice.keys.id), [(0, values)])
                assert scope.cancelled_caught
            assert codes(await client.send([seal(alice, bob, "x", world.now).parcel])) == ["rate-limited"]
