"""What the owner's pages read beside the local API: counts, and how it stands with the recovery phrase."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon.port import Caller, DaemonRefusal, NewAgent
from taskferry_apps.daemon.runtimes_port import NewRuntime
from taskferry_apps.phrase import phrase_of
from taskferry_protocol.records import PutSetting

from .worlds import OWNER, Machine, a_world, ask, connect, connected, set_up, until

PROGRAM = Caller(frozenset({"writer"}))


async def test_connections_are_counted_by_agent():
    """Those in force alone; an agent without any is not left out."""
    async with a_world() as world, world.running(Machine("alice")) as a, world.running(Machine("bob")) as b:
        await set_up(a, "alice", "requester")
        await set_up(b, "bob", "writer")
        await b.create_agent(OWNER, NewAgent("coder"))
        await connect(a, b, "requester", "@bob/writer")
        await a.request_connection(OWNER, "requester", "@bob/coder", "hello")
        assert await a.connected(OWNER) == {"requester": 1}
        assert await b.connected(OWNER) == {"coder": 0, "writer": 1}
        assert await b.connected(PROGRAM) == {"writer": 1}


async def test_what_programs_have_in_hand_is_counted():
    """A task with all that is said in it is one; given back, it is none."""
    async with a_world() as world, connected(world) as (a, b):
        bound = await b.runtimes.bind(PROGRAM, NewRuntime("writer", "tester"))
        id = bound.runtime.id
        assert await b.runtimes.in_hand(OWNER) == {id: 0}
        await ask(a, "requester", "@bob/writer")
        await ask(a, "requester", "@bob/writer")

        async def taken():
            page = await b.inbox(PROGRAM, "writer", True, "", 10, 0, runtime=id)
            return page.messages if len(page.messages) == 2 else None

        items = await until(taken)
        assert await b.runtimes.in_hand(OWNER) == {id: 2}
        assert await b.runtimes.in_hand(Caller(frozenset({"other"}))) == {}
        await b.runtimes.give_back(PROGRAM, id, items[0].id.hex(), None)
        assert await b.runtimes.in_hand(OWNER) == {id: 1}
        await b.runtimes.unbind(PROGRAM, id)
        assert await b.runtimes.in_hand(OWNER) == {}


async def test_standing_of_the_phrase_follows_what_its_owner_showed():
    """Not before it is checked; of another phrase what was shown of the first says nothing."""
    async with a_world() as world, world.running(Machine("alice")) as a:
        with pytest.raises(DaemonRefusal) as caught:
            await a.recovery.standing(OWNER)
        assert caught.value.code == "not-set-up"
        phrase = await set_up(a, "alice", "requester")
        assert (await a.recovery.standing(OWNER)).written_at is None
        with pytest.raises(DaemonRefusal):
            await a.recovery.check(OWNER, phrase_of(bytes(32)))
        assert (await a.recovery.standing(OWNER)).written_at is None
        await a.recovery.check(OWNER, phrase)
        held = await a.recovery.standing(OWNER)
        assert held.written_at is not None
        assert not held.is_replaced
        await a.recovery.renew(OWNER, phrase, phrase_of(bytes(range(32))))
        held = await a.recovery.standing(OWNER)
        assert held.is_replaced
        assert held.written_at is not None


async def test_note_of_one_phrase_says_nothing_of_another():
    """One that came into force elsewhere has not been shown here."""
    machine = Machine("alice")
    async with a_world() as world, world.running(machine) as a:
        phrase = await set_up(a, "alice", "requester")
        await a.recovery.check(OWNER, phrase)
        raw = (await machine.store.settings(("recovery-written",)))["recovery-written"]
        await a.recovery.renew(OWNER, phrase, phrase_of(bytes(range(32))))
        await machine.store.commit((PutSetting("recovery-written", raw),))
        assert (await a.recovery.standing(OWNER)).written_at is None


@pytest.mark.parametrize("read", ["standing", "note_written"])
async def test_phrase_is_the_owners_matter(read):
    """No program learns how it stands with it, or says that it was written down."""
    async with a_world() as world, world.running(Machine("alice")) as a:
        await set_up(a, "alice", "requester")
        with pytest.raises(DaemonRefusal) as caught:
            await getattr(a.recovery, read)(PROGRAM)
        assert caught.value.code == "owner-only"


async def test_ticket_in_a_link_is_the_owners_matter():
    """And a link that is no ticket holds none."""
    async with a_world() as world, world.running(Machine("alice")) as a:
        held = await a.links.hold(OWNER, "taskferry://relay.test/setup#ticket=tft_" + "A" * 32)
        assert a.links.ticket(OWNER, held.id).relay == "relay.test"
        with pytest.raises(DaemonRefusal) as caught:
            a.links.ticket(PROGRAM, held.id)
        assert caught.value.code == "owner-only"
        other = await a.links.hold(OWNER, "taskferry://relay.test/device#code=abcd-efgh-ijkm-npqr")
        with pytest.raises(DaemonRefusal) as caught:
            a.links.ticket(OWNER, other.id)
        assert caught.value.code == "bad-link"
