"""Opening a database file: the lock, its mode, what it is, its schema, its connections."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path

import attrs

from ..errors import StoreCorrupt, StoreError, StoreFailed, StoreLocked, StoreUnavailable, WrongStore
from .faults import no_space, translate, translate_os
from .migrations import Schema, migrate, require_known
from .soundness import has_shape_of

BUSY_MS = 5_000
"""How long we wait for a program that looks into the file, such as a backup."""
READERS_MS = 250
"""How long all commits wait for those who read the write-ahead log, so that it can begin anew."""
WAL_KEPT_BYTES = 64 * 1024 * 1024
"""What is left of the write-ahead log's file once it has been copied into the database."""

LEAST_FREE_BYTES = 64 * 1024
"""With less than this no database opens: the index of the write-ahead log alone takes 32 KiB."""
MAGIC = b"SQLite format 3\0"
"""What a database begins with, whosever it is."""
COPIED_PAGES = 4_096
"""Pages copied between two words on how far a copy is."""


class IntegrityCheck(StrEnum):
    """How closely a file is looked at before it is used. Both checks read all of it.

    FULL is for what others may have had in their hands: nothing but what the schema makes may stand in it.
    """

    NONE = "none"
    QUICK = "quick"
    FULL = "full"


@attrs.frozen
class Tuning:
    """How a kind of store uses its file. `erase` overwrites what is deleted, as a store of secrets must."""

    readers: int
    cache_bytes: int
    """Pages that its connections keep, together: half is the writer's, which looks most things up."""
    erase: bool


@attrs.frozen
class OpenFile:
    """An open database that nobody else may open but as a guest: one connection writes, some read."""

    path: Path
    writer: sqlite3.Connection
    readers: tuple[sqlite3.Connection, ...]
    lock: int | None
    """None for a guest, who keeps nobody out."""

    def close(self) -> None:
        """Close the connections, then let others in."""
        for connection in (*self.readers, self.writer):
            connection.close()
        if self.lock is not None:
            os.close(self.lock)


