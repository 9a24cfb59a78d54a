"""Fixtures: a store of each kind. A new adapter is one more name in `RELAYS` and `DAEMONS`."""

from contextlib import asynccontextmanager

import pytest

from taskferry_stores.memory import MemoryDaemonStore, MemoryRelayStore
from taskferry_stores.sqlite import open_daemon_store, open_relay_store

from .samples import GENERATION


@asynccontextmanager
async def _memory_relay(folder):
    store = MemoryRelayStore(GENERATION)
    yield store
    await store.aclose()


@asynccontextmanager
async def _memory_daemon(folder):
    store = MemoryDaemonStore()
    yield store
    await store.aclose()


RELAYS = {
    "memory": _memory_relay,
    "sqlite": lambda folder: open_relay_store(folder / "relay.db", generation=GENERATION),
}
DAEMONS = {
    "memory": _memory_daemon,
    "sqlite": lambda folder: open_daemon_store(folder / "daemon.db"),
}


@pytest.fixture(params=sorted(RELAYS))
async def relay(request, tmp_path):
    """A relay's store of every kind."""
    async with RELAYS[request.param](tmp_path) as store:
        yield store


@pytest.fixture(params=sorted(DAEMONS))
async def daemon(request, tmp_path):
    """A daemon's store of every kind."""
    async with DAEMONS[request.param](tmp_path) as store:
        yield store
