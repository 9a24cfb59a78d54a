"""Messages that wait for the lock at the same time are posted in one commit.

A synchronised write costs much the same however much it writes, and so does a round of the outbox. Of those
who wait, the first that gets the lock fills one draft for all. What is refused is taken out of it again, and
what passes between two agents is counted as it goes in, so that a breaker lets no more of a crowd through.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from itertools import islice
from typing import Final

import attrs
import trio

from taskferry_protocol.records import DaemonChange

from .core import Core
from .draft import Draft, Posted
from .lasting import apart, note_lasting
from .steps import record_of

__all__ = ["Together"]

#: Messages of one commit: those behind them wait for some 40 milliseconds' sealing and one write.
MOST: Final = 128
#: Others get their turn after so many, since nothing here has to wait for anything.
BREATH: Final = 8

Fill = Callable[[Draft], Awaitable[Posted]]
"""Puts one message into a draft, or raises and is forgotten."""


@attrs.define(eq=False)
class _Waiting:
    """One message. It is recorded in the context of the request that sends it."""

    fill: Fill
    context: Context
    outcome: Posted | Exception | None = None
    gone: bool = False
    """Whether nobody waits for it any more."""


class Together:
    """Posts the messages of one daemon."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._waiting: deque[_Waiting] = deque()
        # One of all that wait stands at the lock: what settles and takes mail has every other turn there.
        self._turn = trio.Lock()

    async def post(self, fill: Fill) -> Posted:
        """Fill a draft with one message and commit it, perhaps with others. Raises what `fill` raises."""
        (outcome,) = await self.post_all([(fill, copy_context())])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def post_all(self, messages: Sequence[tuple[Fill, Context]]) -> list[Posted | Exception]:
        """The same for many, each recorded in its own context; what each gave or raised, in their order."""
        mine = [_Waiting(fill, context) for fill, context in messages]
        self._waiting.extend(mine)
        try:
            while any(one.outcome is None for one in mine):
                async with self._turn:
                    if any(one.outcome is None for one in mine):
                        async with self._core.lock:
                            with apart():
                                await self._lead()
        finally:
            for one in mine:
                if one.outcome is None:
                    one.gone = True
                    self._waiting.remove(one)
        return [one.outcome for one in mine if one.outcome is not None]

    async def _lead(self) -> None:
        """Commit the first of those that wait. Cancelled before that, nothing is done and they wait on."""
        draft = Draft(self._core)
        filled: list[tuple[_Waiting, Posted, list[DaemonChange]]] = []
        for waiting in tuple(islice(self._waiting, MOST)):
            if waiting.gone:
                continue
            mark = draft.mark()
            try:
                posted = await waiting.fill(draft)
            except Exception as error:  # noqa: BLE001 - it is the caller's, whose task has it raised
                draft.back_to(mark)
                self._settle(waiting, error)
                continue
            filled.append((waiting, posted, draft.changes[mark.changes :]))
            if len(filled) % BREATH == 0:
                await trio.lowlevel.checkpoint()
        if not filled:
            return
        for waiting, _, added in filled:
            draft.add(*waiting.context.run(record_of, added, draft.now))
        try:
            await draft.commit_as_it_is()
        except Exception as error:  # noqa: BLE001 - likewise: nothing of it is stored
            for waiting, _, _ in filled:
                self._settle(waiting, error)
        else:
            for waiting, posted, _ in filled:
                waiting.context.run(note_lasting)
                self._settle(waiting, posted)

    def _settle(self, waiting: _Waiting, outcome: Posted | Exception) -> None:
        waiting.outcome = outcome
        if waiting in self._waiting:
            self._waiting.remove(waiting)
