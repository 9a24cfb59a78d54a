"""Removing a folder, whatever a command has made of it: folders in folders without end, rights taken away.

Every folder below is brought up to the top before it is looked into. So no path grows too long, and one that
is nested as deep as a disk allows takes no more memory and descriptors than any other. Nor is anything
removed of what is mounted there, since the system moves no such place. Blocks.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..system import entropy

__all__ = ["remove_tree"]

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NAME_BYTES: Final = 16
#: Linux changes the rights of no link, and follows those that it is named.
_FOLLOWS: Final = os.chmod not in os.supports_follow_symlinks


def remove_tree(folder: Path) -> None:
    """Remove `folder`, which nobody uses any more; of a link, only the link. Raises OSError."""
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            folder.unlink()
            return
    except FileNotFoundError:
        return
    top = _opened(os.fspath(folder), None)
    try:
        names = _unknown_names()
        below = _lifted(top, top, names)
        while below:
            name = below.pop()
            below += _emptied(name, top, names)
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    folder.rmdir()


def _emptied(name: str, top: int, names: Iterator[str]) -> list[str]:
    """Remove or bring up what is in a folder at the top; the names of what was brought up."""
    try:
        opened = _opened(name, top)
    except PermissionError:
        # Another user's, as programs in containers leave them; it goes where it is empty.
        return []
    try:
        return _lifted(opened, top, names)
    finally:
        os.close(opened)


def _unknown_names() -> Iterator[str]:
    """Names that no command can have made."""
    mark, count = entropy(_NAME_BYTES).hex(), 0
    while True:
        count += 1
        yield f"{mark}-{count}"


def _opened(name: str, above: int | None) -> int:
    """A folder itself, with all rights for its owner if that is us. Raises OSError."""
    try:
        opened = os.open(name, _FOLDER, dir_fd=above)
    except PermissionError:
        _unlock(name, above)
        opened = os.open(name, _FOLDER, dir_fd=above)
    with suppress(OSError):
        os.fchmod(opened, 0o700)
    return opened


def _unlock(name: str, above: int | None) -> None:
    os.chmod(name, 0o700, dir_fd=above, follow_symlinks=_FOLLOWS)


def _lifted(folder: int, top: int, names: Iterator[str]) -> list[str]:
    """Remove what is no folder, and bring all folders up to `top`; their names there."""
    lifted = []
    with os.scandir(folder) as listed:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in listed]
    for name, is_folder in found:
        if not is_folder:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
            continue
        above = next(names)
        if _is_moved(name, folder, above, top):
            lifted.append(above)
    return lifted


def _is_moved(name: str, folder: int, above: str, top: int) -> bool:
    """Whether a folder was brought up; else it was empty, and is removed. Raises OSError."""
    try:
        os.rename(name, above, src_dir_fd=folder, dst_dir_fd=top)
    except PermissionError:
        try:
            _unlock(name, folder)
            os.rename(name, above, src_dir_fd=folder, dst_dir_fd=top)
        except PermissionError:
            # Of another user's, nobody else moves one to another place.
            os.rmdir(name, dir_fd=folder)
            return False
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        raise OSError(errno.EBUSY, "something is mounted in it; unmount that first") from error
    return True
