"""How much a command has written into its folder: looked at, for no limit of the system does."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

__all__ = ["size_of", "watch_size"]

_EVERY_S: Final = 1.0
#: Files and folders that one run may leave: more fill a disk's tables, however small they are.
_MOST_ENTRIES: Final = 100_000


def size_of(folder: Path, most: int) -> int:
    """Bytes that a folder takes on the disk, links not followed; counted no further than past `most`.

    Too many files count as too many bytes. What vanishes meanwhile counts nothing. Blocks.
    """
    size = entries = 0
    folders = [os.fspath(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as listed:
                for entry in listed:
                    entries += 1
                    try:
                        found = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    size += found.st_blocks * 512
                    if stat.S_ISDIR(found.st_mode):
                        folders.append(entry.path)
                    if size > most or entries > _MOST_ENTRIES:
                        return max(size, most + 1)
        except OSError:
            continue
    return size


async def watch_size(folder: Path, most: int, excess: Callable[[], None]) -> None:
    """Call `excess` once the folder takes more than `most` bytes; until then, look every second."""
    while True:
        if await trio.to_thread.run_sync(size_of, folder, most) > most:
            excess()
            return
        await trio.sleep(_EVERY_S)
