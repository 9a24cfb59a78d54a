"""A copy of a store that is being written to is one moment of it, and its owner's alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import trio

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import AppendEvent, EventRecord, Place, PutSetting
from taskferry_stores.port import StoreUnavailable
from taskferry_stores.sqlite import IntegrityCheck, open_daemon_store


async def test_a_copy_made_under_writes_is_consistent(tmp_path: Path) -> None:
    """Setting and event of one commit are in it both or neither, and the copy is sound."""
    before = os.umask(0)
    try:
        async with open_daemon_store(tmp_path / "daemon.db") as store, trio.open_nursery() as nursery:
            written = 0

            async def write() -> None:
                nonlocal written
                while True:
                    written += 1
                    event = EventRecord("test", "", (), str(written) * 500, Instant(written))
                    await store.commit([PutSetting("written", b"%d" % written), AppendEvent(event)])

            nursery.start_soon(write)
            while written < 50:
                await trio.sleep(0.01)
            copy = tmp_path / "copy.db"
            await store.copy_to(copy)
            nursery.cancel_scope.cancel()
    finally:
        os.umask(before)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert not copy.with_name("copy.db-wal").exists()
    async with open_daemon_store(copy, check=IntegrityCheck.FULL) as store:
        count = int((await store.settings(("written",)))["written"])
        assert 49 <= count <= written
        assert (await store.feed_bounds())[1] == Place(count)


async def test_a_copy_replaces_nothing(tmp_path: Path) -> None:
    """Whatever stands at its place stays, a link as well."""
    async with open_daemon_store(tmp_path / "daemon.db") as store:
        (tmp_path / "copy.db").write_text("mine")
        (tmp_path / "link.db").symlink_to(tmp_path / "elsewhere")
        for name in ("copy.db", "link.db"):
            with pytest.raises((StoreUnavailable, OSError)):
                await store.copy_to(tmp_path / name)
        assert (tmp_path / "copy.db").read_text() == "mine"
        assert not (tmp_path / "elsewhere").exists()
        await store.commit([PutSetting("still", b"here")])