def open_file(path: Path, schema: Schema, tuning: Tuning, check: IntegrityCheck) -> OpenFile:
    """Open or create the database of `schema` at `path`; blocks.

    Raises a kind of `StoreUnavailable`, `StoreCorrupt`, `StoreFull` or `StoreFailed`.
    """
    with ExitStack() as undo:
        try:
            lock = take_lock(path)
            undo.callback(os.close, lock)
            _create_private(path)
            writer = _connect(path, tuning, tuning.cache_bytes // 2)
            undo.callback(writer.close)
            _prepare(writer, path, schema, check)
            reading = []
            for _ in range(tuning.readers):
                reading.append(_connect(path, tuning, tuning.cache_bytes // 2 // tuning.readers))
                undo.callback(reading[-1].close)
                reading[-1].execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            raise _why_not_opened(error, path) from error
        except OSError as error:
            raise translate_os(error, path) from error
        undo.pop_all()
        return OpenFile(path, writer, tuple(reading), lock)


def open_beside(path: Path, schema: Schema, tuning: Tuning) -> OpenFile:
    """Open the database of `schema` at `path` while another process holds it; nothing of it is changed.

    Raises a kind of `StoreUnavailable`, `StoreCorrupt`, `StoreFull` or `StoreFailed`.
    """
    if not path.exists():
        raise StoreUnavailable(f"There is no file {path}.")
    with ExitStack() as undo:
        try:
            opened = []
            for _ in range(1 + tuning.readers):
                opened.append(_connect(path, tuning, tuning.cache_bytes // (1 + tuning.readers)))
                undo.callback(opened[-1].close)
            writer, *readers = opened
            (application,) = writer.execute("PRAGMA application_id").fetchone()
            if application != schema.application_id:
                raise WrongStore(f"The file {path} is no {schema.name} store; name another file.")
            (version,) = writer.execute("PRAGMA user_version").fetchone()
            if version != schema.version:
                raise StoreUnavailable(
                    f"The program that has {path} open is of another version; restart it with this one."
                )
            writer.execute("PRAGMA synchronous = FULL")
            # The holder copies the log.
            writer.execute("PRAGMA wal_autocheckpoint = 0")
            for reader in readers:
                reader.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            raise translate(error, path) from error
        undo.pop_all()
        return OpenFile(path, writer, tuple(readers), None)


def begin_log_anew(writer: sqlite3.Connection) -> None:
    """Hold new readers of the log off until the last has gone, but not for one who goes on for long.

    A backup, or a look at all of the file, does, and nothing is committed meanwhile. Raises sqlite3.Error.
    """
    writer.execute(f"PRAGMA busy_timeout = {READERS_MS}")
    try:
        writer.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    finally:
        writer.execute(f"PRAGMA busy_timeout = {BUSY_MS}")


def bound_size(writer: sqlite3.Connection, most_bytes: int) -> None:
    """Let the file grow no further; one that is larger stays as it is. Raises sqlite3.Error."""
    (page,) = writer.execute("PRAGMA page_size").fetchone()
    writer.execute(f"PRAGMA max_page_count = {max(1, most_bytes // page)}")


def _why_not_opened(error: sqlite3.Error, path: Path) -> StoreError:
    """The store's error for SQLite's; on a full disk it speaks of trouble with reading and writing."""
    failure = translate(error, path)
    if isinstance(failure, StoreCorrupt) or not isinstance(failure, StoreFailed):
        return failure
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return failure
    return no_space(path) if disk.f_bavail * disk.f_frsize < LEAST_FREE_BYTES else failure


def take_lock(path: Path) -> int:
    """Take the lock file beside the database; it goes with the process, however that ends.

    A link to a database is the same database. Raises StoreLocked, and OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    real = path.resolve()
    lock = _locked(Path(f"{real}.lock"), f"Another process has {path} open; end it, or use another file.")
    give_to(lock, real.parent.stat())
    return lock


def give_to(file: int, whose: os.stat_result) -> None:
    """Let what root has made belong to whose something else is: it would keep that one out. Raises OSError.

    Whoever owns the folder may have put another file of root's in its place: not one with a second name.
    """
    if os.geteuid() == 0 and os.fstat(file).st_nlink == 1:
        os.fchown(file, whose.st_uid, whose.st_gid)


def _locked(path: Path, in_use: str) -> int:
    """A file of mode 0600, made if it is not there, that nobody else has so. Raises StoreLocked, OSError."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(file, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise StoreLocked(in_use) from error
    except OSError:
        os.close(file)
        raise
    return file


@contextmanager
def unfinished(path: Path, in_use: str) -> Iterator[None]:
    """An empty file of mode 0600 that nobody else writes meanwhile; unless it gets another name, it goes.

    What a killed writer left is used again. Raises StoreLocked, and OSError.
    """
    file = _locked(path, in_use)
    try:
        try:
            is_ours = os.path.samestat(os.fstat(file), os.stat(path))
        except FileNotFoundError:
            is_ours = False
        if not is_ours:
            # Whoever had it has finished in this moment.
            raise StoreLocked(in_use)
        try:
            os.ftruncate(file, 0)
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(file)


def _create_private(path: Path) -> None:
    """Make sure that the file is there and its owner's alone. SQLite gives its other files that mode."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Whatever the umask took away or an older program left open; not of a file that was named by mistake.
        if os.pread(file, len(MAGIC), 0) in (b"", MAGIC):
            os.fchmod(file, 0o600)
    finally:
        os.close(file)


def copy_database(
    connection: sqlite3.Connection, path: Path, progress: Callable[[int, int], None] | None = None
) -> None:
    """Copy all that a connection's snapshot shows to a new file, its owner's alone, and synchronise it.

    `progress` is told what is left and what there is in all, in pages.
    Raises sqlite3.Error, or a kind of `StoreUnavailable` or `StoreFull`.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise translate_os(error, path) from error
    try:
        fill_database(connection, path, progress)
    except BaseException:
        # What there was room for would be missed on a disk that is full.
        path.unlink(missing_ok=True)
        raise


def fill_database(
    connection: sqlite3.Connection, path: Path, progress: Callable[[int, int], None] | None = None
) -> None:
    """As `copy_database`, to an empty file that is there."""
    copy = sqlite3.connect(path, isolation_level=None)
    try:
        copy.execute("PRAGMA synchronous = FULL")
        # The snapshot is held meanwhile, and whoever writes goes on beside it.
        if progress is None:
            connection.backup(copy)
        else:
            connection.backup(copy, pages=COPIED_PAGES, progress=lambda _, left, pages: progress(left, pages))
        # One file, without a log beside it.
        copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        failure = _why_not_written(error, path)
        if failure is None:
            raise
        raise failure from error
    finally:
        copy.close()


#: Of what a copy is made is only read, so these are of the copy.
_WRITING = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_DIR_FSYNC,
        sqlite3.SQLITE_IOERR_TRUNCATE,
    }
)


def _why_not_written(error: sqlite3.Error, path: Path) -> StoreError | None:
    """What kept a copy from being written; None where it is what is copied that is at fault."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code not in _WRITING:
        return None
    if code == sqlite3.SQLITE_FULL:
        return no_space(path)
    return StoreUnavailable(f"The file {path} cannot be written ({error}); check its disk, or name another.")


def _connect(path: Path, tuning: Tuning, cache_bytes: int) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(f"PRAGMA cache_size = -{cache_bytes // 1024}")
        connection.execute(f"PRAGMA secure_delete = {int(tuning.erase)}")
    except BaseException:
        # Some of these read the file, which may fail; what is left open then would hold it.
        connection.close()
        raise
    return connection


def _prepare(writer: sqlite3.Connection, path: Path, schema: Schema, check: IntegrityCheck) -> None:
    """See that the file is ours and sound, make it durable, and bring its schema up to date."""
    (application,) = writer.execute("PRAGMA application_id").fetchone()
    (tables,) = writer.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application != schema.application_id:
        raise WrongStore(f"The file {path} is no {schema.name} store; name another file.")
    if check is not IntegrityCheck.NONE:
        pragma = "quick_check" if check is IntegrityCheck.QUICK else "integrity_check"
        ((verdict,),) = writer.execute(f"PRAGMA {pragma}(1)").fetchall()
        if verdict != "ok":
            raise StoreCorrupt(f"The file {path} is damaged ({verdict}); restore a backup of it.")
    require_known(writer, path, schema)
    # The write-ahead log survives a loss of power only if it is synchronised at every commit.
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA synchronous = FULL")
    writer.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
    # The engine copies the log itself, so that a failure to do so is noticed.
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    migrate(writer, path, schema)
    if check is IntegrityCheck.FULL and not has_shape_of(writer, schema):
        raise StoreCorrupt(f"The file {path} has other tables than this program makes; use another backup.")
