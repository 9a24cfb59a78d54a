"""An agent that its owner withdraws is nobody's any more: what comes later under its name is another one."""

from __future__ import annotations

import pytest
import trio

from taskferry_apps.daemon import withdrawing, withdrawn
from taskferry_apps.daemon.ending import end_bond
from taskferry_apps.daemon.gates_port import NewRule, Question
from taskferry_apps.daemon.invite_port import NewInvite
from taskferry_apps.daemon.port import Caller, DaemonRefusal, GrantChange, NewAgent
from taskferry_apps.daemon.runtimes_port import NewRuntime
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.wake_port import NewWake
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS

from .test_gates import gated, waits
from .worlds import OWNER, Machine, a_world, ask, connected, introduce, until, until_in

WRITER = Caller(frozenset({"writer"}))


async def refused(call, code: str) -> None:
    """The call is refused with this code."""
    with pytest.raises(DaemonRefusal) as caught:
        await call
    assert caught.value.code == code


async def made_anew(daemon: Daemon, agent: str = "writer") -> None:
    """Withdrawn, and made again under the same name."""
    await daemon.withdraw_agent(OWNER, agent)
    await daemon.create_agent(OWNER, NewAgent(agent))


async def test_a_credential_stops_with_its_agent_and_opens_nothing_of_the_next():
    """At once, and also once there is an agent of that name again."""
    async with a_world() as world, connected(world) as (_, bob):
        secret, _ = await bob.create_token(OWNER, ("writer",), "program")
        assert await bob.caller_for(secret) is not None
        await bob.withdraw_agent(OWNER, "writer")
        assert await bob.caller_for(secret) is None
        await bob.create_agent(OWNER, NewAgent("writer"))
        assert await bob.caller_for(secret) is None


async def test_a_credential_of_several_agents_acts_as_the_others_alone():
    """What it holds of the withdrawn one ends, and nothing else."""
    async with a_world() as world, connected(world) as (_, bob):
        await bob.create_agent(OWNER, NewAgent("reader"))
        secret, _ = await bob.create_token(OWNER, ("reader", "writer"), "both")
        await made_anew(bob)
        caller = await bob.caller_for(secret)
        assert caller is not None
        assert caller.agents == frozenset({"reader"})
        await refused(bob.inbox(caller, "writer", False, "", 5, 0), "not-yours")


async def test_what_an_agent_was_answered_under_a_key_is_no_answer_to_the_next():
    """A program of that one says the same, under the same key, and has it said."""
    async with a_world() as world, connected(world) as (_, bob):
        await bob.create_token(OWNER, ("writer",), "program")
        await bob.remember(WRITER, "key", b"digest", b"sent")
        assert await bob.recall(WRITER, "key", b"digest") == b"sent"
        await made_anew(bob)
        assert await bob.recall(WRITER, "key", b"digest") is None


async def test_what_was_bound_to_an_agent_is_not_bound_to_the_next():
    """Programs, wakes, invites and rules end; how freely it acted is not taken over."""
    async with a_world() as world, connected(world) as (_, bob):
        await bob.gates.set_mode(OWNER, "writer", "guarded")
        await bob.gates.set_policy(OWNER, "writer", "shell", "always")
        bound = await bob.runtimes.bind(WRITER, NewRuntime("writer", "program", "key"))
        await bob.wakers.add(OWNER, NewWake("writer", "command", command=("/bin/true",)))
        until_then = Instant(world.clock.now() + DAY_MS)
        await bob.invites.create(OWNER, NewInvite("writer", 1, until_then, GrantChange()))
        await bob.gates.add_rule(OWNER, NewRule("@alice/*", "writer", 1))
        await made_anew(bob)
        assert await bob.runtimes.runtimes(OWNER, "") == ()
        await refused(bob.runtimes.heartbeat(WRITER, bound.runtime.id, "idle"), "unknown-runtime")
        assert await bob.wakers.wakes(OWNER) == ()
        assert [invite.state for invite in await bob.invites.list(OWNER)] == ["withdrawn"]
        assert await bob.gates.rules(OWNER) == ()
        (mode,) = await bob.gates.modes(OWNER)
        assert (mode.mode, set(mode.policies.values())) == ("open", {"ask"})


async def test_connections_end_with_the_agent_and_the_peer_hears_of_it():
    """What the peer was allowed to send reaches nobody, under the same name neither."""
    async with a_world() as world, connected(world) as (alice, bob):
        await made_anew(bob)
        assert await bob.connections(OWNER, "accepted", "") == ()

        async def heard():
            return not await alice.connections(OWNER, "accepted", "")

        await until(heard)
        await refused(
            alice.send_message(OWNER, "requester", "@bob/writer", "still?", (), "", ""), "not-connected"
        )


