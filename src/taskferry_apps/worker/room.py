"""The worker's folder: one worker at a time, what is written down of each task, and the tasks' own folders.

`worker.json` names the worker, `state/TASK.json` says how far a task has come, `tasks/TASK` is where its
command runs, `taken.json` when tasks were taken within the last day.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from ..daemon.private_files import UnsafeFile, make_private_directory, read_private, write_private
from ..system import entropy
from .removing import remove_tree
from .rules import DAY_MS
from .steps import Kept, Stage

__all__ = ["Room", "RoomTrouble", "held_room"]

_TASK: Final = re.compile(r"[0-9a-f]{8,128}", re.ASCII)
#: What a worker that was killed has left running is dead within this time.
_PATIENCE_S: Final = 5.0
_LOOK_S: Final = 0.05


class RoomTrouble(Exception):
    """The folder cannot be used; the text says why, and what to do."""


@contextmanager
def held_room(path: Path) -> Iterator[Room]:
    """The folder, made if it is not there, held for this process and what it hands the lock on to.

    Blocks for a moment where a worker has just been killed. Raises RoomTrouble.
    """
    try:
        for folder in (path, path / "state", path / "tasks"):
            make_private_directory(folder)
        lock = os.open(path / "worker.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (UnsafeFile, OSError) as error:
        raise RoomTrouble(f"The worker's folder cannot be used: {error}") from None
    try:
        _take(lock, path)
        try:
            room = Room(path, lock, _name_of(path))
        except (UnsafeFile, OSError, ValueError, KeyError) as error:
            raise RoomTrouble(f"{path / 'worker.json'} cannot be used: {error}") from None
        yield room
    finally:
        os.close(lock)


def _take(lock: int, path: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise RoomTrouble(
                    f"Another worker is running with the folder {path}. Stop it, or choose another folder "
                    "with --directory, or another name with --name."
                ) from None
            time.sleep(_LOOK_S)


def _name_of(path: Path) -> str:
    """What tells this worker's requests from another's; made once."""
    place = path / "worker.json"
    try:
        return str(json.loads(read_private(place))["worker"])
    except FileNotFoundError:
        name = entropy(16).hex()
        write_private(place, json.dumps({"worker": name}).encode())
        return name


@attrs.frozen
class Room:
    """A folder that this worker holds. Its methods block, briefly."""

    path: Path
    lock: int
    worker: str

    def kept(self) -> list[Kept]:
        """What is written down of every task, the longest held first. Raises RoomTrouble."""
        found = [self._read(place) for place in (self.path / "state").glob("*.json")]
        return sorted(found, key=lambda kept: (kept.since_ms, kept.task))

    def find(self, task: str) -> Kept | None:
        """What is written down of one task; None where it is not held. Raises RoomTrouble."""
        place = self._place(task)
        return self._read(place) if place.exists() else None

    def keep(self, kept: Kept) -> None:
        """Write it down, durably. Raises OSError."""
        value = {**attrs.asdict(kept), "stage": kept.stage.value}
        write_private(self._place(kept.task), json.dumps(value).encode())

    def forget(self, task: str) -> None:
        """Hold a task no longer; its folder stays."""
        self._place(task).unlink(missing_ok=True)

    def note_taken(self, task: str, now_ms: int) -> None:
        """Count a task as taken now."""
        taken = {**self._taken(now_ms), task: now_ms}
        write_private(self.path / "taken.json", json.dumps(taken).encode())

    def note_lost(self, task: str, now_ms: int) -> None:
        """Count a task no longer: somebody else has it."""
        taken = {other: at for other, at in self._taken(now_ms).items() if other != task}
        write_private(self.path / "taken.json", json.dumps(taken).encode())

    def taken_today(self, now_ms: int) -> int:
        """How many were taken within the last day; or the next, by a clock that was ahead."""
        return len(self._taken(now_ms))

    def folder(self, task: str) -> Path:
        """Where a task's command runs. Raises ValueError for what is no task's id."""
        return self.path / "tasks" / _checked(task)

    def fresh_folder(self, task: str) -> Path:
        """An empty folder for a task's command; what was there is removed. Raises OSError."""
        folder = self.folder(task)
        self.remove_folder(task)
        for step in (folder, folder / "in", folder / "out", folder / "versions"):
            step.mkdir(mode=0o700)
        return folder

    def remove_folder(self, task: str) -> None:
        """Remove a task's folder, whatever a command has made of it. Raises OSError."""
        remove_tree(self.folder(task))

    def _place(self, task: str) -> Path:
        return self.path / "state" / f"{_checked(task)}.json"

    def _read(self, place: Path) -> Kept:
        try:
            value = json.loads(read_private(place))
            return Kept(
                task=_checked(str(value["task"])),
                stage=Stage(value["stage"]),
                since_ms=int(value["since_ms"]),
                answers=int(value["answers"]),
                versions=int(value["versions"]),
                reason=str(value["reason"]),
            )
        except (UnsafeFile, OSError, ValueError, KeyError, TypeError) as error:
            raise RoomTrouble(
                f"{place} cannot be used: {error} Move it away; the task is then no longer this worker's."
            ) from None

    def _taken(self, now_ms: int) -> dict[str, int]:
        try:
            value = json.loads(read_private(self.path / "taken.json"))
            return {str(task): int(at) for task, at in value.items() if abs(now_ms - int(at)) < DAY_MS}
        except FileNotFoundError:
            return {}
        except (UnsafeFile, OSError, ValueError, TypeError, AttributeError) as error:
            raise RoomTrouble(f"{self.path / 'taken.json'} cannot be used: {error}") from None


def _checked(task: str) -> str:
    if not _TASK.fullmatch(task):
        raise ValueError(f"{task!r} is no task's id")
    return task
