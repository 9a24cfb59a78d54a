"""A machine whose disk was put back to an earlier moment, in place: its owner's account stays one."""

from __future__ import annotations

import copy
from pathlib import Path

from taskferry_apps.daemon.private_files import make_private_directory
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.limits import DAY_MS
from tests.daemon.worlds import Machine, a_world, connect, set_up, until

from .machines import alarms_of, log_of


async def _stops(daemon: Daemon) -> bool:
    return "runs twice" in daemon._core.suspended


async def test_an_older_disk_forks_no_account(tmp_path: Path) -> None:
    """It is due to make a fresh key, which the machine has long done: it asks its relay first."""
    data = tmp_path / "alice"
    make_private_directory(data)
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        machine = Machine("alice", folder=data)
        async with world.running(machine) as alice:
            await set_up(alice, "alice", "requester")
            await connect(alice, bob, "requester", "@bob/writer")
            then = (await log_of(alice)).position
        earlier, mark = copy.deepcopy((machine.store, machine.vault)), (data / "instance.json").read_bytes()
        world.clock.ahead_ms += 8 * DAY_MS
        for _ in range(2):
            async with world.running(machine) as alice:
                await until(lambda: _rotated(alice))
                await alice._link.wait_published((await log_of(alice)).state.length)
        (data / "instance.json").write_bytes(mark)
        old = Machine("alice", *earlier, folder=data)
        # As after a start of the whole machine, whose network comes up last.
        world.stop_relay()
        async with world.running(old) as alice:
            await alice._upkeep.round()
            assert (await log_of(alice)).position == then
            await world.start_relay()
            await until(lambda: _stops(alice))
        old.take_over = True
        async with world.running(old) as alice:
            await until(lambda: _goes_on(alice))
            await until(lambda: _rotated(alice))
            for daemon in (alice, bob):
                assert "held" not in await alarms_of(daemon)
        (record,) = (await world.relay_store.accounts_named(("alice",))).values()
        assert not record.held


async def _goes_on(daemon: Daemon) -> bool:
    return not daemon._core.suspended and daemon._link.connected


async def _rotated(daemon: Daemon) -> bool:
    return bool(daemon._core.keys.former)
