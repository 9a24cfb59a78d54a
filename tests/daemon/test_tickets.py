"""A daemon that is set up with a ticket: what it shows to whom, and what it says of a refusal."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon.port import DaemonRefusal, NewAgent
from taskferry_apps.daemon.tickets import kept_ticket
from taskferry_apps.origins import origin_of
from taskferry_apps.relay.core import Policy
from taskferry_apps.relay.entrance import SignUp, digest_of
from taskferry_protocol.ids import Instant
from taskferry_protocol.records import Generation, PutTicket, TicketRecord
from taskferry_stores.memory import MemoryRelayStore

from .worlds import OWNER, URL, Machine, a_world, until

TICKET = "tft_" + "A" * 32
TOKEN = "alice-relay-token"
TICKETS_ONLY = Policy([URL], SignUp.TICKET, client_tokens=(digest_of(TOKEN),))
HOUR = 3_600_000


async def give_out(world, text=TICKET, name=""):
    """The relay's operator makes a ticket."""
    now = world.clock.now()
    record = TicketRecord(digest_of(text), name, now, Instant(now + HOUR))
    await world.relay_store.commit([PutTicket(record)])


async def refused(daemon, owner, ticket=""):
    """How a set-up is refused."""
    with pytest.raises(DaemonRefusal) as caught:
        await daemon.set_up(OWNER, owner, URL, "laptop", ticket)
    assert not (await daemon.status()).set_up
    return caught.value


async def test_a_ticket_lets_an_account_in_and_is_forgotten():
    """Set-up shows it, and once the relay has the account, the daemon keeps nothing of it."""
    async with a_world(policy=TICKETS_ONLY) as world:
        await give_out(world)
        machine = Machine("one")
        async with world.running(machine) as daemon:
            done = await daemon.set_up(OWNER, "alice", URL, "laptop", TICKET)
            assert done.name_claimed
            assert await kept_ticket(machine.store, origin_of(URL)) == ""


async def test_a_refused_ticket_says_why_and_leaves_nothing():
    """None, unknown, used, over: each with its code, a sentence and what to do; another try is as good."""
    async with a_world(policy=TICKETS_ONLY) as world:
        one, two = Machine("one"), Machine("two")
        async with world.running(one) as a, world.running(two) as b:
            assert (await refused(a, "alice")).code == "signup-refused"
            assert "/signup" in (await refused(a, "alice")).next_step
            assert (await refused(a, "alice", "tft_none")).code == "unknown-ticket"
            await give_out(world)
            assert (await a.set_up(OWNER, "alice", URL, "laptop", TICKET)).name_claimed
            replayed = await refused(b, "bob", TICKET)
            assert (replayed.code, "used already" in replayed.message) == ("ticket-used", True)
            await give_out(world, "late")
            world.clock.ahead_ms = HOUR
            assert (await refused(b, "bob", "late")).code == "expired"
            await give_out(world, "named", "carol")
            assert (await refused(b, "bob", "named")).code == "signup-refused"
            assert (await b.set_up(OWNER, "carol", URL, "laptop", "named")).name_claimed


def connected_to_relay(daemon):
    """Whether it has a session now, to be waited for."""

    async def connected():
        relay = (await daemon.status()).relay
        return relay is not None and relay.connected

    return connected


@pytest.fixture
def impatient(monkeypatch):
    """Set-up does not wait for a relay that is away."""
    monkeypatch.setattr("taskferry_apps.daemon.setting_up.CLAIM_S", 0.05)


@pytest.mark.usefixtures("impatient")
async def test_a_ticket_outlives_a_relay_that_is_away_and_a_daemon_that_dies():
    """Set up while the relay is away, it is shown once the relay is back, by whichever process runs then."""
    async with a_world(policy=TICKETS_ONLY) as world:
        await give_out(world)
        world.stop_relay()
        machine = Machine("one")
        async with world.running(machine) as daemon:
            done = await daemon.set_up(OWNER, "alice", URL, "laptop", TICKET)
            assert not done.name_claimed
            assert await kept_ticket(machine.store, origin_of(URL)) == TICKET
            assert await kept_ticket(machine.store, "wss://elsewhere.test:443") == ""
        await world.start_relay()
        async with world.running(machine) as daemon:
            await until(connected_to_relay(daemon))
            assert await kept_ticket(machine.store, origin_of(URL)) == ""


@pytest.mark.usefixtures("impatient")
async def test_a_ticket_that_turned_out_bad_later_is_replaced():
    """The relay refuses what it was shown when it came back: a new ticket for the same account cures it."""
    async with a_world(policy=TICKETS_ONLY) as world:
        world.stop_relay()
        machine = Machine("one")
        async with world.running(machine) as daemon:
            assert not (await daemon.set_up(OWNER, "alice", URL, "laptop", "tft_none")).name_claimed
            account = (await daemon.status()).account
            await world.start_relay()

            async def told():
                relay = (await daemon.status()).relay
                return relay is not None and "unknown-ticket" in relay.last_error

            await until(told)
            await give_out(world)
            done = await daemon.set_up(OWNER, "alice", URL, "laptop", TICKET)
            assert (done.account, done.recovery_key) == (account, "")
            await until(connected_to_relay(daemon))


async def test_an_account_that_a_relay_has_forgotten_comes_back_by_a_new_ticket():
    """A relay put back from an older copy asks for a ticket again; the daemon keeps all the rest."""
    async with a_world(policy=TICKETS_ONLY) as world, world.running(Machine("one")) as daemon:
        await give_out(world)
        first = await daemon.set_up(OWNER, "alice", URL, "laptop", TICKET)
        await daemon.create_agent(OWNER, NewAgent("writer"))
        world.stop_relay()
        world.relay_store = MemoryRelayStore(Generation(bytes(16)))
        await world.start_relay()

        async def told():
            relay = (await daemon.status()).relay
            return relay is not None and "signup-refused" in relay.last_error

        await until(told)
        await give_out(world, "another")
        again = await daemon.set_up(OWNER, "alice", URL, "laptop", "another")
        assert (again.account, again.recovery_key) == (first.account, "")
        await until(connected_to_relay(daemon))
        held = await world.relay_store.accounts([first.account])
        assert len(held[first.account].statements) == 2


async def test_a_standing_token_is_shown_where_there_is_no_ticket():
    """TASKFERRY_RELAY_TOKEN lets a daemon in by itself."""
    async with a_world(policy=TICKETS_ONLY) as world, world.running(Machine("one"), TOKEN) as daemon:
        assert (await daemon.set_up(OWNER, "alice", URL, "laptop")).name_claimed


async def test_a_ticket_for_another_relay_goes_nowhere():
    """A daemon that was told which relay to use shows it no ticket of another one."""
    async with a_world() as world, world.running(Machine("one"), relay=URL) as daemon:
        with pytest.raises(DaemonRefusal, match=r"wss://other\.test") as caught:
            await daemon.set_up(OWNER, "alice", "wss://other.test", "laptop", TICKET)
        assert caught.value.detail == {"field": "ticket"}
        assert not (await daemon.status()).set_up
