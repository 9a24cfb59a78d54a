"""An agent that its owner withdraws on one machine is withdrawn on the others, seen or not."""

from __future__ import annotations

import pytest
import trio

from taskferry_apps.daemon import withdrawing
from taskferry_apps.daemon.port import GrantChange, NewAgent
from taskferry_protocol.envelope import Envelope
from taskferry_protocol.ids import sha256
from taskferry_protocol.messages import MessageClass
from taskferry_protocol.records import PutToken, TokenRecord
from tests.daemon.worlds import OWNER, Machine, a_world, connect, set_up, until

from .courier import Courier
from .machines import a_pair, brought_up, leave_to, link_to, log_of


async def test_a_credential_on_another_machine_stops_too():
    """As soon as that machine hears of it; and so do its connections there."""
    async with a_pair() as pair:
        secret, _ = await pair.second.create_token(OWNER, ("requester",), "program")
        await pair.first.withdraw_agent(OWNER, "requester")

        async def ended():
            return await pair.second.caller_for(secret) is None

        await until(ended)
        assert await pair.second.agents(OWNER) == ()

        async def none_left():
            return not await pair.second.connections(OWNER, "accepted", "")

        await until(none_left)


@pytest.mark.parametrize("manage", [True, False])
async def test_a_machine_that_was_away_takes_the_next_agent_of_that_name_for_another(manage):
    """Withdrawn and made anew meanwhile: the old credential, mode and connection are not the new one's."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        async with world.running(Machine("alice")) as first:
            await set_up(first, "alice", "requester")
            await connect(first, bob, "requester", "@bob/writer")
            machine = Machine("alice2")
            await link_to(world, first, machine, manage=manage)
            async with world.running(machine) as second:

                async def linked():
                    return (
                        second._core.account is not None
                        and await second.agents(OWNER)
                        and await second.connections(OWNER, "accepted", "")
                    )

                await until(linked)
                await second.gates.set_mode(OWNER, "requester", "open")
                secret, _ = await second.create_token(OWNER, ("requester",), "program")
            await first.withdraw_agent(OWNER, "requester")
            await first.create_agent(OWNER, NewAgent("requester"))
            async with world.running(machine) as second:

                async def same_log():
                    return (await log_of(second)).position == (await log_of(first)).position

                await until(same_log)
                assert await second.caller_for(secret) is None
                (mode,) = await second.gates.modes(OWNER)
                assert mode.mode != "open"

                async def none_left():
                    return not await second.connections(OWNER, "accepted", "")

                await until(none_left)


async def test_a_machine_that_may_sign_nothing_hears_of_the_ends_though_the_peers_do_not():
    """What the agent itself says of them is believed by nobody once it is withdrawn, and may come late."""
    async with a_pair(manage=False) as pair:
        await brought_up(pair.first)
        device = pair.first._core.device

        def keeps(envelope: Envelope) -> bool:
            return envelope.device == device and envelope.header.cls is MessageClass.CONNECTION

        pair.world.tamper = Courier(pair.second, keeps).tamper
        await pair.first.withdraw_agent(OWNER, "requester")
        await pair.first.create_agent(OWNER, NewAgent("requester"))
        await until(pair.same_log)

        async def none_left():
            return not await pair.second.connections(OWNER, "accepted", "")

        await until(none_left)


async def test_what_is_left_under_a_name_on_one_machine_is_not_the_agents_that_another_one_makes():
    """A credential that was made as its agent was withdrawn, say, or kept by an earlier program."""
    async with a_pair() as pair:
        secret = "tfa_left"
        left = TokenRecord(sha256(secret.encode()), "left", "agent", ("helper",), pair.world.clock.now())
        await pair.second._core.store.commit([PutToken(left)])
        await pair.first.create_agent(OWNER, NewAgent("helper"))
        await until(pair.same_log)
        assert "helper" in {agent.name for agent in await pair.second.agents(OWNER)}
        assert await pair.second.caller_for(secret) is None


async def test_what_another_machine_had_asked_for_a_former_agent_connects_nobody():
    """Its request was on its way when the agent was withdrawn and made anew; the peer's owner says yes."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        await bob.create_agent(OWNER, NewAgent("helper"))
        async with world.running(Machine("alice")) as first:
            await set_up(first, "alice", "requester")
            await connect(first, bob, "requester", "@bob/writer")
            machine = Machine("alice2")
            await link_to(world, first, machine)
            async with world.running(machine) as second:
                await brought_up(first, second)
            second = await world.open_daemon(machine)
            await second.request_connection(OWNER, "requester", "@bob/helper", "May I?")
            await first.withdraw_agent(OWNER, "requester")
            await first.create_agent(OWNER, NewAgent("requester"))
            async with world.running(machine) as second:

                async def asked():
                    return await bob.connections(OWNER, "requested_in", "")

                (request,) = await until(asked)
                await bob.accept_connection(OWNER, request.id.hex(), GrantChange())

                async def told():
                    is_accepted = await first.connections(OWNER, "accepted", "")
                    return is_accepted or await first.quarantine(OWNER, "", 5)

                await until(told)
                for daemon in (first, second):
                    assert await daemon.connections(OWNER, "accepted", "") == ()
                    assert await daemon.connections(OWNER, "requested_out", "") == ()


async def test_peers_hear_that_an_agent_went_with_the_last_machine_that_served_it():
    """Its connections end here, and the relay is told of that after the news of the log has passed it."""
    async with a_pair() as pair:
        core = pair.first._core

        async def heard():
            log = await pair.bob._core.logs.get(core.own)
            return log is not None and log.position == (await log_of(pair.first)).position

        await brought_up(pair.first)
        await leave_to(pair.first, "requester", pair.device)
        await until(heard)
        await pair.first.devices.revoke(OWNER, pair.device.hex(), "stolen", True)
        await until(heard)
        (ended,) = await pair.first.connections(OWNER, "ended", "")

        async def ended_there():
            held = await pair.world.relay_store.connections_by_request([ended.id])
            return bool(held[ended.id].end_raw)

        await until(ended_there)


async def test_a_withdrawal_that_was_cut_off_is_not_gone_on_with_for_the_next_agent_of_that_name(monkeypatch):
    """Another machine has withdrawn the one that was meant, and made a new one meanwhile."""
    async with a_pair() as pair:

        async def for_ever(*_):
            await trio.sleep_forever()

        with monkeypatch.context() as patch:
            patch.setattr(withdrawing, "_wait_relayed", for_ever)
            with trio.move_on_after(1) as scope:
                await pair.first.withdraw_agent(OWNER, "requester")
            assert scope.cancelled_caught
            patch.undo()
            await pair.second.withdraw_agent(OWNER, "requester")
            await pair.second.create_agent(OWNER, NewAgent("requester"))
            await until(pair.same_log)
        await pair.first._upkeep.round()
        assert "requester" in (await log_of(pair.first)).state.agents
        await pair.first._upkeep.round()
        assert [agent.name for agent in await pair.first.agents(OWNER)] == ["requester"]
