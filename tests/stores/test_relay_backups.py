"""A relay's backups: whole or not there, what their manifest says, and put back with a new generation."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from taskferry_protocol.audit import RelayAuditKind, audit_note
from taskferry_protocol.ids import Instant
from taskferry_protocol.records import AckMailbox, Generation, Offset, Order
from taskferry_stores.port import StoreCorrupt, StoreLocked, StoreTooNew, StoreUnavailable, WrongStore
from taskferry_stores.sqlite import (
    back_up_relay,
    compact_relay,
    manifest_path,
    open_daemon_store,
    open_relay_store,
    peek_relay,
    read_manifest,
    restore_relay,
    verify_manifest,
)

from .samples import GENERATION, NOW, append, device, envelope

NOBODY = 65_534
OTHER = Generation(b"o" * 16)
NOTE = audit_note(RelayAuditKind.RESTORED, "database", {"from": "a backup"}, NOW)


def quiet(done: int, whole: int) -> None:
    """No progress is shown."""


def back_up(database: Path, target: Path):
    """A backup taken now."""
    return back_up_relay(database, target, NOW, quiet)


def restore(backup: Path, database: Path) -> bool:
    """Put it back."""
    return restore_relay(backup, database, OTHER, NOTE, database.with_name("kept.db"), quiet)


def mail(n: int, *receivers: str):
    """An envelope to bob's agent, for the devices of these names."""
    return envelope("alice", n, "bob/coder", receivers)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A relay's database with an account, mail that waits, and mail that was acknowledged."""
    path = tmp_path / "relay.db"

    async def fill() -> None:
        async with open_relay_store(path, generation=GENERATION) as store:
            await store.commit([append("alice")])
            await store.commit([mail(n, "bob") for n in range(1, 7)])
            await store.commit([AckMailbox(device("bob"), Offset(2))])

    trio.run(fill)
    return path


async def waiting(database: Path) -> list[int]:
    """The offsets that wait for bob."""
    async with open_relay_store(database, generation=GENERATION) as store:
        return [item.offset for item in await store.mailbox(device("bob"), Offset(0), 100, 1 << 20)]


def change(path: Path, statement: str) -> None:
    """A hand in the file."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


async def test_a_backup_taken_under_writes_is_one_sound_moment(database: Path, tmp_path: Path) -> None:
    """Everything in it holds together, it is its owner's alone, and its manifest fits."""
    async with open_relay_store(database, generation=GENERATION) as store, trio.open_nursery() as nursery:
        written = trio.Event()

        async def write() -> None:
            for n in range(10, 100_000):
                await store.commit([mail(n, "bob", "carol")])
                if n > 30:
                    written.set()

        nursery.start_soon(write)
        await written.wait()
        made = await trio.to_thread.run_sync(back_up, database, tmp_path / "backup.db")
        nursery.cancel_scope.cancel()
    backup = tmp_path / "backup.db"
    assert (made.schema, made.generation, made.size) == (6, GENERATION, backup.stat().st_size)
    assert verify_manifest(backup, quiet) == made
    assert [stat.S_IMODE(path.stat().st_mode) for path in (backup, manifest_path(backup))] == [0o600] * 2
    with peek_relay(backup) as copy:
        assert copy.faults() == ()
    assert not list(tmp_path.glob("*backup.db*part*"))


async def test_what_a_backup_held_is_back_in_a_new_generation(database: Path, tmp_path: Path) -> None:
    """Mail and cursors are as they were, the audit log says so, and what was there is kept."""
    back_up(database, tmp_path / "backup.db")
    before = await waiting(database)
    async with open_relay_store(database, generation=GENERATION) as store:
        await store.commit([mail(50, "bob")])
    assert restore(tmp_path / "backup.db", database)
    async with open_relay_store(database, generation=GENERATION) as store:
        assert store.generation == OTHER
        (newest,) = (await store.audit_rows(None, None, 1, Order.NEWEST_FIRST)).items
        assert newest.kind == "restored"
    assert await waiting(database) == before
    assert len(await waiting(tmp_path / "kept.db")) == len(before) + 1


async def test_a_running_relay_is_not_pushed_aside(database: Path, tmp_path: Path) -> None:
    """Restoring and compacting are refused while its database is open, and change nothing."""
    back_up(database, tmp_path / "backup.db")
    async with open_relay_store(database, generation=GENERATION) as store:
        for act in (lambda: restore(tmp_path / "backup.db", database), lambda: compact_relay(database)):
            with pytest.raises(StoreLocked):
                await trio.to_thread.run_sync(act)
        assert store.generation == GENERATION
    assert not (tmp_path / "kept.db").exists()


