"""What a SQLite store says and does when disk, file or neighbour misbehave."""

import os
import resource
import sqlite3
import stat
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import attrs
import pytest
import trio
import trio.testing

from taskferry_protocol.records import PutSetting
from taskferry_stores.errors import (
    StoreCorrupt,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreTooNew,
    StoreUnavailable,
    WrongStore,
)
from taskferry_stores.sqlite import (
    IntegrityCheck,
    engine,
    files,
    log_length,
    open_daemon_store,
    open_relay_store,
)
from taskferry_stores.sqlite.faults import translate_os
from taskferry_stores.sqlite.peeking import read_only
from taskferry_stores.sqlite.relay import APPLICATION_ID
from tests.disk.disk import Fault, Kind, faulty_disk
from tests.disk.vfs import NoLayer, shim

from .samples import GENERATION, device, envelope, stored

NOBODY = 65_534


def open_relay(path, **options):
    """The relay's store at a path."""
    return open_relay_store(path, generation=GENERATION, **options)


async def fill(path, count=200):
    """A relay's store with some envelopes in it, closed again."""
    async with open_relay(path) as relay:
        await relay.commit([envelope("alice", n, "bob/coder", ["bob"]) for n in range(1, count + 1)])


async def refusal(path, **options):
    """The error with which a relay's store is not opened."""
    with pytest.raises(StoreError) as caught:
        async with open_relay(path, **options):
            pass
    assert str(caught.value).endswith(".")
    assert str(path) in str(caught.value)
    return type(caught.value)


async def test_second_opening_is_refused_while_the_first_stands(tmp_path):
    """One store has one process; once it is closed, the next may open it."""
    path = tmp_path / "relay.db"
    async with open_relay(path):
        assert await refusal(path) is StoreLocked
    async with open_relay(path):
        pass


async def test_a_file_is_one_whatever_it_is_called(tmp_path):
    """Two relays on one database by two names of it would each believe only what it remembers itself."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "relay.db").symlink_to(tmp_path / "disk" / "real.db")
    (tmp_path / "folder").symlink_to(tmp_path / "disk")
    async with open_relay(tmp_path / "relay.db"):
        for name in ("relay.db", "disk/real.db", "folder/real.db"):
            assert await refusal(tmp_path / name) is StoreLocked


async def test_newer_file_is_refused_and_left_alone(tmp_path):
    """A file that a later version wrote is not opened, and not one byte of it changes."""
    path = tmp_path / "relay.db"
    await fill(path)
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    before = path.read_bytes()
    assert await refusal(path) is StoreTooNew
    assert path.read_bytes() == before


async def test_other_kind_of_file_is_refused(tmp_path):
    """A daemon's store is no relay's, and another program's database is nobody's."""
    async with open_daemon_store(tmp_path / "daemon.db"):
        pass
    assert await refusal(tmp_path / "daemon.db") is WrongStore
    foreign = sqlite3.connect(tmp_path / "foreign.db")
    foreign.execute("CREATE TABLE theirs (x)")
    foreign.commit()
    foreign.close()
    assert await refusal(tmp_path / "foreign.db") is WrongStore


async def test_file_that_is_no_database_is_corrupt(tmp_path):
    """Bytes that no database begins with are called damaged, and kept."""
    path = tmp_path / "relay.db"
    path.write_bytes(b"not a database " * 1_000)
    assert await refusal(path) is StoreCorrupt
    assert path.read_bytes().startswith(b"not a database")


async def test_file_that_is_no_database_keeps_its_mode(tmp_path):
    """Who names another program's file by mistake does not keep that program from reading it."""
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1 localhost\n")
    path.chmod(0o644)
    assert await refusal(path) is StoreCorrupt
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


async def test_damage_inside_is_found_by_the_check(tmp_path):
    """A page that was overwritten is found when the check is asked for."""
    path = tmp_path / "relay.db"
    await fill(path, 500)
    with path.open("r+b") as file:
        file.seek(4_096 * 40)
        file.write(os.urandom(4_096 * 60))
    assert await refusal(path, check=IntegrityCheck.QUICK) is StoreCorrupt
    assert await refusal(path, check=IntegrityCheck.FULL) is StoreCorrupt


