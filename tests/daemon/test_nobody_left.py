"""Tasks of a peer whose last machine left: nobody is there to be told, and everything else goes on."""

from __future__ import annotations

import trio

from taskferry_apps.daemon.core import Core
from taskferry_apps.daemon.draft import Draft
from taskferry_protocol import accounts
from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.ids import Instant
from taskferry_protocol.links import Seen, TaskLink
from taskferry_protocol.messages import TaskCancel, TaskRequest

from .forger import Forger, codes, forging
from .test_upkeep import SOON_MS, a_pair, upkeep_of
from .worlds import OWNER, ask, in_state


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


async def test_a_deadline_that_nobody_can_be_told_of_stops_no_housekeeping():
    """Its worker withdrew the agent: the requester's daemon goes on, and says so once somebody serves it."""
    async with a_pair() as (world, a, b):
        soon = Instant(world.clock.now() + SOON_MS)
        task = await ask(a, "requester", "@bob/writer", deadline=soon)
        await in_state(b, task, "sent")
        log = await b._core.own_log()
        gone = accounts.set_agent(log.state, "writer", (), at=world.clock.now(), by=b._core.manage)
        await hear(a._core, gone, log)
        world.clock.ahead_ms += 2 * SOON_MS
        with trio.fail_after(20):
            while not a._link.drained_until > soon:
                await trio.lowlevel.checkpoint()
        await upkeep_of(a).round()
        view = await a.task(OWNER, task.hex())
        assert view.summary.state == "sent"
