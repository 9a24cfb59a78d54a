"""Steps of the clock: it was set, or the machine slept. No time has passed then for the programs at work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import PutRuntime
from taskferry_protocol.runtimes import carried_over

if TYPE_CHECKING:
    from .core import Core

__all__ = ["ClockSteps", "carry_over", "look_at_clock"]

#: Less is a clock that is being put right bit by bit, and costs nobody a lease.
_LEAST_MS: Final = 5_000


class ClockSteps:
    """Compares the clock with one that nobody sets. A step is told once."""

    def __init__(self, now: Callable[[], Instant], uptime: Callable[[], float]) -> None:
        self._now = now
        self._uptime = uptime
        self._apart = self._measured()

    @property
    def step_ms(self) -> int:
        """By how much the clock has gone ahead, or back, of the time that has passed; 0 if it has not."""
        step = self._measured() - self._apart
        return step if abs(step) >= _LEAST_MS else 0

    def took(self, step_ms: int) -> None:
        """From here on this step is past."""
        self._apart += step_ms

    def _measured(self) -> int:
        return int(self._now() - self._uptime() * 1_000)


async def carry_over(core: Core) -> None:
    """Leave programs what they had of their leases before a step of the clock; the core's lock is held."""
    step = 0 if core.steps is None else core.steps.step_ms
    if core.steps is None or not step:
        return
    now = core.now()
    moved = [carried_over(runtime, step, now) for runtime in await core.store.runtimes(None)]
    changes = [PutRuntime(runtime) for runtime in moved if runtime is not None]
    if changes:
        await core.commit(changes)
    core.steps.took(step)
    # Who waits for somebody's time to be over has counted on the old one.
    core.feed.ring()


async def look_at_clock(core: Core) -> None:
    """The same, for who does not hold the lock."""
    if core.steps is not None and core.steps.step_ms:
        async with core.lock:
            await carry_over(core)
