"""Looking into a database file beside the program that runs on it, or without one; nothing is written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from taskferry_protocol.audit import AuditChain
from taskferry_protocol.records import AuditRow, Order, Page, Place, StoreReport

from ..errors import WrongStore
from . import audit, ledger
from .daemon import APPLICATION_ID as DAEMON
from .examining import examine
from .faults import translate, translate_os
from .files import BUSY_MS
from .relay import APPLICATION_ID as RELAY

__all__ = ["PeekedStore", "peek_daemon", "peek_relay"]


class PeekedStore:
    """What stands in a file as it was when it was opened, whatever is written meanwhile."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def audit_rows(self, kind: str | None, after: Place | None, limit: int, order: Order) -> Page[AuditRow]:
        """Audit entries by number, of one kind or of all."""
        return audit.rows(self._connection, kind, after, limit, order)

    def audit_chain(self) -> AuditChain:
        """Where the audit log begins and ends."""
        return audit.chain(self._connection)

    def report(self) -> StoreReport:
        """How the file is; reads all of it."""
        return examine(self._connection)

    def setting(self, key: str) -> bytes | None:
        """A setting."""
        return ledger.settings(self._connection, (key,)).get(key)


@contextmanager
def peek_relay(path: Path) -> Iterator[PeekedStore]:
    """A relay's file; blocks. Raises a kind of `StoreUnavailable`, `StoreCorrupt` or `StoreFailed`."""
    with _peek(path, "relay", RELAY) as store:
        yield store


@contextmanager
def peek_daemon(path: Path) -> Iterator[PeekedStore]:
    """A daemon's file; blocks. Raises a kind of `StoreUnavailable`, `StoreCorrupt` or `StoreFailed`."""
    with _peek(path, "daemon", DAEMON) as store:
        yield store


@contextmanager
def _peek(path: Path, kind: str, application_id: int) -> Iterator[PeekedStore]:
    try:
        path.stat()
        name = f"file:{quote(str(path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(name, uri=True, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            if application != application_id:
                raise WrongStore(f"The file {path} is no {kind} store; name another file.")
            connection.execute("BEGIN")
            if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'audit'").fetchone() is None:
                raise WrongStore(f"The file {path} has no audit log yet; start its program once.")
            yield PeekedStore(connection)
    except sqlite3.Error as error:
        raise translate(error, path) from error
    except OSError as error:
        raise translate_os(error, path) from error
