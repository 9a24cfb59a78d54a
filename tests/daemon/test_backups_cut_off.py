"""Backups that come to nothing: no copy of the store stays behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from taskferry_apps.daemon.backups import Backups, Copying
from taskferry_stores.errors import StoreFull
from taskferry_stores.sqlite import open_daemon_store
from tests.hanging_up import hung_up

from .worlds import OWNER, Machine, a_world, set_up


@asynccontextmanager
async def backing_up(folder: Path, *, is_full: bool = False) -> AsyncIterator[Backups]:
    """Backups of a daemon; where the disk is full, the copy is half there."""
    async with (
        open_daemon_store(folder / "daemon.db") as store,
        a_world() as world,
        world.running(Machine("alice", store)) as daemon,
    ):
        await set_up(daemon, "alice", "writer")

        async def copy_to(path: Path) -> None:
            await store.copy_to(path)
            if is_full:
                raise StoreFull("no space is left")

        (folder / "data").mkdir()
        yield Backups(daemon._core, Copying(copy_to, folder / "data"))


@pytest.mark.parametrize("waits", range(1, 13))
async def test_nothing_stays_of_a_backup_whose_caller_hung_up(tmp_path: Path, waits: int) -> None:
    """What was erased from the store is not kept in a copy, nor its room on the disk."""
    async with backing_up(tmp_path) as backups:
        await hung_up(lambda: backups.make(OWNER, None), waits)
        assert list((tmp_path / "data").iterdir()) == []


async def test_a_copy_that_a_full_disk_cut_off_gives_its_room_back(tmp_path: Path) -> None:
    """Or the daemon that was to be saved would have no room to go on."""
    async with backing_up(tmp_path, is_full=True) as backups:
        with pytest.raises(StoreFull):
            await backups.make(OWNER, None)
        assert list((tmp_path / "data").iterdir()) == []
