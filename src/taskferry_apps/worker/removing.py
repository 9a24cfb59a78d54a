"""Removing a folder, whatever a command has made of it: folders in folders without end, rights taken away.

Every folder below is brought up to the top before it is looked into. So no path grows too long, and one that
is nested as deep as a disk allows takes no more memory and descriptors than any other. Blocks.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from ..system import entropy

__all__ = ["remove_tree"]

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NAME_BYTES: Final = 16


def remove_tree(folder: Path) -> None:
    """Remove `folder`, which nobody uses any more; of a link, only the link. Raises OSError."""
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            folder.unlink()
            return
    except FileNotFoundError:
        return
    folder.chmod(0o700)
    top = os.open(folder, _FOLDER)
    try:
        # No command can have made these names.
        mark, count = entropy(_NAME_BYTES).hex(), 0
        below = _emptied(top)
        while below:
            name = below.pop()
            opened = os.open(name, _FOLDER, dir_fd=top)
            try:
                for one in _emptied(opened):
                    count += 1
                    below.append(f"{mark}-{count}")
                    os.rename(one, below[-1], src_dir_fd=opened, dst_dir_fd=top)
            finally:
                os.close(opened)
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    folder.rmdir()


def _emptied(folder: int) -> list[str]:
    """Remove what is no folder; the names of the folders, which their owner has all rights to now."""
    folders = []
    with os.scandir(folder) as listed:
        names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in listed]
    for name, is_folder in names:
        if is_folder:
            os.chmod(name, 0o700, dir_fd=folder)
            folders.append(name)
        else:
            os.unlink(name, dir_fd=folder)
    return folders
