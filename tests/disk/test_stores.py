"""The real stores on a disk that fails at each call in turn, or loses power: nothing half, nothing untrue."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import (
    AckMailbox,
    AddTaskEvent,
    AppendEvent,
    EventRecord,
    Expire,
    IdempotencyRecord,
    Mark,
    MarkMessages,
    Offset,
    PurgeSeen,
    PutAnswer,
    PutGrant,
    PutSetting,
    PutToken,
    RecordSeen,
    RelayCursor,
    SaveConnection,
    SaveTask,
    SetCursor,
    Sweep,
    TaskEventRecord,
    TokenRecord,
    UseSequence,
)
from taskferry_stores.errors import StoreError, StoreFailed, StoreFull
from taskferry_stores.sqlite import IntegrityCheck, log_length, open_daemon_store, open_relay_store
from tests.stores.samples import (
    DAY,
    GENERATION,
    NOW,
    ack,
    agent,
    append,
    device,
    digest,
    envelope,
    grant,
    message,
    outbound,
    peer_connection,
    seen,
    sha,
    store,
    task,
)

from .disk import Disk, Fault, Kind

SENT = outbound("sent")
CAME = message("came", task=sha("task"))
BOND = peer_connection("alice/helper", "bob/coder")

#: What is in a store before anything fails.
HELD: dict[str, list[Any]] = {
    "relay": [
        append("alice", 2),
        *[envelope("alice", n, "bob/coder", ["bob", "bob2"]) for n in range(1, 13)],
        envelope("alice", 20, "bob/coder", ["bob"], expires_at=Instant(NOW + 5)),
        ack("bob2", 6),
    ],
    "daemon": [
        store(message("held", task=sha("task"))),
        SaveTask(task("task")),
        SaveConnection(BOND),
    ],
}
#: What is committed while the disk fails.
DEEDS: dict[str, list[Any]] = {
    "relay: an account is made": [append("carol")],
    "relay: a log grows": [append("alice", held=2)],
    "relay: mail is accepted": [envelope("alice", n, "bob/coder", ["bob", "bob2"]) for n in (21, 22)],
    "relay: mail is acknowledged": [ack("bob", 8), ack("bob2", 9)],
    "relay: mail expires": [Expire(Instant(NOW + 10), 100)],
    "relay: what is acknowledged is swept": [AckMailbox(device("bob"), Offset(6)), Sweep(100)],
    "relay: what was seen is forgotten": [
        Expire(Instant(NOW + 2 * DAY), 100),
        PurgeSeen(Instant(NOW + 3 * DAY), 100),
    ],
    "daemon: something is sent": [
        store(SENT),
        UseSequence(agent("bob/coder"), 1),
        PutAnswer(IdempotencyRecord("owner", "key", digest("body"), b"answer", Instant(NOW + DAY))),
        AppendEvent(EventRecord("message", "helper", (SENT.hash,), "sent", NOW)),
    ],
    "daemon: mail is taken": [
        store(CAME),
        AddTaskEvent(TaskEventRecord(sha("task"), CAME.hash, "worker", CAME.device, NOW, NOW)),
        RecordSeen(seen("came")),
        SetCursor(RelayCursor("relay", GENERATION, Offset(7))),
    ],
    "daemon: an agent has done with it": [MarkMessages("helper", (sha("held"),), Mark.PROCESSED, NOW)],
    "daemon: a permission changes": [PutGrant(grant(BOND.request, "alice/helper", 2))],
    "daemon: a credential is made": [PutToken(TokenRecord(digest("token"), "ci", "agent", ("helper",), NOW))],
    "daemon: a machine is being linked": [PutSetting("linking", bytes(900)), PutSetting("sharing", b"[]")],
}


def opened(kind: str, path: Path, **more: Any) -> Any:
    """A store of that kind."""
    if kind == "relay":
        return open_relay_store(path, generation=GENERATION, **more)
    return open_daemon_store(path, **more)


async def a_copy(disk: Disk, kind: str, name: str) -> Path:
    """A database with what is held before, in a folder of its own."""
    first = disk.folder / f"{kind}-first" / "a.db"
    if not first.exists():
        first.parent.mkdir()
        async with opened(kind, first) as made:
            await made.commit(HELD[kind])
    folder = disk.folder / name
    folder.mkdir()
    shutil.copy(first, folder / "a.db")
    return folder / "a.db"


def content(path: Path) -> dict[str, list[str]]:
    """All that a database holds, by table."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
        ).fetchall()
        return {
            table: sorted(map(repr, connection.execute(f"SELECT * FROM {table}").fetchall()))
            for (table,) in tables
        }


