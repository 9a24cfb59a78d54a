"""What a daemon has decided on, in memory: found by the envelope's id and by its number."""

from __future__ import annotations

import attrs

from taskferry_protocol.ids import AgentRef, DeviceId, Hash, Instant, MessageId
from taskferry_protocol.records import Seen, SeenKey, SeenRecord

from ..rules import require_same_seen
from .tables import Journal


class DecisionTable:
    """Decisions, changed through a journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._by_id: dict[tuple[DeviceId, MessageId], SeenRecord] = {}
        self._by_seq: dict[tuple[DeviceId, AgentRef, int], SeenRecord] = {}

    def find(self, key: SeenKey) -> Seen:
        """What stands under a key."""
        return Seen(self._by_id.get((key.device, key.id)), self._by_seq.get((key.device, key.to, key.seq)))

    def record(self, seen: SeenRecord) -> None:
        """Remember a decision, unless it is there. Raises StoreConflict."""
        known = require_same_seen(self._by_id.get((seen.device, seen.id)), seen)
        known = require_same_seen(self._by_seq.get((seen.device, seen.to, seen.seq)), seen) or known
        if not known:
            self._put(seen)

    def revise(self, seen: SeenRecord) -> None:
        """Give a decision that is there another outcome."""
        held = self._by_id.get((seen.device, seen.id))
        if held is not None and held.hash == seen.hash:
            self._put(attrs.evolve(held, outcome=seen.outcome, code=seen.code))

    def purge(self, before: Instant, limit: int) -> list[Hash]:
        """Forget the oldest from before a time; the envelopes that they were."""
        old = sorted((seen.at, key) for key, seen in self._by_id.items() if seen.at < before)[:limit]
        gone = [self._by_id[key] for _, key in old]
        for seen in gone:
            self._journal.drop(self._by_seq, (seen.device, seen.to, seen.seq))
            self._journal.drop(self._by_id, (seen.device, seen.id))
        return [seen.hash for seen in gone]

    def rename(self, agent: AgentRef, former: AgentRef) -> None:
        """Keep what was decided on for an agent under another name of its."""
        for seen in [seen for seen in self._by_id.values() if seen.to == agent]:
            self._journal.drop(self._by_seq, (seen.device, seen.to, seen.seq))
            self._put(attrs.evolve(seen, to=former))

    def _put(self, seen: SeenRecord) -> None:
        self._journal.put(self._by_id, (seen.device, seen.id), seen)
        self._journal.put(self._by_seq, (seen.device, seen.to, seen.seq), seen)
