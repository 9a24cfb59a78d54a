"""Folded account logs: the store holds the statements, this keeps what they come to at hand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

import trio

from taskferry_protocol.accounts import AccountLog, Steps, fold_in_steps, refold_in_steps, whole
from taskferry_protocol.ids import AccountId
from taskferry_stores.port import DaemonStore

from .bounds import BOUNDS

__all__ = ["LogBook", "continued", "continued_in_turns", "shown_log"]

KEPT: Final = BOUNDS.logs_held
KEPT_BYTES: Final = BOUNDS.logs_held_bytes
#: What of a log goes into an envelope: it leaves room for a request or its answer, and for padding.
_SHOWN_BYTES: Final = 200_000


class LogBook:
    """Reads through to the store. What is put here stands in the store already."""

    def __init__(self, store: DaemonStore) -> None:
        self._store = store
        self._logs: OrderedDict[AccountId, AccountLog] = OrderedDict()
        self._names: dict[AccountId, str] = {}
        self._sizes: dict[AccountId, int] = {}
        self._bytes = 0
        self._turn = 0

    async def get(self, account: AccountId) -> AccountLog | None:
        """The pinned log of an account, None if there is none."""
        found = await self._find(account)
        return found[0] if found is not None else None

    async def owner_name(self, account: AccountId) -> str | None:
        """What the owner of a pinned log is called here: not as the log says where another was first."""
        found = await self._find(account)
        return found[1] if found is not None else None

    async def _find(self, account: AccountId) -> tuple[AccountLog, str] | None:
        if account not in self._logs:
            turn = self._turn
            pinned = (await self._store.accounts((account,))).get(account)
            if pinned is None:
                return None
            if account not in self._logs:
                log = await _in_turns(refold_in_steps(pinned.record.statements))
                if turn != self._turn:
                    # Something was committed meanwhile: this may be what it has replaced.
                    return log, pinned.record.name
                self.put(log, pinned.record.name)
        self._logs.move_to_end(account)
        return self._logs[account], self._names[account]

    def put(self, log: AccountLog, name: str | None = None) -> None:
        """Keep a log that has just been committed, under another name than its own if given."""
        self._turn += 1
        self._logs[log.account] = log
        self._names[log.account] = name or log.state.name
        self._logs.move_to_end(log.account)
        size = sum(map(len, log.statements))
        self._bytes += size - self._sizes.get(log.account, 0)
        self._sizes[log.account] = size
        # The one that was put stays, whatever its size: whoever put it reads it next.
        while len(self._logs) > KEPT or (self._bytes > KEPT_BYTES and len(self._logs) > 1):
            forgotten, _ = self._logs.popitem(last=False)
            del self._names[forgotten]
            self._bytes -= self._sizes.pop(forgotten)

    def drop(self, account: AccountId) -> None:
        """Forget what the store has forgotten."""
        self._turn += 1
        if self._logs.pop(account, None) is not None:
            del self._names[account]
            self._bytes -= self._sizes.pop(account)


def shown_log(log: AccountLog) -> tuple[bytes, ...]:
    """The first statements of a log, as many as an envelope has room for; the rest the relay has."""
    sizes = accumulate(map(len, log.statements))
    return tuple(raw for raw, size in zip(log.statements, sizes, strict=True) if size <= _SHOWN_BYTES)


def continued(held: AccountLog | None, start: int, statements: Sequence[bytes]) -> AccountLog:
    """The log that `statements`, which stand from index `start` on, make of the one held.

    What is held of them already is compared, not verified again. Raises RemoteProtocolError as `fold` does.
    """
    return whole(_continued(held, start, statements))


async def continued_in_turns(held: AccountLog | None, start: int, statements: Sequence[bytes]) -> AccountLog:
    """As `continued`, with a turn for everybody else after each step: the longest log takes seconds."""
    return await _in_turns(_continued(held, start, statements))


async def _in_turns(steps: Steps[AccountLog]) -> AccountLog:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            log: AccountLog = done.value
            return log
        await trio.lowlevel.checkpoint()


def _continued(held: AccountLog | None, start: int, statements: Sequence[bytes]) -> Steps[AccountLog]:
    if held is None:
        return fold_in_steps(statements)
    overlap = max(0, held.state.length - start)
    if held.statements[start:] == tuple(statements[:overlap]):
        return held.extend_in_steps(statements[overlap:])
    return fold_in_steps((*held.statements[:start], *statements))
