"""What a database takes on its disk, and what is left there; a few system calls."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import attrs

__all__ = ["Disk", "disk_of", "full_disk_words"]

#: For a relay, which may be handed much in an hour.
_WANTED: Final = 500_000_000
#: With less than this a daemon does not start.
_LITTLE: Final = 1_000_000


@attrs.frozen
class Disk:
    """In bytes: the database, its write-ahead log, and what is free for this user."""

    database: int
    log: int
    free: int

    @property
    def is_short(self) -> bool:
        """Whether a relay's operator should make room before it is full."""
        return self.free < max(_WANTED, self.database // 4)


def disk_of(database: Path) -> Disk:
    """As it is now; 0 for what is not there."""
    return Disk(_size(database), _size(database.with_name(f"{database.name}-wal")), _free(database.parent))


def full_disk_words(folder: Path) -> str:
    """What to do first where a daemon has ended since its disk is full; "" where that cannot be why."""
    return "" if _free(folder) >= _LITTLE else " Its disk is full: free some space first."


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _free(folder: Path) -> int:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return 0
    return disk.f_bavail * disk.f_frsize
