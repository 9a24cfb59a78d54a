"""Housekeeping: what is overdue is said, and a round with nothing to do disturbs nobody."""

from __future__ import annotations

from contextlib import asynccontextmanager

import attrs
import trio

from taskferry_apps.daemon import keys
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.upkeep import Upkeep
from taskferry_protocol.accounts import set_agent
from taskferry_protocol.ids import Instant, sha256
from taskferry_protocol.limits import DAY_MS, MINUTE_MS
from taskferry_protocol.messages import TextPart
from taskferry_protocol.records import SaveTask
from taskferry_stores.memory import MemoryRelayStore

from .worlds import GENERATION, a_world, act, ask, connected, in_state

SOON_MS = 60_000


@asynccontextmanager
async def a_pair(store=None):
    """Alice's daemon and Bob's, connected."""
    async with a_world(store) as world, connected(world) as (a, b):
        yield world, a, b


def upkeep_of(daemon):
    """Its housekeeping, to be done by hand."""
    return Upkeep(daemon._core, daemon._owner, daemon._tasks, daemon._link, daemon._connections)


async def test_tasks_that_others_must_end_do_not_keep_ours_from_expiring():
    """A hundred overdue tasks of peers stand before the one that is ours to end."""
    async with a_pair() as (world, a, _):
        soon = Instant(world.clock.now() + SOON_MS)
        task = await ask(a, "requester", "@bob/writer", deadline=soon)
        (ours,) = await a._core.store.tasks_overdue(soon, 2)
        theirs = [
            attrs.evolve(ours, task=sha256(bytes([n])), role="worker", deadline=Instant(soon - 1), revision=0)
            for n in range(100)
        ]
        await a._core.commit([SaveTask(row) for row in theirs])
        world.clock.ahead_ms += 2 * SOON_MS
        await in_state(a, task, "expired")


async def test_in_a_log_that_is_nearly_full_keys_are_replaced_less_often(monkeypatch):
    """After weeks nothing is added to it, and after half a year a key is."""
    monkeypatch.setattr(keys, "ROTATIONS", 1)
    async with a_pair() as (world, a, _):
        before = (await a._core.own_log()).state.length
        for days, added in ((60, 0), (130, 1)):
            world.clock.ahead_ms += days * DAY_MS
            await upkeep_of(a).round()
            assert (await a._core.own_log()).state.length - before == added


async def test_a_key_that_a_restored_machine_has_not_is_replaced_whatever_the_clock_says():
    """Until then nobody can seal anything for it; one that has only grown old waits for the right clock."""
    async with a_pair() as (world, a, _):
        world.clock.ahead_ms += 8 * DAY_MS
        core = a._core
        core.clock.compare(Instant(world.clock.now() + 6 * MINUTE_MS))
        before = (await core.own_log()).state.length
        await upkeep_of(a).round()
        assert (await core.own_log()).state.length == before
        core.ring = core.keys.prepare_rotation(core.entropy).finish_rotation(world.clock.now())
        core.ring = attrs.evolve(core.ring, former=())
        await upkeep_of(a).round()
        assert (await core.own_log()).state.length == before + 1
        held = (await core.own_log()).state.devices[core.device].record.enc
        assert held == core.keys.device.encryption.public


async def test_a_round_with_nothing_to_do_has_no_page_loaded_again():
    """A deadline that passed while the relay is away cannot be said: once it is, it is."""
    async with a_pair() as (world, a, _):
        task = await ask(a, "requester", "@bob/writer", deadline=Instant(world.clock.now() + SOON_MS))
        world.stop_relay()
        with trio.fail_after(20):
            while a._link.connected:
                await trio.lowlevel.checkpoint()
        world.clock.ahead_ms += 2 * SOON_MS
        upkeep = upkeep_of(a)
        await upkeep.round()
        rings, pause = a._core.shown.rings, await upkeep._pause()
        await upkeep.round()
        assert (a._core.shown.rings, pause) == (rings, 60.0)
        await world.start_relay()
        await in_state(a, task, "expired")


class SlowDirectory(MemoryRelayStore):
    """A relay's store that takes its time to show an account's log, once it is to."""

    def __init__(self) -> None:
        super().__init__(GENERATION)
        self.gate = trio.Event()
        self.gate.set()
        self.asked = trio.Event()

    async def statements(self, account, start, limit):
        """A page of a log, once one may look."""
        found = await super().statements(account, start, limit)
        if not self.gate.is_set():
            self.asked.set()
            await self.gate.wait()
        return found


async def test_what_has_come_and_is_not_taken_yet_keeps_a_task_from_expiring():
    """Work that was handed in before the deadline counts, while its author's log is being looked up."""
    store = SlowDirectory()
    async with a_pair(store) as (world, a, b):
        task = await ask(a, "requester", "@bob/writer", deadline=Instant(world.clock.now() + 4_000))
        await in_state(b, task, "sent")
        await act(b, task, "accept")
        await in_state(a, task, "accepted")
        async with b._core.lock:
            draft = Draft(b._core)
            held = await draft.own_log()
            made = set_agent(held.state, "desk", (b._core.device,), at=draft.now, by=b._core.manage)
            draft.take_log(held, held.extend([made]))
            await draft.commit()
        b._core.outgoing.ring()
        await b._link.wait_published(held.state.length + 1)
        with trio.fail_after(20):
            store.gate = trio.Event()
            await act(b, task, "submit", parts=(TextPart("done"),))
            await store.asked.wait()
            world.clock.ahead_ms += 8_000
            await upkeep_of(a).round()
            store.gate.set()
        await in_state(a, task, "submitted")
        await in_state(b, task, "submitted")
