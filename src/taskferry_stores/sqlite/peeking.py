"""Looking into a database file beside the program that runs on it, or without one; nothing is written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import attrs

from taskferry_protocol.audit import AuditChain
from taskferry_protocol.ids import AccountId
from taskferry_protocol.records import AccountRecord, AuditRow, Order, Page, Place, StoreReport

from ..errors import WrongStore
from . import audit, ledger
from .daemon import APPLICATION_ID as DAEMON
from .examining import examine
from .faults import translate, translate_os
from .files import BUSY_MS
from .migrations import apply_steps, back_up, load_schema, require_known
from .relay import APPLICATION_ID as RELAY
from .soundness import faults_of_relay

__all__ = [
    "AUDITED_SCHEMA",
    "PeekedStore",
    "SignedRow",
    "peek_daemon",
    "peek_relay",
    "peek_upgraded_relay",
    "read_only",
    "relay_schema",
]

#: The first schema of a relay's file with an audit log; older ones cannot be looked into as they are.
AUDITED_SCHEMA = 3


_SIGNED: Final = {
    "envelope": ("envelopes", "SELECT s.hash, e.raw FROM envelopes e JOIN seen s ON s.n = e.n"),
    "card": ("cards", "SELECT NULL, raw FROM cards"),
    "connection-request": ("connections", "SELECT request, request_raw FROM connections"),
    "connection-accept": ("connections", "SELECT NULL, accept_raw FROM connections"),
    "connection-end": ("connections", "SELECT NULL, end_raw FROM connections WHERE end_raw <> x''"),
    "grant": ("grants", "SELECT NULL, raw FROM grants"),
    "invite": ("invites", "SELECT NULL, raw FROM invites"),
}


@attrs.frozen
class SignedRow:
    """Signed bytes, what they were signed as, and the SHA-256 that they are known by, if by one."""

    kind: str
    hash: bytes | None
    raw: bytes = attrs.field(repr=False)


class PeekedStore:
    """What stands in a file as it was when it was opened, whatever is written meanwhile."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def audit_rows(self, kind: str | None, after: Place | None, limit: int, order: Order) -> Page[AuditRow]:
        """Audit entries by number, of one kind or of all."""
        return audit.rows(self._connection, kind, after, limit, order)

    def audit_chain(self) -> AuditChain:
        """Where the audit log begins and ends."""
        return audit.chain(self._connection)

    def faults(self) -> tuple[str, ...]:
        """What is wrong with a relay's file, in a few words each; reads all of it. Raises StoreTooNew."""
        schema = load_schema("relay", RELAY)
        require_known(self._connection, self._path, schema)
        return faults_of_relay(self._connection, schema)

    def account_logs(self, after: int, limit: int) -> tuple[int, tuple[AccountRecord, ...]]:
        """Accounts with their logs as they came, and where to go on; 0 begins and ends."""
        rows = self._connection.execute(
            "SELECT n FROM accounts WHERE n > ? ORDER BY n LIMIT ?", (after, limit)
        ).fetchall()
        found = ledger.accounts_by_number(self._connection, [n for (n,) in rows])
        return (rows[-1][0] if len(rows) == limit else 0), tuple(found.values())

    def keys_named(self, account: AccountId) -> frozenset[bytes]:
        """The keys under which a relay takes an account for known."""
        rows = self._connection.execute(
            "SELECT k.key FROM account_keys k JOIN accounts a ON a.n = k.account WHERE a.id = ?", (account,)
        )
        return frozenset([key for (key,) in rows])

    def signed(self) -> Iterator[SignedRow]:
        """What a relay holds as it was signed, account logs aside."""
        held = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_schema")}
        for kind, (table, query) in _SIGNED.items():
            if table in held:
                for hash, raw in self._connection.execute(query):
                    yield SignedRow(kind, hash, raw)

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


def relay_schema(path: Path) -> int:
    """The schema of a relay's file; blocks. Raises what `peek_relay` raises."""
    with read_only(path, "relay", RELAY) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


@contextmanager
def peek_upgraded_relay(path: Path, scratch: Path) -> Iterator[PeekedStore]:
    """As `peek_relay`, of a copy in the folder `scratch` that is brought up to date; `path` stays as it is.

    Raises besides StoreTooNew, and StoreFull where the copy finds no room.
    """
    copy = scratch / path.name
    schema = load_schema("relay", RELAY)
    with read_only(path, "relay", RELAY) as connection:
        require_known(connection, path, schema)
        back_up(connection, copy)
    try:
        with closing(sqlite3.connect(copy, isolation_level=None)) as upgraded:
            apply_steps(upgraded, schema)
    except sqlite3.Error as error:
        raise translate(error, path) from error
    with peek_relay(copy) as store:
        yield store


@contextmanager
def peek_daemon(path: Path) -> Iterator[PeekedStore]:
    """A daemon's file; blocks. Raises a kind of `StoreUnavailable`, `StoreCorrupt` or `StoreFailed`."""
    with _peek(path, "daemon", DAEMON) as store:
        yield store


@contextmanager
def _peek(path: Path, kind: str, application_id: int) -> Iterator[PeekedStore]:
    with read_only(path, kind, application_id) as connection:
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'audit'").fetchone() is None:
            raise WrongStore(f"The file {path} has no audit log yet; start its program once.")
        yield PeekedStore(connection, path)


@contextmanager
def read_only(path: Path, kind: str, application_id: int) -> Iterator[sqlite3.Connection]:
    """A snapshot of a file. Raises a kind of `StoreUnavailable`, `StoreCorrupt` or `StoreFailed`."""
    try:
        path.stat()
        name = f"file:{quote(str(path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(name, uri=True, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            if application != application_id:
                raise WrongStore(f"The file {path} is no {kind} store; name another file.")
            connection.execute("BEGIN")
            # The snapshot begins with the first read.
            connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
            yield connection
    except sqlite3.Error as error:
        raise translate(error, path) from error
    except OSError as error:
        raise translate_os(error, path) from error