def test_a_changed_backup_is_refused(database: Path, tmp_path: Path) -> None:
    """One bit, a cut-off end, a manifest of something else: nothing of it reaches the database."""
    backup = tmp_path / "backup.db"
    back_up(database, backup)
    whole, said = backup.read_bytes(), manifest_path(backup).read_text()
    held = database.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (bytes(flipped), whole[:-4096], b""):
        backup.write_bytes(content)
        with pytest.raises(StoreCorrupt):
            verify_manifest(backup, quiet)
        with pytest.raises(StoreCorrupt):
            restore(backup, database)
    backup.write_bytes(whole)
    for wrong in (
        "",
        "[]",
        "{}",
        said.replace("/1", "/9"),
        '{"format": ' * 500,
        said.replace('"size": ', '"size": -'),
        said.replace('"taken_at": 1', '"taken_at": 1000'),
    ):
        manifest_path(backup).write_text(wrong)
        with pytest.raises(StoreCorrupt):
            restore(backup, database)
    assert database.read_bytes() == held
    assert not (tmp_path / "kept.db").exists()


def test_a_copy_without_a_manifest_is_looked_at_all_the_same(database: Path, tmp_path: Path) -> None:
    """One made by other means goes; damaged, from a newer program, or torn from its log, it does not."""
    plain = tmp_path / "plain.db"
    shutil.copy(database, plain)
    assert read_manifest(plain) is None
    change(plain, "UPDATE devices SET count = 77 WHERE last > 0")
    with pytest.raises(StoreCorrupt, match="count something else"):
        restore(plain, database)
    shutil.copy(database, plain)
    change(plain, "PRAGMA user_version = 99")
    with pytest.raises(StoreTooNew):
        restore(plain, database)
    shutil.copy(database, plain)
    (tmp_path / "plain.db-wal").write_bytes(b"x")
    with pytest.raises(StoreUnavailable, match="taskferry relay backup"):
        restore(plain, database)
    (tmp_path / "plain.db-wal").unlink()
    assert restore(plain, database)


async def test_other_files_are_no_backups(database: Path, tmp_path: Path) -> None:
    """Nor is a daemon's database."""
    async with open_daemon_store(tmp_path / "daemon.db"):
        pass
    with pytest.raises(WrongStore):
        restore(tmp_path / "daemon.db", database)
    with pytest.raises(WrongStore):
        back_up(tmp_path / "daemon.db", tmp_path / "backup.db")
    (tmp_path / "text.db").write_text("no database " * 500)
    with pytest.raises(StoreCorrupt):
        restore(tmp_path / "text.db", database)


def test_an_older_database_that_cannot_be_closed_stands_in_the_way(database: Path, tmp_path: Path) -> None:
    """Its log would be read into the new file, so it has to be moved by hand; the backup is not put there."""
    back_up(database, tmp_path / "backup.db")
    database.write_bytes(b"broken" * 1_000)
    (tmp_path / "relay.db-wal").write_bytes(b"what stood in its log")
    with pytest.raises(StoreCorrupt, match="Move it"):
        restore(tmp_path / "backup.db", database)
    assert database.read_bytes() == b"broken" * 1_000
    (tmp_path / "relay.db-wal").unlink()
    assert restore(tmp_path / "backup.db", database)
    assert (tmp_path / "kept.db").read_bytes() == b"broken" * 1_000


def test_a_database_that_a_link_names_is_put_back_where_it_is(database: Path, tmp_path: Path) -> None:
    """The link goes on to name it, and what was there is kept, not a link to it."""
    back_up(database, tmp_path / "backup.db")
    (tmp_path / "disk").mkdir()
    real = database.rename(tmp_path / "disk" / "real.db")
    database.symlink_to(real)
    assert restore(tmp_path / "backup.db", database)
    assert database.is_symlink()
    kept = tmp_path / "kept.db"
    assert not kept.is_symlink()
    for path, generation in ((real, OTHER), (kept, GENERATION)):
        with peek_relay(path) as store:
            assert store.faults() == ()
        with closing(sqlite3.connect(path)) as held:
            assert held.execute("SELECT value FROM about").fetchone() == (generation,)


def test_a_restore_that_is_turned_away_leaves_the_one_under_way_alone(database: Path, tmp_path: Path) -> None:
    """Two at once: one is told that the database is in use, the other puts the backup back."""
    back_up(database, tmp_path / "backup.db")
    turned_away = []

    def meanwhile(done: int, whole: int) -> None:
        with pytest.raises(StoreLocked):
            restore(tmp_path / "backup.db", database)
        turned_away.append(done)

    assert restore_relay(
        tmp_path / "backup.db", database, OTHER, NOTE, database.with_name("kept.db"), meanwhile
    )
    assert turned_away
    with peek_relay(database) as store:
        assert store.faults() == ()


