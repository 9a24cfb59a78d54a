"""Copies of a database from before its schema was changed: a way back for a while, and then they go."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs

__all__ = ["FormerCopy", "former_copies", "remove_former"]

_BLOCK: Final = bytes(1_048_576)


@attrs.frozen
class FormerCopy:
    """One copy: where it is, its size, and when it was made, in seconds since 1970."""

    path: Path
    size: int
    made_at: float


def former_copies(path: Path) -> tuple[FormerCopy, ...]:
    """Those beside the database at `path`, the oldest first, and what a crash left of one. Raises OSError."""
    name = re.compile(rf"{re.escape(path.name)}\.before-\d+(\.part)?")
    found = []
    for entry in os.scandir(path.parent) if path.parent.is_dir() else ():
        if name.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            # One that has just been removed is not there.
            with suppress(FileNotFoundError):
                about = entry.stat(follow_symlinks=False)
                found.append(FormerCopy(Path(entry.path), about.st_size, about.st_mtime))
    return tuple(sorted(found, key=lambda copy: (copy.made_at, copy.path)))


def remove_former(path: Path, made_before: float, but: Path | None = None) -> tuple[Path, ...]:
    """Remove the copies beside `path` that were made before a time, other than `but`; those that went.

    What stood in them is overwritten first: on a disk that writes in place no more is left of them than of
    what the database itself has erased. What cannot be removed stays for the next time.
    """
    gone = []
    with suppress(OSError):
        for copy in former_copies(path):
            if copy.made_at < made_before and copy.path != but:
                with suppress(OSError):
                    _erase(copy.path)
                    gone.append(copy.path)
    return tuple(gone)


def _erase(path: Path) -> None:
    file = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        about = os.fstat(file)
        # A file with another name is somebody's to keep.
        if stat.S_ISREG(about.st_mode) and about.st_nlink == 1:
            left = about.st_size
            while left > 0:
                left -= os.write(file, _BLOCK[:left])
            os.fsync(file)
    finally:
        os.close(file)
    path.unlink()
