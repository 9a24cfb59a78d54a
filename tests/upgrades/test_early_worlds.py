"""Databases that earlier releases have written: opened, brought up to date, and worked on by this one."""

from __future__ import annotations

import json
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from taskferry_apps.cli.relay import relay as relay_command
from taskferry_apps.relay.soundness import look_at
from taskferry_protocol.accounts import fold
from taskferry_protocol.ids import Hash
from taskferry_protocol.records import Generation, MessageQuery, Offset, Order, TaskQuery
from taskferry_stores.port import StoreTooNew
from taskferry_stores.sqlite import open_daemon_store, open_relay_store, peek_relay
from taskferry_stores.sqlite.daemon import APPLICATION_ID as DAEMON
from taskferry_stores.sqlite.migrations import load_schema
from taskferry_stores.sqlite.relay import APPLICATION_ID as RELAY
from tests.crash.world import World, listed, until

from .make_worlds import EARLY, WORLDS, Early

SCHEMAS = {"relay": load_schema("relay", RELAY), "daemon": load_schema("daemon", DAEMON)}
LARGEST = 50_000
#: Nobody's: each of these has one already.
UNUSED = Generation(b"u" * 16)

every_world = pytest.mark.parametrize("early", EARLY, ids=lambda early: early.name)
every_early_relay = pytest.mark.parametrize(
    "early",
    [early for early in EARLY if early.relay < SCHEMAS["relay"].version],
    ids=lambda early: early.name,
)


def unpacked(early: Early, folder: Path) -> Path:
    """A world's files."""
    with tarfile.open(WORLDS / f"{early.name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def shape(path: Path) -> tuple[object, ...]:
    """Everything that a database's schema says, columns in no order."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall()
        columns = {
            name: sorted(tuple(row)[1:] for row in connection.execute(f"PRAGMA table_xinfo({name})"))
            for kind, name, _, _ in rows
            if kind == "table"
        }
        others = sorted((name, table, sql or "") for kind, name, table, sql in rows if kind != "table")
        return columns, others, connection.execute("PRAGMA user_version").fetchone()


def version(path: Path) -> int:
    """A database's schema."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_every_earlier_schema_has_its_world() -> None:
    """A migration brings a world of the schema before it along, and none of them is large."""
    for kind, schema in SCHEMAS.items():
        held = {getattr(early, kind) for early in EARLY}
        assert held - {schema.version} == set(range(1, schema.version)), kind
    for early in EARLY:
        assert (WORLDS / f"{early.name}.tar.xz").stat().st_size < LARGEST


@every_early_relay
async def test_an_early_relays_database_is_brought_up_to_date(early: Early, tmp_path: Path) -> None:
    """It is like a new one, sound down to every signature, and mail still waits; what it was is kept."""
    path = unpacked(early, tmp_path) / "relay.db"
    async with open_relay_store(tmp_path / "fresh.db", generation=UNUSED):
        pass
    async with open_relay_store(path, generation=UNUSED) as store:
        assert store.generation != UNUSED
        accounts = await store.accounts_named(["alice", "bob"])
        assert set(accounts) == {"alice", "bob"}
        devices = [device for record in accounts.values() for device in fold(record.statements).state.devices]
        waiting = [item for d in devices for item in await store.mailbox(d, Offset(0), 99, 1 << 20)]
        assert waiting
        assert (await store.overview()).connections == 1
    with peek_relay(path) as peeked:
        assert look_at(peeked, lambda _: None).faults == ()
    assert shape(path) == shape(tmp_path / "fresh.db")
    assert version(path.with_name(f"relay.db.before-{SCHEMAS['relay'].version}")) == early.relay


@every_world
@pytest.mark.parametrize("owner", ["alice", "bob"])
async def test_an_early_daemons_database_is_brought_up_to_date(
    early: Early, owner: str, tmp_path: Path
) -> None:
    """It is like a new one, its task and messages are there, and its words are found; what it was is kept."""
    path = unpacked(early, tmp_path) / owner / "daemon.db"
    async with open_daemon_store(tmp_path / "fresh.db"):
        pass
    async with open_daemon_store(path) as store:
        assert (await store.examine()).verdict == "ok"
        own = await store.own_account()
        assert own is not None
        assert fold(own.record.statements).state.name == owner
        (task,) = (await store.task_page(TaskQuery(), None, 9)).items
        assert (await store.task_events([task.task]))[task.task]
        page = await store.message_page(MessageQuery(), None, 99, Order.OLDEST_FIRST)
        assert len(page.items) >= 3
    assert shape(path) == shape(tmp_path / "fresh.db")
    assert version(path.with_name(f"daemon.db.before-{SCHEMAS['daemon'].version}")) == early.daemon


async def test_envelopes_that_nothing_is_left_of_go_with_the_update(tmp_path: Path) -> None:
    """What was received long ago and is no message, no event and no proof; all else is as it was."""
    path = unpacked(EARLY[-1], tmp_path) / "alice" / "daemon.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        held = {hash for (hash,) in connection.execute("SELECT hash FROM sealed")}
        seen = connection.execute("SELECT hash FROM seen WHERE hash IN (SELECT hash FROM sealed)").fetchone()
        left = "INSERT INTO sealed (hash, envelope, key, content) VALUES (?, x'00', x'00', x'00')"
        connection.execute(left, (b"n" * 32,))
    assert seen is not None
    async with open_daemon_store(path) as store:
        assert set(await store.sealed([*held, Hash(b"n" * 32)])) == held


@pytest.mark.parametrize("kind", SCHEMAS)
async def test_a_later_schema_is_refused_and_not_touched(kind: str, tmp_path: Path) -> None:
    """The sentence names both, and nothing is written beside it."""
    folder = unpacked(EARLY[-1], tmp_path)
    path = folder / "relay.db" if kind == "relay" else folder / "alice" / "daemon.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMAS[kind].version + 1}")
    before = path.read_bytes()
    opening = open_relay_store(path, generation=UNUSED) if kind == "relay" else open_daemon_store(path)
    with pytest.raises(StoreTooNew, match=f"known {SCHEMAS[kind].version}"):
        async with opening:
            pass
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.before-*"))


