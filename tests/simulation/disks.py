"""What outlives a program: its store, and what can go wrong with the disk under it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, Protocol

import attrs
import trio

from taskferry_protocol.records import Generation
from taskferry_stores.memory import MemoryDaemonStore, MemoryRelayStore
from taskferry_stores.port import StoreError, StoreFailed, StoreFull
from taskferry_stores.sqlite import open_daemon_store, open_relay_store
from tests.disk.disk import Call, Fault, faulty_disk
from tests.disk.disk import Kind as DiskCall

from .power import Power, PoweredStore

__all__ = ["Disk", "MemoryDisk", "SqliteDisk", "Trouble", "make_disk"]


@attrs.define
class Trouble:
    """What a disk suffers from just now."""

    full: bool = False
    slow_s: float = 0.0
    loses_sync: bool = False
    """The next commit fails; whether it counts is decided by `keeps`."""
    keeps: bool = False


class Disk(Protocol):
    """Opened once a life of the program that it belongs to."""

    trouble: Trouble

    def opened(self, power: Power) -> Any:
        """The store for one life: an async context manager, which ends as the life does."""

    async def copy(self) -> object:
        """A copy of all that is on it."""

    async def put_back(self, copy: object) -> None:
        """Go on from a copy. Nothing has it open."""

    async def renew(self, generation: Generation) -> None:
        """Say that what a relay has is an older copy, as its operator does. Nothing has it open."""

    def die_at(self, calls: int, happens: Callable[[], None]) -> None:
        """Let the power go with the n-th call of the disk from now on; a disk without calls never does."""

    def read(self) -> Any:
        """The store as it is, for whoever looks from outside while it is open."""


class MemoryDisk:
    """A memory store: what was committed stays."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.trouble = Trouble()
        self._store = make()
        self._failed = False

    @asynccontextmanager
    async def opened(self, power: Power) -> AsyncIterator[Any]:
        """The same store again."""
        self._failed = False
        yield _Failing(self._store, power, self)

    async def copy(self) -> object:
        """All of it."""
        return deepcopy(self._store)

    async def put_back(self, copy: object) -> None:
        """Go on from a copy."""
        self._store = deepcopy(copy)

    async def renew(self, generation: Generation) -> None:
        """A new generation."""
        await self._store.renew_generation(generation)

    def die_at(self, calls: int, happens: Callable[[], None]) -> None:
        """It has no calls that could be torn."""

    def read(self) -> Any:
        """The store itself."""
        return self._store

    async def before_commit(self) -> None:
        """What the disk has to say."""
        await suffer(self.trouble)


class _Failing(PoweredStore):
    """Fails for good once a synchronisation failed, as a real one does."""

    def __init__(self, inner: Any, power: Power, disk: MemoryDisk) -> None:
        super().__init__(inner, power, disk.before_commit)
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        value = super().__getattr__(name)
        if not callable(value):
            return value

        async def call(*arguments: object, **named: object) -> object:
            disk = self._disk
            if disk._failed:
                raise StoreFailed("Reading or writing failed; check the disk and start again.")
            if name == "commit" and disk.trouble.loses_sync:
                disk.trouble.loses_sync = False
                disk._failed = True
                if disk.trouble.keeps:
                    await value(*arguments, **named)
                raise StoreFailed("Writing failed; check the disk and start again.")
            return await value(*arguments, **named)

        setattr(self, name, call)
        return call


async def suffer(trouble: Trouble) -> None:
    """Wait as long as a slow disk takes, and fail as a full one does."""
    if trouble.slow_s:
        await trio.sleep(trouble.slow_s)
    if trouble.full:
        raise StoreFull("The disk is full: no space is left. Free some and start again.")


