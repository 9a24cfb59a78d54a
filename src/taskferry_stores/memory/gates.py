"""The owner's decisions in memory: gates, standing rules, questions, requests that are over."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar, assert_never

import attrs

from taskferry_protocol.breakers import is_tripped
from taskferry_protocol.ids import AccountId, Hash, Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.links import Role
from taskferry_protocol.records import (
    ApprovalQuery,
    ApprovalRecord,
    ApprovalState,
    ConnectionQuery,
    ConnectionState,
    Counted,
    DaemonResult,
    Direction,
    Done,
    DropProposal,
    ForgetTask,
    GateChange,
    GateRecord,
    GateState,
    InboxState,
    Order,
    Page,
    PeerConnection,
    Place,
    ProposalRecord,
    PurgeApprovals,
    PurgeProposals,
    PutGate,
    PutProposal,
    PutRule,
    RuleRecord,
    RuleUse,
    SaveApproval,
    Saved,
    ShowMessages,
    UseRule,
    WaitingCounts,
)

from ..rules import horizon, require_revision, unknown
from .forgetting import release_sealed
from .tables import Journal, page, pick

if TYPE_CHECKING:
    from .daemon_state import DaemonState


V = TypeVar("V", ApprovalRecord, ProposalRecord)


class GateTables:
    """Dictionaries, and the one way to change them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.gates: dict[Hash, GateRecord] = {}
        self.rules: dict[Hash, RuleRecord] = {}
        self.rule_uses: dict[int, UseRule] = {}
        self.approvals: dict[Hash, ApprovalRecord] = {}
        self.proposals: dict[Hash, ProposalRecord] = {}

    def apply(self, change: GateChange, state: DaemonState) -> DaemonResult:
        """Make one change."""
        put, drop = self._journal.put, self._journal.drop
        match change:
            case PutGate():
                put(self.gates, change.gate.task, change.gate)
            case ForgetTask():
                drop(self.gates, change.task)
                for role in Role:
                    drop(state.tasks, (change.task, role.value))
                for key in [key for key in state.task_events if key[0] == change.task]:
                    drop(state.task_events, key)
                    release_sealed(state, key[1])
            case ShowMessages():
                return Counted(sum(_show(state, change.agent, hash) for hash in change.hashes))
            case PutRule():
                known = self.rules.get(change.rule.id)
                put(self.rules, change.rule.id, attrs.evolve(change.rule, used=known.used if known else 0))
            case UseRule():
                rule = self.rules.get(change.rule)
                if rule is None:
                    raise unknown("rule", change.rule)
                put(self.rules, rule.id, attrs.evolve(rule, used=rule.used + 1))
                over = change.at - DAY_MS
                for n in [n for n, use in self.rule_uses.items() if use.rule == rule.id and use.at <= over]:
                    drop(self.rule_uses, n)
                put(self.rule_uses, int(state.place("rule_uses")), change)
            case SaveApproval():
                offered = change.approval
                held = self.approvals.get(offered.id)
                require_revision(held.revision if held else 0, offered.revision, "approval")
                place = held.place if held else state.place("approvals")
                saved = attrs.evolve(offered, place=place, revision=offered.revision + 1)
                put(self.approvals, saved.id, saved)
                return Saved(saved.revision)
            case PurgeApprovals():
                return self._purge(self.approvals, change)
            case PutProposal():
                put(self.proposals, change.proposal.approval, change.proposal)
            case DropProposal():
                drop(self.proposals, change.approval)
            case PurgeProposals():
                return self._purge(self.proposals, change)
            case _:
                assert_never(change)
        return Done()

    def _purge(self, table: dict[Hash, V], change: PurgeApprovals | PurgeProposals) -> Counted:
        old = [key for key, held in table.items() if held.expires_at < change.before]
        for key in old[: change.limit]:
            self._journal.drop(table, key)
        return Counted(min(len(old), change.limit))


_HELD = frozenset({InboxState.HELD, InboxState.STOPPED})


def _show(state: DaemonState, agent: str, hash: Hash) -> int:
    message = state.messages.get((hash, agent))
    if message is None or message.direction is not Direction.IN or message.inbox not in _HELD:
        return 0
    shown = attrs.evolve(message, inbox=InboxState.UNREAD, place=state.place("messages"))
    state.journal.put(state.messages, (hash, agent), shown)
    return 1


class _Held(Protocol):
    async def _begin(self) -> DaemonState: ...


