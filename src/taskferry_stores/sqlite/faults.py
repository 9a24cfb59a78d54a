"""SQLite's errors, and the operating system's, in the words of the port."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from ..errors import (
    StoreCorrupt,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreUnavailable,
)


def no_space(path: Path) -> StoreFull:
    """The disk, or its owner's share of it, is full."""
    return StoreFull(f"The disk is full: no space is left for {path}. Free some and start again.")


def translate(error: sqlite3.Error, path: Path) -> StoreError:
    """The store's error for SQLite's; what is not foreseen is a `StoreFailed`."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return no_space(path)
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return StoreCorrupt(f"The file {path} is damaged ({error}); restore a backup of it.")
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreLocked(f"Another program keeps {path} locked; end it and try again.")
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
        return StoreReadOnly(f"The file {path} or its folder cannot be written; make them writable.")
    if code == sqlite3.SQLITE_CANTOPEN:
        return StoreReadOnly(f"The file {path} cannot be opened ({error}); check its folder's permissions.")
    return StoreFailed(f"Reading or writing {path} failed ({error}); check the disk and start again.")


def translate_os(error: OSError, path: Path) -> StoreError:
    """The store's error for the operating system's, met before SQLite has the file."""
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return StoreReadOnly(f"The file {path} or its folder cannot be written; make them writable.")
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return no_space(path)
    return StoreUnavailable(f"The file {path} cannot be opened: {error.strerror}; name another file.")


def is_fault_of_storage(error: BaseException) -> bool:
    """Whether disk or file are to blame, not what was asked of them."""
    return isinstance(error, sqlite3.Error) and not isinstance(
        error,
        (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError),
    )


def no_thread(path: Path, error: RuntimeError) -> StoreUnavailable:
    """The system gives no thread to write in; nothing was written."""
    return StoreUnavailable(f"There is no thread to write {path} in ({error}); let there be more processes.")
