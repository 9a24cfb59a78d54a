"""A machine that is linked opens no gate: what its owner has not let pass there, its agents do not see."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon import sharing
from taskferry_apps.daemon.port import Caller, DaemonRefusal, TaskAction
from taskferry_protocol.gates import AgentMode
from taskferry_protocol.messages import TextPart
from tests.daemon.test_gates import gated, waits
from tests.daemon.worlds import OWNER, Machine, a_world, act, ask, in_state, until
from tests.devices.machines import keep_history, knows_device, link_to

WRITER = Caller(frozenset({"writer"}))


async def test_a_task_that_waits_on_one_machine_waits_on_the_next():
    """The agent of the linked machine neither reads nor accepts it; the first machine's goes on waiting."""
    async with a_world() as world, gated(world) as (a, b):
        task = await ask(a, "requester", "@bob/writer")
        await waits(b, task)
        machine = Machine("bob2")
        await link_to(world, b, machine)
        async with world.running(machine) as second:
            await waits(second, task)
            for call in (
                second.task(WRITER, task.hex()),
                act_as_writer(second, task.hex()),
            ):
                with pytest.raises(DaemonRefusal) as refused:
                    await call
                assert refused.value.code == "not-found"
            page = await second.messages(WRITER, "writer", "", 200)
            assert all(message.task != task for message in page.messages)
            await waits(b, task)


async def act_as_writer(daemon, task):
    """Accept it with the agent's credential."""
    return await daemon.act(WRITER, task, TaskAction("accept"))


async def test_a_task_that_was_accepted_is_shown_on_the_next_machine():
    """The owner's side has taken it: nothing is left to decide."""
    async with a_world() as world, gated(world) as (a, b):
        task = await ask(a, "requester", "@bob/writer")
        await waits(b, task)
        await act(b, task, "accept")
        await in_state(a, task, "accepted")
        machine = Machine("bob2")
        await link_to(world, b, machine)
        async with world.running(machine) as second:
            await in_state(second, task, "accepted")
            assert (await second.task(WRITER, task.hex())).summary.state == "accepted"
            assert await second.gates.held_tasks(OWNER) == ()


async def test_a_task_whose_history_comes_in_parts_waits_no_longer_than_till_its_answer(monkeypatch):
    """The request comes by itself, and waits; with the owner's answer nothing is left to decide."""
    monkeypatch.setattr(sharing, "_PAGE", 1)
    async with a_world() as world, gated(world) as (a, b):
        task = await ask(a, "requester", "@bob/writer")
        await waits(b, task)
        await b.gates.release(OWNER, task.hex())
        await act(b, task, "accept")
        await in_state(a, task, "accepted")
        machine = Machine("bob2")
        await link_to(world, b, machine)
        async with world.running(machine) as second:
            await in_state(second, task, "accepted")
            assert await second.gates.held_tasks(OWNER) == ()
            assert (await second.task(WRITER, task.hex())).summary.state == "accepted"


async def test_words_that_come_before_the_history_do_not_hide_a_task_that_was_accepted(monkeypatch):
    """A revision is asked for while the request is still on its way to the new machine."""
    comes = keep_history(monkeypatch)
    async with a_world() as world, gated(world) as (a, b):
        task = await ask(a, "requester", "@bob/writer", revisions=3)
        await waits(b, task)
        await act(b, task, "accept")
        await act(b, task, "submit", parts=(TextPart("a draft"),))
        await in_state(a, task, "submitted")
        machine = Machine("bob2")
        device = await link_to(world, b, machine)
        async with world.running(machine) as second:
            await knows_device(a, b, device, "writer")
            await act(a, task, "revise", reasons=("more",))
            await in_state(second, task, "unknown")
            comes.set()
            await in_state(second, task, "revision_requested")
            assert await second.gates.held_tasks(OWNER) == ()
            assert (await second.task(WRITER, task.hex())).summary.state == "revision_requested"


async def test_an_agent_is_guarded_on_a_machine_that_has_not_been_told_otherwise():
    """Whatever its mode is where it was made."""
    async with a_world() as world, gated(world) as (_, b):
        machine = Machine("bob2")
        await link_to(world, b, machine)
        async with world.running(machine) as second:

            async def told() -> bool:
                if second._core.account is None:
                    return False
                modes = [(mode.agent, mode.mode) for mode in await second.gates.modes(OWNER)]
                return modes == [("@bob/writer", AgentMode.GUARDED.value)]

            await until(told)
            (mode,) = await b.gates.modes(OWNER)
            assert mode.mode == AgentMode.OPEN.value
