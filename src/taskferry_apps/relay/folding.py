"""Folding logs in the task that serves everybody: step by step, and everybody else has a turn between two.

The longest log takes seconds to fold. However many sessions have one folded, the loop is held up by one
step, of a few milliseconds, and no log waits for the whole of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import trio

from taskferry_protocol.accounts import Steps

__all__ = ["VERIFIED", "Turns", "price"]

T = TypeVar("T")

#: What a rotation of keys takes, the commonest statement. Time goes by bytes: a `recover` takes twenty times
#: as long and is twenty times as long.
_USUAL_BYTES: Final = 320
#: How many times as long a statement takes whose signatures are verified.
VERIFIED: Final = 4


def price(statements: Sequence[bytes]) -> int:
    """What folding these costs, in statements of the usual length."""
    return max(len(statements), sum([len(raw) for raw in statements]) // _USUAL_BYTES)


class Turns:
    """Of all work that is done in steps, one step is done in each round of the loop, by one after another."""

    def __init__(self) -> None:
        self._turn = trio.Lock()

    async def work(self, steps: Steps[T]) -> T:
        """Do all the steps; others have their turn before each. Nothing is waited for after the last."""
        while True:
            await self._turn.acquire()
            try:
                next(steps)
            except StopIteration as done:
                result: T = done.value
                return result
            finally:
                self._turn.release()