class MemoryGateReads:
    """The reads of `gates_port.GateReads`; a part of the daemon's store, which owns the state."""

    async def waiting_counts(self: _Held, now: Instant) -> WaitingCounts:
        """What waits, counted."""
        state = await self._begin()
        tables = state.gate_tables
        asked, waiting = ApprovalState.ASKED, ConnectionState.REQUESTED_IN
        return WaitingCounts(
            sum(1 for q in tables.approvals.values() if q.state is asked and q.expires_at > now),
            sum(1 for c in state.connections.values() if c.state is waiting and c.expires_at > now),
            sum(1 for gate in tables.gates.values() if gate.state is GateState.WAITING),
            sum(1 for b in state.breaker_tables.breakers.values() if b.code and is_tripped(b, now)),
            len(state.quarantine),
        )

    async def requests_held(self: _Held, account: AccountId | None, now: Instant) -> int:
        """How many requests have time left and are not answered."""
        asked = [c for c in (await self._begin()).connections.values() if c.expires_at > now]
        waiting = [c for c in asked if c.state is ConnectionState.REQUESTED_IN or c.taken_back]
        return sum(1 for c in waiting if account in {None, c.peer.account})

    async def connection_page(
        self: _Held, query: ConnectionQuery, after: Place | None, limit: int, order: Order
    ) -> Page[PeerConnection]:
        """Connections by place."""
        state, newest = await self._begin(), order is Order.NEWEST_FIRST
        places = state.connection_places
        rows = [
            (places[c.request], c)
            for c in state.connections.values()
            if query.agent in {None, c.mine.name}
            and (not query.states or c.state in query.states)
            and (after is None or (places[c.request] < after if newest else places[c.request] > after))
        ]
        return page(sorted(rows, key=lambda row: row[0], reverse=newest), limit)

    async def requests_over(self: _Held, now: Instant, limit: int) -> tuple[PeerConnection, ...]:
        """Requests that wait for an answer and whose time is over."""
        state = await self._begin()
        waiting = {ConnectionState.REQUESTED_IN, ConnectionState.REQUESTED_OUT}
        over = [c for c in state.connections.values() if c.state in waiting and c.expires_at <= now]
        over.sort(key=lambda c: (c.expires_at, state.connection_places[c.request]))
        return tuple(over[:limit])

    async def gates(self: _Held, tasks: Collection[Hash]) -> Mapping[Hash, GateRecord]:
        """How tasks stand at their gates."""
        return pick((await self._begin()).gate_tables.gates, tasks)

    async def gates_waiting(self: _Held, agent: str | None, limit: int) -> tuple[GateRecord, ...]:
        """Tasks that wait for the owner."""
        gates = (await self._begin()).gate_tables.gates.values()
        waiting = [g for g in gates if g.state is GateState.WAITING and agent in {None, g.mine.name}]
        return tuple(waiting[:limit])

    async def standing_rules(self: _Held) -> tuple[RuleRecord, ...]:
        """All rules."""
        rules = (await self._begin()).gate_tables.rules.values()
        return tuple(sorted(rules, key=lambda rule: (rule.created_at, rule.id)))

    async def rule_uses(
        self: _Held, rules: Collection[Hash], use: RuleUse, since: Instant
    ) -> Mapping[Hash, int]:
        """How often rules did something lately."""
        held, last = (await self._begin()).gate_tables.rule_uses.values(), horizon(since)
        uses = [one for one in held if since < one.at <= last]
        return {rule: sum(1 for one in uses if (one.rule, one.use) == (rule, use)) for rule in set(rules)}

    async def approvals(self: _Held, approvals: Collection[Hash]) -> Mapping[Hash, ApprovalRecord]:
        """Questions by id."""
        return pick((await self._begin()).gate_tables.approvals, approvals)

    async def approval_page(
        self: _Held, query: ApprovalQuery, after: Place | None, limit: int, order: Order
    ) -> Page[ApprovalRecord]:
        """Questions by place."""
        newest = order is Order.NEWEST_FIRST
        rows = [
            (asked.place, asked)
            for asked in (await self._begin()).gate_tables.approvals.values()
            if query.agent in {None, asked.agent}
            and query.subject in {None, asked.subject}
            and (not query.states or asked.state in query.states)
            and (after is None or (asked.place < after if newest else asked.place > after))
        ]
        return page(sorted(rows, key=lambda row: row[0], reverse=newest), limit)

    async def proposal(self: _Held, approval: Hash) -> ProposalRecord | None:
        """What a question asks to send."""
        return (await self._begin()).gate_tables.proposals.get(approval)