async def test_what_waits_of_an_agent_waits_for_nobody_once_it_is_withdrawn():
    """Its questions are answered no, what was allowed is no more, and no task stands at its gate."""
    async with a_world() as world, gated(world) as (alice, bob):
        task = await ask(alice, "requester", "@bob/writer")
        await waits(bob, task)
        asked = await bob.gates.ask(WRITER, Question("writer", "shell", "make"))
        allowed = await bob.gates.ask(WRITER, Question("writer", "shell", "make clean"))
        await bob.gates.answer(OWNER, allowed.id.hex(), "approved", "once", "")
        await made_anew(bob)
        assert (await bob.status()).waiting.undecided == 0
        for question in (asked, allowed):
            assert (await bob.gates.approval(OWNER, question.id.hex(), 0)).state == "denied"


async def test_however_many_tasks_stand_at_its_gate_none_waits_on(monkeypatch):
    """All of them, and not the first so many."""
    monkeypatch.setattr(withdrawn, "_PAGE", 1)
    async with a_world() as world, gated(world) as (alice, bob):
        for task in [await ask(alice, "requester", "@bob/writer") for _ in range(3)]:
            await waits(bob, task)
        await bob.withdraw_agent(OWNER, "writer")
        assert (await bob.status()).waiting.undecided == 0


async def test_only_the_owner_withdraws_an_agent_and_only_one_that_there_is():
    """No program's credential reaches it, its own agent's neither."""
    async with a_world() as world, connected(world) as (_, bob):
        await refused(bob.withdraw_agent(WRITER, "writer"), "owner-only")
        await refused(bob.withdraw_agent(OWNER, "nobody"), "not-found")
        await bob.withdraw_agent(OWNER, "@bob/writer")
        assert await bob.agents(OWNER) == ()
        await refused(bob.withdraw_agent(OWNER, "writer"), "not-found")


async def test_an_agent_whose_peers_cannot_be_told_is_not_withdrawn_before_they_can():
    """Nobody believes a word of it after that: they would go on as connected, and hear of nothing."""
    async with a_world() as world, connected(world) as (alice, bob):

        async def is_away():
            return not bob._link.connected

        world.stop_relay()
        await until(is_away)
        secret, _ = await bob.create_token(OWNER, ("writer",), "program")
        await refused(bob.withdraw_agent(OWNER, "writer"), "relay-unreachable")
        assert await bob.caller_for(secret) is not None
        assert await bob.connections(OWNER, "accepted", "")
        await world.start_relay()
        await until_in(bob)
        assert await bob.withdraw_agent(OWNER, "writer") == 1

        async def heard():
            return not await alice.connections(OWNER, "accepted", "")

        await until(heard)


async def test_an_agent_that_nobody_is_connected_with_is_withdrawn_without_a_relay():
    """There is nobody to be told."""
    async with a_world() as world, connected(world) as (_, bob):
        await bob.create_agent(OWNER, NewAgent("alone"))

        async def is_away():
            return not bob._link.connected

        world.stop_relay()
        await until(is_away)
        assert await bob.withdraw_agent(OWNER, "alone") == 0


async def test_a_withdrawal_that_the_relay_cut_off_goes_on_where_it_was(monkeypatch):
    """The session ends between the words to the peers and the relay's having them."""
    async with a_world() as world, connected(world) as (alice, bob):

        async def cut_off(*words):
            message = await end_bond(*words)
            world.stop_relay()
            return message

        with monkeypatch.context() as patch:
            patch.setattr(withdrawing, "end_bond", cut_off)
            patch.setattr(withdrawing, "_TELL_S", 0.5)
            await refused(bob.withdraw_agent(OWNER, "writer"), "relay-unreachable")
        assert await bob.connections(OWNER, "accepted", "") == ()
        await world.start_relay()
        await until_in(bob)
        await bob._upkeep.round()
        assert [agent.name for agent in await bob.agents(OWNER)] == ["writer"]
        assert await bob.withdraw_agent(OWNER, "writer") == 0

        async def heard():
            return not await alice.connections(OWNER, "accepted", "")

        await until(heard)


async def test_a_daemon_that_ends_in_the_midst_of_a_withdrawal_goes_on_with_it(monkeypatch):
    """Its connections are ended, and whoever asked has been told nothing."""
    machine = Machine("bob")
    async with a_world() as world, world.running(Machine("alice")) as alice:
        async with world.running(machine) as bob:
            await introduce(alice, bob)
            secret, _ = await bob.create_token(OWNER, ("writer",), "program")

            async def for_ever(*_):
                await trio.sleep_forever()

            with monkeypatch.context() as patch, trio.move_on_after(1) as scope:
                patch.setattr(withdrawing, "_wait_relayed", for_ever)
                await bob.withdraw_agent(OWNER, "writer")
            assert scope.cancelled_caught
            assert await bob.caller_for(secret) is not None
        async with world.running(machine) as bob:

            async def withdrawn_now():
                return await bob.agents(OWNER) == ()

            await until(withdrawn_now)
            assert await bob.caller_for(secret) is None
            await bob.create_agent(OWNER, NewAgent("writer"))
            await bob._upkeep.round()
            assert [agent.name for agent in await bob.agents(OWNER)] == ["writer"]
