"""Tasks of a peer whose last machine left: nobody is there to be told, and everything else goes on."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon.core import Core
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.port import DaemonRefusal, GrantChange, TaskAction
from taskferry_protocol import accounts
from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.ids import Instant
from taskferry_protocol.links import Seen, TaskLink
from taskferry_protocol.messages import TaskCancel, TaskRequest

from .forger import Forger, codes, forging
from .test_upkeep import SOON_MS, a_pair, upkeep_of
from .worlds import OWNER, act, ask, connect, in_state, on_rung, until


async def hear(core: Core, more: bytes, log: AccountLog) -> None:
    """A daemon has heard of one more statement of an account."""
    async with core.lock:
        draft = Draft(core)
        held = await draft.log(log.account)
        assert held is not None
        draft.replace_log(held, log.extend((more,)), held.state.length, log.state.name)
        await draft.commit()


async def leave(forger: Forger) -> None:
    """Alice's only machine that serves an agent retires, and bob hears of it."""
    log = await forger.alice.own_log()
    left = accounts.retire(log.state, forger.alice.keys.device.signing, at=forger.clock.now())
    await hear(forger.bob, left, log)


async def test_what_a_machine_that_has_left_since_said_in_a_task_counts_and_blocks_nothing():
    """It counts as of when it was sent; the confirmation, which nobody could open, is not signed."""
    async with forging() as (forger, bob):
        link = TaskLink(None, 0, None, Seen(0, None))
        sealed = await forger.seal(TaskRequest("Report", "Write it."), link=link)
        task = sealed.envelope.hash
        ended = await forger.seal(TaskCancel(), link=TaskLink(task, 1, task, Seen(0, None)))
        await leave(forger)
        for one in (sealed, ended):
            await forger.deliver(one)
        assert await codes(bob) == []
        (row,) = (await bob.tasks(OWNER, "", "", "", "", 50))[0]
        assert (row.id, row.state) == (task, "cancelled")
        assert await bob._core.store.outbox_waiting() == 0


async def give_up(a, b, world):
    """Bob gives his agent up, and Alice's daemon hears of that alone."""
    log = await b._core.own_log()
    gone = accounts.set_agent(log.state, "writer", (), at=world.clock.now(), by=b._core.manage)
    await hear(a._core, gone, log)


async def disconnected(daemon):
    """No connection of its is in force any more."""

    async def over():
        return not await daemon.connections(OWNER, "accepted", "")

    await until(over)


async def test_a_deadline_that_nobody_can_be_told_of_ends_the_task():
    """Its worker withdrew the agent: the requester's daemon says so where it is read, and goes on."""
    async with a_pair() as (world, a, b):
        soon = Instant(world.clock.now() + SOON_MS)
        task = await ask(a, "requester", "@bob/writer", deadline=soon)
        await in_state(b, task, "sent")
        await b.withdraw_agent(OWNER, "writer")
        await disconnected(a)
        world.clock.ahead_ms += 2 * SOON_MS

        async def expired():
            await upkeep_of(a).round()
            return (await a.task(OWNER, task.hex())).summary.state == "expired"

        await until(expired)


async def test_a_task_whose_worker_is_gone_is_taken_back_all_the_same():
    """It is over here, nothing waits to be sent, and its requester is told that nobody hears of it."""
    async with a_pair() as (world, a, b):
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
        await give_up(a, b, world)
        with pytest.raises(DaemonRefusal) as refused:
            await a.act(OWNER, task.hex(), TaskAction("progress"))
        assert refused.value.code == "not-possible"
        sent = await act(a, task, "cancel")
        assert sent.state == "cancelled"
        assert (sent.delivery.rung, sent.delivery.code) == ("failed", "unknown-recipient")
        assert await a._core.store.outbox_waiting() == 0
        assert (await a.task(OWNER, task.hex())).summary.state == "cancelled"


async def test_a_task_is_taken_back_after_its_connection_and_the_peer_hears_of_it_with_the_next():
    """Both ends have it cancelled then, once they are connected again."""
    async with a_pair() as (_, a, b):
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
        (bond,) = await b.connections(OWNER, "accepted", "")
        await b.end_connection(OWNER, bond.id.hex(), "revoked", "")
        await disconnected(a)
        sent = await act(a, task, "cancel")
        assert sent.state == "cancelled"
        (warning,) = sent.warnings
        assert "@bob/writer may never hear of it" in warning
        await on_rung(a, sent.message, "failed")
        assert (await b.task(OWNER, task.hex())).summary.state == "sent"
        await connect(a, b, "requester", "@bob/writer")
        await in_state(b, task, "cancelled")


async def test_a_task_is_taken_back_though_its_peer_takes_nothing_now():
    """Its owner has narrowed the permission: the end counts here at once, and goes there once it may."""
    async with a_pair() as (_, a, b):
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
        await b.set_permissions(OWNER, ("writer", "@alice/requester"), GrantChange(classes=("message",)))

        async def narrowed():
            (bond,) = await a.connections(OWNER, "accepted", "")
            return bond.received is not None and bond.received.classes == ("message",)

        await until(narrowed)
        sent = await act(a, task, "cancel")
        assert sent.state == "cancelled"
        await on_rung(a, sent.message, "failed")
        wider = GrantChange(classes=("message", "task"))
        await b.set_permissions(OWNER, ("writer", "@alice/requester"), wider)
        await in_state(b, task, "cancelled")


async def test_a_machine_that_was_put_out_ends_no_task():
    """Whoever has it would only waste what its owner's other machines do."""
    async with a_pair() as (_, a, b):
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
        await a.devices.revoke(OWNER, a._core.device.hex(), "stolen", lose=True)
        with pytest.raises(DaemonRefusal) as refused:
            await act(a, task, "cancel")
        assert refused.value.code == "device-gone"
        assert (await a.task(OWNER, task.hex())).summary.state == "sent"
