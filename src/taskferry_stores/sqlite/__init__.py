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
from .peeking import PeekedStore, peek_daemon, peek_relay
from .relay import SqliteRelayStore, open_relay_store, open_relay_store_beside

__all__ = [
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
    "read_manifest",
    "restore_relay",
    "verify_manifest",
]
