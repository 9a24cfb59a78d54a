"""What a database takes on its disk, and what is left there; a few system calls."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

__all__ = ["Disk", "disk_of"]


@attrs.frozen
class Disk:
    """In bytes: the database, its write-ahead log, and what is free for this user."""

    database: int
    log: int
    free: int


def disk_of(database: Path) -> Disk:
    """As it is now; 0 for what is not there."""
    return Disk(_size(database), _size(database.with_name(f"{database.name}-wal")), _free(database.parent))


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
