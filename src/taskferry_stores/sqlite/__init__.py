"""Stores in SQLite files, for one process each."""

from .daemon import SqliteDaemonStore, open_daemon_store
from .files import IntegrityCheck
from .peeking import PeekedStore, peek_daemon, peek_relay
from .relay import SqliteRelayStore, open_relay_store, open_relay_store_beside

__all__ = [
    "IntegrityCheck",
    "PeekedStore",
    "SqliteDaemonStore",
    "SqliteRelayStore",
    "open_daemon_store",
    "open_relay_store",
    "open_relay_store_beside",
    "peek_daemon",
    "peek_relay",
]
