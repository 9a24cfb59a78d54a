"""How a database file is, beside the program that runs on it or without one."""

from __future__ import annotations

import sqlite3

from taskferry_protocol.records import StoreReport

__all__ = ["examine"]


def examine(connection: sqlite3.Connection) -> StoreReport:
    """What SQLite finds when it reads all of the file, the schema's version, and the size in bytes."""
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    return StoreReport(verdict, version, pages * page)
