"""Trio so that one seed gives one run: time that jumps, tasks in seeded order, and no second thread.

Virtual time and worker threads do not mix, so what the stores do in threads happens here at once, in the one
thread that there is. That is patched for the length of a run, and in the simulation alone.
"""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from unittest.mock import patch

import trio
from trio.testing import MockClock

from .chance import Chance

__all__ = ["run_world"]

T = TypeVar("T")

#: Virtual time jumps as soon as every task waits.
_NO_WAIT: Final = 0.0
_scheduling: Final[Any] = trio._core._run


def run_world(chance: Chance, main: Callable[[], Awaitable[T]]) -> T:
    """Run `main` to its end in virtual time; the same seed, the same run."""
    clock = MockClock(autojump_threshold=_NO_WAIT)
    with _one_order(chance), patch.object(trio.to_thread, "run_sync", _inline), _no_collection():
        return trio.run(main, clock=clock)


@contextmanager
def _one_order(chance: Chance) -> Iterator[None]:
    """Tasks that could run at the same moment run in the seed's order."""
    kept = _scheduling._r.getstate()
    _scheduling._r.seed(chance.stream("scheduler").getrandbits(64))
    try:
        with patch.object(_scheduling, "_ALLOW_DETERMINISTIC_SCHEDULING", True):
            yield
    finally:
        _scheduling._r.setstate(kept)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Cycles go when a run is over: what a collector closes in between would depend on the process's past."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


async def _inline(
    function: Callable[..., T],
    *arguments: object,
    thread_name: str | None = None,
    abandon_on_cancel: bool = False,
    limiter: trio.CapacityLimiter | None = None,
) -> T:
    """As `trio.to_thread.run_sync`: others run before it, nothing cancels it once it has begun."""
    await trio.lowlevel.checkpoint()
    if limiter is None:
        return function(*arguments)
    async with limiter:
        await trio.lowlevel.cancel_shielded_checkpoint()
        return function(*arguments)
