"""What a backup may bring: anybody who has seen one knows for whom to seal another."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
import trio

from taskferry_apps import system
from taskferry_apps.daemon.restoring import CannotRestore, Identity, read_opening, restore
from taskferry_protocol.backups import Header, Sealer, backup_key, key_by_recovery, lock_for_recovery
from taskferry_protocol.ids import AccountId
from taskferry_stores.sqlite import open_daemon_store

from .worlds import Machine, a_world, set_up

SEED = bytes(range(32))


async def _a_store(path: Path) -> AccountId:
    """A daemon's file of an account; the account's id."""
    async with (
        open_daemon_store(path) as store,
        a_world() as world,
        world.running(Machine("alice", store=store)) as daemon,
    ):
        await set_up(daemon, "alice", "requester")
        return daemon._core.own


async def _put_back(store: Path, account: AccountId, data: Path) -> None:
    """Restore what somebody has sealed for the owner."""
    content, keys, at = store.read_bytes(), b"{}", system.now()
    lock, key = lock_for_recovery(backup_key(SEED).public, system.entropy)
    header = Header(at, account, (("store", len(content)), ("keys", len(keys))), lock)
    sealer = Sealer(header, key)
    file = BytesIO(sealer.opening + sealer.seal(content) + sealer.seal(keys) + sealer.finish())
    opening = read_opening(file)
    opened = key_by_recovery(lock, SEED)
    put = partial(restore, identity=Identity.NEW, now=at, progress=lambda _: None)
    await trio.to_thread.run_sync(partial(put, file, opening, opened, data))


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON outbox BEGIN DELETE FROM outbox; END",
        "CREATE TRIGGER t AFTER INSERT ON audit BEGIN DELETE FROM audit; END",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TABLE more (n)",
        "DROP INDEX outbox_expiry",
    ],
)
async def test_a_backup_with_a_will_of_its_own_is_not_put_back(tmp_path: Path, statement: str) -> None:
    """A trigger in it would do as its maker pleases with all that the daemon writes from then on."""
    store = tmp_path / "daemon.db"
    account = await _a_store(store)
    await _put_back(store, account, tmp_path / "plain")
    with closing(sqlite3.connect(store)) as other, other:
        other.execute(statement)
    with pytest.raises(CannotRestore, match="other tables"):
        await _put_back(store, account, tmp_path / "again")
    assert not (tmp_path / "again").exists()
    assert not list(tmp_path.glob(".again*"))


async def test_what_a_killed_restore_has_left_goes_with_the_next_one(tmp_path: Path) -> None:
    """It holds a history that anybody who comes by this disk could read, and nobody would know of it."""
    account = await _a_store(tmp_path / "daemon.db")
    left, busy = tmp_path / ".new.restoring-7", tmp_path / ".new.restoring-8"
    for folder in (left, busy, tmp_path / ".newer.restoring-7"):
        folder.mkdir()
        (folder / "daemon.db").write_bytes(b"history")
    (tmp_path / ".new.restoring-9").symlink_to(tmp_path / ".newer.restoring-7")
    under_way = os.open(busy, os.O_RDONLY)
    try:
        fcntl.flock(under_way, fcntl.LOCK_EX)
        await _put_back(tmp_path / "daemon.db", account, tmp_path / "new")
    finally:
        os.close(under_way)
    assert not left.exists()
    assert (busy / "daemon.db").exists()
    assert (tmp_path / ".newer.restoring-7" / "daemon.db").exists()
    assert (tmp_path / "new" / "daemon.db").exists()
