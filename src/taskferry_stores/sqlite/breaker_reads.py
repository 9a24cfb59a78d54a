"""The reads of `breakers_port.BreakerReads` over one SQLite file."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from taskferry_protocol.ids import Instant
from taskferry_protocol.records import (
    BreakerRecord,
    DaemonChange,
    DaemonResult,
    ExchangeRecord,
    Flow,
    MessageRecord,
)

from . import breaker_rows
from .engine import Engine


class SqliteBreakerReads:
    """A part of the daemon's store, which owns the engine."""

    _engine: Engine[DaemonChange, DaemonResult]

    async def exchanges(self, flow: Flow, since: Instant, limit: int) -> tuple[ExchangeRecord, ...]:
        """The newest exchanges between two agents, oldest first."""
        return await self._engine.read(lambda c: breaker_rows.exchanges(c, flow, since, limit))

    async def last_read(self, flow: Flow, since: Instant) -> ExchangeRecord | None:
        """The newest talk from a peer that our agent has read."""
        return await self._engine.read(lambda c: breaker_rows.last_read(c, flow, since))

    async def breakers(self, flows: Collection[Flow]) -> Mapping[Flow, BreakerRecord]:
        """How breakers stand."""
        return await self._engine.read(lambda c: breaker_rows.breakers(c, flows))

    async def breakers_tripped(self, limit: int) -> tuple[BreakerRecord, ...]:
        """Those that tripped."""
        return await self._engine.read(lambda c: breaker_rows.breakers_tripped(c, limit))

    async def stopped(self, flow: Flow, limit: int) -> tuple[MessageRecord, ...]:
        """What is stopped between two agents."""
        return await self._engine.read(lambda c: breaker_rows.stopped(c, flow, limit))
