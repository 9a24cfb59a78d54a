"""Make `worlds/*.tar.xz`: databases that earlier releases have written, each by its own programs.

    python -m tests.upgrades.make_worlds [NAME ...]

needs the repository's history. In each world @alice/asks and @bob/does are connected, bob has accepted a
task, and a message for him waits at the relay. Worlds that are there are left alone: what is in them is what
those programs wrote, so they are made once.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

import attrs

ROOT: Final = Path(__file__).parents[2]
WORLDS: Final = Path(__file__).parent / "worlds"


@attrs.frozen
class Early:
    """A commit of the history, and the schemas that its programs write."""

    commit: str
    relay: int
    daemon: int

    @property
    def name(self) -> str:
        """By its schemas."""
        return f"relay-{self.relay}-daemon-{self.daemon}"


#: Between them every earlier schema, where need be beside the present one of the other program; the last
#: commit before the next one where the history goes straight.
EARLY: Final = (
    Early("a4e38ef", 1, 1),
    Early("dff4394", 2, 2),
    Early("6fabcf0", 3, 2),
    Early("58a68fb", 4, 3),
    Early("d484de8", 4, 4),
    Early("e3df536", 4, 5),
    Early("ae9caac", 5, 6),
    Early("200393f", 5, 7),
    Early("664e2a34", 5, 8),
    Early("14a21f00", 6, 9),
)

#: Run with the commit's own code, in its own tree.
STORY: Final = """
import os, signal, sys
from pathlib import Path
from tests.crash.world import World, connect, listed, until

def stop(world, name):
    process = world._running.pop(name)
    if isinstance(process, int):
        os.kill(process, signal.SIGTERM)
        (status,) = until(lambda: [s for s in [world._starter.poll(process)] if s is not None] or None, name)
    else:
        process.send_signal(signal.SIGTERM)
        status = process.wait(30)
    assert status == 0, world.last_words(name)

with World(Path(sys.argv[1])) as world, world.client("alice") as alice, world.client("bob") as bob:
    connect(alice, bob, world.relay_url)
    alice.post("/messages/send", {"from": "asks", "to": "@bob/does", "text": "before"})
    wanted = {"from": "asks", "to": "@bob/does", "title": "go on", "description": "over it"}
    task = alice.post("/tasks", wanted)
    until(lambda: listed(bob.get("/tasks"), "tasks") or None, "the task arrives")
    until(lambda: bob.post(f"/tasks/{task['task_id']}/accept", {"from": "@bob/does"}), "it is accepted")
    until(lambda: alice.get(f"/tasks/{task['task_id']}")["state"] == "accepted" or None, "alice hears of it")
    stop(world, "bob")
    sent = alice.post("/messages/send", {"from": "asks", "to": "@bob/does", "text": "waits at the relay"})
    path = f"/messages/{sent['message_id']}"
    until(lambda: alice.get(path)["delivery"]["rung"] == "relayed" or None, "the relay has it")
    stop(world, "alice")
    stop(world, "relay")
"""


def make(early: Early) -> Path:
    """One world's archive."""
    target = WORLDS / f"{early.name}.tar.xz"
    with tempfile.TemporaryDirectory() as folder:
        tree, world = Path(folder, "tree"), Path(folder, "world")
        world.mkdir()
        subprocess.run(["git", "worktree", "add", "--detach", tree, early.commit], cwd=ROOT, check=True)
        try:
            paths = os.pathsep.join([str(tree / "src"), str(tree)])
            subprocess.run(
                [sys.executable, "-c", STORY, str(world)],
                cwd=tree,
                env={**os.environ, "PYTHONPATH": paths},
                check=True,
            )
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)
        versions = {path.name: _compacted(path) for path in sorted(world.rglob("*.db"))}
        assert versions == {"relay.db": early.relay, "daemon.db": early.daemon}, versions
        with tarfile.open(target, "w:xz", preset=9) as archive:
            for path in _kept(world):
                archive.add(path, path.relative_to(world), recursive=False, filter=_nobodys)
    return target


def _compacted(path: Path) -> int:
    """The schema of a database, which is one file afterwards."""
    with closing(sqlite3.connect(path, isolation_level=None)) as held:
        (version,) = held.execute("PRAGMA user_version").fetchone()
        held.execute("PRAGMA journal_mode = DELETE")
        held.execute("VACUUM")
    return int(version)


def _kept(world: Path) -> Iterable[Path]:
    gone = {".log", ".lock", ".db-wal", ".db-shm"}
    return [
        path
        for path in sorted(world.rglob("*"))
        if path.is_file() and path.suffix not in gone and path.name != "address"
    ]


def _nobodys(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info


def main(names: Iterable[str]) -> None:
    """Make those that are named, or are missing."""
    WORLDS.mkdir(exist_ok=True)
    wanted = set(names)
    for early in EARLY:
        missing = not (WORLDS / f"{early.name}.tar.xz").exists()
        if early.name in wanted or (not wanted and missing):
            path = make(early)
            sys.stderr.write(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main(sys.argv[1:])