async def test_damage_met_in_use_stops_the_store(tmp_path):
    """A store that meets damage says so and does nothing more."""
    path = tmp_path / "relay.db"
    await fill(path, 500)
    raw = sqlite3.connect(path)
    (page,) = raw.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'mailbox'").fetchone()
    raw.close()
    with path.open("r+b") as file:
        file.seek(4_096 * (page - 1))
        file.write(b"\xa5" * 4_096)
    async with open_relay(path) as relay:
        with pytest.raises(StoreFailed):
            await relay.mailbox(device("bob"), 0, 1_000, 1 << 30)
        with pytest.raises(StoreFailed):
            await relay.commit([PutSetting("a", b"b")])


async def test_sound_file_passes_the_check(tmp_path):
    """A file in order opens with either check."""
    await fill(tmp_path / "relay.db")
    for check in IntegrityCheck:
        async with open_relay(tmp_path / "relay.db", check=check) as relay:
            assert (await relay.stats()).waiting == 200


async def test_full_disk_refuses_the_commit_and_passes(tmp_path):
    """Without space a commit is refused whole; with space the store goes on."""
    async with open_relay(tmp_path / "relay.db") as relay:
        await relay.commit([PutSetting("before", b"1"), envelope("alice", 1, "bob/coder", ["bob"])])
        writer = relay._engine._file.writer
        (pages,) = writer.execute("PRAGMA page_count").fetchone()
        writer.execute(f"PRAGMA max_page_count = {pages + 5}")
        large = [PutSetting(f"k{n}", bytes(100_000)) for n in range(5)]
        with pytest.raises(StoreFull):
            await relay.commit(
                [PutSetting("within", b"1"), envelope("alice", 2, "bob/coder", ["bob"]), *large]
            )
        assert await relay.settings(["before", "within"]) == {"before": b"1"}
        writer.execute("PRAGMA max_page_count = 1000000")
        await relay.commit([PutSetting("after", b"1"), *large])
        assert len(await relay.settings(["before", "after", "k0", "k4"])) == 4
        (result,) = await relay.commit([envelope("alice", 2, "bob/coder", ["bob"])])
        assert result == stored(2, ("bob", 2))


@contextmanager
def files_limited_to(size):
    """Let no file of this process grow past a size: writing there fails as a broken disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_copy_that_cannot_be_written_leaves_the_store_and_its_disk_as_they_were(tmp_path):
    """Its owner's share of the disk, or a broken disk elsewhere, is what fails: nobody is stopped by that."""
    async with open_daemon_store(tmp_path / "daemon.db") as daemon:
        await daemon.commit([PutSetting(f"k{n}", bytes(100_000)) for n in range(5)])
        copy = tmp_path / "copy.db"
        with files_limited_to(200_000), pytest.raises(StoreUnavailable) as failure:
            await daemon.copy_to(copy)
        assert str(copy) in str(failure.value)
        assert not list(tmp_path.glob("copy*"))
        await daemon.commit([PutSetting("after", b"1")])
        assert await daemon.settings(("after",)) == {"after": b"1"}


async def test_failed_write_stops_the_store_until_it_is_opened_again(tmp_path):
    """After a write that failed nothing more is done; opened again, all that was acknowledged is there."""
    path = tmp_path / "relay.db"
    async with open_relay(path) as relay:
        await relay.commit([PutSetting("before", b"1")])
        with files_limited_to(1), pytest.raises(StoreFailed):
            await relay.commit([PutSetting("within", bytes(100_000))])
        with pytest.raises(StoreFailed):
            await relay.commit([PutSetting("after", b"1")])
        with pytest.raises(StoreFailed):
            await relay.settings(["before"])
    async with open_relay(path, check=IntegrityCheck.FULL) as relay:
        assert await relay.settings(["before", "within", "after"]) == {"before": b"1"}


async def test_whoever_waits_for_the_end_of_a_store_is_told(tmp_path):
    """A store that does nothing more says so by itself, not only to those who ask something of it."""
    async with open_daemon_store(tmp_path / "daemon.db") as daemon, trio.open_nursery() as nursery:
        why = []

        async def watch():
            why.append(await daemon.failed())

        nursery.start_soon(watch)
        await daemon.commit([PutSetting("before", b"1")])
        assert not why
        with files_limited_to(1), pytest.raises(StoreFailed):
            await daemon.commit([PutSetting("within", bytes(100_000))])
        await trio.testing.wait_all_tasks_blocked()
        assert [type(failure) for failure in why] == [StoreFailed]


async def test_everybody_waiting_learns_of_the_failure(tmp_path):
    """When the disk fails, all callers that wait are told, and none is left waiting."""
    outcomes: list[StoreFailed | None] = []
    async with open_relay(tmp_path / "relay.db") as relay:

        async def put(n):
            try:
                await relay.commit([PutSetting(f"k{n}", bytes(50_000))])
                outcomes.append(None)
            except StoreFailed as failure:
                outcomes.append(failure)

        with files_limited_to(1):
            async with trio.open_nursery() as nursery:
                for n in range(20):
                    nursery.start_soon(put, n)
    assert len(outcomes) == 20
    assert all(outcomes)


