"""Housekeeping: deadlines, expired mail, fresh keys, and what is forgotten after its time."""

from __future__ import annotations

from typing import Final

import trio

from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS, MINUTE_MS, SEEN_MS
from taskferry_protocol.records import (
    PruneEvents,
    PurgeAnswers,
    PurgeApprovals,
    PurgeLeases,
    PurgeProposals,
    PurgeSeen,
)
from taskferry_protocol.records.forgetting import ForgetTraffic

from .audit_hours import close_hour
from .audit_keeping import shorten, shorten_by_number
from .bounds import BOUNDS
from .connections import Connections
from .core import Core
from .draft import Draft
from .ending import end_waiting
from .late_mail import pass_on_late
from .link import Link
from .outbound import give_up_expired
from .own_news import tell_untold
from .owner import Owner
from .quiet import QUIET_MS
from .repeating import repeat_expired
from .second_looks import SecondLooks
from .strangers import Strangers
from .tasks import Tasks
from .telling import keep_ran
from .withdrawing import finish_withdrawals
from .words_apart import bring_together

__all__ = ["Upkeep"]

#: Between two rounds, at most; a deadline that comes earlier shortens it.
ROUND_S: Final = 60.0
#: A deadline that cannot be acted on yet is not looked at more often than this.
SHORTEST_S: Final = 1.0
BATCH: Final = 500
FEED_LINES: Final = BOUNDS.feed_lines
FEED_MS: Final = BOUNDS.feed_ms
APPROVALS_MS: Final = BOUNDS.questions_kept_ms
LEASES_MS: Final = BOUNDS.leases_kept_ms


class Upkeep:
    """Runs beside the link."""

    def __init__(self, core: Core, owner: Owner, tasks: Tasks, link: Link, connections: Connections) -> None:
        self._core = core
        self._owner = owner
        self._tasks = tasks
        self._link = link
        self._connections = connections
        self._second_looks = SecondLooks(core)
        self._strangers = Strangers(core)
        self._tidied = Instant(0)

    async def run(self) -> None:
        """One round after another until cancelled. Raises the store's errors."""
        while True:
            due = self._core.due.next
            if self._core.account is not None:
                # What is given up, ended or erased by a wrong clock is gone.
                await (self.keep_small() if self._core.clock.is_in_question else self.round())
            with trio.move_on_after(await self._pause()):
                await due.wait()

    async def round(self) -> None:
        """Do what is due."""
        self._core.forget_unlocked()
        connected = self._link.connected and not self._core.clock.holds_session
        await self._owner.keep_keys_fresh(connected=connected)
        await give_up_expired(self._core)
        await repeat_expired(self._core)
        await self._second_looks.take_due()
        await pass_on_late(self._core)
        await tell_untold(self._core)
        if connected:
            await finish_withdrawals(self._core, self._owner, self._link)
        await self._connections.expire_requests()
        drained = self._link.drained_until
        if drained:
            await bring_together(self._core)
            await end_waiting(self._core)
            await self._strangers.forget(drained)
            await self._tasks.expire_overdue(drained)
        self._link.note_quiet()
        async with self._core.lock:
            draft = Draft(self._core)
            await close_hour(draft)
            await draft.commit()
        # Whichever way the clock went: rounds may come each second, and this writes.
        if abs(self._core.now() - self._tidied) >= ROUND_S * 1_000:
            await self.tidy()

    async def keep_small(self) -> None:
        """What needs no clock: nobody who puts the rounds off has anything grow."""
        self._core.forget_unlocked()
        await self._core.commit((PruneEvents(Instant(0), FEED_LINES, BATCH),))
        await shorten_by_number(self._core)

    async def tidy(self) -> None:
        """Keep what the next start has to know, and forget what has had its time."""
        now = self._tidied = self._core.now()
        await self._core.commit(
            (
                *self._core.keep_caught_up(),
                *keep_ran(self._core),
                PurgeSeen(Instant(now - SEEN_MS), BATCH),
                PurgeAnswers(now, BATCH),
                PurgeApprovals(Instant(now - APPROVALS_MS), BATCH),
                PurgeLeases(Instant(now - LEASES_MS), BATCH),
                PurgeProposals(now, BATCH),
                PruneEvents(Instant(now - FEED_MS), FEED_LINES, BATCH),
                ForgetTraffic(_whole_hour(now - self._core.bounds.traffic_days * DAY_MS), BATCH),
            )
        )
        await shorten(self._core)

    async def _pause(self) -> float:
        now, drained = self._core.now(), self._link.drained_until
        deadline = await self._core.store.next_deadline(drained)
        # Who has no session cannot say that a time is over, and is rung for when there is one.
        if deadline is None or (deadline <= now and not self._link.connected):
            return ROUND_S
        # A little after it: the mailbox has to be drained past the deadline first.
        return min(ROUND_S, max(SHORTEST_S, (deadline + 2 * QUIET_MS - now) / 1000))


def _whole_hour(at: int) -> Instant:
    return Instant(max(0, at - at % (60 * MINUTE_MS)))
