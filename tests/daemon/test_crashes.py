"""A daemon that dies before, or right after, any of its commits loses nothing and does nothing twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import attrs
import pytest
import trio

from taskferry_apps.daemon.port import DaemonRefusal, GrantChange, NewAgent, NewTask, TaskAction
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.views import TaskView
from taskferry_protocol.messages import TextPart
from taskferry_stores.memory import MemoryDaemonStore
from taskferry_stores.port import DaemonStore

from .worlds import OWNER, URL, Machine, World, a_world

#: More commits than the whole flow has; a run that never comes so far proves nothing and is not counted.
ALL = range(1, 90)
#: Spread over the flow, for the fast suite.
SOME = (2, 4, 5, 9, 12, 16, 19, 22, 26, 31, 37, 44)


class Crash(Exception):
    """The process is gone."""


class CrashingStore:
    """A store whose machine loses power at one commit: before it is made, or after, before anybody knows."""

    def __init__(self, store: MemoryDaemonStore, at: int, *, after: bool) -> None:
        self._store = store
        self._left = at
        self._after = after
        self.crashed = False
        self.outage = trio.Event()

    async def commit(self, changes):
        """Commit, or crash."""
        self._left -= 1
        if self._left == 0:
            if self._after:
                await self._store.commit(changes)
            self.crashed = True
            self.outage.set()
        if self.crashed:
            raise Crash
        return await self._store.commit(changes)

    def revive(self) -> None:
        """The machine is switched on again."""
        self.crashed = False
        self.outage = trio.Event()

    def __getattr__(self, name: str):
        if self.crashed:
            raise Crash
        return getattr(self._store, name)


@attrs.define
class Supervised:
    """A machine whose daemon is started again whenever it dies."""

    world: World
    machine: Machine
    store: CrashingStore
    daemon: Daemon | None = None
    crashes: int = 0

    async def run(self) -> None:
        """Keep a daemon running."""
        while True:
            try:
                async with self.world.running(self.machine) as self.daemon:
                    await self.store.outage.wait()
            except* Crash:
                pass
            self.daemon = None
            self.crashes += 1
            self.store.revive()

    async def reach(
        self, goal: Callable[[Daemon], Awaitable[bool]], action: Callable[[Daemon], Awaitable[object]]
    ) -> None:
        """Do something until it is seen to be done, as an agent does whose calls may fail."""
        with trio.fail_after(30):
            while True:
                if self.daemon is not None and await self._try(self.daemon, goal, action):
                    return
                await trio.sleep(0.002)

    async def _try(
        self,
        daemon: Daemon,
        goal: Callable[[Daemon], Awaitable[bool]],
        action: Callable[[Daemon], Awaitable[object]],
    ) -> bool:
        """Look, or else act; whoever speaks to a daemon that dies gets no answer."""
        reached = False
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await self.store.outage.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            try:
                reached = await goal(daemon)
                if not reached:
                    await action(daemon)
            except (Crash, DaemonRefusal):
                pass
            nursery.cancel_scope.cancel()
        return reached


async def _nothing(daemon: Daemon) -> None:
    await trio.lowlevel.checkpoint()


async def _task(daemon: Daemon) -> TaskView | None:
    found = (await daemon.tasks(OWNER, "", "", "", "", 10))[0]
    return await daemon.task(OWNER, found[0].id.hex()) if found else None


def _has(state: Callable[[TaskView], bool]) -> Callable[[Daemon], Awaitable[bool]]:
    async def goal(daemon: Daemon) -> bool:
        view = await _task(daemon)
        return view is not None and state(view)

    return goal


def _acts(kind: str, **more: Any) -> Callable[[Daemon], Awaitable[object]]:
    async def action(daemon: Daemon) -> object:
        view = await _task(daemon)
        if view is None:
            return None  # it has not come yet
        return await daemon.act(OWNER, view.summary.id.hex(), attrs.evolve(TaskAction(kind), **more))

    return action


async def _flow(a: Supervised, b: Supervised) -> None:
    """Everything from set-up to completion, with one revision and a message."""
    for side, owner, agent in ((a, "alice", "requester"), (b, "bob", "writer")):
        await side.reach(_is_set_up, partial(_sets_up, owner))
        await side.reach(lambda d: _any(d.agents(OWNER)), partial(_creates, agent))
    await a.reach(
        lambda d: _any(d.connections(OWNER, "", "")),
        lambda d: d.request_connection(OWNER, "requester", "@bob/writer", "hello"),
    )
    await b.reach(
        lambda d: _any(d.connections(OWNER, "accepted", "")),
        lambda d: d.accept_connection(OWNER, ("writer", "@alice/requester"), GrantChange()),
    )
    await a.reach(lambda d: _any(d.connections(OWNER, "accepted", "")), _nothing)
    await a.reach(
        _has(lambda v: True),
        lambda d: d.create_task(OWNER, NewTask("requester", "@bob/writer", "Report", "Write it.")),
    )
    await b.reach(_has(lambda v: v.summary.state != "sent"), _acts("accept"))
    await b.reach(_has(lambda v: len(v.versions) == 1), _acts("submit", parts=(TextPart("draft"),)))
    await a.reach(_has(lambda v: v.asks == 1), _acts("revise", reasons=("longer",)))
    await b.reach(_has(lambda v: v.asks == 1), _nothing)
    await b.reach(_has(lambda v: len(v.versions) == 2), _acts("submit", parts=(TextPart("longer"),)))
    await a.reach(_has(lambda v: v.summary.state == "resubmitted"), _nothing)
    await a.reach(_has(lambda v: v.summary.state == "completed"), _acts("complete"))
    await b.reach(_has(lambda v: v.summary.state == "completed"), _nothing)
    for side in (a, b):
        await side.reach(_has(_all_delivered), _nothing)


async def _sets_up(owner: str, daemon: Daemon) -> None:
    await daemon.set_up(OWNER, owner, URL, "laptop")


async def _creates(agent: str, daemon: Daemon) -> None:
    await daemon.create_agent(OWNER, NewAgent(agent))


async def _is_set_up(daemon: Daemon) -> bool:
    status = await daemon.status()
    return status.set_up and status.relay is not None and status.relay.connected


async def _any(listing: Awaitable[object]) -> bool:
    return bool(await listing)


def _all_delivered(view: TaskView) -> bool:
    return all(event.delivery is None or event.delivery.rung == "delivered" for event in view.events)


def _supervised(world: World, name: str, at: int, *, after: bool) -> Supervised:
    store = CrashingStore(MemoryDaemonStore(), at, after=after)
    return Supervised(world, Machine(name, cast(DaemonStore, store)), store)


async def _run(alice_at: int, bob_at: int, *, after: bool) -> None:
    async with a_world() as world, trio.open_nursery() as nursery:
        a = _supervised(world, "alice", alice_at, after=after)
        b = _supervised(world, "bob", bob_at, after=after)
        nursery.start_soon(a.run)
        nursery.start_soon(b.run)
        await _flow(a, b)
        with trio.fail_after(30):
            while not await _checked(a, b):
                await trio.sleep(0.01)
        assert a.crashes + b.crashes <= 1
        nursery.cancel_scope.cancel()


async def _checked(a: Supervised, b: Supervised) -> bool:
    """Look at both sides; not yet, if one is being started again."""
    if a.daemon is None or b.daemon is None:
        return False
    try:
        await _check(a.daemon, b.daemon)
    except Crash:
        return False
    return True


async def _check(a: Daemon, b: Daemon) -> None:
    """Both sides hold the same events once, and nothing was set aside."""
    mine, theirs = await _task(a), await _task(b)
    assert mine is not None
    assert theirs is not None
    assert len((await a.tasks(OWNER, "", "", "", "", 10))[0]) == 1
    assert [e.hash for e in mine.events] == [e.hash for e in theirs.events]
    assert [v.status for v in mine.versions] == ["effective", "effective"]
    assert len({e.hash for e in mine.events}) == len(mine.events)
    for side in (a, b):
        assert await side.quarantine(OWNER, "", 10) == ()
        assert (await side.status()).alarms == ()


async def _crash_at(who: str, at: int, *, after: bool) -> None:
    never = 10**9
    await _run(at if who == "alice" else never, at if who == "bob" else never, after=after)


@pytest.mark.parametrize("at", SOME)
@pytest.mark.parametrize("who", ["alice", "bob"])
async def test_a_crash_before_a_commit_loses_and_repeats_nothing(who, at):
    """Power goes before the n-th commit; after the restart the same task ends the same way, once."""
    await _crash_at(who, at, after=False)


@pytest.mark.parametrize("at", SOME)
@pytest.mark.parametrize("who", ["alice", "bob"])
async def test_a_crash_right_after_a_commit_loses_and_repeats_nothing(who, at):
    """Power goes after the n-th commit and before anybody was told of it."""
    await _crash_at(who, at, after=True)


@pytest.mark.slow
@pytest.mark.parametrize("at", [n for n in ALL if n not in SOME])
@pytest.mark.parametrize("who", ["alice", "bob"])
@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_at_any_commit_loses_and_repeats_nothing(who, at, after):
    """The same for every commit of the whole flow."""
    await _crash_at(who, at, after=after)
