"""What a daemon's store answers about its owner's decisions; a part of `port.DaemonStore`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from taskferry_protocol.ids import AccountId, Hash, Instant
from taskferry_protocol.records import (
    ApprovalQuery,
    ApprovalRecord,
    ConnectionQuery,
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

__all__ = ["GateReads"]


class GateReads(Protocol):
    """What waits, counted; requests and connections; gates, rules, questions, proposals."""

    async def waiting_counts(self, now: Instant) -> WaitingCounts:
        """Questions and requests whose time is not over by `now`, tasks at the gate, what is tripped by then,
        and what is quarantined.
        """

    async def requests_held(self, account: AccountId | None, now: Instant) -> int:
        """How many requests of an account's agents, or of all peers', have time left and are not answered.

        They wait for the owner, or were taken back: those stand until their time is over, too.
        """

    async def connection_page(
        self, query: ConnectionQuery, after: Place | None, limit: int, order: Order
    ) -> Page[PeerConnection]:
        """Connections by place, as in `message_page`."""

    async def requests_over(self, now: Instant, limit: int) -> tuple[PeerConnection, ...]:
        """Requests that wait for an answer, ours or a peer's, whose time is over; the first to end first."""

    async def gates(self, tasks: Collection[Hash]) -> Mapping[Hash, GateRecord]:
        """How tasks stand at their gates; absent where there never was one."""

    async def gates_waiting(self, agent: str | None, limit: int) -> tuple[GateRecord, ...]:
        """Tasks that wait for the owner, for one agent of ours or for all, the first to come first."""

    async def standing_rules(self) -> tuple[RuleRecord, ...]:
        """All rules, removed ones too, by when they were made."""

    async def rule_uses(self, rules: Collection[Hash], use: RuleUse, since: Instant) -> Mapping[Hash, int]:
        """How often rules did something after `since`, up to `rules.horizon`; all asked for are there."""

    async def approvals(self, approvals: Collection[Hash]) -> Mapping[Hash, ApprovalRecord]:
        """What agents asked, by id."""

    async def approval_page(
        self, query: ApprovalQuery, after: Place | None, limit: int, order: Order
    ) -> Page[ApprovalRecord]:
        """What agents asked, by place, as in `message_page`."""

    async def proposal(self, approval: Hash) -> ProposalRecord | None:
        """What a question asks to send, None if nothing is kept of it."""
