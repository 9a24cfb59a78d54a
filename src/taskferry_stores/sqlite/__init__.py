"""Stores in SQLite files, for one process each."""

from .audit_file import AuditFile, open_relay_audit
from .daemon import SqliteDaemonStore, open_daemon_store
from .files import IntegrityCheck
from .relay import SqliteRelayStore, open_relay_store

__all__ = [
    "AuditFile",
    "IntegrityCheck",
    "SqliteDaemonStore",
    "SqliteRelayStore",
    "open_daemon_store",
    "open_relay_audit",
    "open_relay_store",
]
