"""Looks at a long task: the second one costs less, and shows what has come all the same."""

from __future__ import annotations

from contextlib import asynccontextmanager

import attrs
import pytest

from taskferry_apps.daemon import last_looks, taskbook
from taskferry_apps.daemon.last_looks import LastLooks
from taskferry_apps.daemon.taskbook import load_task
from taskferry_protocol.ids import DeviceId
from taskferry_protocol.messages import decode_content
from taskferry_stores.memory import MemoryDaemonStore
from taskferry_stores.sqlite import open_daemon_store

from .worlds import OWNER, Machine, MemoryVault, a_world, act, ask, connected, in_state


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, tmp_path):
    """Each kind of store, for the daemon that looks."""
    if request.param == "memory":
        yield MemoryDaemonStore()
    else:
        async with open_daemon_store(tmp_path / "daemon.db") as store:
            yield store


@pytest.fixture
def decoded(monkeypatch):
    """What is decoded of tasks from now on; every task is long enough to be held."""
    found: list[bytes] = []

    def noting(raw):
        found.append(raw)
        return decode_content(raw)

    monkeypatch.setattr(taskbook, "decode_content", noting)
    monkeypatch.setattr(last_looks, "LEAST_EVENTS", 1)
    return found


async def accepted(a, b):
    """Two tasks that one daemon asked the other for, who took them."""
    tasks = [await ask(a, "requester", "@bob/writer") for _ in range(2)]
    for task in tasks:
        await in_state(b, task, "sent")
        await act(b, task, "accept")
        await in_state(a, task, "accepted")
    return tasks


@asynccontextmanager
async def two_accepted(store):
    """Two daemons, and two tasks between them that were accepted."""
    async with a_world() as world, connected(world, Machine("alice", store)) as (a, b):
        yield a, b, await accepted(a, b)


@asynccontextmanager
async def at_rest(store):
    """Alice's daemon, to which nothing comes any more, and the two tasks."""
    vault = MemoryVault()
    async with a_world() as world:
        async with connected(world, Machine("alice", store, vault)) as (a, b):
            tasks = await accepted(a, b)
        yield await world.open_daemon(Machine("alice", store, vault)), tasks


async def test_who_looks_twice_has_a_task_folded_once(store, decoded):
    """The second look decodes none of its events, and shows the same."""
    async with at_rest(store) as (a, (task, _)):
        first = await a.task(OWNER, task.hex())
        assert decoded
        decoded.clear()
        assert await a.task(OWNER, task.hex()) == first
        assert decoded == []


async def test_what_has_come_since_the_last_look_is_shown(store):
    """An event of either side is there with the next look."""
    async with two_accepted(store) as (a, b, (task, _)):
        before = await a.task(OWNER, task.hex())
        await act(b, task, "progress", percent=40)
        await in_state(a, task, "working")
        after = await a.task(OWNER, task.hex())
        assert (before.summary.state, after.summary.state) == ("accepted", "working")
        await act(a, task, "cancel")
        assert (await a.task(OWNER, task.hex())).summary.state == "cancelled"


async def test_a_device_that_was_put_out_counts_no_more_with_the_next_look(store):
    """What was folded while it was active is folded anew."""
    async with at_rest(store) as (a, (task, _)):
        held = await load_task(a._core, task)
        stale = attrs.evolve(held, revoked=frozenset({DeviceId(bytes(32))}))
        assert (await load_task(a._core, task, known=stale)).revoked == frozenset()
        assert await load_task(a._core, task, known=held) == held


@pytest.mark.parametrize("bound", ["MOST_EVENTS", "MOST_BYTES"])
async def test_what_is_held_of_looks_is_bounded(store, decoded, monkeypatch, bound):
    """The task that was looked at last stays; one that is too large by itself is shown, and not held."""
    async with at_rest(store) as (a, tasks):
        core, looks = a._core, LastLooks()
        sizes = []
        for task in tasks:
            records = (await load_task(core, task)).records.values()
            size = sum(len(record.content) for record in records)
            sizes.append(len(records) if bound == "MOST_EVENTS" else size)
        monkeypatch.setattr(last_looks, bound, max(sizes))
        for task in tasks:
            await looks.load(core, task)
        assert [task for task, _ in looks._held] == tasks[1:]
        monkeypatch.setattr(last_looks, bound, 1)
        assert (await looks.load(core, tasks[0])).events
        assert tasks[0] not in [task for task, _ in looks._held]
