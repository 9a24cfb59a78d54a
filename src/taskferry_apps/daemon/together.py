"""Messages that wait for the lock at the same time are posted in one commit.

A synchronised write costs much the same however much it writes, and so does a round of the outbox. Of those
who wait, the first that gets the lock fills one draft for all. Each has a branch of its own, so that one that
is refused leaves nothing behind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from itertools import islice
from typing import Final

import attrs

from taskferry_protocol.ids import AgentRef
from taskferry_protocol.records import CountExchange, DaemonChange

from .core import Core
from .draft import Draft, Posted
from .steps import record_of

__all__ = ["Together"]

#: Messages of one commit: those behind them wait for a few milliseconds' sealing and one write.
MOST: Final = 32

Fill = Callable[[Draft], Awaitable[Posted]]
"""Puts one message into a draft, or raises and is forgotten."""


@attrs.define(eq=False)
class _Waiting:
    """One message. It is recorded in the context of the request that sends it."""

    fill: Fill
    context: Context = attrs.field(factory=copy_context)
    outcome: Posted | Exception | None = None


class Together:
    """Posts the messages of one daemon."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._waiting: deque[_Waiting] = deque()

    async def post(self, fill: Fill) -> Posted:
        """Fill a draft with one message and commit it, perhaps with others. Raises what `fill` raises."""
        mine = _Waiting(fill)
        self._waiting.append(mine)
        try:
            while mine.outcome is None:
                async with self._core.lock:
                    if mine.outcome is None:
                        await self._lead()
        finally:
            if mine in self._waiting:
                self._waiting.remove(mine)
        if isinstance(mine.outcome, Exception):
            raise mine.outcome
        return mine.outcome

    async def _lead(self) -> None:
        """Commit the first of those that wait. Cancelled before that, nothing is done and they wait on."""
        draft = Draft(self._core)
        filled: list[tuple[_Waiting, Posted, list[DaemonChange]]] = []
        between: set[tuple[AgentRef, AgentRef]] = set()
        for waiting in tuple(islice(self._waiting, MOST)):
            branch = draft.branch()
            before = len(branch.changes)
            try:
                posted = await waiting.fill(branch)
            except Exception as error:  # noqa: BLE001 - it is the caller's, whose task has it raised
                self._settle(waiting, error)
                continue
            added = branch.changes[before:]
            pairs = {
                (change.exchange.mine, change.exchange.peer)
                for change in added
                if isinstance(change, CountExchange)
            }
            # What passed between two agents counts once it is committed, and another may be one too many.
            if pairs & between:
                continue
            between |= pairs
            draft.join(branch)
            filled.append((waiting, posted, added))
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
                self._settle(waiting, posted)

    def _settle(self, waiting: _Waiting, outcome: Posted | Exception) -> None:
        waiting.outcome = outcome
        if waiting in self._waiting:
            self._waiting.remove(waiting)
