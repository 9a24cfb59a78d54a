"""A relay's database in which something was changed is not called sound, whatever it is."""

from __future__ import annotations

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

from taskferry_apps.relay.soundness import look_at
from taskferry_protocol.records import Generation
from taskferry_stores.sqlite import open_relay_store, peek_relay
from tests.upgrades.make_worlds import EARLY, WORLDS

_LAST = "CASE substr({0}, -1) WHEN x'00' THEN x'01' ELSE x'00' END"
_BIT = f"CAST(substr({{0}}, 1, length({{0}}) - 1) || ({_LAST}) AS BLOB)"


def flipped(table: str, column: str) -> str:
    """The last byte of one row's column is another."""
    one = f"{column} = (SELECT max({column}) FROM {table})"
    return f"UPDATE {table} SET {column} = {_BIT.format(column)} WHERE {one}"


CHANGED = {
    "an envelope": (flipped("envelopes", "raw"), "envelope"),
    "an envelope's hash": ("UPDATE seen SET hash = zeroblob(32)", "envelope"),
    "a card": (flipped("cards", "raw"), "card"),
    "a request": (flipped("connections", "request_raw"), "connection-request"),
    "a request's hash": (flipped("connections", "request"), "connection-request"),
    "an acceptance": (flipped("connections", "accept_raw"), "connection-accept"),
    "a grant": (flipped("grants", "raw"), "grant"),
    "a key": (flipped("account_keys", "key"), "are not noted"),
    "a name": ("UPDATE names SET name = name || 'x'", "without their name"),
    "the audit log's end": ("DELETE FROM audit_chain", "beyond the end"),
}


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    """Of a relay that people have used, brought up to date."""
    with tarfile.open(WORLDS / f"{EARLY[-1].name}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    path = tmp_path / "relay.db"
    async with open_relay_store(path, generation=Generation(b"g" * 16)):
        pass
    return path


@pytest.mark.parametrize("what", CHANGED)
async def test_what_was_changed_is_found(database: Path, what: str) -> None:
    """A bit of what was signed, of what it is known by, of whom it is of: not only what SQLite sees."""
    with peek_relay(database) as store:
        assert look_at(store, lambda _: None).faults == ()
    statement, said = CHANGED[what]
    with closing(sqlite3.connect(database)) as other, other:
        assert other.execute(statement).rowcount
    with peek_relay(database) as store:
        faults = look_at(store, lambda _: None).faults
    assert any(said in words for words in faults), faults
