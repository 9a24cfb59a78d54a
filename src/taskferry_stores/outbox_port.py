"""What waits to be sent: reads that a daemon's store answers besides those in `port`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from taskferry_protocol.ids import AgentRef, Hash, Instant
from taskferry_protocol.records import OutboxRecord, Rung

__all__ = ["OutboxReads"]


class OutboxReads(Protocol):
    """The outbox of a daemon, by hash and by what is due."""

    async def outbox(self, hashes: Collection[Hash]) -> Mapping[Hash, OutboxRecord]:
        """Outbox entries by hash."""

    async def outbox_rungs(self, hashes: Collection[Hash]) -> Mapping[Hash, tuple[tuple[str, Rung], ...]]:
        """For those that are in the outbox: our agents whose message each is, and how far it has come.

        Empty for what is no message of anybody's. No parcel is read for it, and no content.
        """

    async def outbox_due(
        self, now: Instant, limit: int, max_bytes: int, but: Collection[Hash] = ()
    ) -> tuple[OutboxRecord, ...]:
        """Waiting entries whose time has come, in the order in which they were put in; none of `but`.

        An entry waits while an earlier one to the same target waits for its time: nobody overtakes.
        At most `limit` entries and `max_bytes` of parcels, but always one if there is one. Expired ones are
        left out; see `outbox_expired`.
        """

    async def outbox_for(
        self, recipients: Collection[AgentRef], cls: str, after: Instant
    ) -> frozenset[AgentRef]:
        """Those for whom an entry of this class waits, due or not, that expires after a time."""

    async def outbox_expired(self, now: Instant, limit: int) -> tuple[OutboxRecord, ...]:
        """Entries, waiting or relayed, whose time is over, the first to end first."""

    async def next_attempt(self) -> Instant | None:
        """When the next waiting entry is due, or None if none waits."""

    async def outbox_waiting(self) -> int:
        """How much waits in the outbox; every page of the dashboard says so."""
