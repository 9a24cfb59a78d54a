"""What one account may cause at the relay, whatever recipients grant it: entries a minute, and its turn.

A batch is refused here before anything of it is read. What waits for the disk is counted by account, so that
one that floods waits for the disk by itself, while everybody else's mail goes with the next commit.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from taskferry_protocol.ids import AccountId, Instant
from taskferry_protocol.rates import RateState, take

from .limits import USUAL
from .lru import Lru

__all__ = ["Allowance", "Senders"]

WAITING_OF_ONE: Final = USUAL.waiting_of_one
HELD: Final = USUAL.senders_held


K = TypeVar("K", bound=Hashable)


class Allowance(Generic[K]):
    """So many of something a minute for each account, or whatever is counted."""

    def __init__(self, per_minute: int) -> None:
        self._rate = per_minute
        self._spent: Lru[K, RateState] = Lru(HELD)

    def wait_ms(self, who: K, now: Instant) -> int:
        """0 if it has any left; else how long it has to wait, in ms."""
        state = self._spent.get(who)
        if state is None:
            return 0
        return take(state, self._rate, now)[1]

    def left(self, who: K, now: Instant) -> int:
        """How many it has left; 0 where it is in debt."""
        state = self._spent.get(who)
        if state is None:
            return self._rate
        return max(0, take(state, self._rate, now, 0)[0].tokens_milli // 1_000)

    def spend(self, who: K, count: int, now: Instant) -> None:
        """Count some of them; the last may go into debt."""
        before = self._spent.get(who)
        state = RateState.full(self._rate, now) if before is None else take(before, self._rate, now, 0)[0]
        self._spent.put(who, RateState(state.tokens_milli - count * 1_000, state.at))


class Senders:
    """Counts by account; touched once for each batch, never for each parcel."""

    def __init__(self, entries_per_minute: int) -> None:
        self._entries: Allowance[AccountId] = Allowance(entries_per_minute)
        self._waiting: dict[AccountId, int] = {}

    # --- a minute's entries

    def wait_ms(self, account: AccountId, now: Instant) -> int:
        """0 if the account may send; else how long it has to wait, in ms."""
        return self._entries.wait_ms(account, now)

    def spend(self, account: AccountId, entries: int, now: Instant) -> None:
        """Count the mailbox entries of a batch; the last batch may go into debt."""
        self._entries.spend(account, entries, now)

    # --- turns

    @property
    def waiting(self) -> int:
        """Mailbox entries at most of what is being decided on or waits for the disk, of all accounts."""
        return sum(self._waiting.values())

    def is_waiting(self, account: AccountId) -> bool:
        """Whether the account has as much under way as it may."""
        return self._waiting.get(account, 0) >= WAITING_OF_ONE

    def begin(self, account: AccountId, entries: int) -> None:
        """So many at most are being decided on, or wait for the disk."""
        self._waiting[account] = self._waiting.get(account, 0) + entries

    def end(self, account: AccountId, entries: int) -> None:
        """They came to an end."""
        left = self._waiting[account] - entries
        if left:
            self._waiting[account] = left
        else:
            del self._waiting[account]
