"""What time does to a relay's store: envelopes expire, and rows that nobody needs are swept away.

In small steps through the engine's own commits, so that mail never waits long and offsets keep their order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from taskferry_protocol.audit import read_entry
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS, LIFETIME_MS, SEEN_MS
from taskferry_protocol.records import (
    Counted,
    Expire,
    Expired,
    Order,
    PurgeInvites,
    PurgeSeen,
    Sweep,
    SweepSignUps,
)
from taskferry_stores.port import RelayStore, StoreFull

from ..logs import get_logger
from .engine import Engine

__all__ = ["Housekeeping"]

#: Rows in one step: a few milliseconds of the writer's time.
STEP: Final = 512
#: Between two steps while there is more to do, so that mail has the writer for most of the time.
PAUSE_S: Final = 0.02
#: Between two looks when there was nothing to do.
REST_S: Final = 0.5
#: Sweeping waits for a quiet moment, unless so many envelopes came since the last time that the file grows.
QUIET_S: Final = 0.25
UNSWEPT: Final = 50_000
#: What was seen is forgotten after a month; looking for it once an hour is often enough.
PURGE_EVERY_MS: Final = 3_600_000
EXPIRE_EVERY_MS: Final = 5_000
#: A ticket that is over is remembered for a while, so that whoever shows it hears why it does not count.
SIGN_UPS_KEPT_MS: Final = DAY_MS

#: How long a clock that has leapt by a month since a relay was last at work here may take to be put right.
PATIENCE_S: Final = 600.0
#: Entries among which one is looked for that is not of this start.
LOOKED_AT: Final = 32

_LOG = get_logger()


class Housekeeping:
    """One task that keeps a relay's store small."""

    def __init__(self, engine: Engine, now: Callable[[], Instant], store: RelayStore | None = None) -> None:
        """By `store`'s audit log it is known when a relay was last at work on it."""
        self._engine = engine
        self._now = now
        self._store = store
        self._last_at_work: Instant | None = None
        self._patient_until = 0.0
        self._expire_at = 0
        self._purge_at = 0
        # What an earlier run left unswept is found by looking once.
        self._sweeping = True
        self._acknowledged = 0
        self._swept_at = 0

    async def run(self) -> None:
        """Keep house until cancelled."""
        self._last_at_work = await self._find_last_at_work()
        self._patient_until = trio.current_time() + PATIENCE_S
        if self._waits_for_clock():
            days = (self._now() - (self._last_at_work or 0)) // DAY_MS
            _LOG.warning("nothing expires for ten minutes: is the clock right?", days_since_last_at_work=days)
        while True:
            try:
                busy = not self._waits_for_clock() and await self.step()
            except StoreFull:
                # Deleting needs room as well; the engine has said so already.
                busy = False
            await trio.sleep(PAUSE_S if busy else REST_S)

    async def _find_last_at_work(self) -> Instant | None:
        """When something was last written down, but for what this start has, and any other of a moment ago.

        Whoever sees to a relay whose clock is wrong starts it again.
        """
        if self._store is None:
            return None
        page = await self._store.audit_rows(None, None, LOOKED_AT, Order.NEWEST_FIRST)
        times = [read_entry(row.raw).note.at for row in page.items]
        return next((at for at in times if abs(self._now() - at) > PATIENCE_S * 1_000), None)

    def _waits_for_clock(self) -> bool:
        """Whether the clock has leapt by a month since, and may be put right in a moment.

        What expires and is forgotten by a wrong clock is gone: mail, invites, what was seen.
        """
        last = self._last_at_work
        leapt = last is not None and self._now() - last > LIFETIME_MS
        return leapt and trio.current_time() < self._patient_until

    async def step(self) -> bool:
        """Do a little of whatever is due; whether there is more of it."""
        now = self._now()
        busy = False
        if not now < self._expire_at <= now + EXPIRE_EVERY_MS:
            busy |= await self._expire(now)
        # Later than that was put down by a clock that was ahead.
        if not now < self._purge_at <= now + PURGE_EVERY_MS:
            busy |= await self._purge(now)
        return await self._sweep() or busy

    async def _sweep(self) -> bool:
        engine = self._engine
        if engine.acknowledged != self._acknowledged and (
            engine.stored - self._swept_at >= UNSWEPT or engine.quiet_for >= QUIET_S
        ):
            self._sweeping = True
            self._acknowledged, self._swept_at = engine.acknowledged, engine.stored
        if not self._sweeping:
            return False
        swept = await self._engine.keep_house(Sweep(STEP))
        self._sweeping = isinstance(swept, Counted) and swept.count >= STEP
        return self._sweeping

    async def _expire(self, now: Instant) -> bool:
        expired = await self._engine.keep_house(Expire(now, STEP))
        if not isinstance(expired, Expired):
            return False
        if expired.count:
            _LOG.info("envelopes expired", count=expired.count)
        if expired.count >= STEP:
            return True
        self._expire_at = now + EXPIRE_EVERY_MS
        return False

    async def _purge(self, now: Instant) -> bool:
        for change in (
            PurgeSeen(Instant(now - SEEN_MS), STEP),
            SweepSignUps(Instant(now - SIGN_UPS_KEPT_MS), STEP),
            PurgeInvites(now, STEP),
        ):
            purged = await self._engine.keep_house(change)
            if isinstance(purged, Counted) and purged.count >= STEP:
                return True
        self._purge_at = now + PURGE_EVERY_MS
        return False