_STORIES = [pytest.param(early, marks=pytest.mark.journey) for early in (EARLY[0], EARLY[-1])] + [
    pytest.param(early, marks=pytest.mark.slow) for early in EARLY[1:-1]
]


@pytest.mark.parametrize("early", _STORIES, ids=lambda early: early.name)
def test_a_task_that_was_begun_under_an_early_release_is_ended_under_this_one(
    early: Early, tmp_path: Path
) -> None:
    """Programs of today on those files: bob submits, alice completes, both agree; new mail goes through."""
    folder = unpacked(early, tmp_path)
    with _Upgraded(folder) as world, world.client("alice") as alice, world.client("bob") as bob:
        task = str(until(lambda: listed(bob.get("/tasks"), "tasks"), "bob's daemon answers")[0]["task_id"])
        made = {"from": "@bob/does", "content": "done", "artifact_type": "text"}
        until(lambda: bob.post(f"/tasks/{task}/artifacts", made), "bob submits")
        until(lambda: alice.get(f"/tasks/{task}")["state"] == "submitted" or None, "alice hears of it")
        alice.post(f"/tasks/{task}/complete", {"from": "@alice/asks"})
        until(lambda: bob.get(f"/tasks/{task}")["state"] == "completed" or None, "bob hears of it")
        alice.post("/messages/send", {"from": "asks", "to": "@bob/does", "text": "after"})
        until(lambda: "after" in str(bob.get("/messages", limit=50)) or None, "it arrives")
        world.kill("relay")
        with peek_relay(folder / "relay.db") as peeked:
            assert look_at(peeked, lambda _: None).faults == ()


class _Upgraded(World):
    """The same owners, and the relay at its old address: by that, daemons know how far they have read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        with closing(sqlite3.connect(folder / "alice" / "daemon.db")) as held:
            (url,) = held.execute("SELECT value FROM settings WHERE key = 'relay'").fetchone()
        self.relay_url = url.decode()
        self._words["relay"][2] = self.relay_url.partition("://")[2]


@every_world
def test_a_backup_that_an_early_relay_wrote_is_checked_as_it_is(
    early: Early, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sound down to every signature, not a byte of it changed, no copy left; a damaged one is told."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr(tempfile, "tempdir", None)
    path = unpacked(early, tmp_path) / "relay.db"
    before = path.read_bytes()

    def checked() -> tuple[int, dict[str, object]]:
        done = CliRunner().invoke(relay_command, ["check", str(path), "--json"])
        return done.exit_code, json.loads(done.stdout)

    code, said = checked()
    assert (code, said["ok"], said["schema"], said["accounts"]) == (0, True, early.relay, 2)
    assert path.read_bytes() == before
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE accounts SET name = 'mallory' WHERE n = 1")
    code, said = checked()
    assert (code, said["ok"]) == (6, False)
    assert not list(scratch.iterdir())