@contextmanager
def unprivileged_folder():
    """A folder that this process, for now without privileges, may read and not write."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        yield folder
        folder.chmod(0o755)


@contextmanager
def unprivileged():
    """Whoever runs the tests, permissions count."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_read_only_file_or_folder_is_said_so():
    """A file or a folder that cannot be written is named as the cause."""
    with unprivileged_folder() as folder:
        await fill(folder / "relay.db")
        (folder / "relay.db").chmod(0o444)
        (folder / "relay.db.lock").chmod(0o666)
        folder.chmod(0o555)
        with unprivileged():
            assert await refusal(folder / "relay.db") is StoreReadOnly
            assert await refusal(folder / "new.db") is StoreReadOnly
            assert await refusal(folder / "deeper" / "new.db") is StoreReadOnly


async def test_path_that_can_be_no_file_is_said_so(tmp_path):
    """A folder in the file's place is named, with what the system says of it."""
    (tmp_path / "relay.db").mkdir()
    assert await refusal(tmp_path / "relay.db") is StoreUnavailable


def test_full_disk_at_creation_is_said_so():
    """No space for the first byte is the same fault as no space later."""
    assert type(translate_os(OSError(28, "No space left on device"), Path("x"))) is StoreFull


@pytest.mark.parametrize("umask", [0, 0o777])
async def test_files_are_their_owners_alone(tmp_path, umask):
    """Whatever the umask, nobody else may read the database, its log or its lock."""
    path = tmp_path / "private" / "daemon.db"
    path.parent.mkdir()
    before = os.umask(umask)
    try:
        async with open_daemon_store(path) as daemon:
            await daemon.commit([PutSetting("a", b"b")])
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert set(modes) == {"daemon.db", "daemon.db-wal", "daemon.db-shm", "daemon.db.lock"}
    assert set(modes.values()) == {0o600}


