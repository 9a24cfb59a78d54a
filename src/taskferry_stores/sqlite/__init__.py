"""Stores in SQLite files, for one process each."""

from .backups import (
    Manifest,
    back_up_relay,
    compact_relay,
    manifest_path,
    read_manifest,
    restore_relay,
    verify_manifest,
)
from .daemon import SqliteDaemonStore, open_daemon_store
from .files import IntegrityCheck
from .peeking import (
    AUDITED_SCHEMA,
    PeekedStore,
    peek_daemon,
    peek_relay,
    peek_upgraded_relay,
    relay_schema,
)
from .relay import SqliteRelayStore, open_relay_store, open_relay_store_beside

__all__ = [
    "AUDITED_SCHEMA",
    "IntegrityCheck",
    "Manifest",
    "PeekedStore",
    "SqliteDaemonStore",
    "SqliteRelayStore",
    "back_up_relay",
    "compact_relay",
    "manifest_path",
    "open_daemon_store",
    "open_relay_store",
    "open_relay_store_beside",
    "peek_daemon",
    "peek_relay",
    "peek_upgraded_relay",
    "read_manifest",
    "relay_schema",
    "restore_relay",
    "verify_manifest",
]
