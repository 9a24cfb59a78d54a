"""Reading the audit log of a database file beside the program that runs on it; nothing is written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from taskferry_protocol.audit import AuditChain
from taskferry_protocol.records import AuditRow, Order, Page, Place

from ..errors import WrongStore
from . import audit
from .faults import translate, translate_os
from .files import BUSY_MS
from .relay import APPLICATION_ID

__all__ = ["AuditFile", "open_relay_audit"]


class AuditFile:
    """The audit log as it was when the file was opened, whatever is written meanwhile."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, kind: str | None, after: Place | None, limit: int, order: Order) -> Page[AuditRow]:
        """Entries by number, of one kind or of all."""
        return audit.rows(self._connection, kind, after, limit, order)

    def chain(self) -> AuditChain:
        """Where the log begins and ends."""
        return audit.chain(self._connection)


@contextmanager
def open_relay_audit(path: Path) -> Iterator[AuditFile]:
    """The audit log of a relay's file; blocks.

    Raises a kind of `StoreUnavailable`, `StoreCorrupt` or `StoreFailed`.
    """
    try:
        path.stat()
        with closing(
            sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, isolation_level=None)
        ) as connection:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            if application != APPLICATION_ID:
                raise WrongStore(f"The file {path} is no relay store; name another file.")
            connection.execute("BEGIN")
            if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'audit'").fetchone() is None:
                raise WrongStore(f"The file {path} has no audit log yet; start the relay once.")
            yield AuditFile(connection)
    except sqlite3.Error as error:
        raise translate(error, path) from error
    except OSError as error:
        raise translate_os(error, path) from error
