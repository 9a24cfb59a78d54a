"""Schemas as numbered .sql files, applied in order; an existing file is copied before it is changed."""

from __future__ import annotations

import math
import os
import sqlite3
from importlib import resources
from pathlib import Path

import attrs

from ..errors import StoreTooNew, StoreUnavailable
from .former import remove_former


@attrs.frozen
class Schema:
    """The steps that make a database, from nothing to now. `application_id` marks its files."""

    name: str
    application_id: int
    steps: tuple[str, ...]

    @property
    def version(self) -> int:
        """The number of the last step, which is what `PRAGMA user_version` says afterwards."""
        return len(self.steps)


def load_schema(name: str, application_id: int) -> Schema:
    """Read `schema/<name>/NNNN_*.sql`; the numbers run from 0001 without a gap."""
    folder = resources.files(__package__) / "schema" / name
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    numbers = [int(file.name[:4]) for file in files]
    if numbers != list(range(1, len(files) + 1)):
        raise StoreUnavailable(f"The {name} schema's files are not complete; install the program again.")
    return Schema(name, application_id, tuple(file.read_text("utf-8") for file in files))


def require_known(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    """Refuse a file that a later version of this program has changed; nothing is written to it."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > schema.version:
        raise StoreTooNew(
            f"The file {path} was written by a newer version of this program"
            f" (schema {version}, known {schema.version}); install that version."
        )


def migrate(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    """Apply the steps that are missing, all or none; first comes a copy of the file.

    Then the copies of earlier times have had theirs.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    copy = path.with_name(f"{path.name}.before-{schema.version}")
    is_older = 0 < version < schema.version
    if is_older:
        back_up(connection, copy)
    apply_steps(connection, schema)
    if is_older:
        remove_former(path, math.inf, copy)


def apply_steps(connection: sqlite3.Connection, schema: Schema) -> None:
    """Apply the steps that are missing, all or none: a file between two versions would be copied over the
    copy of what it was. Raises sqlite3.Error.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == schema.version:
        return
    missing = "\n".join(schema.steps[version:])
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{missing}\n"
            f"PRAGMA application_id = {schema.application_id};\n"
            f"PRAGMA user_version = {schema.version};\nCOMMIT;"
        )
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def back_up(connection: sqlite3.Connection, target: Path) -> None:
    """Copy the whole database to `target`, which appears when it is complete, for its owner alone.

    Raises sqlite3.Error and OSError.
    """
    unfinished = target.with_name(f"{target.name}.part")
    unfinished.unlink(missing_ok=True)
    file = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.fchmod(file, 0o600)
    os.close(file)
    copy = sqlite3.connect(unfinished)
    try:
        connection.backup(copy)
        copy.close()
        synchronise(unfinished)
    except BaseException:
        copy.close()
        # What there was room for would be missed on a disk that is full.
        unfinished.unlink(missing_ok=True)
        raise
    unfinished.replace(target)
    # The copy is there before the database is changed, whenever the power goes.
    synchronise(target.parent)


def synchronise(path: Path) -> None:
    """Make a file, or a folder's names, durable. Raises OSError."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
