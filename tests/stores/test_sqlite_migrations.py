"""How a SQLite store's schema comes to be, and how it moves on."""

import resource
import sqlite3

import pytest

from taskferry_stores.errors import StoreTooNew, StoreUnavailable
from taskferry_stores.sqlite.daemon import APPLICATION_ID as DAEMON_ID
from taskferry_stores.sqlite.migrations import Schema, load_schema, migrate, require_known
from taskferry_stores.sqlite.relay import APPLICATION_ID as RELAY_ID

KINDS = {"relay": RELAY_ID, "daemon": DAEMON_ID}

FIRST = "CREATE TABLE cargo (n INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;"
SECOND = "ALTER TABLE cargo ADD COLUMN weight INTEGER NOT NULL DEFAULT 0;"
THIRD = "CREATE INDEX cargo_weight ON cargo (weight);"


def connect(path):
    """A connection as the store makes them: transactions are begun by hand."""
    return sqlite3.connect(path, isolation_level=None)


def shape(connection):
    """Everything that the schema says, in an order of its own."""
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall()
    columns = {
        name: connection.execute(f"PRAGMA table_xinfo({name})").fetchall()
        for kind, name, _, _ in rows
        if kind == "table"
    }
    indices = sorted((name, table, sql) for kind, name, table, sql in rows if kind != "table")
    version = connection.execute("PRAGMA user_version").fetchone()
    application = connection.execute("PRAGMA application_id").fetchone()
    return columns, indices, version, application


def built(path, *schemas):
    """A database that went through these schemas one after another."""
    connection = connect(path)
    for schema in schemas:
        migrate(connection, path, schema)
    return connection


@pytest.mark.parametrize("kind", KINDS)
def test_every_earlier_schema_upgrades_to_the_fresh_one(kind, tmp_path):
    """A file of any earlier version becomes exactly what a new file is."""
    schema = load_schema(kind, KINDS[kind])
    fresh = built(tmp_path / "fresh.db", schema)
    assert shape(fresh)[2] == (schema.version,)
    for version in range(1, schema.version + 1):
        early = Schema(kind, KINDS[kind], schema.steps[:version])
        upgraded = built(tmp_path / f"{version}.db", early, schema)
        assert shape(upgraded) == shape(fresh)
        upgraded.close()
    fresh.close()


def test_steps_are_applied_in_order_and_once(tmp_path):
    """Each step is applied to a file that lacks it, whichever version the file comes from."""
    steps = (FIRST, SECOND, THIRD)
    schemas = [Schema("cargo", 7, steps[:count]) for count in (1, 2, 3)]
    fresh = built(tmp_path / "fresh.db", schemas[2])
    upgraded = built(tmp_path / "slow.db", *schemas, schemas[2])
    leaping = built(tmp_path / "leap.db", schemas[0], schemas[2])
    assert shape(upgraded) == shape(leaping) == shape(fresh)
    assert shape(fresh)[2:] == ((3,), (7,))
    for connection in (fresh, upgraded, leaping):
        connection.close()


def test_file_is_copied_before_it_is_changed(tmp_path):
    """The copy holds what the file held, in the old schema, and belongs to its owner alone."""
    path = tmp_path / "cargo.db"
    connection = built(path, Schema("cargo", 7, (FIRST,)))
    connection.execute("INSERT INTO cargo (name) VALUES ('tea')")
    migrate(connection, path, Schema("cargo", 7, (FIRST, SECOND)))
    assert connection.execute("SELECT name, weight FROM cargo").fetchall() == [("tea", 0)]
    connection.close()
    backup = tmp_path / "cargo.db.before-2"
    assert backup.stat().st_mode & 0o777 == 0o600
    copy = connect(backup)
    assert copy.execute("SELECT * FROM cargo").fetchall() == [(1, "tea")]
    assert copy.execute("PRAGMA user_version").fetchone() == (1,)
    copy.close()


def test_a_copy_that_finds_no_room_gives_back_what_it_took(tmp_path):
    """The file is as it was, and nothing of the copy stays on the disk that is full."""
    path = tmp_path / "cargo.db"
    connection = built(path, Schema("cargo", 7, (FIRST,)))
    connection.execute("INSERT INTO cargo VALUES (1, ?)", ("x" * 100_000,))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, path, Schema("cargo", 7, (FIRST, SECOND)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()
    assert list(tmp_path.iterdir()) == [path]


def test_new_file_needs_no_copy(tmp_path):
    """Nothing lies beside a file that was just created."""
    built(tmp_path / "cargo.db", Schema("cargo", 7, (FIRST, SECOND))).close()
    assert [path.name for path in tmp_path.iterdir()] == ["cargo.db"]


def test_failed_step_leaves_the_file_as_it_was(tmp_path):
    """A step that fails half-way is taken back whole, and the version stays."""
    path = tmp_path / "cargo.db"
    connection = built(path, Schema("cargo", 7, (FIRST,)))
    before = shape(connection)
    broken = Schema("cargo", 7, (FIRST, f"{SECOND} INSERT INTO nowhere VALUES (1);"))
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, path, broken)
    assert shape(connection) == before
    connection.close()


def test_newer_file_is_refused_unread(tmp_path):
    """A file of a later version is refused with both versions named."""
    path = tmp_path / "cargo.db"
    connection = built(path, Schema("cargo", 7, (FIRST, SECOND)))
    with pytest.raises(StoreTooNew, match="schema 2, known 1"):
        require_known(connection, path, Schema("cargo", 7, (FIRST,)))
    connection.close()


def test_schema_files_are_complete():
    """A schema without files, as in a broken installation, is not taken for an empty one."""
    assert load_schema("relay", RELAY_ID).version >= 1
    with pytest.raises((StoreUnavailable, FileNotFoundError)):
        load_schema("nothing", 1)
