"""Two machines of one owner end something at once, or one of them ends what the other lets in."""

from __future__ import annotations

from functools import partial

import pytest

from taskferry_apps.daemon import connections
from taskferry_apps.daemon.bonds import Bond, closed_to_peer
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.port import GrantChange, NewAgent
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.shares import connection_item, share_with
from taskferry_apps.daemon.strangers import Strangers
from taskferry_protocol.envelope import Envelope
from taskferry_protocol.frames import Frame
from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.messages import MessageClass
from tests.daemon.test_blocks import ask_again
from tests.daemon.worlds import OWNER, Machine, until

from .courier import Courier
from .machines import Pair, a_pair, link_to

HELPER = "@bob/helper"
PAIR = ("requester", "@bob/writer")


async def _apart(pair: Pair, *ways: tuple[Daemon, Daemon]) -> list[Courier]:
    """From now on what the one daemon of each pair says of connections reaches the other one late."""
    # What a new machine is given of the past would tell it, too.
    await until(partial(_is_brought_up, pair.first))

    def courier(teller: Daemon, hearer: Daemon) -> Courier:
        device = teller._core.device

        def keeps(envelope: Envelope) -> bool:
            return envelope.device == device and envelope.header.cls is MessageClass.CONNECTION

        return Courier(hearer, keeps)

    couriers = [courier(*way) for way in ways]

    def tamper(frame: Frame) -> Frame:
        for one in couriers:
            frame = one.tamper(frame)
        return frame

    pair.world.tamper = tamper
    return couriers


async def _is_brought_up(first: Daemon) -> bool:
    return not await first._sharing.jobs()


async def _kept(courier: Courier):
    return courier.kept


async def _asked(pair: Pair) -> Hash:
    """Bob's new agent asks for a connection, and both of Alice's machines know it."""
    await pair.bob.create_agent(OWNER, NewAgent("helper"))
    await pair.bob.request_connection(OWNER, "helper", "@alice/requester", "May I?")
    for daemon in (pair.first, pair.second):
        await until(partial(_is, daemon, HELPER, "requested_in"))
    (request,) = await pair.first.connections(OWNER, "requested_in", "")
    return request.id


async def _is(daemon: Daemon, peer: str, state: str, mine: str = "") -> bool:
    """Whether the connection with a peer's agent is in a state, or has ended in a way."""
    found = [one for one in await daemon.connections(OWNER, "", mine) if one.peer == peer]
    return [one.end_kind or one.state for one in found] == [state]


async def _ended_at_relay(pair: Pair, request: Hash) -> bool:
    """Whether the relay lets nothing through by it any more: it has the connection, and its end."""
    found = (await pair.world.relay_store.connections_by_request([request])).get(request)
    return found is not None and bool(found.end_raw)


@pytest.mark.parametrize("kinds", [("blocked", "revoked"), ("revoked", "blocked")])
async def test_a_block_counts_on_both_machines_though_one_had_ended_the_connection_otherwise(kinds):
    """Whichever was heard of last; and taken back on one machine, it is taken back on both."""
    async with a_pair() as pair:
        (courier,) = await _apart(pair, (pair.first, pair.second))
        await pair.first.end_connection(OWNER, PAIR, kinds[0], "")
        await until(partial(_kept, courier))
        await pair.second.end_connection(OWNER, PAIR, kinds[1], "")
        await courier.deliver()
        for daemon in (pair.first, pair.second):
            await until(partial(_is, daemon, "@bob/writer", "blocked"))
        await pair.first.gates.unblock(OWNER, PAIR)
        for daemon in (pair.first, pair.second):
            await until(partial(_is, daemon, "@bob/writer", "revoked"))


