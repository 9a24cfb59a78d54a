"""Stores in SQLite files, for one process each."""

from .files import IntegrityCheck
from .relay import SqliteRelayStore, open_relay_store

__all__ = [
    "IntegrityCheck",
    "SqliteRelayStore",
    "open_relay_store",
]
