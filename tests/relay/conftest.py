"""A real relay in this process, over memory links, on a memory store and on SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

from taskferry_apps import system
from taskferry_apps.relay.core import Policy, Relay
from taskferry_apps.relay_client import RelayClient, open_relay
from taskferry_protocol.frame_items import Cursor, Entry, Mail, Outcome, Window
from taskferry_protocol.ids import Instant
from taskferry_protocol.records import Generation, RelayChange, RelayResult
from taskferry_protocol.sessions import LogExtension
from taskferry_stores.memory import MemoryRelayStore
from taskferry_stores.port import RelayStore, StoreError
from taskferry_stores.sqlite import open_relay_store
from taskferry_transports.memory import MemoryNetwork

from .people import Person, connect, person

ORIGIN = "ws://relay.test:80"
GENERATION = Generation(bytes(range(16)))


@attrs.define
class Clock:
    """Real time, and what a test adds to it."""

    ahead_ms: int = 0

    def now(self) -> Instant:
        """The time as everybody in a test sees it."""
        return Instant(system.now() + self.ahead_ms)


@attrs.define
class World:
    """A relay, the way to it, and two owners who know each other."""

    store: RelayStore
    relay: Relay
    network: MemoryNetwork
    clock: Clock
    alice: Person
    bob: Person

    def open(
        self,
        who: Person,
        *,
        cursor: Cursor | None = None,
        log: LogExtension | None = None,
        window: Window | None = None,
        origin: str = ORIGIN,
        ticket: str = "",
    ) -> AbstractAsyncContextManager[RelayClient]:
        """A session of a person's device."""
        return self._open(who, cursor, log, window, origin, ticket)

    @asynccontextmanager
    async def _open(
        self,
        who: Person,
        cursor: Cursor | None,
        log: LogExtension | None,
        window: Window | None,
        origin: str,
        ticket: str,
    ) -> AsyncIterator[RelayClient]:
        transport = await self.network.dial()
        async with open_relay(
            transport,
            who.identity,
            origin=origin,
            log=who.extension if log is None else log,
            cursor=cursor,
            window=window,
            ticket=ticket,
            now=self.clock.now,
        ) as client:
            yield client

    @property
    def now(self) -> Instant:
        """The time."""
        return self.clock.now()

    async def introduce(self) -> None:
        """Both owners join, and connect their agents."""
        async with self.open(self.bob), self.open(self.alice) as client:
            await client.call(connect(self.alice, self.bob, self.now))


@asynccontextmanager
async def serving(store: RelayStore, policy: Policy, clock: Clock | None = None) -> AsyncIterator[World]:
    """A relay on this store, until the block ends."""
    clock = clock or Clock()
    relay = Relay(store, policy, now=clock.now)
    network = MemoryNetwork()
    now = clock.now()
    async with trio.open_nursery() as nursery:
        await nursery.start(relay.run)
        await nursery.start(network.serve, relay.handle)
        yield World(store, relay, network, clock, person("alice", 1, now), person("bob", 2, now))
        nursery.cancel_scope.cancel()


class PausedStore(MemoryRelayStore):
    """A store whose disk is busy, or fails, for as long as a test wants it to."""

    def __init__(self) -> None:
        super().__init__(GENERATION)
        self.fault: StoreError | None = None
        self.gate = trio.Event()
        self.gate.set()

    async def commit(self, changes: Sequence[RelayChange]) -> tuple[RelayResult, ...]:
        """Wait for the gate, then commit or fail."""
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return await super().commit(changes)


@asynccontextmanager
async def opened(kind: str, folder: Path) -> AsyncIterator[RelayStore]:
    """A store of a kind."""
    if kind == "memory":
        yield MemoryRelayStore(GENERATION)
    else:
        async with open_relay_store(folder / "relay.db", generation=GENERATION) as store:
            yield store


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, tmp_path):
    """Each kind of store."""
    async with opened(request.param, tmp_path) as store:
        yield store


@pytest.fixture
async def world(store):
    """A relay with two owners who have not joined yet."""
    async with serving(store, Policy([ORIGIN])) as world:
        yield world


@pytest.fixture
async def friends(world):
    """The same, its two agents connected."""
    await world.introduce()
    return world


async def take(client: RelayClient, count: int) -> list[Entry]:
    """The next `count` entries, acknowledged."""
    entries: list[Entry] = []
    while len(entries) < count:
        with trio.fail_after(20):
            entries.extend(await client.deliveries())
        await client.ack(entries[-1].offset)
    return entries


def mails(entries: list[Entry]) -> list[Mail]:
    """The envelopes among them."""
    return [entry for entry in entries if isinstance(entry, Mail)]


def codes(outcomes: tuple[Outcome, ...]) -> list[str]:
    """`accepted`, or the code of each refusal."""
    return [getattr(outcome, "code", "accepted") for outcome in outcomes]