async def test_a_block_counts_on_a_machine_that_had_heard_first_that_the_peer_left():
    """The peer ended the connection while its owner's block was on its way."""
    async with a_pair() as pair:
        mine, theirs = await _apart(pair, (pair.first, pair.second), (pair.first, pair.bob))
        await pair.first.end_connection(OWNER, PAIR, "blocked", "")
        for courier in (mine, theirs):
            await until(partial(_kept, courier))
        await pair.bob.end_connection(OWNER, ("writer", "@alice/requester"), "revoked", "")
        await until(partial(_is, pair.second, "@bob/writer", "revoked"))
        await mine.deliver()
        await until(partial(_is, pair.second, "@bob/writer", "blocked"))


async def test_a_block_of_who_took_the_request_back_is_never_forgotten():
    """The machine that had heard first that it was taken back keeps its owner's word, as any."""
    async with a_pair() as pair:
        request = await _asked(pair)
        mine, theirs = await _apart(pair, (pair.first, pair.second), (pair.first, pair.bob))
        await pair.first.end_connection(OWNER, request.hex(), "blocked", "")
        for courier in (mine, theirs):
            await until(partial(_kept, courier))
        await pair.bob.end_connection(OWNER, ("helper", "@alice/requester"), "revoked", "")
        await until(partial(_is, pair.second, HELPER, "revoked"))
        await mine.deliver()
        await until(partial(_is, pair.second, HELPER, "blocked"))
        core = pair.second._core
        await Strangers(core).forget(Instant(core.now() + 100 * DAY_MS))
        assert await _is(pair.second, HELPER, "blocked")


async def test_a_block_stands_though_another_machine_withdrew_the_agent_without_having_heard_of_it():
    """What that one says of the end takes no block back, whichever is heard of first."""
    async with a_pair() as pair:
        (courier,) = await _apart(pair, (pair.second, pair.first))
        await pair.second.end_connection(OWNER, PAIR, "blocked", "")
        await until(partial(_kept, courier))
        await pair.first.withdraw_agent(OWNER, "requester")

        async def heard() -> bool:
            return await pair.second.agents(OWNER) == () and await pair.same_log()

        await until(heard)
        await pair.second.create_agent(OWNER, NewAgent("other"))
        await until(pair.same_log)
        assert await _is(pair.second, "@bob/writer", "blocked")


async def test_a_machine_that_is_linked_later_forgets_who_took_a_request_back_as_well():
    """It is told of the request and of its end by the machine that had both."""
    async with a_pair() as pair:
        request = await _asked(pair)
        await pair.bob.end_connection(OWNER, ("helper", "@alice/requester"), "revoked", "")
        await until(partial(_is, pair.first, HELPER, "revoked"))
        third = Machine("third")
        await link_to(pair.world, pair.first, third)
        async with pair.world.running(third) as daemon:

            async def told() -> bool:
                return daemon._core.account is not None and await _is(daemon, HELPER, "revoked")

            await until(told)
            assert (await daemon._core.store.connections((request,)))[request].taken_back
            await Strangers(daemon._core).forget(Instant(daemon._core.now() + 100 * DAY_MS))
            assert await daemon._core.store.connections((request,)) == {}


async def test_a_block_ends_what_the_other_machine_had_accepted_of_that_agent_meanwhile():
    """Another request of the same agent's, of which the machine that blocks it has not heard."""
    async with a_pair() as pair:
        theirs, mine = await _apart(pair, (pair.bob, pair.first), (pair.second, pair.first))
        await ask_again(pair.bob, pair.first._core.own)

        async def asked():
            return await pair.second.connections(OWNER, "requested_in", "")

        (request,) = await until(asked)
        await pair.second.accept_connection(OWNER, request.id.hex(), GrantChange())
        for courier in (theirs, mine):
            await until(partial(_kept, courier))
        await pair.first.end_connection(OWNER, PAIR, "blocked", "")

        async def blocked() -> bool:
            shown = await pair.second.connections(OWNER, "", "")
            return [one.end_kind for one in shown] == ["blocked"] * 2

        await until(blocked)
        await until(partial(_ended_at_relay, pair, request.id))


