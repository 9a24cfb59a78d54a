"""Files that only their owner may read, written so that a crash leaves the old one or the new, never a half.

Modes are set at creation, whatever the umask; a folder or file that others can read is refused or put right.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = [
    "WHEREABOUTS",
    "DataInUse",
    "UnsafeFile",
    "hold_directory",
    "is_directory_held",
    "make_private_directory",
    "read_private",
    "sync_folder",
    "write_private",
]

WHEREABOUTS: Final = "daemon.json"
"""The file in a held directory that says where its daemon listens, as soon as it does."""

#: How often a held directory is tried again before it counts as in use, and how many seconds apart.
_TRIES: Final = 5
_BETWEEN_S: Final = 0.02


class UnsafeFile(Exception):
    """A secret's file or folder that others may read or that is not ours; the text gives the remedy."""


class DataInUse(Exception):
    """Another process holds the data directory."""


def make_private_directory(path: Path) -> None:
    """Make `path` a folder of mode 0700 of ours, its parents as usual. Raises UnsafeFile, OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    found = path.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise UnsafeFile(f"{path} is not a folder.")
    if found.st_uid != os.geteuid():
        raise UnsafeFile(f"{path} belongs to another user; choose another folder with --data.")
    if stat.S_IMODE(found.st_mode) != 0o700:
        path.chmod(0o700)


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` by `content` with mode 0600, durably: written beside, synced, renamed, folder synced."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make durable what stands under which name in `folder`. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_private(path: Path) -> bytes:
    """The content of a secret's file. Raises UnsafeFile if others may read it, FileNotFoundError, OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(stream.fileno())
        if found.st_uid != os.geteuid():
            raise UnsafeFile(f"{path} belongs to another user.")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise UnsafeFile(
                f"{path} may be read by others; what it holds may be known. Run: chmod 600 {path}"
            )
        return stream.read()


@contextmanager
def hold_directory(data: Path) -> Iterator[None]:
    """Hold `data` for this process while the context lasts: it is told of no daemon before. Raises DataInUse.

    The lock is the system's (flock), so it goes with the process, however that ends.
    """
    descriptor = os.open(data / "daemon.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            _lock(descriptor)
        except BlockingIOError:
            holder = _holder(data)
            raise DataInUse(
                f"Another daemon is running with the data directory {data}"
                + (f", process {holder}. Stop it with `kill {holder}`" if holder else ". Stop it")
                + ", or choose another with --data."
            ) from None
        # What a killed daemon has written would send programs, and their credentials, to its former port.
        (data / WHEREABOUTS).unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)


def _holder(data: Path) -> int | None:
    """The process that holds the directory, as it has written there; None where it has not yet."""
    try:
        told = json.loads((data / WHEREABOUTS).read_bytes())
        return int(told["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _lock(descriptor: int) -> None:
    # Whoever only looks has the lock for a moment, too: try again before it counts as held.
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(_BETWEEN_S)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_directory_held(data: Path) -> bool:
    """Whether a process holds `data`: a daemon that runs, or starts. Nothing is made there."""
    try:
        descriptor = os.open(data / "daemon.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
