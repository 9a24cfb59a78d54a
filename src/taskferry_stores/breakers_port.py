"""What a daemon's store answers about its breakers; a part of `port.DaemonStore`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import BreakerRecord, ExchangeRecord, Flow, MessageRecord

__all__ = ["BreakerReads"]


class BreakerReads(Protocol):
    """What two agents exchanged, and what is stopped between them. Flows are from an agent of ours."""

    async def exchanges(self, flow: Flow, since: Instant, limit: int) -> tuple[ExchangeRecord, ...]:
        """The newest `limit` exchanges after `since`, oldest first."""

    async def last_read(self, flow: Flow, since: Instant) -> ExchangeRecord | None:
        """The newest talk from a peer that came after `since`, counts, and has been read by our agent."""

    async def breakers(self, flows: Collection[Flow]) -> Mapping[Flow, BreakerRecord]:
        """How breakers stand; absent where nothing ever tripped or was decided."""

    async def breakers_tripped(self, limit: int) -> tuple[BreakerRecord, ...]:
        """Those that tripped since a person last decided, the first to trip first."""

    async def stopped(self, flow: Flow, limit: int) -> tuple[MessageRecord, ...]:
        """What is stopped between two agents, oldest first."""