class SqliteDisk:
    """The real SQLite store on a file, over a layer that fails as told.

    Where a program was killed its file is as it was at that moment; where the power went, what was not
    synchronised is lost, kept or torn by seed.
    """

    def __init__(self, folder: Path, kind: str, generation: Generation, seed: int, under: ExitStack) -> None:
        self.trouble = Trouble()
        folder.mkdir(mode=0o700)
        self._path = folder / f"{kind}.db"
        self._kind = kind
        self._generation = generation
        self._store: Any = None
        self._power: Power | None = None
        self._layer = under.enter_context(faulty_disk(folder, seed=seed))
        self._layer.decide = self._decide
        self._dies_at: tuple[int, Callable[[], None]] | None = None

    @asynccontextmanager
    async def opened(self, power: Power) -> AsyncIterator[Any]:
        """Open what is there."""
        opening: Any = (
            open_relay_store(self._path, generation=self._generation)
            if self._kind == "relay"
            else open_daemon_store(self._path)
        )
        self._power = power
        try:
            store = await opening.__aenter__()
        except StoreError:
            if not power.is_on:
                self._layer.restore(power=power.lost_all)
            raise
        self._store = store
        try:
            yield PoweredStore(store, power, self.before_commit)
        finally:
            with trio.CancelScope(shield=True):
                if not power.is_on:
                    self._drop(store, power)
                await opening.__aexit__(None, None, None)
                if self._layer.is_off:  # it went while the file was being closed
                    self._layer.restore(power=power.lost_all)
            self._store = None

    def _drop(self, store: Any, power: Power) -> None:
        """End as a process does that is no more: nothing is written any more, and nothing tidied up."""
        store._engine._closed = True
        store._engine._released.set()
        self._layer.cut_power()
        try:
            store._engine._file.close()
        finally:
            self._layer.restore(power=power.lost_all)

    def die_at(self, calls: int, happens: Callable[[], None]) -> None:
        """Let the power go with the n-th call of the disk from now on."""
        self._dies_at = (self._layer.calls + calls, happens)

    def _decide(self, call: Call) -> Fault | None:
        power = self._power
        if (
            self._dies_at is not None
            and call.number >= self._dies_at[0]
            and power is not None
            and power.is_on
        ):
            happens = self._dies_at[1]
            self._dies_at = None
            happens()
            power.lose()
            return Fault.POWER
        if self.trouble.full and call.kind in (DiskCall.WRITE, DiskCall.SHARE):
            return Fault.SHORT if call.number % 3 == 0 else Fault.FULL
        if self.trouble.loses_sync and call.kind is DiskCall.SYNC:
            self.trouble.loses_sync = False
            return Fault.ERROR
        return None

    async def copy(self) -> object:
        """The files as they are."""
        return {path: path.read_bytes() for path in self._files() if path.exists()}

    async def put_back(self, copy: object) -> None:
        """Go on from a copy."""
        assert isinstance(copy, dict)
        for path in self._files():
            path.unlink(missing_ok=True)
        for path, data in copy.items():
            path.write_bytes(data)

    def _files(self) -> tuple[Path, ...]:
        return (self._path, self._path.with_name(self._path.name + "-wal"))

    async def renew(self, generation: Generation) -> None:
        """A new generation."""
        async with open_relay_store(self._path, generation=generation) as store:
            await store.renew_generation(generation)

    def read(self) -> Any:
        """The open store."""
        return self._store

    async def before_commit(self) -> None:
        """A slow disk takes its time; the rest is the layer's."""
        if self.trouble.slow_s:
            await trio.sleep(self.trouble.slow_s)


def make_disk(
    kind: str, program: str, name: str, folder: Path, generation: Generation, under: ExitStack, seed: int
) -> Disk:
    """A disk for a relay or a daemon, by the kind of store; what it needs is closed with `under`."""
    if kind == "sqlite":
        return SqliteDisk(folder / name, program, generation, seed, under)
    if program == "relay":
        return MemoryDisk(lambda: MemoryRelayStore(generation))
    return MemoryDisk(MemoryDaemonStore)
