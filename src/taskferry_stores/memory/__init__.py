"""Stores that live as long as their process: for tests, demonstrations and the harness."""

from .daemon import MemoryDaemonStore
from .relay import MemoryRelayStore

__all__ = ["MemoryDaemonStore", "MemoryRelayStore"]
