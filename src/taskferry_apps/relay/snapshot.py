"""The relay's numbers at one moment, read from the store at most every few seconds, however many ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import trio

from taskferry_protocol.admission import MailboxLimits
from taskferry_protocol.audit import RelayAuditKind, read_entry
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import MINUTE_MS
from taskferry_protocol.records import Order
from taskferry_protocol.records.operations import MailboxLine, RelayOverview
from taskferry_stores.port import RelayStore

from ..disk import disk_of
from ..histogram import Histogram
from .core import Relay
from .health import Facts, Finding, Verdict, findings_of, verdict_of
from .hourly import HOUR_MS
from .limits import USUAL

__all__ = ["Snapshot", "Snapshots", "Spread"]

FRESH_MS: Final = USUAL.snapshot_ms
FULLEST: Final = 8
SPREAD_MS: Final = MINUTE_MS
#: Of so many mailboxes that hold anything the spread is of all; with more, of some.
MOST_SPREAD: Final = 10_000
#: Entries in a mailbox, up to what one may hold.
ENTRIES: Final = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000)
#: From a minute to the longest life of an envelope.
AGES_S: Final = (60, 600, 3_600, 4 * 3_600, 86_400, 3 * 86_400, 7 * 86_400, 14 * 86_400, 30 * 86_400)
_FAILURES: Final = 8


@attrs.frozen
class Snapshot:
    """What stood at `at`."""

    at: Instant
    overview: RelayOverview
    fullest: tuple[MailboxLine, ...]
    findings: tuple[Finding, ...]
    verdict: Verdict
    online: int
    commit_ms: float | None

    @property
    def queue_age_ms(self) -> int:
        """How long the oldest envelope has waited; 0 where none does."""
        oldest = self.overview.oldest
        return 0 if oldest is None else max(0, self.at - oldest)


@attrs.frozen
class Spread:
    """How full mailboxes are and how long their oldest envelopes wait, in seconds; of those looked at."""

    at: Instant
    entries: Histogram
    ages: Histogram


class Snapshots:
    """Takes them."""

    def __init__(
        self,
        relay: Relay,
        store: RelayStore,
        limits: MailboxLimits,
        now: Callable[[], Instant],
        database: Path,
    ) -> None:
        self._relay = relay
        self._store = store
        self._limits = limits
        self._now = now
        self._database = database
        self._last: Snapshot | None = None
        self._spread: Spread | None = None
        self._turn = trio.Lock()

    async def latest(self) -> Snapshot:
        """One that is a few seconds old at most. Whoever asks meanwhile waits for the same."""
        async with self._turn:
            now = self._now()
            if self._last is None or not 0 <= now - self._last.at < FRESH_MS:
                self._last = await self._take(now)
            return self._last

    async def spread(self) -> Spread:
        """One that is a minute old at most: it costs two look-ups for each mailbox that holds anything."""
        async with self._turn:
            now = self._now()
            if self._spread is None or not 0 <= now - self._spread.at < SPREAD_MS:
                entries, ages = Histogram(ENTRIES), Histogram(AGES_S)
                for box in await self._store.waiting_mailboxes(MOST_SPREAD):
                    entries.add(box.count)
                    if box.oldest is not None:
                        ages.add(max(0, now - box.oldest) / 1000)
                self._spread = Spread(now, entries, ages)
            return self._spread

    async def _take(self, now: Instant) -> Snapshot:
        meter = self._relay.meter
        overview = await self._store.overview()
        fullest = await self._store.fullest_mailboxes(FULLEST)
        facts = Facts(
            stopping=not self._relay.is_healthy,
            disk_full_at=meter.disk_full_at,
            commit_ms=meter.commit_ms,
            held=overview.held,
            fullest_count=max((box.count for box in fullest), default=0),
            fullest_bytes=max((box.bytes for box in fullest), default=0),
            mail_failed=await self._failures(now),
            limits=self._limits,
            short_of_room=self._short_of_room(),
        )
        return Snapshot(
            now,
            overview,
            fullest,
            findings_of(facts),
            verdict_of(facts),
            self._relay.online,
            meter.commit_ms,
        )

    def _short_of_room(self) -> int | None:
        # There is none in memory.
        disk = disk_of(self._database) if self._database.exists() else None
        return disk.free if disk is not None and disk.is_short else None

    async def _failures(self, now: Instant) -> int:
        kind = RelayAuditKind.MAIL_FAILED.value
        page = await self._store.audit_rows(kind, None, _FAILURES, Order.NEWEST_FIRST)
        try:
            return sum(read_entry(row.raw).note.at > now - HOUR_MS for row in page.items)
        except RemoteProtocolError:
            return 0  # somebody has changed an entry, which `taskferry relay audit verify` says
