"""What a daemon's store in memory forgets of strangers, of what it has sent, and of former agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from taskferry_protocol.ids import AccountId, Hash
from taskferry_protocol.records import (
    ConnectionState,
    Counted,
    Direction,
    Done,
    OutboxState,
    PruneAudit,
    PurgeSeen,
    Trust,
)
from taskferry_protocol.records.forgetting import (
    ForgetAccount,
    ForgetAccused,
    ForgetAnswers,
    ForgetChange,
    ForgetRequest,
    ForgetSealed,
    ForgetTraffic,
    SetApart,
)

from .apart import set_apart

if TYPE_CHECKING:
    from .daemon_state import DaemonState

__all__ = ["apply", "forget_sealed", "purge_seen", "release_sealed"]


def forget_sealed(state: DaemonState, change: ForgetSealed) -> None:
    """Forget envelopes that are nothing but sent."""
    for hash in change.hashes:
        if hash not in state.outbox:
            _drop_sealed(state, hash)


def purge_seen(state: DaemonState, change: PurgeSeen) -> int:
    """Forget what was seen long ago, and the envelopes that nothing else is left of; how many were seen."""
    gone = state.decisions.purge(change.before, change.limit)
    proofs = {got.receipt for got in state.got.values()} if gone else set()
    for hash in gone:
        if hash not in state.outbox and hash not in proofs:
            _drop_sealed(state, hash)
    return len(gone)


def release_sealed(state: DaemonState, hash: Hash) -> None:
    """A message or an event of a task is gone that was this envelope."""
    left = state.users_of_sealed[hash] - 1
    if left:
        state.journal.put(state.users_of_sealed, hash, left)
    else:
        state.journal.drop(state.users_of_sealed, hash)


def apply(state: DaemonState, change: ForgetChange) -> Counted | Done:
    """Make one change."""
    match change:
        case ForgetRequest():
            return Counted(_forget_request(state, change.request))
        case ForgetAccount():
            return Counted(0 if _is_accused(state, change) else _forget_account(state, change.account))
        case ForgetAccused():
            return Counted(_forget_accused(state, change))
        case ForgetAnswers():
            gone = [key for key in state.answers if key[0] in change.scopes]
            for key in gone:
                state.journal.drop(state.answers, key)
            return Counted(len(gone))
        case SetApart():
            set_apart(state, change)
            return Done()
        case ForgetTraffic():
            begun = max(change.before, state.counted_from.get(None, change.before))
            state.journal.put(state.counted_from, None, begun)
            return Counted(0)
        case PruneAudit():
            return Counted(state.audit.prune(change))
        case _:
            assert_never(change)


def _drop_sealed(state: DaemonState, hash: Hash) -> None:
    if hash not in state.users_of_sealed:
        state.journal.drop(state.sealed, hash)


def _forget_request(state: DaemonState, request: Hash) -> int:
    record = state.connections.get(request)
    if record is None or record.accept_raw:
        return 0
    if record.state is not ConnectionState.EXPIRED and not record.taken_back:
        return 0
    drop, flow = state.journal.drop, (record.mine, record.peer)
    drop(state.connections, request)
    drop(state.connection_places, request)
    others = [c.created_at for c in state.connections.values() if (c.mine, c.peer) == flow]
    said = [
        key
        for key, message in state.messages.items()
        if (message.mine, message.peer) == flow
        and (message.direction, message.cls) == (Direction.IN, "connection")
        and message.stored_at <= record.updated_at
        and all(message.stored_at < at for at in others)
    ]
    for key in said:
        drop(state.messages, key)
        release_sealed(state, key[0])
        _drop_sealed(state, key[0])
    return 1


def _is_accused(state: DaemonState, change: ForgetAccount) -> bool:
    record = state.ledger.accounts.get(change.account)
    is_held = record is not None and record.held != ""
    subjects = {change.account, *change.devices}
    return is_held or any(one.subject in subjects for one in state.ledger.evidence.values())


def _forget_accused(state: DaemonState, change: ForgetAccused) -> int:
    gone = _forget_account(state, change.account)
    evidence = state.ledger.evidence
    subjects = {change.account, *change.devices} if gone else set()
    for place in [place for place, one in evidence.items() if one.subject in subjects]:
        state.journal.drop(evidence, place)
    return gone


def _forget_account(state: DaemonState, account: AccountId) -> int:
    ledger, drop = state.ledger, state.journal.drop
    held = ledger.accounts.get(account)
    if held is None or state.trust[account][0] is not Trust.UNVERIFIED:
        return 0
    peers = [
        *(message.peer for message in state.messages.values()),
        *(task.peer for task in state.tasks.values()),
        *(record.peer for record in state.connections.values()),
        *(entry.to for entry in state.outbox.values() if entry.state is OutboxState.WAITING),
    ]
    named = [rule.account for rule in state.gate_tables.rules.values()]
    if account in (*(peer.account for peer in peers), *named):
        return 0
    drop(ledger.accounts, account)
    drop(state.trust, account)
    for name in [name for name, owner in ledger.names.items() if owner == account]:
        drop(ledger.names, name)
    for agent in [agent for agent in ledger.cards if agent.account == account]:
        drop(ledger.cards, agent)
    for flow in [flow for flow in ledger.rates if flow.from_.account == account]:
        drop(ledger.rates, flow)
    return 1
