"""A backup is sealed for the phrase in force, on whichever machine of the owner's it was put in force."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskferry_apps import system
from taskferry_apps.daemon.backups import Backups, Copying
from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_apps.daemon.restoring import read_opening
from taskferry_apps.phrase import phrase_of, seed_of
from taskferry_protocol.backups import RecoveryLock, backup_key
from taskferry_protocol.records import PutSetting
from tests.daemon.worlds import OWNER, Machine, a_world, set_up, until

from .machines import a_pair


async def _copy(path: Path) -> None:
    path.write_bytes(b"a store")


async def _opened_by(backups: Backups, folder: Path) -> bytes:
    """The public half of the key that a backup made now is sealed for."""
    made = await backups.make(OWNER, None)
    file = folder / "made.backup"
    async with made.pieces as pieces:
        file.write_bytes(b"".join([piece async for piece in pieces]))
    with file.open("rb") as stream:
        lock = read_opening(stream).header.lock
    assert isinstance(lock, RecoveryLock)
    return lock.to


async def test_no_machine_seals_a_backup_for_a_phrase_that_another_has_replaced(tmp_path: Path) -> None:
    """The old words may be destroyed, or known to a thief: until it has the new ones, it asks for them."""
    coming = phrase_of(system.entropy(32))
    async with a_pair() as pair:
        backups = Backups(pair.second._core, Copying(_copy, tmp_path))
        await pair.second.recovery.check(OWNER, pair.recovery)
        assert await _opened_by(backups, tmp_path) == backup_key(seed_of(pair.recovery)).public
        await pair.first.recovery.renew(OWNER, pair.recovery, coming)
        await until(pair.same_log)
        with pytest.raises(DaemonRefusal) as refused:
            await backups.make(OWNER, None)
        assert refused.value.code == "no-backup-key"
        await pair.second.recovery.check(OWNER, coming)
        assert await _opened_by(backups, tmp_path) == backup_key(seed_of(coming)).public


async def test_what_an_earlier_version_noted_counts_while_there_was_one_phrase(tmp_path: Path) -> None:
    """It did not note for which phrase that is; where one has replaced it, nothing is sealed for it."""
    async with a_world() as world, world.running(Machine("alice")) as daemon:
        phrase = await set_up(daemon, "alice", "requester")
        backups, to = Backups(daemon._core, Copying(_copy, tmp_path)), backup_key(seed_of(phrase)).public
        await daemon._core.store.commit((PutSetting("backup-key", to),))
        assert await _opened_by(backups, tmp_path) == to
        await daemon.recovery.renew(OWNER, phrase, phrase_of(system.entropy(32)))
        await daemon._core.store.commit((PutSetting("backup-key", to),))
        with pytest.raises(DaemonRefusal, match="which recovery phrase"):
            await backups.make(OWNER, None)
