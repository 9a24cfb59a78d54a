"""Copies of a database from before its schema was changed: which are there, and that they go for good."""

from __future__ import annotations

import os
from pathlib import Path

from taskferry_stores.sqlite.former import former_copies, remove_former
from taskferry_stores.sqlite.migrations import Schema, migrate

from .test_sqlite_migrations import FIRST, SECOND, THIRD, built

NOW = 1_700_000_000.0


def lying(folder: Path, name: str, made_at: float, content: bytes = b"secret") -> Path:
    """A file that was made at a time."""
    path = folder / name
    path.write_bytes(content)
    os.utime(path, (made_at, made_at))
    return path


def test_only_copies_of_that_database_are_found_the_oldest_first(tmp_path):
    """With what a crash left of one; no file of another name, and nothing that only points somewhere."""
    lying(tmp_path, "daemon.db.before-9", NOW)
    lying(tmp_path, "daemon.db.before-8.part", NOW - 1)
    for other in (
        "daemon.db",
        "daemon.db-wal",
        "relay.db.before-9",
        "daemon.db.before-x",
        "daemonxdb.before-1",
    ):
        lying(tmp_path, other, NOW)
    (tmp_path / "daemon.db.before-3").symlink_to(tmp_path / "daemon.db")
    found = former_copies(tmp_path / "daemon.db")
    assert [copy.path.name for copy in found] == ["daemon.db.before-8.part", "daemon.db.before-9"]
    assert [(copy.size, copy.made_at) for copy in found] == [(6, NOW - 1), (6, NOW)]
    assert former_copies(tmp_path / "nowhere" / "daemon.db") == ()


def test_a_copy_is_overwritten_before_it_goes(tmp_path, monkeypatch):
    """Whoever reads the disk afterwards finds zeros in its place."""
    path = lying(tmp_path, "daemon.db.before-9", NOW, b"secret" * 500_000)
    seen = []
    unlink = Path.unlink

    def noting(self: Path) -> None:
        seen.append(self.read_bytes())
        unlink(self)

    monkeypatch.setattr(Path, "unlink", noting)
    assert remove_former(tmp_path / "daemon.db", NOW) == ()
    assert remove_former(tmp_path / "daemon.db", NOW + 1) == (path,)
    assert seen == [bytes(3_000_000)]
    assert list(tmp_path.iterdir()) == []


def test_a_copy_that_has_another_name_is_let_go_as_it_is(tmp_path):
    """Somebody has linked it to keep it."""
    path = lying(tmp_path, "daemon.db.before-9", NOW)
    os.link(path, tmp_path / "kept")
    remove_former(tmp_path / "daemon.db", NOW + 1)
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("kept", b"secret")]


def test_what_cannot_be_removed_stays_and_hinders_nothing(tmp_path, monkeypatch):
    """The others go all the same."""
    lying(tmp_path, "daemon.db.before-8", NOW - 1)
    lying(tmp_path, "daemon.db.before-9", NOW)
    opened = os.open

    def refusing(path, *args, **named):
        if str(path).endswith("-8"):
            raise PermissionError(str(path))
        return opened(path, *args, **named)

    monkeypatch.setattr(os, "open", refusing)
    (gone,) = remove_former(tmp_path / "daemon.db", NOW + 1)
    assert gone.name == "daemon.db.before-9"


def test_the_next_update_takes_the_place_of_earlier_copies(tmp_path):
    """Once it is done: one that fails leaves them."""
    path = tmp_path / "cargo.db"
    connection = built(path, Schema("cargo", 7, (FIRST,)))
    migrate(connection, path, Schema("cargo", 7, (FIRST, SECOND)))
    assert [copy.path.name for copy in former_copies(path)] == ["cargo.db.before-2"]
    migrate(connection, path, Schema("cargo", 7, (FIRST, SECOND)))
    assert [copy.path.name for copy in former_copies(path)] == ["cargo.db.before-2"]
    migrate(connection, path, Schema("cargo", 7, (FIRST, SECOND, THIRD)))
    assert [copy.path.name for copy in former_copies(path)] == ["cargo.db.before-3"]
    connection.close()
