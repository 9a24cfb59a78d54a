"""How a database file is, beside the program that runs on it or without one."""

from __future__ import annotations

import sqlite3
from typing import Final

from taskferry_protocol.records import StoreReport

__all__ = ["examine", "examine_index"]

#: From this version on SQLite's own check looks into an index of words as well.
_LOOKS_INSIDE: Final = (3, 44)
_DAMAGED: Final = "the index of words is damaged"


def examine(connection: sqlite3.Connection) -> StoreReport:
    """What SQLite finds when it reads all of the file, the schema's version, and the size in bytes."""
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    return StoreReport(verdict, version, pages * page)


def examine_index(connection: sqlite3.Connection) -> str:
    """What is wrong in the index of words, "ok" for nothing. Writes nothing, but takes the writer's turn."""
    if sqlite3.sqlite_version_info >= _LOOKS_INSIDE:
        return "ok"
    try:
        connection.execute("INSERT INTO search (search) VALUES ('integrity-check')")
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        return _DAMAGED
    return "ok"
