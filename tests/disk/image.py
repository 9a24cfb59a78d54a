"""What stands on a disk after the power went: what was synchronised, and by chance some of the rest.

No I/O: a model of files that are written, cut, synchronised, made and removed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import attrs

__all__ = ["FolderImage", "Loss"]

SECTOR = 512
"""Bytes that a disk writes whole or not at all."""


class Loss(StrEnum):
    """What becomes of that which was not synchronised."""

    LOST = "lost"
    KEPT = "kept"
    TORN = "torn"
    """Each sector by itself is there or not, in any order."""
    CUT = "cut"
    """What was written first is there, up to some sector."""


@attrs.define
class _Change:
    """A write, or a cut to `offset` where `data` is None."""

    offset: int
    data: bytes | None
    synced: bool = False
    doomed: bool = False
    """A synchronisation of it failed: later ones pass it over, as systems do that think it written."""

    def sectors(self) -> Iterator[_Change]:
        """The change in pieces that are there or not."""
        if self.data is None:
            yield self
            return
        at = 0
        while at < len(self.data):
            end = at + SECTOR - (self.offset + at) % SECTOR
            yield _Change(self.offset + at, self.data[at:end])
            at = end

    def apply(self, content: bytearray) -> None:
        """Make the change."""
        if self.data is None:
            del content[self.offset :]
            content.extend(bytes(self.offset - len(content)))
            return
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data


@attrs.define(eq=False)
class _File:
    base: bytearray
    changes: list[_Change] = attrs.field(factory=list)
    size: int = 0
    fresh_log: bool = False
    """A log that is new: SQLite synchronises its folder with it the first time."""

    def add(self, change: _Change) -> None:
        """Take a change that is not synchronised."""
        self.changes.append(change)
        if change.data is None:
            self.size = change.offset
        else:
            self.size = max(self.size, change.offset + len(change.data))

    def settle(self) -> None:
        """What was synchronised and follows nothing uncertain is the base."""
        while self.changes and self.changes[0].synced:
            self.changes.pop(0).apply(self.base)

    def surviving(self, loss: Loss, dice: random.Random) -> bytes:
        """The content after the power went."""
        content = bytearray(self.base)
        open_ = [piece for change in self.changes if not change.synced for piece in change.sectors()]
        last = dice.randrange(len(open_) + 1)
        number = 0
        for change in self.changes:
            if change.synced:
                change.apply(content)
                continue
            for piece in change.sectors():
                kept = {
                    Loss.LOST: False,
                    Loss.KEPT: True,
                    Loss.TORN: dice.random() < 0.5,
                    Loss.CUT: number < last,
                }[loss]
                number += 1
                if kept:
                    piece.apply(content)
        return bytes(content)


class FolderImage:
    """The files of a folder: as programs see them, and as far as the disk has them."""

    def __init__(self) -> None:
        self._live: dict[Path, _File] = {}
        self._entries: dict[Path, _File] = {}
        """Which file stands under a name for certain."""

    @property
    def size(self) -> int:
        """Bytes of all files that programs see."""
        return sum(file.size for file in self._live.values())

    def size_of(self, path: Path) -> int:
        """Bytes of one of them; 0 if it is not known."""
        return self._live[path].size if path in self._live else 0

    def knows(self, path: Path) -> bool:
        """Whether the file was seen before."""
        return path in self._live

    def found(self, path: Path, content: bytes) -> None:
        """A file that was there before, and is as good as synchronised."""
        self._live[path] = self._entries[path] = _File(bytearray(content), size=len(content))

    def made(self, path: Path, log: bool) -> None:
        """A new and empty file."""
        self._live[path] = _File(bytearray(), fresh_log=log)

    def gone(self, path: Path, durably: bool) -> None:
        """A file was removed."""
        self._live.pop(path, None)
        if durably:
            self.sync_folder(path.parent)

    def write(self, path: Path, offset: int, data: bytes) -> None:
        """Bytes were written."""
        self._live[path].add(_Change(offset, data))

    def truncate(self, path: Path, size: int) -> None:
        """A file was cut."""
        self._live[path].add(_Change(size, None))

    def sync(self, path: Path) -> None:
        """A file was synchronised, and with a new log its folder."""
        file = self._live[path]
        for change in file.changes:
            change.synced = change.synced or not change.doomed
        file.settle()
        if file.fresh_log:
            file.fresh_log = False
            self.sync_folder(path.parent)

    def failed_sync(self, path: Path) -> None:
        """A synchronisation failed: what it was for is never made good by a later one."""
        for change in self._live[path].changes:
            change.doomed = change.doomed or not change.synced

    def sync_folder(self, folder: Path) -> None:
        """The names in a folder were synchronised."""
        for path in {path for path in (*self._live, *self._entries) if path.parent == folder}:
            if path in self._live:
                self._entries[path] = self._live[path]
            else:
                self._entries.pop(path, None)

    def after_power_loss(self, loss: Loss, dice: random.Random) -> dict[Path, bytes | None]:
        """What stands on the disk: contents by path, None for files that are not there."""
        result: dict[Path, bytes | None] = {}
        for path in sorted({*self._live, *self._entries}):
            seen, certain = self._live.get(path), self._entries.get(path)
            kept = {Loss.LOST: False, Loss.KEPT: True}.get(loss, dice.random() < 0.5)
            file = certain if seen is certain or not kept else seen
            result[path] = file.surviving(loss, dice) if file is not None else None
        return result
