"""A relay's backups: one file and its manifest, made beside the relay, looked at, and put back.

The file is a database of its own, which appears when it is whole; its manifest stands before it. All of this
blocks, and raises the errors of the port.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import attrs

from taskferry_protocol.audit import AuditNote
from taskferry_protocol.ids import Instant
from taskferry_protocol.records import Generation

from ..errors import StoreCorrupt, StoreUnavailable, WrongStore
from . import audit, relay_reads
from .faults import translate, translate_os
from .files import BUSY_MS, fill_database, give_to, take_lock, unfinished
from .migrations import apply_steps, load_schema, require_known, synchronise
from .peeking import read_only
from .relay import APPLICATION_ID
from .relay_writes import write_generation
from .soundness import faults_of_relay

__all__ = [
    "Manifest",
    "back_up_relay",
    "compact_relay",
    "manifest_path",
    "read_manifest",
    "restore_relay",
    "verify_manifest",
]

FORMAT: Final = "taskferry-relay-backup/1"
#: How every SQLite file begins (sqlite.org/fileformat.html, section 1.3).
_MAGIC: Final = b"SQLite format 3\0"
_PIECE: Final = 1_048_576
#: A manifest has some 300 bytes.
_MANIFEST_BYTES: Final = 4_096
#: In milliseconds; nobody shows a later time, and no backup has as many bytes.
_YEAR_10000: Final = 253_402_300_800_000

Progress = Callable[[int, int], None]
"""Told what is done and what there is in all, in any unit."""


@attrs.frozen
class Manifest:
    """What a backup is. `size` in bytes; `generation` is the relay's when it was taken."""

    taken_at: Instant
    schema: int
    generation: Generation
    size: int
    sha256: bytes


def manifest_path(backup: Path) -> Path:
    """Where a backup's manifest stands."""
    return backup.with_name(f"{backup.name}.manifest.json")


