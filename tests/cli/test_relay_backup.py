"""What `taskferry relay backup` says last is the command that puts the backup back."""

from __future__ import annotations

import shlex
from pathlib import Path

import trio

from taskferry_protocol.records import Generation
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
