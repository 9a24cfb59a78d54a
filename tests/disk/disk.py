"""A folder whose disk fails as told, with SQLite's databases in it: for one process, deterministic by seed.

with faulty_disk(folder, seed=7) as disk:
    disk.fail_at(12, Fault.FULL)  # the twelfth call from now on
    ...  # open stores below `folder`, work
    disk.cut_power()  # from now on nothing reaches the disk
    ...  # close the stores: their errors mean nothing any more
    disk.restore()  # the files are what the loss of power left; open the stores again
"""

from __future__ import annotations

import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final

import attrs

from .image import FolderImage, Loss
from .vfs import shim

__all__ = ["Call", "Disk", "Fault", "Kind", "faulty_disk"]


class Kind(StrEnum):
    """What SQLite asks of a disk."""

    WRITE = "write"
    SYNC = "sync"
    TRUNCATE = "truncate"
    OPEN = "open"
    DELETE = "delete"
    SHARE = "share"
    """Memory shared by connections: a file that grows, too."""


class Fault(StrEnum):
    """How a call fails."""

    FULL = "full"
    """No space is left; nothing is written. A call that needs no space fails as with ERROR."""
    ERROR = "error"
    """The disk says that it failed; nothing is written. What a failed synchronisation was for stays lost."""
    SHORT = "short"
    """Half of it is written, then no space is left. For other calls than writes: as FULL."""
    POWER = "power"
    """The power goes before the call is done; of a write some sectors may be there."""
    LIE = "lie"
    """A synchronisation is not done, and success is said. Other calls pass."""


@attrs.frozen
class Call:
    """One call, with its number since the disk was made (the first is 1)."""

    number: int
    kind: Kind
    path: Path


_FULL: Final = {Kind.WRITE: sqlite3.SQLITE_FULL, Kind.SHARE: sqlite3.SQLITE_IOERR_SHMSIZE}
_ERROR: Final = {
    Kind.WRITE: sqlite3.SQLITE_IOERR_WRITE,
    Kind.SYNC: sqlite3.SQLITE_IOERR_FSYNC,
    Kind.TRUNCATE: sqlite3.SQLITE_IOERR_TRUNCATE,
    Kind.OPEN: sqlite3.SQLITE_CANTOPEN,
    Kind.DELETE: sqlite3.SQLITE_IOERR_DELETE,
    Kind.SHARE: sqlite3.SQLITE_IOERR_SHMMAP,
}