def back_up_relay(database: Path, target: Path, taken_at: Instant, progress: Progress) -> Manifest:
    """Copy a relay's database to a new file, whether it runs or not; the copy is looked at before it counts.

    Raises StoreUnavailable where `target` is there already, StoreCorrupt where the copy is not sound.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        with unfinished(part, f"Another backup is being written to {target}; name another file."):
            return _back_up(database, part, target, taken_at, progress)
    except OSError as error:
        raise translate_os(error, target) from error


def _back_up(database: Path, part: Path, target: Path, taken_at: Instant, progress: Progress) -> Manifest:
    manifest = manifest_path(target)
    for taken in (target, manifest):
        if taken.exists():
            raise StoreUnavailable(f"The file {taken} exists already; name another.")
    try:
        with read_only(database, "relay", APPLICATION_ID) as source:
            fill_database(source, part, lambda left, pages: progress(pages - left, pages))
        with read_only(part, "relay", APPLICATION_ID) as copy:
            _require_sound(copy, database)
            (version,) = copy.execute("PRAGMA user_version").fetchone()
            generation = relay_reads.generation(copy)
        if generation is None:
            raise StoreUnavailable(f"The file {database} is not complete yet; start the relay once.")
        synchronise(part)
        size, digest = _digest(part, lambda _, __: None)
        made = Manifest(taken_at, version, generation, size, digest)
        _write_manifest(manifest, made)
        part.rename(target)
        synchronise(target.parent)
    except OSError:
        manifest.unlink(missing_ok=True)
        raise
    return made


def _require_sound(connection: sqlite3.Connection, path: Path) -> None:
    schema = load_schema("relay", APPLICATION_ID)
    require_known(connection, path, schema)
    found = faults_of_relay(connection, schema)
    if found:
        raise StoreCorrupt(f"The database {path} is not sound: {found[0]}. Nothing was written.")


def _digest(path: Path, progress: Progress) -> tuple[int, bytes]:
    whole, done = hashlib.sha256(), 0
    size = path.stat().st_size
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            whole.update(piece)
            done += len(piece)
            progress(done, size)
    return done, whole.digest()


# --- manifests --------------------------------------------------------------------------------------------


def _write_manifest(path: Path, manifest: Manifest) -> None:
    content = {
        "format": FORMAT,
        "taken_at": manifest.taken_at,
        "schema": manifest.schema,
        "generation": manifest.generation.hex(),
        "size": manifest.size,
        "sha256": manifest.sha256.hex(),
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(content, stream, indent=2)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())


def read_manifest(backup: Path) -> Manifest | None:
    """What a backup's manifest says; None where it has none. Raises StoreCorrupt."""
    path = manifest_path(backup)
    try:
        with path.open("rb") as stream:
            content = json.loads(stream.read(_MANIFEST_BYTES))
        if content["format"] != FORMAT:
            raise ValueError("another format")
        numbers = [content[name] for name in ("taken_at", "schema", "size")]
        if not all(type(number) is int and 0 <= number < _YEAR_10000 for number in numbers):
            raise ValueError("no numbers")
        taken_at, schema, size = numbers
        generation, sha256 = (bytes.fromhex(content[name]) for name in ("generation", "sha256"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise translate_os(error, path) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise StoreCorrupt(f"The manifest {path} cannot be read; take another backup.") from error
    return Manifest(Instant(taken_at), schema, Generation(generation), size, sha256)


def verify_manifest(backup: Path, progress: Progress) -> Manifest | None:
    """The manifest, if the backup is byte for byte what it says; None without one. Raises StoreCorrupt."""
    manifest = read_manifest(backup)
    try:
        if manifest is not None and _digest(backup, progress) != (manifest.size, manifest.sha256):
            raise _changed(backup)
    except OSError as error:
        raise translate_os(error, backup) from error
    return manifest


def _changed(backup: Path) -> StoreCorrupt:
    return StoreCorrupt(f"The backup {backup} is not what its manifest says; use another backup.")


# --- putting back -----------------------------------------------------------------------------------------


def restore_relay(
    backup: Path, database: Path, generation: Generation, note: AuditNote, aside: Path, progress: Progress
) -> bool:
    """Put a backup in a relay's place, with a new generation; whether there was a database before.

    That one is kept as `aside`, a new name. Nothing has changed until the last step, which is one renaming.
    Raises StoreLocked while a relay runs, StoreCorrupt where backup or database are damaged.
    """
    log = backup.with_name(f"{backup.name}-wal")
    # Where a link names it, the link goes on to name what is put back.
    database = database.resolve()
    part = database.with_name(f".{database.name}.restored")
    try:
        if log.exists() and log.stat().st_size:
            raise StoreUnavailable(
                f"{log} lies beside the backup, so that was copied from a database in use. Take one with: "
                "taskferry relay backup FILE"
            )
        with _locked(database), _cleared(part):
            manifest = read_manifest(backup)
            copied = _copy(backup, part, progress)
            if manifest is not None and copied != (manifest.size, manifest.sha256):
                raise _changed(backup)
            _renew(part, backup, generation, note)
            held = database.exists()
            if held:
                _settle(database)
                _keep(database, aside)
            _take_place(part, database)
    except sqlite3.Error as error:
        raise translate(error, backup) from error
    except OSError as error:
        raise translate_os(error, database) from error
    return held


@contextmanager
def _cleared(part: Path) -> Iterator[None]:
    """Nothing stands here before, and nothing is left behind."""
    try:
        _clear(part)
        yield
    finally:
        _clear(part)


def _clear(part: Path) -> None:
    for left in (part, *_beside(part)):
        left.unlink(missing_ok=True)


def _take_place(part: Path, database: Path) -> None:
    """Give a file the name of a database, and its owner if we may: whoever worked on that goes on."""
    file = os.open(part, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        give_to(file, (database if database.exists() else database.parent).stat())
        os.fsync(file)
    finally:
        os.close(file)
    part.replace(database)
    synchronise(database.parent)


def _beside(path: Path) -> tuple[Path, ...]:
    return tuple([path.with_name(f"{path.name}-{kind}") for kind in ("wal", "journal", "shm")])


@contextmanager
def _locked(database: Path) -> Iterator[None]:
    lock = take_lock(database)
    try:
        yield
    finally:
        os.close(lock)


def _copy(source: Path, target: Path, progress: Progress) -> tuple[int, bytes]:
    """The bytes as they are, since those are what the manifest speaks of."""
    whole, done = hashlib.sha256(), 0
    size = source.stat().st_size
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with source.open("rb") as stream, os.fdopen(descriptor, "wb") as copy:
        while piece := stream.read(_PIECE):
            whole.update(piece)
            copy.write(piece)
            done += len(piece)
            progress(done, size)
        copy.flush()
        os.fsync(copy.fileno())
    return done, whole.digest()


def _renew(path: Path, backup: Path, generation: Generation, note: AuditNote) -> None:
    """See that the copy is a sound relay's database, bring it up to date, and begin its generation."""
    with closing(sqlite3.connect(path, isolation_level=None)) as copy:
        (application,) = copy.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION_ID:
            raise WrongStore(f"The file {backup} is no relay store; name another file.")
        _require_sound(copy, backup)
        copy.execute("PRAGMA journal_mode = DELETE")
        copy.execute("PRAGMA synchronous = FULL")
        apply_steps(copy, load_schema("relay", APPLICATION_ID))
        copy.execute("BEGIN IMMEDIATE")
        write_generation(copy, generation)
        audit.append(copy, note)
        copy.execute("COMMIT")
    synchronise(path)


def _settle(database: Path) -> None:
    """Bring what stands in the write-ahead log into the file; another file would be read with it."""
    with database.open("rb") as stream:
        is_database = stream.read(len(_MAGIC)) == _MAGIC
    # SQLite throws away the log of what is no database to it; it is not ours to lose.
    if is_database:
        try:
            with closing(sqlite3.connect(database, isolation_level=None)) as held:
                held.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
                (application,) = held.execute("PRAGMA application_id").fetchone()
                if application not in {0, APPLICATION_ID}:
                    raise WrongStore(f"The file {database} is no relay store; name another with --db.")
                held.execute("PRAGMA journal_mode = DELETE").fetchone()
        except sqlite3.Error as error:
            failure = translate(error, database)
            if not isinstance(failure, StoreCorrupt):
                raise failure from error
    # The third file beside it is made anew by whoever opens it first.
    if any(path.exists() and path.stat().st_size for path in _beside(database)[:2]):
        raise StoreCorrupt(
            f"The database {database} cannot be closed well. Move it, and the files beside it that "
            "begin with its name, to another folder, and restore again."
        )


def _keep(database: Path, aside: Path) -> None:
    try:
        os.link(database, aside)
    except FileExistsError:
        raise
    except OSError:
        # Not every file system has a second name for a file.
        shutil.copy2(database, aside)
        synchronise(aside)


def compact_relay(database: Path) -> tuple[int, int]:
    """Write a relay's database anew without the room that it does not use; its bytes before and after.

    Raises StoreLocked while a relay runs, since nothing could be written meanwhile.
    """
    database = database.resolve()
    before = database.stat().st_size
    try:
        part = database.with_name(f".{database.name}.compacted")
        with _locked(database), _cleared(part):
            _settle(database)
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            with closing(sqlite3.connect(database, isolation_level=None)) as held:
                # In its own place it would make its copy wherever the system keeps temporary files.
                held.execute("VACUUM INTO ?", (str(part),))
            _take_place(part, database)
            return before, database.stat().st_size
    except sqlite3.Error as error:
        raise translate(error, database) from error
    except OSError as error:
        raise translate_os(error, database) from error