async def test_file_left_open_to_others_is_closed_to_them(tmp_path):
    """A file that others could read is its owner's alone once it was opened."""
    path = tmp_path / "relay.db"
    await fill(path)
    path.chmod(0o644)
    async with open_relay(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def put_setting(key, value):
    """The change, whether or not its types hold."""
    return PutSetting(key, value)


async def test_bad_change_is_its_callers_alone(tmp_path):
    """A change that no column takes fails its own commit, and spares those committed with it."""
    outcomes = {}
    async with open_relay(tmp_path / "relay.db") as relay:

        async def put(n):
            try:
                outcomes[n] = await relay.commit([put_setting(f"k{n}", 5 if n == 7 else b"good")])
            except sqlite3.IntegrityError as error:
                outcomes[n] = error

        async with trio.open_nursery() as nursery:
            for n in range(12):
                nursery.start_soon(put, n)
        assert isinstance(outcomes.pop(7), sqlite3.IntegrityError)
        assert all(isinstance(outcome, tuple) for outcome in outcomes.values())
        assert len(await relay.settings([f"k{n}" for n in range(12)])) == 11


async def test_a_rollback_that_fails_stops_the_store_and_leaves_nobody_waiting(tmp_path):
    """What was to be taken back and could not be: all who wait are answered, and nothing more is done."""

    class Stubborn:
        """A connection that begins when it may, and rolls back once, and then no more."""

        def __init__(self, inner):
            self._inner = inner
            self.rollbacks = 0
            self.may_begin = threading.Event()

        def execute(self, words, *values):
            if words.startswith("BEGIN"):
                assert self.may_begin.wait(5)
            self.rollbacks += words == "ROLLBACK"
            if words == "ROLLBACK" and self.rollbacks > 1:
                raise sqlite3.OperationalError("disk I/O error")
            return self._inner.execute(words, *values)

        def __getattr__(self, name):
            return getattr(self._inner, name)

    outcomes = []
    async with open_relay(tmp_path / "relay.db") as relay:
        file = relay._engine._file
        writer = Stubborn(file.writer)
        relay._engine._file = attrs.evolve(file, writer=writer)

        async def put(n):
            try:
                outcomes.append(await relay.commit([put_setting(f"k{n}", 5 if n == 1 else b"good")]))
            except (StoreFailed, sqlite3.IntegrityError) as error:
                outcomes.append(type(error))

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                # The first is written alone, and those that come meanwhile together.
                nursery.start_soon(put, 6)
                await trio.testing.wait_all_tasks_blocked()
                for n in range(6):
                    nursery.start_soon(put, n)
                await trio.testing.wait_all_tasks_blocked()
                writer.may_begin.set()
            with pytest.raises(StoreFailed):
                await relay.commit([PutSetting("after", b"1")])
    assert len(outcomes) == 7
    assert sqlite3.IntegrityError in outcomes
    async with open_relay(tmp_path / "relay.db", check=IntegrityCheck.FULL) as relay:
        held = await relay.settings([f"k{n}" for n in range(7)])
        assert len(held) == sum(isinstance(outcome, tuple) for outcome in outcomes)


@pytest.mark.parametrize("together", [1, 64])
async def test_the_log_is_about_as_long_as_it_may_be(tmp_path, monkeypatch, together):
    """Whether commits are small or large, it is copied when it is long, not much sooner or later."""
    most = 2_000_000
    monkeypatch.setattr(log_length, "CHECKPOINT_BYTES", most)
    copied = []
    async with open_relay(tmp_path / "relay.db") as relay:
        log, copy = tmp_path / "relay.db-wal", relay._engine._checkpoint
        monkeypatch.setattr(relay._engine, "_checkpoint", lambda: copied.append(copy()))
        numbers = iter(range(1, 100_000))
        for _ in range(25_600 // together // 16):
            texts = [(next(numbers), "x" * 500) for _ in range(together)]
            await relay.commit([envelope("alice", n, "bob/coder", ["bob"], text=f"{n}{x}") for n, x in texts])
        length = log.stat().st_size
    assert most / 4 < length < 3 * most
    assert copied


async def test_whoever_looks_at_a_file_for_long_holds_up_no_commit(tmp_path, monkeypatch):
    """A backup's snapshot keeps the log from beginning anew, and commits go on beside it all the same."""
    monkeypatch.setattr(log_length, "CHECKPOINT_BYTES", 1)
    monkeypatch.setattr(engine, "LONGEST_LOG_FRAMES", 1)
    path = tmp_path / "relay.db"
    async with open_relay(path) as relay:
        await relay.commit([PutSetting("before", b"1")])
        with read_only(path, "relay", APPLICATION_ID) as snapshot, trio.fail_after(files.BUSY_MS / 1_000):
            for number in range(4):
                await relay.commit([PutSetting(f"k{number}", b"1")])
            assert snapshot.execute("SELECT count(*) FROM settings").fetchone() == (1,)
        await relay.commit([PutSetting("after", b"1")])


async def test_cancelled_callers_leave_the_others_whole(tmp_path):
    """Callers that give up at any moment, leaders among them, leave every other commit to be answered."""
    answered, begun = set(), trio.Event()
    async with open_relay(tmp_path / "relay.db") as relay:

        async def send(n):
            if n == 15:
                begun.set()
            await relay.commit([envelope(f"s{n}", k, "bob/coder", ["bob"]) for k in (1, 2)])
            answered.add(n)

        async with trio.open_nursery() as nursery:
            scopes = []
            for n in range(30):
                if n % 3 == 0:
                    scope = trio.CancelScope()
                    scopes.append(scope)

                    async def give_up(n=n, scope=scope):
                        with scope:
                            await send(n)

                    nursery.start_soon(give_up)
                else:
                    nursery.start_soon(send, n)
            await begun.wait()
            for scope in scopes:
                scope.cancel()
        assert {n for n in range(30) if n % 3} <= answered
        held = [item.envelope for item in await relay.mailbox(device("bob"), 0, 1_000, 1 << 30)]
        for n in range(30):
            pair = [envelope(f"s{n}", k, "bob/coder", []).envelope in held for k in (1, 2)]
            assert pair[0] == pair[1]
            assert pair[0] or n not in answered


async def test_whoever_gives_up_waits_for_a_commit_that_is_being_written(tmp_path, monkeypatch):
    """Also where another caller writes it: what is done after a commit, made or not, comes after it."""
    async with open_relay(tmp_path / "relay.db") as relay:
        write, gates = relay._engine._write, [threading.Event(), threading.Event()]
        sizes: list[int] = []
        ended: list[str] = []

        def slowly(group):
            sizes.append(len(group))
            gates[len(sizes) - 1].wait(10)
            return write(group)

        monkeypatch.setattr(relay._engine, "_write", slowly)
        scopes = {key: trio.CancelScope() for key in ("first", "leads", "follows")}

        async def put(key):
            with scopes[key]:
                try:
                    results[key] = await relay.commit([PutSetting(key, b"1")])
                finally:
                    ended.append(key)

        results: dict[str, object] = {}
        async with trio.open_nursery() as nursery:
            for key in scopes:
                nursery.start_soon(put, key)
                await trio.testing.wait_all_tasks_blocked()
            gates[0].set()
            with trio.fail_after(10):
                while len(sizes) < 2:
                    await trio.sleep(0.005)
            scopes["follows"].cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert ended == ["first"]
            gates[1].set()
        assert sizes == [1, 2]
        assert len(await relay.settings(list(scopes))) == 3
        # Whoever gave up has the results, too, and can do what follows from them.
        assert results.keys() == scopes.keys()


async def test_closing_waits_for_the_commit_under_way(tmp_path):
    """A commit that has begun is finished before the store is closed, and answered."""
    results = []
    async with open_relay(tmp_path / "relay.db") as relay:

        async def send():
            results.append(
                await relay.commit([envelope("a", n, "bob/coder", ["bob"]) for n in range(1, 400)])
            )

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked()
            await relay.aclose()
    assert len(results[0]) == 399
    async with open_relay(tmp_path / "relay.db") as relay:
        assert (await relay.stats()).waiting == 399


async def test_a_failed_opening_leaves_nothing_open(tmp_path):
    """Where the disk is full even for opening, whoever holds on to the error holds no file with it."""
    try:
        shim()
    except NoLayer as reason:
        pytest.skip(str(reason))
    path = tmp_path / "relay.db"
    await fill(path)
    with faulty_disk(tmp_path, seed=1) as disk:
        disk.decide = lambda call: Fault.FULL if call.kind is Kind.SHARE else None
        with pytest.raises(StoreError) as caught:
            async with open_relay(path):
                pass
        assert caught.value.__cause__ is not None
        assert shim().open_below(tmp_path) == []


async def test_every_commit_is_synchronised(tmp_path, monkeypatch):
    """Killing a program shows nothing of it, a loss of power does: what was told is on the disk itself."""
    opened = []
    known = sqlite3.connect

    def connect(*arguments, **options):
        opened.append(known(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", connect)
    full = 2
    async with open_relay(tmp_path / "relay.db"):
        writers = [each for each in opened if not each.execute("PRAGMA query_only").fetchone()[0]]
        assert writers
        assert [each.execute("PRAGMA synchronous").fetchone()[0] for each in writers] == [full] * len(writers)


async def test_change_that_cannot_be_written_takes_its_commit_along(tmp_path):
    """What stood before it in the same commit is not there either, and the store goes on."""
    async with open_daemon_store(tmp_path / "daemon.db") as daemon:
        with pytest.raises(Exception, match=r"bind|type|interpret"):
            await daemon.commit([PutSetting("first", b"1"), PutSetting("second", cast("bytes", object()))])
        assert await daemon.settings(("first", "second")) == {}
        await daemon.commit([PutSetting("third", b"3")])
        assert await daemon.settings(("first", "third")) == {"third": b"3"}


async def test_where_no_thread_can_be_had_nobody_waits_for_ever(tmp_path, monkeypatch):
    """Nothing of such a commit is stored, all who share it are told so, and the next one goes on."""
    async with open_relay(tmp_path / "relay.db") as relay:
        engine, outcomes = relay._engine, []
        write, gate, begun = engine._write, threading.Event(), threading.Event()

        def slowly(group):
            begun.set()
            gate.wait(10)
            return write(group)

        async def commit(number):
            try:
                await relay.commit([PutSetting(f"{number}", b"")])
                outcomes.append("stored")
            except StoreUnavailable:
                outcomes.append("refused")

        monkeypatch.setattr(engine, "_write", slowly)
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(commit, 0)
                while not begun.is_set():
                    await trio.sleep(0.005)
                for number in range(1, 4):
                    nursery.start_soon(commit, number)
                await trio.testing.wait_all_tasks_blocked()
                monkeypatch.setattr(engine, "_write", write)
                in_thread = engine._in_thread

                async def none_left(call, *arguments, limiter):
                    monkeypatch.setattr(engine, "_in_thread", in_thread)
                    raise RuntimeError("can't start new thread")

                monkeypatch.setattr(engine, "_in_thread", none_left)
                gate.set()
            await commit(4)
        assert outcomes == ["stored", "refused", "refused", "refused", "stored"]
        assert set(await relay.settings([f"{number}" for number in range(5)])) == {"0", "4"}
