"""The failing disk itself: what SQLite promises holds on it, and what a disk breaks is seen to break."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from .disk import Call, Disk, Fault, Kind, faulty_disk
from .image import Loss

TRANSACTIONS = 5


def connected(path: Path, synchronous: str = "FULL") -> sqlite3.Connection:
    """A connection as the stores use it."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def work(path: Path, told: list[int], synchronous: str = "FULL", *, first: int = 0) -> None:
    """Transactions of two rows in two tables; the log is copied once, and the file closed and opened once."""
    for half in (0, 1):
        connection = connected(path, synchronous)
        try:
            connection.execute("CREATE TABLE IF NOT EXISTS one (n INTEGER PRIMARY KEY, body BLOB)")
            connection.execute("CREATE TABLE IF NOT EXISTS other (n INTEGER PRIMARY KEY, body BLOB)")
            for n in range(first + half * TRANSACTIONS, first + half * TRANSACTIONS + TRANSACTIONS):
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO one VALUES (?, ?)", (n, bytes([n]) * 3_000))
                connection.execute("INSERT INTO other VALUES (?, ?)", (n, bytes([n]) * 1_500))
                connection.execute("COMMIT")
                told.append(n)
                if n % 5 == 2:
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        finally:
            connection.close()


def held(path: Path) -> list[int]:
    """What is in the file, which has to be sound and to hold no half of a transaction."""
    connection = connected(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
        if not {"one", "other"} <= tables:
            return []
        one, other = (
            connection.execute(f"SELECT n, body FROM {table} ORDER BY n").fetchall()
            for table in ("one", "other")
        )
        assert [n for n, _ in one] == [n for n, _ in other]
        assert all(body == bytes([n]) * len(body) for n, body in (*one, *other))
        return [n for n, _ in one]
    finally:
        connection.close()


def calls_of(folder: Path) -> int:
    """How many calls the work makes when nothing fails."""
    with faulty_disk(folder, seed=0) as disk:
        work(folder / "a.db", [])
        return disk.calls


@pytest.mark.parametrize("loss", Loss)
def test_power_lost_at_any_call_loses_nothing_acknowledged(disk: Disk, loss: Loss, tmp_path: Path) -> None:
    """Whatever becomes of what was not synchronised, the file is sound and holds what was acknowledged."""
    (tmp_path / "whole").mkdir()
    total = calls_of(tmp_path / "whole")
    assert total > 100
    for number in range(1, total + 1):
        path = disk.folder / f"{number}.db"
        told: list[int] = []
        disk.fail_at(number, Fault.POWER)
        with pytest.raises(sqlite3.Error):
            work(path, told)
            disk.cut_power()
            raise sqlite3.Error
        disk.restore(loss)
        found = held(path)
        assert found[: len(told)] == told, f"power lost at call {number}"
        assert len(found) <= len(told) + 1
        if number % 10 == 0:
            work(path, told := [], first=100)
            assert held(path) == found + told


@pytest.mark.parametrize("fault", [Fault.FULL, Fault.ERROR, Fault.SHORT])
def test_a_call_that_fails_spoils_nothing_acknowledged(disk: Disk, fault: Fault, tmp_path: Path) -> None:
    """Each call in turn fails; then the power goes, and still all that was acknowledged is there."""
    (tmp_path / "whole").mkdir()
    for number in range(1, calls_of(tmp_path / "whole") + 1):
        path = disk.folder / f"{number}.db"
        told: list[int] = []
        disk.fail_at(number, fault)
        try:
            work(path, told)
        except sqlite3.Error:
            pass
        assert len(disk.failed) == number
        disk.cut_power()
        disk.restore()
        found = held(path)
        assert found[: len(told)] == told, f"{fault} at call {number}"
        assert len(found) <= len(told) + 1


def loses(folder: Path, synchronous: str, prepare: Callable[[Disk], None]) -> bool:
    """Whether power lost after the work takes something that was acknowledged."""
    told: list[int] = []
    with faulty_disk(folder, seed=3) as disk:
        connection = connected(folder / "a.db", synchronous)
        connection.execute("CREATE TABLE one (n)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        prepare(disk)
        for n in range(5):
            connection.execute("INSERT INTO one VALUES (?)", (n,))
            told.append(n)
        disk.cut_power()
        connection.close()
        disk.restore(Loss.LOST)
        connection = connected(folder / "a.db")
        found = [n for (n,) in connection.execute("SELECT n FROM one ORDER BY n")]
        connection.close()
    return found != told


def test_a_disk_that_lies_and_a_store_that_does_not_wait_lose_things(disk: Disk, tmp_path: Path) -> None:
    """The model bites: unless it is synchronised, and truly, what was acknowledged goes with the power."""
    for number, (synchronous, lying, lost) in enumerate(
        [("FULL", False, False), ("FULL", True, True), ("NORMAL", False, True)]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert loses(folder, synchronous, lambda disk, lying=lying: setattr(disk, "lying", lying)) is lost  # type: ignore[misc]


def test_what_a_failed_synchronisation_was_for_stays_lost(disk: Disk, tmp_path: Path) -> None:
    """A second synchronisation that succeeds does not bring back what the first one failed for."""
    path = tmp_path / "a.db"
    connection = connected(path)
    connection.execute("CREATE TABLE one (n)")
    disk.decide = lambda call: Fault.ERROR if call.kind is Kind.SYNC else None
    with pytest.raises(sqlite3.OperationalError, match="I/O"):
        connection.execute("INSERT INTO one VALUES (1)")
    disk.forgive()
    disk.cut_power()
    connection.close()
    disk.restore(Loss.LOST)
    connection = connected(path)
    assert connection.execute("SELECT * FROM one").fetchall() == []
    connection.close()


def test_a_quota_fills_and_can_be_lifted(disk: Disk, tmp_path: Path) -> None:
    """Beyond the quota nothing is taken; the same connection goes on once there is room."""
    connection = connected(tmp_path / "a.db")
    connection.execute("CREATE TABLE one (body)")
    disk.quota = 60_000
    with pytest.raises(sqlite3.OperationalError, match="full"):
        for _ in range(100):
            connection.execute("INSERT INTO one VALUES (?)", (bytes(5_000),))
    (before,) = connection.execute("SELECT count(*) FROM one").fetchone()
    assert 0 < before < 100
    disk.quota = None
    connection.execute("INSERT INTO one VALUES (?)", (bytes(5_000),))
    assert connection.execute("SELECT count(*) FROM one").fetchone() == (before + 1,)
    connection.close()


def test_a_process_that_dies_leaves_what_it_wrote(disk: Disk, tmp_path: Path) -> None:
    """Without a loss of power the system keeps what was written, synchronised or not."""
    connection = connected(tmp_path / "a.db", "OFF")
    connection.execute("CREATE TABLE one (n)")
    disk.cut_power()
    connection.close()
    disk.restore(power=False)
    connection = connected(tmp_path / "a.db")
    assert connection.execute("SELECT count(*) FROM one").fetchone() == (0,)
    connection.close()


def test_the_same_seed_gives_the_same_disk(disk: Disk, tmp_path: Path) -> None:
    """Calls, and what a loss of power leaves, are the seed's alone."""

    def left(name: str, seed: int) -> tuple[int, bytes]:
        folder = tmp_path / name
        folder.mkdir()
        with faulty_disk(folder, seed=seed) as one:
            with pytest.raises(sqlite3.Error):
                one.fail_at(47, Fault.POWER)
                work(folder / "a.db", [])
            one.restore(Loss.TORN)
            return one.calls, (folder / "a.db-wal").read_bytes()

    # SQLite draws the log's salt itself, so only sizes can be told; which sectors are there is drawn before.
    first, second, third = left("x", 5), left("y", 5), left("z", 6)
    zeros = [
        [not any(wal[at : at + 512]) for at in range(0, len(wal), 512)] for _, wal in (first, second, third)
    ]
    assert zeros[0] == zeros[1]
    assert zeros[0] != zeros[2]


def test_slow_disks_wait_and_other_folders_are_nobodys(disk: Disk, tmp_path: Path) -> None:
    """The hook hears of each call before it is done; files elsewhere, and scratch files, are passed over."""
    heard: list[Call] = []
    disk.slow = heard.append
    connection = connected(tmp_path / "a.db")
    connection.execute("CREATE TABLE one (n)")
    connection.close()
    assert [call.number for call in heard] == list(range(1, disk.calls + 1))
    assert {call.path.name for call in heard} <= {"a.db", "a.db-wal", "a.db-journal"}
    before = disk.calls
    outside = sqlite3.connect(f"file:{random.random()}?mode=memory", uri=True)
    outside.execute("CREATE TABLE one (n)")
    outside.close()
    assert disk.calls == before