async def before_and_after(
    disk: Disk, deed: str, name: str
) -> tuple[dict[str, list[str]], dict[str, list[str]], int]:
    """What stands there without the deed and with it, and how many calls the deed makes."""
    kind = deed.partition(":")[0]
    path = await a_copy(disk, kind, name)
    before = content(path)
    async with opened(kind, path) as one:
        calls = disk.calls
        await one.commit(DEEDS[deed])
        calls = disk.calls - calls
    after = content(path)
    assert before != after
    return before, after, calls


FAULTS = (Fault.FULL, Fault.ERROR, Fault.SHORT, Fault.POWER)


@pytest.mark.parametrize("deed", DEEDS)
async def test_a_commit_whose_writes_fail_is_there_or_not(
    disk: Disk, deed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some call of a commit, and of copying the log after it, fails; the store's word is true of the file."""
    every = 4 * len(FAULTS)
    for number, fault in enumerate(FAULTS):
        await fail_in_turn(disk, deed, fault, monkeypatch, range(1 + number * 4, 1_000, every))


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("deed", DEEDS)
async def test_a_commit_of_which_each_write_fails_is_there_or_not(
    disk: Disk, deed: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with each call in turn."""
    await fail_in_turn(disk, deed, fault, monkeypatch, range(1, 1_000))


async def fail_in_turn(
    disk: Disk, deed: str, fault: Fault, monkeypatch: pytest.MonkeyPatch, numbers: range
) -> None:
    """Fail these calls, as far as there are such, each on a copy of its own."""
    # After every commit the log is copied, whose calls fail too.
    monkeypatch.setattr(log_length, "CHECKPOINT_BYTES", 1)
    kind = deed.partition(":")[0]
    before, after, calls = await before_and_after(disk, deed, f"whole {fault}")
    assert calls > 3
    for number in [number for number in numbers if number <= calls]:
        path = await a_copy(disk, kind, f"{number} {fault}")
        failed = len(disk.failed)
        word: StoreError | None = None
        async with opened(kind, path) as one:
            disk.fail_at(number, fault)
            try:
                await one.commit(DEEDS[deed])
            except StoreError as error:
                word = error
            assert len(disk.failed) == failed + 1
            if isinstance(word, StoreFull):
                assert fault in (Fault.FULL, Fault.SHORT)
                await one.commit(DEEDS[deed])
        if fault is Fault.POWER:
            disk.restore()
        disk.forgive()
        async with opened(kind, path, check=IntegrityCheck.FULL):
            pass
        found = content(path)
        if word is None or isinstance(word, StoreFull):
            assert found == after, f"call {number}, {word}"
        else:
            assert isinstance(word, StoreFailed), word
            assert found in (before, after), f"call {number}, {word}"
            assert str(word).endswith("start again.")


async def test_after_a_synchronisation_that_failed_nobody_can_say_what_is_stored(disk: Disk) -> None:
    """A commit that is refused as failed may be there all the same once the store is opened again."""
    path = await a_copy(disk, "daemon", "doubtful")
    async with opened("daemon", path) as one:
        # The first commit begins the log, which is synchronised by itself.
        await one.commit([PutSetting("first", b"1")])
        disk.decide = lambda call: Fault.ERROR if call.kind is Kind.SYNC else None
        with pytest.raises(StoreFailed):
            await one.commit([PutSetting("new", b"1")])
    disk.forgive()
    async with opened("daemon", path) as one:
        assert await one.settings(["new"]) == {"new": b"1"}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", ["relay", "daemon"])
async def test_a_store_whose_making_fails_is_made_the_next_time(disk: Disk, kind: str, fault: Fault) -> None:
    """Some call of a first opening fails: it is refused in a sentence, and the next makes a whole store."""
    await fail_making(disk, kind, fault, range(1 + 6 * FAULTS.index(fault), 1_000, 24))


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", ["relay", "daemon"])
async def test_a_store_of_whose_making_each_call_fails_is_made(disk: Disk, kind: str, fault: Fault) -> None:
    """The same with each call in turn."""
    await fail_making(disk, kind, fault, range(1, 1_000))


async def fail_making(disk: Disk, kind: str, fault: Fault, numbers: range) -> None:
    """Fail these calls of a first opening, as far as there are such."""
    (disk.folder / "whole").mkdir()
    async with opened(kind, disk.folder / "whole" / "a.db"):
        pass
    total = disk.calls
    whole = content(disk.folder / "whole" / "a.db")
    words: list[str] = []
    assert total > 100
    for number in [number for number in numbers if number <= total]:
        path = disk.folder / str(number) / "a.db"
        disk.fail_at(number, fault)
        try:
            async with opened(kind, path):
                pass
        except StoreError as error:
            words.append(str(error))
        assert disk.failed[-1][0].path.parent == path.parent
        if fault is Fault.POWER:
            disk.restore()
        disk.forgive()
        async with opened(kind, path, check=IntegrityCheck.FULL):
            pass
        assert content(path) == whole, f"call {number}"
    assert all(text.endswith(".") and "locked" not in text for text in words), words
