"""How much a command has written into its folder: looked at, for no limit of the system does."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import trio

__all__ = ["excess_of", "size_of", "watch_size"]

_EVERY_S: Final = 1.0
#: Files and folders that one run may leave: more fill a disk's tables, however small they are.
_MOST_ENTRIES: Final = 100_000
_HIDDEN: Final = frozenset({errno.ENAMETOOLONG, errno.EACCES})


def size_of(folder: Path, most: int) -> int:
    """Bytes that a folder takes on the disk, links not followed; counted no further than past `most`.

    Too many files count as too many bytes, and so does a folder that cannot be looked into, for the length of
    its path or for want of a right. What vanishes meanwhile counts nothing. Blocks.
    """
    return _measured(folder, most)[0]


def excess_of(folder: Path, most: int) -> str:
    """What a command has done where its folder has more than it may, for a sentence; else empty. Blocks."""
    return _measured(folder, most)[1]


def _measured(folder: Path, most: int) -> tuple[int, str]:
    size = entries = 0
    folders = [os.fspath(folder)]
    while folders:
        try:
            with _listed(folders.pop()) as listed:
                for path, found in listed:
                    entries += 1
                    if found is None:
                        continue
                    size += found.st_blocks * 512
                    if stat.S_ISDIR(found.st_mode):
                        folders.append(path)
                    if size > most:
                        return size, f"it wrote more than {most:,} bytes into its folder"
                    if entries > _MOST_ENTRIES:
                        return most + 1, f"it left more than {_MOST_ENTRIES:,} files in its folder"
        except OSError as error:
            if error.errno in _HIDDEN:
                why = os.strerror(error.errno)
                return most + 1, f"it left a folder in its folder that cannot be looked into ({why})"
    return size, ""


@contextmanager
def _listed(folder: str) -> Iterator[Iterator[tuple[str, os.stat_result | None]]]:
    """Path of each entry, and what it is; None where it has vanished. Raises OSError."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with os.scandir(opened) as entries:
            yield ((f"{folder}/{entry.name}", _stat(entry.name, opened)) for entry in entries)
    finally:
        os.close(opened)


def _stat(name: str, folder: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


async def watch_size(folder: Path, most: int, excess: Callable[[str], None]) -> None:
    """Tell `excess` once the folder takes more than `most` bytes, and why; until then, look every second."""
    while True:
        why = await trio.to_thread.run_sync(excess_of, folder, most)
        if why:
            excess(why)
            return
        await trio.sleep(_EVERY_S)
