"""What a peer says to a new machine before that machine has been given the history."""

from __future__ import annotations

from taskferry_protocol.records import MessageQuery, Order
from tests.daemon.forger import codes
from tests.daemon.worlds import Machine, a_world, act, ask, connect, in_state, set_up, until

from .machines import keep_history, link_to, log_of


async def test_a_confirmation_that_comes_first_hides_no_task_that_another_machine_asked_for(monkeypatch):
    """Either side can sign one: it waits until it is known whose it is, and then stands in the task."""
    comes = keep_history(monkeypatch)
    bobs, later = Machine("bob"), Machine("alice2")
    async with a_world() as world, world.running(Machine("alice")) as first:
        await set_up(first, "alice", "requester")
        async with world.running(bobs) as bob:
            await set_up(bob, "bob", "writer")
            await connect(first, bob, "requester", "@bob/writer")
            task = await ask(first, "requester", "@bob/writer")
            await in_state(bob, task, "sent")
            await act(bob, task, "accept")
            await in_state(first, task, "accepted")
        await act(first, task, "cancel", text="never mind")
        device = await link_to(world, first, later)
        async with world.running(later) as second:
            store = second._core.store

            async def serves() -> bool:
                return device in (await log_of(first)).state.agents["requester"]

            async def confirmed() -> bool:
                page = await store.message_page(MessageQuery(task=task), None, 9, Order.OLDEST_FIRST)
                return bool(page.items)

            await until(serves)
            async with world.running(bobs):
                await until(confirmed)
            assert not (await store.tasks((task,))).get(task)
            comes.set()
            await in_state(second, task, "cancelled")
            told = (await first._core.store.task_events((task,)))[task]
            held = (await store.task_events((task,)))[task]
            assert {(event.hash, event.side) for event in held} == {
                (event.hash, event.side) for event in told
            }
            assert await codes(second) == []
