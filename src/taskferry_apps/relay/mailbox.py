"""What one session is to deliver: a short queue in memory before the mailbox in the store.

New mail is put in by the committer, so that a device that keeps up costs no reads. Whoever falls behind is
read from the store by cursor. A wake-up is a hint: whether there is mail is asked of queue and store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

import attrs
import trio

from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Entry, Mail, Notice
from taskferry_protocol.ids import DeviceId
from taskferry_protocol.limits import BATCH
from taskferry_protocol.records import MailboxEntry, MailboxItem, Offset
from taskferry_stores.port import RelayStore

from ..histogram import Histogram
from .limits import USUAL

__all__ = ["Mailbox", "TailBudget", "as_entry"]

PAGE_BYTES: Final = USUAL.page_bytes
TAIL_ENTRIES: Final = USUAL.tail_entries
TAIL_BYTES: Final = USUAL.tail_bytes


@attrs.define
class TailBudget:
    """Bytes that all queues together may hold of new mail; who would go beyond reads from the store."""

    left: int = 64 * 1_048_576
    wakes: Histogram = attrs.field(factory=lambda: Histogram(()))
    """How long new mail waits for its frame, in seconds."""


def as_entry(item: MailboxItem) -> Entry:
    """A stored item as it is delivered."""
    if isinstance(item, MailboxEntry):
        return Mail(item.offset, item.envelope, item.sealed)
    return Notice(item.offset, item.notice.hash, RejectCode(item.notice.code))


class Mailbox:
    """The mail of one device for its open session, everything above `after`."""

    __slots__ = (
        "_budget",
        "_bytes",
        "_device",
        "_known",
        "_late",
        "_late_bytes",
        "_queue",
        "_since",
        "_store",
        "behind",
    )

    def __init__(self, store: RelayStore, device: DeviceId, after: int, budget: TailBudget) -> None:
        self._store = store
        self._device = device
        self._budget = budget
        self._queue: deque[Entry] = deque()
        self._bytes = 0
        # When the first of new mail came into an empty queue.
        self._since = 0.0
        # Everything up to here was delivered or stands in the queue.
        self._known = after
        # What the committer brought while a page was being read.
        self._late: list[Entry] | None = None
        self._late_bytes = 0
        self.behind = True
        """Whether the store may hold what the queue does not."""

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, entries: Sequence[Entry]) -> None:
        """Take entries that were committed just now. Offsets rise; a page may have brought them first."""
        if not self.behind:
            self._append(entries)
        elif self._late is not None:
            self._late.extend(entries)
            self._late_bytes += sum([entry.size for entry in entries])
            if len(self._late) > TAIL_ENTRIES or self._late_bytes > TAIL_BYTES:
                # More than the queue may have, and what the next page brings.
                self._late = None

    def _append(self, entries: Iterable[Entry]) -> None:
        queue, budget = self._queue, self._budget
        for entry in entries:
            if entry.offset <= self._known:
                continue
            size = entry.size
            full = len(queue) >= TAIL_ENTRIES or self._bytes + size > TAIL_BYTES
            if full or size > budget.left:
                self.behind = True
                return
            self._known = entry.offset
            if not queue:
                self._since = trio.current_time()
            queue.append(entry)
            self._bytes += size
            budget.left -= size

    def _hold(self, entry: Entry, size: int) -> None:
        self._queue.append(entry)
        self._bytes += size
        self._budget.left -= size

    async def read_on(self) -> None:
        """Read the next page from the store into the queue."""
        late: list[Entry] = []
        self._late, self._late_bytes = late, 0
        try:
            items = await self._store.mailbox(self._device, Offset(self._known), BATCH, PAGE_BYTES)
            total = 0
            for item in items:
                entry = as_entry(item)
                self._known = entry.offset
                self._hold(entry, entry.size)
                total += entry.size
            # A page ends by count, by bytes or because no more is there; an entry is under half of it.
            if self._late is late and len(items) < BATCH and total < PAGE_BYTES // 2:
                self.behind = False
                self._append(late)
        finally:
            self._late = None

    def first(self) -> Sequence[Entry]:
        """The next entries, as many as a frame may have."""
        return tuple(islice(self._queue, BATCH))

    def drop(self, count: int) -> None:
        """The first entries are on their way."""
        if self._since:
            self._budget.wakes.add(trio.current_time() - self._since)
            self._since = 0.0
        size = sum([self._queue.popleft().size for _ in range(count)])
        self._bytes -= size
        self._budget.left += size

    def close(self) -> None:
        """Give back what the queue holds."""
        self._budget.left += self._bytes
        self._bytes = 0
        self._queue.clear()
        self.behind = False
