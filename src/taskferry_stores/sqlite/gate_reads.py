"""The reads of `gates_port.GateReads` over one SQLite file."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from taskferry_protocol.ids import AccountId, Hash, Instant
from taskferry_protocol.records import (
    ApprovalQuery,
    ApprovalRecord,
    ConnectionQuery,
    DaemonChange,
    DaemonResult,
    GateRecord,
    Order,
    Page,
    PeerConnection,
    Place,
    ProposalRecord,
    RuleRecord,
    RuleUse,
    WaitingCounts,
)

from . import daemon_reads, gate_rows
from .engine import Engine


class SqliteGateReads:
    """A part of the daemon's store, which owns the engine."""

    _engine: Engine[DaemonChange, DaemonResult]

    async def waiting_counts(self, now: Instant) -> WaitingCounts:
        """What waits, counted."""
        return await self._engine.read(lambda c: gate_rows.waiting_counts(c, now))

    async def requests_held(self, account: AccountId | None, now: Instant) -> int:
        """How many requests have time left and are not answered."""
        return await self._engine.read(lambda c: gate_rows.requests_held(c, account, now))

    async def connection_page(
        self, query: ConnectionQuery, after: Place | None, limit: int, order: Order
    ) -> Page[PeerConnection]:
        """Connections by place."""
        return await self._engine.read(lambda c: daemon_reads.connection_page(c, query, after, limit, order))

    async def requests_over(self, now: Instant, limit: int) -> tuple[PeerConnection, ...]:
        """Requests that wait for an answer and whose time is over."""
        return await self._engine.read(lambda c: daemon_reads.requests_over(c, now, limit))

    async def gates(self, tasks: Collection[Hash]) -> Mapping[Hash, GateRecord]:
        """How tasks stand at their gates."""
        return await self._engine.read(lambda c: gate_rows.gates(c, tasks))

    async def gates_waiting(self, agent: str | None, limit: int) -> tuple[GateRecord, ...]:
        """Tasks that wait for the owner."""
        return await self._engine.read(lambda c: gate_rows.gates_waiting(c, agent, limit))

    async def standing_rules(self) -> tuple[RuleRecord, ...]:
        """All rules."""
        return await self._engine.read(gate_rows.standing_rules)

    async def rule_uses(self, rules: Collection[Hash], use: RuleUse, since: Instant) -> Mapping[Hash, int]:
        """How often rules did something lately."""
        return await self._engine.read(lambda c: gate_rows.rule_uses(c, rules, use, since))

    async def approvals(self, approvals: Collection[Hash]) -> Mapping[Hash, ApprovalRecord]:
        """Questions by id."""
        return await self._engine.read(lambda c: gate_rows.approvals(c, approvals))

    async def approval_page(
        self, query: ApprovalQuery, after: Place | None, limit: int, order: Order
    ) -> Page[ApprovalRecord]:
        """Questions by place."""
        return await self._engine.read(lambda c: gate_rows.approval_page(c, query, after, limit, order))

    async def proposal(self, approval: Hash) -> ProposalRecord | None:
        """What a question asks to send."""
        return await self._engine.read(lambda c: gate_rows.proposal(c, approval))
