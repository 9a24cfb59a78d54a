"""What was said in a task while its peer allowed nothing, and is allowed again: offered once more."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon.port import GrantChange
from taskferry_protocol.ids import Hash
from taskferry_protocol.messages import TextPart
from taskferry_protocol.records import DropOutbox, Rung, SetRung

from .worlds import OWNER, Machine, World, a_world, act, ask, connected, in_state

PAIR = ("writer", "@alice/requester")
#: Whatever it is: the peer's owner has said anew what is allowed.
ANEW = GrantChange(rate_per_minute=50)


async def refused(world: World, machine: Machine, *hashes: Hash) -> None:
    """The relay has refused these for good, as the peer allowed nothing then."""
    changes = [SetRung(hash, "requester", Rung.FAILED, "not-permitted", world.clock.now()) for hash in hashes]
    await machine.store.commit([*changes, DropOutbox(hashes)])


async def begin(world: World, alice: Machine, bob: Machine) -> Hash:
    """Connected, with a task whose work was handed in; neither daemon runs afterwards."""
    async with connected(world, alice, bob) as (a, b):
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
        await act(b, task, "accept")
        await act(b, task, "submit", parts=(TextPart("done"),))
        await in_state(a, task, "submitted")
    return task


@pytest.mark.parametrize(("kind", "state"), [("cancel", "cancelled"), ("complete", "completed")])
async def test_an_end_that_was_refused_reaches_the_peer_once_it_is_allowed(kind, state):
    """A task that is over here must not go on for ever there: its last word is offered again, too."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        task = await begin(world, alice, bob)
        sent = await act(await world.open_daemon(alice), task, kind)
        await refused(world, alice, sent.message)
        async with world.running(alice), world.running(bob) as b:
            await b.set_permissions(OWNER, PAIR, ANEW)
            await in_state(b, task, state)


async def test_a_task_that_was_taken_back_before_it_left_stays_here():
    """Nobody is shown what was asked, once the owner has cancelled it and nothing of it had gone."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        await begin(world, alice, bob)
        a = await world.open_daemon(alice)
        task = await ask(a, "requester", "@bob/writer")
        cancelled = await act(a, task, "cancel")
        await refused(world, alice, task, cancelled.message)
        open_one = await ask(a, "requester", "@bob/writer")
        await refused(world, alice, open_one)
        async with world.running(alice), world.running(bob) as b:
            await b.set_permissions(OWNER, PAIR, ANEW)
            await in_state(b, open_one, "sent")
            rows, _ = await b.tasks(OWNER, "", "", "", "", 10)
            assert task not in {row.id for row in rows}
