"""What was said in a task while its peer allowed nothing, and is allowed again: offered once more."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon.port import DaemonRefusal, GrantChange
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.ids import Hash
from taskferry_protocol.messages import TextPart

from .worlds import OWNER, Machine, a_world, act, ask, connect, in_state, set_up, until

PAIR = ("writer", "@alice/requester")
ALL = GrantChange(classes=("message", "task", "artifact"))


@pytest.mark.parametrize(("kind", "state"), [("cancel", "cancelled"), ("complete", "completed")])
async def test_an_end_that_was_refused_reaches_the_peer_once_it_is_allowed(kind, state):
    """A task that is over here must not go on for ever there: its last word is offered again, too."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with world.running(alice) as a, world.running(bob) as b:
            await set_up(a, "alice", "requester")
            await set_up(b, "bob", "writer")
            await connect(a, b, "requester", "@bob/writer")
            task = await ask(a, "requester", "@bob/writer")
            await in_state(b, task, "sent")
            await act(b, task, "accept")
            await act(b, task, "submit", parts=(TextPart("done"),))
            await in_state(a, task, "submitted")
            await until(lambda: _has_ended(a, task))
        async with world.running(bob) as b:
            await b.set_permissions(OWNER, PAIR, GrantChange(classes=("message",)))
            await until(lambda: _is_sent(bob))
        a = await world.open_daemon(alice)
        await act(a, task, kind)
        async with world.running(alice) as a:
            await until(lambda: _has_ended(a, task))
            async with world.running(bob) as b:
                await in_state(b, task, "submitted")
                await b.set_permissions(OWNER, PAIR, ALL)
                await in_state(b, task, state)


async def test_a_task_that_was_taken_back_before_it_left_stays_here():
    """Nobody is shown what was asked, once the owner has cancelled it and nothing of it had gone."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with world.running(alice) as a, world.running(bob) as b:
            await set_up(a, "alice", "requester")
            await set_up(b, "bob", "writer")
            await connect(a, b, "requester", "@bob/writer")
        async with world.running(bob) as b:
            await b.set_permissions(OWNER, PAIR, GrantChange(classes=("message",)))
            await until(lambda: _is_sent(bob))
        a = await world.open_daemon(alice)
        task = await ask(a, "requester", "@bob/writer")
        await act(a, task, "cancel")
        async with world.running(alice) as a:
            await until(lambda: _has_ended(a, task))
            async with world.running(bob) as b:
                await b.set_permissions(OWNER, PAIR, ALL)
                other = await _asked_at_last(a)
                await in_state(b, other, "sent")
                ((row,), _) = await b.tasks(OWNER, "", "", "", "", 10)
                assert row.id == other


async def _asked_at_last(a: Daemon) -> Hash:
    async def done():
        try:
            return await ask(a, "requester", "@bob/writer")
        except DaemonRefusal:
            return None

    return await until(done)


async def _is_sent(machine: Machine) -> bool:
    return await machine.store.next_attempt() is None


async def _has_ended(daemon: Daemon, task: Hash) -> bool:
    """Whether all that the requester said is delivered or refused."""
    view = await daemon.task(OWNER, task.hex())
    deliveries = [event.delivery for event in view.events if event.side == "requester"]
    return all(delivery is not None and delivery.rung in {"delivered", "failed"} for delivery in deliveries)