def test_a_backup_beside_another_under_the_same_name_takes_nothing_from_it(
    database: Path, tmp_path: Path
) -> None:
    """Whoever comes second is refused, and the first one's copy and manifest are whole."""
    backup = tmp_path / "backup.db"
    refused = []

    def meanwhile(done: int, whole: int) -> None:
        with pytest.raises(StoreUnavailable):
            back_up(database, backup)
        refused.append(done)

    made = back_up_relay(database, backup, NOW, meanwhile)
    assert refused
    assert verify_manifest(backup, quiet) == made


def test_an_existing_file_is_not_overwritten(database: Path, tmp_path: Path) -> None:
    """Neither as a backup nor as its manifest; an unsound database gives no backup."""
    for name in ("taken.db", "other.db.manifest.json"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(StoreUnavailable, match="exists already"):
            back_up(database, tmp_path / name.removesuffix(".manifest.json"))
        assert (tmp_path / name).read_text() == "mine"
    change(database, "DELETE FROM envelopes")
    with pytest.raises(StoreCorrupt, match="envelope is missing"):
        back_up(database, tmp_path / "new.db")
    assert not list(tmp_path.glob("*new.db*"))


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE devices SET acked = last + 1 WHERE last > 0", "cursor lies beyond"),
        ("UPDATE mailbox SET offset = offset + 1000", "in no mailbox"),
        ("UPDATE envelopes SET wraps = x''", "without a key"),
        ("UPDATE envelopes SET wraps = x'0102'", "without a key"),
        ("DELETE FROM statements", "statements missing"),
        ("DELETE FROM names", "without their name"),
        ("UPDATE names SET name = 'somebody'", "without their name"),
        ("DELETE FROM about", "no generation"),
        ("DROP INDEX seen_seq", "not those of schema 6"),
        ("PRAGMA user_version = 5", "not those of schema 5"),
    ],
)
def test_what_does_not_hold_together_is_named(database: Path, statement: str, said: str) -> None:
    """Each thing that a later fault would follow from."""
    change(database, statement)
    with peek_relay(database) as store:
        assert any(said in fault for fault in store.faults()), store.faults()


def test_compacting_gives_room_back(database: Path) -> None:
    """The file is smaller, and sound."""
    change(database, "CREATE TABLE ballast (x)")
    change(database, "INSERT INTO ballast VALUES (zeroblob(4000000))")
    change(database, "DROP TABLE ballast")
    before, after = compact_relay(database)
    assert after < before - 3_000_000
    with peek_relay(database) as store:
        assert store.faults() == ()


def test_compacting_writes_nowhere_but_beside_the_database(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's folder for temporary files may be small, and on a disk that nobody chose for this."""
    change(
        database,
        "CREATE TABLE bulk AS WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c"
        " LIMIT 20000) SELECT n, randomblob(200) AS raw FROM c",
    )
    elsewhere: set[str] = set()

    def look() -> int:
        for link in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):
                name = os.readlink(link)
                if "etilqs" in name and not name.startswith(str(tmp_path)):
                    elsewhere.add(name)
        return 0

    connect = sqlite3.connect

    def watched(*words: Any, **options: Any) -> sqlite3.Connection:
        made: sqlite3.Connection = connect(*words, **options)
        made.set_progress_handler(look, 1_000)
        return made

    monkeypatch.setattr(sqlite3, "connect", watched)
    compact_relay(database)
    assert not elsewhere
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    assert not list(tmp_path.glob(".relay*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root acts for another user")
def test_what_root_does_for_a_relay_stays_its_users(database: Path, tmp_path: Path) -> None:
    """Else it could not open its database any more."""
    back_up(database, tmp_path / "backup.db")
    os.chown(database, NOBODY, NOBODY)
    compact_relay(database)
    assert (database.stat().st_uid, database.stat().st_gid) == (NOBODY, NOBODY)
    assert restore(tmp_path / "backup.db", database)
    assert (database.stat().st_uid, database.stat().st_gid) == (NOBODY, NOBODY)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    os.chown(fresh, NOBODY, NOBODY)
    assert not restore(tmp_path / "backup.db", fresh / "relay.db")
    assert {path.stat().st_uid for path in fresh.iterdir()} == {NOBODY}
    assert {path.name for path in fresh.iterdir()} == {"relay.db", "relay.db.lock"}


def test_the_manifest_says_what_was_copied(database: Path, tmp_path: Path) -> None:
    """In words that other programs read."""
    back_up(database, tmp_path / "backup.db")
    content = json.loads(manifest_path(tmp_path / "backup.db").read_text())
    assert content["format"] == "taskferry-relay-backup/1"
    assert (content["taken_at"], Instant(content["taken_at"])) == (NOW, NOW)
    assert set(content) == {"format", "taken_at", "schema", "generation", "size", "sha256"}
