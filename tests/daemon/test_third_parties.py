"""Whoever learns a task's id before the task is there (its relay knows it) has no say in it either."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest

from taskferry_apps import system
from taskferry_apps.daemon import task_arrivals
from taskferry_apps.daemon.inbound import Inbound
from taskferry_apps.daemon.port import Caller, GrantChange, NewAgent
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.frame_items import Mail
from taskferry_protocol.ids import Hash
from taskferry_protocol.links import Seen, TaskLink
from taskferry_protocol.messages import TaskAccept, TaskCancel, TaskRequest
from taskferry_protocol.records import Offset, RelayCursor
from taskferry_protocol.sealing import Sealed, wrap_for
from tests.devices.machines import keep_history, knows_device, link_to

from .forger import OTHER, Forger, codes, forger_between
from .worlds import OWNER, Machine, World, a_world, act, ask, connect, in_state, set_up

FIRST = TaskLink(None, 0, None, Seen(0, None))
WRITER = Caller(frozenset({"writer"}))


@asynccontextmanager
async def two_askers(world: World, alice: Machine, bob: Machine) -> AsyncIterator[tuple[Daemon, Daemon]]:
    """Two agents of alice's, both connected with bob's writer."""
    async with world.running(alice) as a, world.running(bob) as b:
        await set_up(a, "alice", "requester")
        await set_up(b, "bob", "writer")
        await a.create_agent(OWNER, NewAgent("second"))
        await connect(a, b, "requester", "@bob/writer")
        await connect(a, b, "second", "@bob/writer")
        yield a, b


@asynccontextmanager
async def forging() -> AsyncIterator[tuple[Forger, Daemon]]:
    """The forger between the two owners, and bob's daemon, which is not running meanwhile."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with two_askers(world, alice, bob):
            pass
        yield await forger_between(world, alice, bob), await world.open_daemon(bob)


async def word_of_second(forger: Forger, task: Hash) -> Sealed:
    """What the other agent of alice's says about a task that is none of its."""
    return await forger.seal(TaskCancel("mine"), link=TaskLink(task, 1, task, Seen(0, None)), from_="second")


async def test_a_third_agent_that_speaks_first_keeps_no_task_out():
    """Words about a task from somebody else come before its request: the request counts, the words do not."""
    async with forging() as (forger, bob):
        request = await forger.seal(TaskRequest("Title", "Brief"), link=FIRST)
        task = request.envelope.hash
        await forger.deliver(await word_of_second(forger, task))
        await forger.deliver(request)
        view = await bob.task(OWNER, task.hex())
        assert (view.summary.state, view.summary.peer) == ("sent", "@alice/requester")
        assert [event.type for event in view.events] == ["task_request"]
        await forger.deliver(await word_of_second(forger, task))
        assert await codes(bob) == ["wrong-party"]
        assert (await bob.task(OWNER, task.hex())).summary.state == "sent"


async def test_a_third_agent_that_says_much_keeps_no_task_out(monkeypatch: pytest.MonkeyPatch):
    """As many events as a task may have are held of it when its request comes."""
    monkeypatch.setattr(task_arrivals, "_EVENTS", 2)
    async with forging() as (forger, bob):
        request = await forger.seal(TaskRequest("Title", "Brief"), link=FIRST)
        task = request.envelope.hash
        for _ in range(3):
            await forger.deliver(await word_of_second(forger, task))
        assert await codes(bob) == ["too-many"]
        await forger.deliver(request)
        assert (await bob.task(OWNER, task.hex())).summary.state == "sent"


async def test_a_third_agent_that_speaks_first_brings_no_task_to_the_gate():
    """Its own words wait for the owner; what another asks, who has no gate, does not."""
    async with forging() as (forger, bob):
        gate = GrantChange(human_gate=True)
        await bob.set_permissions(OWNER, ("writer", "@alice/second"), gate)
        request = await forger.seal(TaskRequest("Title", "Brief"), link=FIRST)
        task = request.envelope.hash
        await forger.deliver(await word_of_second(forger, task))
        await forger.deliver(request)
        assert await bob.gates.held_tasks(OWNER) == ()
        assert (await bob.task(WRITER, task.hex())).summary.state == "sent"


async def test_a_word_of_the_owners_own_outranks_a_third_agents():
    """Another machine of bob's has accepted: that counts here, whoever had spoken of the task before."""
    async with forging() as (forger, bob):
        request = await forger.seal(TaskRequest("Title", "Brief"), link=FIRST)
        task = request.envelope.hash
        await forger.deliver(await word_of_second(forger, task))
        back = attrs.evolve(forger, alice=forger.bob, bob=forger.alice)
        accept = await back.seal(
            TaskAccept(), link=TaskLink(task, 0, None, Seen(1, task)), from_="writer", to="requester"
        )
        await forger.deliver(accept)
        await forger.deliver(request)
        assert await codes(bob) == []
        assert (await bob.task(OWNER, task.hex())).summary.state == "accepted"


async def test_a_third_agent_keeps_no_history_from_a_new_machine(monkeypatch: pytest.MonkeyPatch):
    """It speaks of an old task to a machine that has not been given it yet: all of the history comes."""
    comes = keep_history(monkeypatch)
    alice, bob, machine = Machine("alice"), Machine("bob"), Machine("bob2")
    async with a_world() as world, two_askers(world, alice, bob) as (a, b):
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
        await act(b, task, "accept")
        await in_state(a, task, "accepted")
        device = await link_to(world, b, machine)
        async with world.running(machine) as second:
            await knows_device(a, b, device, "writer")
            await in_state(a, task, "accepted")
            forger = await forger_between(world, alice, machine)
            sealed = await word_of_second(forger, task)
            (wrap,) = wrap_for(sealed.key, [second._core.keys.device.encryption.public], system.entropy)
            mail = Mail(1, sealed.envelope.raw, wrap.sealed)
            await Inbound(second._core, forger.fetch).take(mail, RelayCursor("late", OTHER, Offset(1)))
            await in_state(second, task, "unknown")
            comes.set()
            await in_state(second, task, "accepted")
            assert (await second.task(OWNER, task.hex())).summary.peer == "@alice/requester"
            assert await codes(second) == []
