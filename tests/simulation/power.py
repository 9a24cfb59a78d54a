"""One life of a program: everything that it does to the world goes through here, until it is killed.

Between two such touches a program changes nothing that outlives it, so a kill at each of them is a kill at
any moment. After it no code of the program has an effect, whatever its `finally` blocks try.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import trio

from taskferry_apps.daemon.beginning import Beginning
from taskferry_apps.daemon.keys import KeyRing
from tests.daemon.worlds import MemoryVault

from .company import of_commit

__all__ = ["Meter", "Power", "PowerCut", "PoweredStore", "PoweredVault"]


class PowerCut(BaseException):
    """The program is no more. No handler of its own may catch this."""


@attrs.define
class Meter:
    """How often a program has touched the world, over all its lives, and at which touches it dies."""

    kills: dict[int, Callable[[], None]] = attrs.field(factory=dict)
    """By the number of the touch: what to do when that kill comes, told to the trace."""
    touches: int = 0
    together: Counter[str] = attrs.field(factory=Counter)
    """How much its commits held, by kind and size."""


@attrs.define(eq=False)
class Power:
    """On until cut."""

    meter: Meter
    is_on: bool = True
    lost_all: bool = False
    """Whether it was the machine that went, not the program alone: nobody is told, and memory is lost."""
    _scopes: list[trio.CancelScope] = attrs.field(factory=list)
    _when_cut: list[Callable[[], None]] = attrs.field(factory=list)

    def touch(self) -> None:
        """The program is about to change the world, or just has. Raises PowerCut."""
        if not self.is_on:
            raise PowerCut
        self.meter.touches += 1
        killed = self.meter.kills.pop(self.meter.touches, None)
        if killed is not None:
            killed()
            self.cut()
            raise PowerCut

    def cut(self) -> None:
        """Kill the program at this very moment."""
        if self.is_on:
            self.is_on = False
            for scope in self._scopes:
                scope.cancel()
            for then in self._when_cut:
                then()

    def lose(self) -> None:
        """The machine itself goes dark."""
        if self.is_on:
            self.lost_all = True
            self.cut()

    def when_cut(self, then: Callable[[], None]) -> None:
        """Have something done at the cut: the machine's sockets close, say."""
        self._when_cut.append(then)

    @contextmanager
    def feeding(self) -> Iterator[trio.CancelScope]:
        """What runs in here ends when the power does, without an error."""
        with trio.CancelScope() as scope:
            self._scopes.append(scope)
            if not self.is_on:
                scope.cancel()
            try:
                yield scope
            finally:
                self._scopes.remove(scope)


class PoweredStore:
    """A store as one life of a program sees it; `before_commit` is what its disk has to say."""

    def __init__(self, inner: object, power: Power, before_commit: Callable[[], Awaitable[None]]) -> None:
        self._inner = inner
        self._power = power
        self._before_commit = before_commit

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(value):
            return value

        async def call(*arguments: object, **named: object) -> object:
            self._power.touch()
            if name == "commit":
                self._power.meter.together.update(of_commit(arguments[0]))  # type: ignore[arg-type]
                await self._before_commit()
                self._power.touch()
            result = await value(*arguments, **named)
            self._power.touch()
            return result

        setattr(self, name, call)
        return call


class PoweredVault:
    """Keys as one life of a daemon sees them."""

    kind = "files"

    def __init__(self, inner: MemoryVault, power: Power) -> None:
        self._inner = inner
        self._power = power

    async def load(self) -> KeyRing | None:
        """The keys."""
        self._power.touch()
        return await self._inner.load()

    async def save(self, ring: KeyRing) -> None:
        """Keep the keys."""
        self._power.touch()
        await self._inner.save(ring)
        self._power.touch()

    async def load_beginning(self) -> Beginning | None:
        """A set-up under way."""
        self._power.touch()
        return await self._inner.load_beginning()

    async def save_beginning(self, beginning: Beginning | None) -> None:
        """Keep or forget it."""
        self._power.touch()
        await self._inner.save_beginning(beginning)
        self._power.touch()
