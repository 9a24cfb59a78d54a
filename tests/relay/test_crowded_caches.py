"""Caches that hold less than a batch needs: slower, and otherwise as if they held all."""

from __future__ import annotations

import itertools

import pytest
import trio

from taskferry_apps.relay import account_reads
from taskferry_apps.relay import facts as facts_module
from taskferry_apps.relay import usage as usage_module
from taskferry_apps.relay.core import Policy
from taskferry_apps.relay.facts import Facts
from taskferry_protocol.accounts import refold_in_steps
from taskferry_protocol.admission import MailboxLimits
from taskferry_protocol.ids import AccountId
from taskferry_stores.memory import MemoryRelayStore

from .conftest import GENERATION, ORIGIN, codes, serving
from .people import connect, person, seal


@pytest.mark.parametrize("held", [1, 1_500, 1_000_000])
async def test_no_recipient_is_unknown_because_others_need_the_room(
    monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    """A batch for several accounts passes, though no cache holds all their logs, or even two."""
    monkeypatch.setattr(facts_module, "STATEMENTS_HELD", held)
    async with serving(MemoryRelayStore(GENERATION), Policy([ORIGIN])) as world:
        alice = world.alice
        others = [world.bob, *(person(f"owner{n}", n, world.now) for n in range(3, 7))]
        async with world.open(alice) as client:
            for other in others:
                async with world.open(other) as theirs:
                    await theirs.call(connect(alice, other, world.now))
            parcels = [seal(alice, other, f"{n}", world.now).parcel for other in others for n in range(3)]
            with trio.fail_after(20):
                assert codes(await client.send(parcels)) == ["accepted"] * len(parcels)


@pytest.mark.parametrize("held", [1, 1_000_000])
async def test_no_recipient_is_unknown_because_its_log_is_read_anew(
    monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    """What makes a relay forget an account, while it looks up the rest, refuses nobody's mail."""
    monkeypatch.setattr(facts_module, "STATEMENTS_HELD", held)

    class Forgetful(MemoryRelayStore):
        """Bob's account is dropped when mailboxes are looked at for the first time."""

        facts: Facts | None = None
        bob = AccountId(b"")

        async def usage(self, devices):
            found = await super().usage(devices)
            if self.facts is not None:
                self.facts.forget_account(self.bob)
                self.facts = None
            return found

    store = Forgetful(GENERATION)
    async with serving(store, Policy([ORIGIN])) as world:
        await world.introduce()
        alice, bob, carol = world.alice, world.bob, person("carol", 3, world.now)
        async with world.open(alice) as client:
            async with world.open(carol) as other:
                await other.call(connect(alice, carol, world.now))
            store.bob, store.facts = bob.log.account, world.relay._engine._facts
            parcels = [
                seal(alice, other, f"{n}", world.now).parcel for n in range(3) for other in (bob, carol)
            ]
            assert codes(await client.send(parcels)) == ["accepted"] * len(parcels)
            nobody = person("nobody", 9, world.now)
            assert codes(await client.send([seal(alice, nobody, "hi", world.now).parcel])) == [
                "unknown-recipient"
            ]
    assert store.facts is None


async def test_no_mailbox_has_room_because_others_were_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is looked up again where it had to be forgotten, also for the same batch."""
    monkeypatch.setattr(usage_module, "USAGES_HELD", 0)
    store = MemoryRelayStore(GENERATION)
    async with serving(store, Policy([ORIGIN], limits=MailboxLimits(entries=4, strangers=4))) as world:
        await world.introduce()
        alice, bob, carol = world.alice, world.bob, person("carol", 3, world.now)
        async with world.open(alice) as client:
            async with world.open(carol) as other:
                await other.call(connect(alice, carol, world.now))
            for who, expected in ((bob, "accepted"), (carol, "accepted"), (bob, "mailbox-full")):
                parcels = [seal(alice, who, f"{n}", world.now).parcel for n in range(2)]
                assert codes(await client.send(parcels)) == [expected] * 2
            both = [seal(alice, who, "more", world.now).parcel for who in (bob, carol)]
            assert codes(await client.send(both)) == ["mailbox-full"] * 2
            held = (await store.usage([bob.keys.id]))[bob.keys.id]
            assert held.count == 2


async def test_no_mailbox_has_room_because_its_owner_was_not_held_when_it_was_looked_up() -> None:
    """Whoever is read again by somebody else, behind the look at mailboxes, has mailboxes to look at."""

    class Forgetful(MemoryRelayStore):
        """Bob's account is dropped before mailboxes are looked at for the first time, and held after it."""

        dropped = False
        facts: Facts | None = None
        bob = AccountId(b"")

        async def rates(self, flows):
            if self.facts is not None and not self.dropped:
                self.dropped = True
                self.facts.forget_account(self.bob)
            return await super().rates(flows)

        async def usage(self, devices):
            found = await super().usage(devices)
            if self.facts is not None and self.dropped:
                await self.facts.account(self.bob, None)
                self.facts = None
            return found

    store = Forgetful(GENERATION)
    policy = Policy([ORIGIN], limits=MailboxLimits(entries=4, strangers=4))
    async with serving(store, policy) as world:
        await world.introduce()
        alice, bob = world.alice, world.bob
        async with world.open(alice) as client:
            parcels = [seal(alice, bob, f"{n}", world.now).parcel for n in range(2)]
            assert codes(await client.send(parcels)) == ["accepted"] * 2
    async with serving(store, policy) as world, world.open(alice) as client:
        store.bob, store.facts = bob.log.account, world.relay._engine._facts
        more = seal(alice, bob, "more", world.now).parcel
        assert codes(await client.send([more])) == ["mailbox-full"]
    assert store.facts is None


async def test_others_have_their_turn_between_the_logs_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch for many accounts with long logs holds nobody up for longer than one of them takes to fold."""
    turns: list[str] = []

    def folded(statements):
        turns.append("log")
        return (yield from refold_in_steps(statements))

    store = MemoryRelayStore(GENERATION)
    async with serving(store, Policy([ORIGIN])) as world:
        people = [world.alice, *(person(f"owner{n}", n, world.now) for n in range(3, 12))]
        for who in people:
            async with world.open(who):
                pass
    monkeypatch.setattr(account_reads, "refold_in_steps", folded)

    async def others() -> None:
        while True:
            await trio.lowlevel.checkpoint()
            turns.append("others")

    async with serving(store, Policy([ORIGIN])) as world, world.open(people[0]) as client:
        turns.clear()
        parcels = [seal(people[0], who, "hi", world.now).parcel for who in people[1:]]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(others)
            assert codes(await client.send(parcels)) == ["not-connected"] * len(parcels)
            nursery.cancel_scope.cancel()
    assert turns.count("log") == len(parcels)
    # Who runs first in a turn is drawn, so that two logs may be neighbours.
    runs = [len(list(run)) for what, run in itertools.groupby(turns) if what == "log"]
    assert max(runs) <= 2
