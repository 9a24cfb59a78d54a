"""What `taskferry relay backup` says last is the command that puts the backup back."""

from __future__ import annotations

import shlex
from pathlib import Path

import trio

from taskferry_protocol.audit import RelayAuditKind, audit_note
from taskferry_protocol.ids import Instant
from taskferry_protocol.records import AppendAudit, Generation
from taskferry_stores.sqlite import open_relay_store

from .conftest import Shell


async def make(database: Path) -> None:
    """An empty relay's database."""
    async with open_relay_store(database, generation=Generation(bytes(16))):
        pass


def test_the_command_that_a_backup_names_puts_it_back(tmp_path: Path) -> None:
    """As it is printed, with its own line: also where a folder's name has a space in it."""
    folder = tmp_path / "a relay"
    folder.mkdir()
    trio.run(make, folder / "relay.db")
    shell = Shell(tmp_path, tmp_path / "none")
    made = shell("relay", "--db", str(folder / "relay.db"), "backup", str(folder / "monday.db"))
    assert made.code == 0, made.err
    program, *words = shlex.split(made.out.splitlines()[-1])
    assert program == "taskferry"
    put = shell(*words)
    assert put.code == 0, put.err
    assert "put back as it was" in put.out


async def make_with_one_entry(database: Path) -> None:
    """A relay's database in whose audit log stands one thing."""
    async with open_relay_store(database, generation=Generation(bytes(16))) as store:
        note = audit_note(RelayAuditKind.RESTORED, "database", {"from": "an older copy"}, Instant(1))
        await store.commit([AppendAudit(note)])


def test_amounts_of_a_small_relay_are_in_words(tmp_path: Path) -> None:
    """One is not told as many, and an empty list says whether anything was asked of it."""
    database = str(tmp_path / "relay.db")
    trio.run(make_with_one_entry, Path(database))
    shell = Shell(tmp_path, tmp_path / "none")
    accounts = ("relay", "--db", database, "account", "list")
    assert "No account has begun here yet." in shell(*accounts).out
    assert "No such accounts here." in shell(*accounts, "--prefix", "x").out
    assert ", 0 accounts, 1 audit entry." in shell("relay", "check", database).out
    exported = shell("relay", "audit", "export", str(tmp_path / "log.cbor"), "--db", database)
    assert ": 1 entry, ending with " in exported.out
