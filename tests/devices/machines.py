"""Two machines of one owner in one process, over a relay that may lie: linked without a meeting."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from taskferry_apps import system
from taskferry_apps.daemon import sharing
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.entering import Pending
from taskferry_apps.daemon.keys import make_keys
from taskferry_apps.daemon.served import settle_served
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.sharing import History, Job
from taskferry_protocol import accounts
from taskferry_protocol.accounts import AccountLog, consent_to_stand
from taskferry_protocol.ids import DeviceId, Instant
from taskferry_protocol.records import PutSetting
from tests.daemon.worlds import OWNER, URL, Machine, World, a_world, connect, set_up, until


async def link_to(
    world: World,
    first: Daemon,
    machine: Machine,
    *,
    manage: bool = True,
    label: str = "second",
    history: History = History.ALL,
) -> DeviceId:
    """Make `machine`, whose daemon does not run yet, a device of the first one's account."""
    now = world.clock.now()
    ring = make_keys(label, system.entropy, now)
    if not manage:
        ring = attrs.evolve(ring, device=attrs.evolve(ring.device, manage=None))
    core = first._core
    async with core.lock:
        draft = Draft(core)
        log = await draft.own_log()
        consent = consent_to_stand(ring.device, log.account, log.state.length)
        record = ring.device.record
        await first._owner.extend(
            draft, accounts.add_device(log.state, record, consent, at=now, by=core.manage)
        )
        await first._sharing.begin(draft, Job.begin(record.id, history, now))
        await draft.commit()
    await first._link.wait_published(log.state.length + 1)
    first._sharing.go()
    machine.vault.ring = ring
    pending = Pending(log.account, log.position, URL, Instant(now + 60_000))
    await machine.store.commit((PutSetting("linking", pending.encode()),))
    return record.id


def keep_history(patch: pytest.MonkeyPatch) -> trio.Event:
    """From now on new machines are given no history before the event is set."""
    comes, history = trio.Event(), sharing.Sharing._history

    async def once_set(self: sharing.Sharing, draft: Draft, job: Job) -> None:
        if comes.is_set():
            await history(self, draft, job)

    patch.setattr(sharing.Sharing, "_history", once_set)
    return comes


async def knows_device(daemon: Daemon, of: Daemon, device: DeviceId, agent: str) -> None:
    """Wait until one owner's daemon knows that a device of another's serves an agent."""

    async def known() -> bool:
        log = await daemon._core.logs.get(of._core.own)
        return log is not None and device in log.state.agents[agent]

    await until(known)


async def log_of(daemon: Daemon) -> AccountLog:
    """The owner's log as a machine holds it."""
    return await daemon._core.own_log()


@attrs.frozen
class Pair:
    """Alice's two machines and Bob's one."""

    world: World
    first: Daemon
    second: Daemon
    bob: Daemon
    device: DeviceId
    recovery: str
    """Alice's."""
    bobs: str
    """Bob's."""

    async def same_log(self) -> bool:
        """Whether both of Alice's machines hold the same log."""
        return (await log_of(self.first)).position == (await log_of(self.second)).position


@asynccontextmanager
async def a_pair(*, manage: bool = True) -> AsyncIterator[Pair]:
    """Linked, connected and brought up to date."""
    async with a_world() as world, world.running(Machine("alice")) as first:
        recovery = await set_up(first, "alice", "requester")
        async with world.running(Machine("bob")) as bob:
            bobs = await set_up(bob, "bob", "writer")
            await connect(first, bob, "requester", "@bob/writer")
            machine = Machine("alice2")
            device = await link_to(world, first, machine, manage=manage)
            async with world.running(machine) as second:
                await until(lambda: _serves(second))
                await until(lambda: _has_connections(second))
                pair = Pair(world, first, second, bob, device, recovery, bobs)
                await until(pair.same_log)
                yield pair


async def _serves(daemon: Daemon) -> bool:
    if daemon._core.account is None:
        return False
    return bool(await daemon.agents(OWNER))


async def _has_connections(daemon: Daemon) -> bool:
    return bool(await daemon.connections(OWNER, "accepted", ""))


async def say(daemon: Daemon, mine: str, peer: str, text: str) -> None:
    """A plain message."""
    await daemon.send_message(OWNER, mine, peer, text, (), "", "")


async def alarms_of(daemon: Daemon) -> str:
    """All standing alarms."""
    return "\n".join((await daemon.status()).alarms)


async def brought_up(first: Daemon, second: Daemon | None = None) -> None:
    """Wait until the first machine has given the second one its history, which is of the account then."""

    async def done() -> bool:
        if second is not None and (second._core.account is None or not await second.agents(OWNER)):
            return False
        return not await first._sharing.jobs()

    await until(done)


async def leave_to(first: Daemon, agent: str, device: DeviceId) -> None:
    """From now on another machine alone serves the agent."""
    core = first._core
    async with core.lock:
        draft = Draft(core)
        before = await draft.own_log()
        alone = accounts.set_agent(before.state, agent, (device,), at=draft.now, by=core.manage)
        await settle_served(draft, before, await first._owner.extend(draft, alone))
        await draft.commit()
