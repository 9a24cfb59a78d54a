"""What a daemon looks at when it meets a relay that knows nothing of it."""

from __future__ import annotations

from taskferry_apps.daemon.anew import _go_back, _owe
from taskferry_apps.daemon.core import Core
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import SEEN_MS
from taskferry_protocol.records import Direction, RecordSeen, SeenRecord
from taskferry_stores.memory import MemoryDaemonStore
from tests.stores.samples import NOW, message, store

from .worlds import MemoryVault


class Asked(MemoryDaemonStore):
    """A store that says how often a page of messages was asked for."""

    def __init__(self):
        super().__init__()
        self.pages = 0

    async def message_page(self, query, after, limit, order):
        """Count, and answer."""
        self.pages += 1
        return await super().message_page(query, after, limit, order)


async def test_a_long_history_is_not_read_to_its_beginning():
    """What has expired long ago is owed nothing, and read no further; what lives is owed one more receipt."""
    asked, now = Asked(), Instant(NOW + SEEN_MS + 10_000)
    old = [message(f"old {number}", stored_at=NOW, expires_at=Instant(NOW + 1)) for number in range(900)]
    later = Instant(now + 1_000)
    young = [message(f"young {n}", stored_at=now, expires_at=later, seq=n + 1) for n in range(50)]
    seen = [SeenRecord(one.device, one.id, one.mine, one.seq, one.hash, "applied", "", now) for one in young]
    await asked.commit([*map(store, (*old, *young)), *map(RecordSeen, seen)])
    core = Core(asked, MemoryVault(), now=lambda: now, entropy=bytes, jitter=lambda: 0.0)
    await _go_back(core, Direction.IN, _owe)
    assert asked.pages == 2
    owed = await asked.receipts_owed(100)
    assert {receipt.hash for receipt in owed} == {one.hash for one in young}
