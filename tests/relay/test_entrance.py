"""Who may begin an account: policies, tickets that are replayed or raced for, and standing tokens."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from taskferry_apps.relay.core import Policy
from taskferry_apps.relay.entrance import SignUp, digest_of
from taskferry_apps.relay.expiry import SIGN_UPS_KEPT_MS
from taskferry_apps.relay.limits import USUAL
from taskferry_apps.relay_client import CallRefused, LinkEnded
from taskferry_protocol.accounts import rename
from taskferry_protocol.calls import AppendStatements
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.records import NameKeys, PutTicket, TicketRecord
from taskferry_stores.memory import MemoryRelayStore
from taskferry_stores.port import StoreFull

from .conftest import GENERATION, ORIGIN, serving
from .people import person
from .test_sessions import refused_with

TICKET = "tft_" + "A" * 32
TICKETS_ONLY = Policy([ORIGIN], SignUp.TICKET, client_tokens=(digest_of("alice-relay-token"),))
HOUR = 3_600_000


def ticket(world, text=TICKET, name="", **changes):
    """An unused ticket, open for an hour."""
    record = TicketRecord(digest_of(text), name, world.now, Instant(world.now + HOUR))
    return PutTicket(attrs.evolve(record, **changes))


async def words(world, who, **how):
    """Code and sentence with which a session is refused."""
    try:
        async with world.open(who, **how):
            return "", ""
    except LinkEnded as ended:
        return ended.code, ended.text


async def test_without_a_ticket_nobody_begins(store):
    """Where tickets are asked for, the refusal says how to get one, and nothing is stored."""
    async with serving(store, TICKETS_ONLY) as world:
        code, text = await words(world, world.alice)
        assert code == RejectCode.SIGNUP_REFUSED
        assert "/signup" in text
        assert (await store.stats()).accounts == 0


async def test_guessing_at_tickets_takes_no_room_from_those_who_have_one(store):
    """Where one more account fits, strangers without a ticket keep nobody out who has one."""
    policy = attrs.evolve(TICKETS_ONLY, bounds=attrs.evolve(USUAL, accounts=1))
    async with serving(store, policy) as world:
        await store.commit([ticket(world)])
        assert await refused_with(world, world.bob, ticket="tft_" + "B" * 32) == "unknown-ticket"
        assert await refused_with(world, world.bob) == "signup-refused"
        assert await refused_with(world, world.alice, ticket=TICKET) is None
        assert await refused_with(world, world.bob) == "signup-refused"


async def test_who_hangs_up_while_accounts_are_counted_makes_no_room():
    """A count that came to nothing is no count: a full relay stays full."""

    class Slow(MemoryRelayStore):
        counting: trio.Event | None = None

        async def stats(self):
            if self.counting is not None:
                self.counting.set()
                await trio.sleep_forever()
            return await super().stats()

    store = Slow(GENERATION)
    async with serving(store, Policy([ORIGIN])) as world:
        assert await refused_with(world, world.alice) is None
    async with serving(store, Policy([ORIGIN], bounds=attrs.evolve(USUAL, accounts=1))) as world:
        entrance, store.counting = world.relay.entrance, trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(entrance.admit, "", "192.0.2.1", world.now)
            await store.counting.wait()
            nursery.cancel_scope.cancel()
        store.counting = None
        assert await refused_with(world, world.bob) == "signup-refused"


async def test_a_crowd_with_tickets_takes_no_more_places_than_there_are():
    """Those who are looked at together are let in one by one, as long as there is room."""

    class Slow(MemoryRelayStore):
        gate: trio.Event | None = None

        async def ticket(self, digest):
            found = await super().ticket(digest)
            if self.gate is not None:
                await self.gate.wait()
            return found

    store = Slow(GENERATION)
    policy = attrs.evolve(TICKETS_ONLY, bounds=attrs.evolve(USUAL, accounts=2))
    async with serving(store, policy) as world:
        tickets = [f"tft_{n}" + "A" * 31 for n in range(5)]
        await store.commit([ticket(world, text) for text in tickets])
        store.gate, outcomes = trio.Event(), Counter[str | None]()

        async def come(number: int) -> None:
            who = person(f"owner{number}", 100 + number, world.now)
            outcomes[await refused_with(world, who, ticket=tickets[number])] += 1

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(come, number)
            await wait_all_tasks_blocked()
            store.gate.set()
        assert outcomes == {None: 2, "signup-refused": 3}
        assert (await store.stats()).accounts == 2


class Gated(MemoryRelayStore):
    """A store in which accounts that begin wait for a gate, and may fail; it tells how often it counts."""

    gate: trio.Event | None = None
    fails = False
    counts = 0

    async def stats(self):
        """One more count."""
        self.counts += 1
        return await super().stats()

    async def commit(self, changes):
        """Only what takes an account waits and fails."""
        if any(isinstance(change, NameKeys) for change in changes):
            if self.gate is not None:
                await self.gate.wait()
            if self.fails:
                raise StoreFull("no room")
        return await super().commit(changes)


async def test_whoever_is_still_beginning_has_a_place_however_long_it_takes():
    """Accounts that are not stored yet are not forgotten by a count, and the bound holds to the last."""
    store = Gated(GENERATION)
    async with serving(store, Policy([ORIGIN], bounds=attrs.evolve(USUAL, accounts=2))) as world:
        store.gate, outcomes = trio.Event(), Counter[str | None]()

        async def come(number: int) -> None:
            outcomes[await refused_with(world, person(f"owner{number}", 100 + number, world.now))] += 1

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(come, number)
                await wait_all_tasks_blocked()
                world.clock.ahead_ms += 10_000
            store.gate.set()
        assert outcomes == {None: 2, "signup-refused": 3}
        assert (await store.stats()).accounts == 2


async def test_an_account_that_does_not_begin_leaves_its_place_at_once():
    """Whoever is refused after the look at the door, or hangs up, keeps nobody out."""
    store = MemoryRelayStore(GENERATION)
    async with serving(store, Policy([ORIGIN], bounds=attrs.evolve(USUAL, accounts=1))) as world:
        await store.commit([ticket(world, "hers", name="alice")])
        assert await refused_with(world, world.alice) == "name-taken"
        with trio.CancelScope() as hanging_up, await world.relay.entrance.admit("", "192.0.2.1", world.now):
            assert await refused_with(world, world.bob) == "signup-refused"
            hanging_up.cancel()
            await trio.sleep_forever()
        assert await refused_with(world, world.alice, ticket="hers") is None
        assert await refused_with(world, world.bob) == "signup-refused"


async def test_accounts_are_counted_once_and_again_after_a_store_that_failed():
    """What comes in is added up; only where nobody knows what a store has kept is it asked again."""
    store = Gated(GENERATION)
    async with serving(store, Policy([ORIGIN], bounds=attrs.evolve(USUAL, accounts=3))) as world:
        for number in range(2):
            assert await refused_with(world, person(f"owner{number}", 100 + number, world.now)) is None
            world.clock.ahead_ms += 10_000
        assert store.counts == 1
        store.fails = True
        assert await refused_with(world, world.alice) is not None
        store.fails = False
        assert await refused_with(world, world.alice) is None
        assert store.counts == 2
        assert await refused_with(world, world.bob) == "signup-refused"


async def test_a_ticket_brings_one_account_in_for_good(store):
    """Later sessions need none, and the ticket is bound to whoever came by it."""
    async with serving(store, TICKETS_ONLY) as world:
        await store.commit([ticket(world)])
        async with world.open(world.alice, ticket=TICKET) as client:
            assert client.ready.log == world.alice.log.position
        assert (await store.ticket(digest_of(TICKET))).account == world.alice.log.account
        assert await refused_with(world, world.alice) is None
        # What is shown for an account that is known is not even looked at.
        assert await refused_with(world, world.alice, ticket="nonsense") is None


async def test_a_replayed_ticket_is_told_apart(store):
    """Used, unknown, over and meant for another name: each has its code, and none lets anybody in."""
    async with serving(store, TICKETS_ONLY) as world:
        await store.commit([ticket(world), ticket(world, "late"), ticket(world, "named", "carol")])
        assert await refused_with(world, world.alice, ticket=TICKET) is None
        assert await refused_with(world, world.bob, ticket=TICKET) == "ticket-used"
        assert await refused_with(world, world.bob, ticket="tft_other") == "unknown-ticket"
        code, text = await words(world, world.bob, ticket="named")
        assert (code, "another owner name" in text) == ("signup-refused", True)
        world.clock.ahead_ms = HOUR
        assert await refused_with(world, world.bob, ticket="late") == "expired"
        assert (await store.stats()).accounts == 1


async def test_of_two_daemons_with_one_ticket_one_comes_in(store):
    """However they race, one account is held afterwards, and the other hears why."""
    async with serving(store, TICKETS_ONLY) as world:
        await store.commit([ticket(world)])
        crowd = [person(f"owner{n}", 100 + n, world.now) for n in range(8)]
        outcomes: Counter[str | None] = Counter()

        async def come(who) -> None:
            outcomes[await refused_with(world, who, ticket=TICKET)] += 1

        async with trio.open_nursery() as nursery:
            for who in crowd:
                nursery.start_soon(come, who)
        assert outcomes == {None: 1, "ticket-used": 7}
        assert (await store.stats()).accounts == 1


async def test_a_name_is_kept_for_its_ticket(store):
    """Neither a newcomer nor an account that renames itself gets it, until the ticket is over."""
    async with serving(store, Policy([ORIGIN])) as world:
        await store.commit([ticket(world, name="alice")])
        code, text = await words(world, world.alice)
        assert (code, "ticket" in text) == ("name-taken", True)
        async with world.open(world.bob) as client:
            statement = rename(world.bob.log.state, "alice", at=world.now, by=world.bob.manage)
            append = AppendStatements(2, (statement,))
            with pytest.raises(CallRefused) as refused:
                await client.call(append)
            assert refused.value.refusal.code is RejectCode.NAME_TAKEN
            assert await refused_with(world, world.alice, ticket=TICKET) is None


async def test_the_name_is_free_once_the_ticket_is_over(store):
    """A ticket that nobody used keeps its name for a bounded time."""
    async with serving(store, Policy([ORIGIN])) as world:
        await store.commit([ticket(world, name="alice")])
        world.clock.ahead_ms = HOUR
        assert await refused_with(world, world.alice) is None


async def test_a_standing_token_brings_any_number_in(store):
    """It is compared whole: a part of it, or more than it, is no token."""
    async with serving(store, TICKETS_ONLY) as world:
        for who in (world.alice, world.bob):
            assert await refused_with(world, who, ticket="alice-relay-token") is None
        for wrong in ("alice-relay-toke", "alice-relay-tokens", "ALICE-RELAY-TOKEN"):
            stranger = person("carol", 7, world.now)
            assert await refused_with(world, stranger, ticket=wrong) == "unknown-ticket"


async def test_a_closed_relay_takes_no_ticket_either(store):
    """Closed means closed, to tokens as well."""
    policy = attrs.evolve(TICKETS_ONLY, sign_up=SignUp.CLOSED)
    async with serving(store, policy) as world:
        await store.commit([ticket(world)])
        for shown in (TICKET, "alice-relay-token"):
            assert await refused_with(world, world.alice, ticket=shown) == "signup-refused"


async def test_what_is_over_is_swept(store):
    """A ticket that nobody used is forgotten a day after its end."""
    async with serving(store, TICKETS_ONLY) as world:
        await store.commit([ticket(world)])
        world.clock.ahead_ms = HOUR + SIGN_UPS_KEPT_MS + DAY_MS
        with trio.fail_after(10):
            while await store.ticket(digest_of(TICKET)) is not None:
                await trio.sleep(0.02)
