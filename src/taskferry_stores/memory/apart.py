"""Setting a former agent apart from the next one of its name, in memory: every row of its is renamed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import attrs

from taskferry_protocol.former_names import former
from taskferry_protocol.ids import AccountId, AgentRef
from taskferry_protocol.records import (
    BreakerRecord,
    ExchangeRecord,
    Flow,
    GateRecord,
    MessageRecord,
    QuarantineRecord,
    TaskRecord,
)
from taskferry_protocol.records.forgetting import SetApart

if TYPE_CHECKING:
    from .daemon_state import DaemonState

__all__ = ["set_apart"]

K = TypeVar("K")
_Row = TypeVar("_Row", MessageRecord, TaskRecord, QuarantineRecord, GateRecord, ExchangeRecord, BreakerRecord)


def set_apart(state: DaemonState, change: SetApart) -> None:
    """Make the change."""
    agent, known = change.agent, _agents(state, change.agent.account)
    names = (former(agent, number) for number in count(change.number))
    gone = next(name for name in names if name not in known)

    def renamed(row: _Row) -> _Row:
        mine = gone if row.mine == agent else row.mine
        return attrs.evolve(row, mine=mine, peer=gone if row.peer == agent else row.peer)

    gates, breakers, runtimes = state.gate_tables, state.breaker_tables, state.runtime_tables
    _replace(state, state.messages, renamed, lambda row: (row.hash, row.mine.name))
    _replace(state, state.tasks, renamed, lambda row: (row.task, row.role))
    its = [(key, task) for key, task in state.tasks.items() if gone in {task.mine, task.peer} and task.open]
    for key, task in its:
        state.journal.put(state.tasks, key, attrs.evolve(task, open=False))
    _replace(state, state.quarantine, renamed, lambda row: row.hash)
    _replace(state, gates.gates, renamed, lambda row: row.task)
    _replace(state, breakers.breakers, renamed, lambda row: Flow(row.mine, row.peer))
    for number, exchange in list(breakers.exchanges.items()):
        state.journal.put(breakers.exchanges, number, renamed(exchange))
    state.decisions.rename(agent, gone)
    for due in [key for key, owed in state.owed.items() if owed.mine == agent]:
        state.journal.drop(state.owed, due)
    for id, asked in list(gates.approvals.items()):
        if asked.agent == agent.name:
            state.journal.put(gates.approvals, id, attrs.evolve(asked, agent=gone.name))
    for place, event in list(state.events.items()):
        if event.agent == agent.name:
            state.journal.put(state.events, place, attrs.evolve(event, agent=gone.name))
    for held in [key for key in runtimes.leases if key[1] == agent.name]:
        state.journal.drop(runtimes.leases, held)
    state.journal.drop(runtimes.seen, agent.name)


def _agents(state: DaemonState, account: AccountId) -> Collection[AgentRef]:
    gates = state.gate_tables
    sides = [
        *((row.mine, row.peer) for row in state.messages.values()),
        *((row.mine, row.peer) for row in state.tasks.values()),
        *((row.mine, row.peer) for row in gates.gates.values()),
    ]
    words = [*(row.agent for row in state.events.values()), *(row.agent for row in gates.approvals.values())]
    return {side for pair in sides for side in pair} | {AgentRef(account, word) for word in words}


def _replace(
    state: DaemonState, table: dict[K, _Row], renamed: Callable[[_Row], _Row], key_of: Callable[[_Row], K]
) -> None:
    for key, row in list(table.items()):
        now = renamed(row)
        if now != row:
            state.journal.drop(table, key)
            state.journal.put(table, key_of(now), now)