class Disk:
    """What happens to the databases of a folder. Other files there are not its business."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder.resolve()
        self.dice = random.Random(seed)
        self.calls = 0
        """How many calls there were."""
        self.counts: Counter[Kind] = Counter()
        self.failed: list[tuple[Call, Fault]] = []
        """The calls that were made to fail."""
        self.quota: int | None = None
        """Bytes that all files may have together; None for no bound. May be changed at any time."""
        self.lying = False
        """Synchronisations are not done, and success is said."""
        self.slow: Callable[[Call], None] | None = None
        """Called before each call, in SQLite's thread, for as long as the disk is to be busy."""
        self.decide: Callable[[Call], Fault | None] = lambda call: None
        """Which calls fail, beside those of `fail_at`."""
        self._planned: dict[int, Fault] = {}
        self._off = False
        self._image = FolderImage()
        self._inodes: dict[Path, int] = {}
        self._lock = threading.RLock()

    @property
    def is_off(self) -> bool:
        """Whether the power is cut, so that every call fails."""
        return self._off

    def fail_at(self, number: int, fault: Fault) -> None:
        """Let the call of that number, counted from now on, fail."""
        self._planned[self.calls + number] = fault

    def forgive(self) -> None:
        """Let nothing fail any more."""
        self._planned.clear()
        self.decide = lambda call: None
        self.quota, self.lying, self.slow = None, False, None

    def cut_power(self) -> None:
        """From now on every call fails, as if the machine were off or the process gone."""
        self._off = True

    def restore(self, loss: Loss | None = None, *, power: bool = True) -> None:
        """The machine is on again: files are as the loss of power left them, `loss` by seed unless given.

        With `power=False` only the process had died, and the system kept all that was written. Raises
        RuntimeError if a connection to the folder is not closed.
        """
        still = shim().open_below(self.folder)
        if still:
            raise RuntimeError(f"still open: {still}")
        left = self._image.after_power_loss(loss or self.dice.choice(tuple(Loss)), self.dice)
        for path, content in left.items() if power else ():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
                path.chmod(0o600)
        if power:
            for shared in self.folder.rglob("*-shm"):
                shared.unlink()
        self._image = FolderImage()
        self._inodes.clear()
        self._planned.clear()
        self._off = False

    # --- asked by SQLite

    def _meet(self, kind: Kind, path: Path) -> Fault | None:
        """Count a call; how it fails, if it does."""
        self.calls += 1
        self.counts[kind] += 1
        call = Call(self.calls, kind, path)
        if self.slow is not None:
            self.slow(call)
        if self._off:
            return Fault.ERROR
        fault = self._planned.pop(call.number, None) or self.decide(call)
        if fault is None and self.lying and kind is Kind.SYNC:
            return Fault.LIE
        if fault is Fault.POWER:
            self._off = True
        if fault is not None:
            self.failed.append((call, fault))
        return fault

    @staticmethod
    def _code(kind: Kind, fault: Fault) -> int:
        if fault in (Fault.FULL, Fault.SHORT):
            return _FULL.get(kind, _ERROR[kind])
        return sqlite3.SQLITE_OK if fault is Fault.LIE else _ERROR[kind]

    def opening(self, path: Path, fresh: bool) -> int:
        """A file is about to be opened. One that is there opens on a full disk, too."""
        with self._lock:
            if not fresh and not self._off:
                return sqlite3.SQLITE_OK
            fault = self._meet(Kind.OPEN, path)
            return sqlite3.SQLITE_OK if fault is None else self._code(Kind.OPEN, fault)

    def opened(self, path: Path, fresh: bool, content: bytes, log: bool) -> None:
        """A file was opened."""
        with self._lock:
            inode = path.stat().st_ino
            if fresh:
                self._image.made(path, log)
            elif not self._image.knows(path) or self._inodes.get(path) != inode:
                self._image.found(path, content)
            self._inodes[path] = inode

    def write(self, path: Path, offset: int, data: bytes, go: Callable[[bytes], int]) -> int:
        """Bytes are about to be written."""
        with self._lock:
            fault = self._meet(Kind.WRITE, path)
            if fault is None and self.quota is not None:
                grown = offset + len(data) - self._image.size_of(path)
                if grown > 0 and self._image.size + grown > self.quota:
                    fault = Fault.FULL
            if fault is Fault.POWER:
                self._image.write(path, offset, data)
            if fault is Fault.SHORT:
                part = data[: len(data) // 2]
                if go(part) == sqlite3.SQLITE_OK:
                    self._image.write(path, offset, part)
            if fault is not None and fault is not Fault.LIE:
                return self._code(Kind.WRITE, fault)
            code = go(data)
            if code == sqlite3.SQLITE_OK:
                self._image.write(path, offset, data)
            return code

    def truncate(self, path: Path, size: int, go: Callable[[], int]) -> int:
        """A file is about to be cut."""
        with self._lock:
            fault = self._meet(Kind.TRUNCATE, path)
            if fault is Fault.POWER:
                self._image.truncate(path, size)
            if fault is not None and fault is not Fault.LIE:
                return self._code(Kind.TRUNCATE, fault)
            code = go()
            if code == sqlite3.SQLITE_OK:
                self._image.truncate(path, size)
            return code

    def sync(self, path: Path, go: Callable[[], int]) -> int:
        """A file is about to be synchronised. Nothing is: the model alone knows what a disk would hold."""
        del go
        with self._lock:
            fault = self._meet(Kind.SYNC, path)
            if fault is None:
                self._image.sync(path)
                return sqlite3.SQLITE_OK
            if fault not in (Fault.LIE, Fault.POWER) and not self._off:
                self._image.failed_sync(path)
            return self._code(Kind.SYNC, fault)

    def share(self, path: Path, go: Callable[[], int]) -> int:
        """Memory is about to be shared."""
        with self._lock:
            fault = self._meet(Kind.SHARE, path)
            return go() if fault in (None, Fault.LIE) else self._code(Kind.SHARE, fault or Fault.ERROR)

    def delete(self, path: Path, durably: bool, go: Callable[[], int]) -> int:
        """A file is about to be removed."""
        with self._lock:
            if not path.exists():
                return go()
            fault = self._meet(Kind.DELETE, path)
            if fault is not None and fault is not Fault.LIE:
                return self._code(Kind.DELETE, fault)
            code = go()
            if code == sqlite3.SQLITE_OK:
                self._image.gone(path, durably)
            return code


@contextmanager
def faulty_disk(folder: Path, *, seed: int) -> Iterator[Disk]:
    """A disk under the databases that are opened below `folder` meanwhile.

    Raises NoLayer where this Python's SQLite cannot be reached, and at the end what went wrong in the layer.
    """
    layer = shim()
    disk = Disk(folder, seed)
    layer.watch(folder, disk)
    layer.trouble.clear()
    try:
        yield disk
    finally:
        layer.forget(folder)
    if layer.trouble:
        raise layer.trouble[0]