@pytest.mark.parametrize("kind", ["declined", "blocked"])
@pytest.mark.parametrize("first_heard", ["the end", "the acceptance"])
async def test_the_relay_hears_of_an_end_though_who_said_it_had_not_heard_that_it_was_accepted(
    kind, first_heard
):
    """The peer, who heard of the end first, tells it nothing: whoever learns that both were said does."""
    async with a_pair() as pair:
        request = await _asked(pair)
        end, acceptance = await _apart(pair, (pair.first, pair.second), (pair.second, pair.first))
        await pair.first.end_connection(OWNER, request.hex(), kind, "")
        await until(partial(_kept, end))
        await until(partial(_is, pair.bob, "@alice/requester", kind, "helper"))
        await pair.second.accept_connection(OWNER, request.hex(), GrantChange())
        await until(partial(_kept, acceptance))
        heard, unheard = (end, acceptance) if first_heard == "the end" else (acceptance, end)
        await heard.deliver()
        await until(partial(_ended_at_relay, pair, request))
        await unheard.deliver()
        for daemon in (pair.first, pair.second):
            await until(partial(_is, daemon, HELPER, kind))


@pytest.mark.parametrize("tells", ["who ended it", "who accepted it"])
async def test_the_relay_hears_of_such_an_end_though_the_machines_hear_of_it_by_a_share(tells):
    """As where one of them is being brought up to date."""
    async with a_pair() as pair:
        request = await _asked(pair)
        await _apart(pair, (pair.first, pair.second), (pair.second, pair.first))
        await pair.first.end_connection(OWNER, request.hex(), "declined", "")
        await until(partial(_is, pair.bob, "@alice/requester", "declined", "helper"))
        await pair.second.accept_connection(OWNER, request.hex(), GrantChange())
        teller, other = (pair.first, pair.second) if tells == "who ended it" else (pair.second, pair.first)
        core = teller._core
        async with core.lock:
            draft = Draft(core)
            held = (await core.store.connections((request,)))[request]
            await share_with(draft, other._core.device, [connection_item(held)])
            await draft.commit()
        await until(partial(_ended_at_relay, pair, request))


async def test_who_was_declined_on_one_machine_may_not_ask_on_the_other_before_its_time(
    monkeypatch: pytest.MonkeyPatch,
):
    """Of two pauses at once the longer one counts, and a machine that is linked later is told of it."""
    async with a_pair() as pair:
        request = await _asked(pair)
        (courier,) = await _apart(pair, (pair.first, pair.second))
        now = pair.world.clock.now()
        until_then = Instant(now + 60 * DAY_MS)
        await pair.first.end_connection(OWNER, request.hex(), "declined", "", until_then)
        await until(partial(_kept, courier))
        await pair.second.end_connection(OWNER, request.hex(), "declined", "", Instant(now + DAY_MS))
        await courier.deliver()
        third = Machine("third")
        await link_to(pair.world, pair.first, third)
        async with pair.world.running(third) as late:
            for daemon in (pair.first, pair.second, late):
                await until(partial(_pauses_until, daemon, request, until_then))
            # Bob's daemon knows what it was told, and one that asks all the same is another's.
            monkeypatch.setattr(connections, "_check_pause", lambda bonds, now: None)
            await pair.bob.request_connection(OWNER, "helper", "@alice/requester", "Now?")
            for daemon in (pair.first, pair.second):
                await until(partial(_has_set_aside, daemon, "contact-limit"))
                assert not await daemon.connections(OWNER, "requested_in", "")


async def _pauses_until(daemon: Daemon, request: Hash, then: Instant) -> bool:
    held = (await daemon._core.store.connections((request,))).get(request)
    return held is not None and closed_to_peer([Bond(held)]) == then


async def _has_set_aside(daemon: Daemon, code: str) -> bool:
    return code in {item.code for item in await daemon.quarantine(OWNER, "", 9)}
