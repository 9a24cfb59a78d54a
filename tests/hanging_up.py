"""Callers that hang up while they wait for the so-manieth time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

__all__ = ["hung_up"]


class _Hand(trio.abc.Instrument):
    """Cancels what a task does once it has waited so often."""

    def __init__(self, task: trio.lowlevel.Task, scope: trio.CancelScope, waits: int) -> None:
        self._task = task
        self._scope = scope
        self._left = waits

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        """One that waited goes on."""
        if task is self._task:
            self._left -= 1
            if not self._left:
                self._scope.cancel()


async def hung_up(call: Callable[[], Awaitable[object]], waits: int) -> bool:
    """Make a call, and hang up behind its wait of this number, from 1 on; whether it came to nothing."""
    with trio.CancelScope() as scope:
        hand = _Hand(trio.lowlevel.current_task(), scope, waits)
        trio.lowlevel.add_instrument(hand)
        try:
            await call()
        finally:
            trio.lowlevel.remove_instrument(hand)
    return scope.cancelled_caught
