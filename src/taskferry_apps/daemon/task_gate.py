"""The gate before an agent's inbox: tasks that wait for the owner, and the owner's decision.

A task that waits is received in full: its sender is told the truth, `delivered`. Its text reaches the agent
only once the owner, or a rule of the owner's, has let it pass; of one that was turned away, never.
"""

from __future__ import annotations

from typing import Final

import attrs

from taskferry_protocol.audit import AuditKind
from taskferry_protocol.ids import Hash
from taskferry_protocol.links import EventType, Role
from taskferry_protocol.messages import TaskRequest
from taskferry_protocol.records import (
    GateRecord,
    GateState,
    InboxState,
    PutGate,
    RuleUse,
    ShowMessages,
    TaskRecord,
)

from .agent_settings import agent_settings
from .arrival import Arrival
from .bonds import bond_between
from .breakers import count_shown, gate_reason, person_decided
from .draft import Draft
from .names import handle_of
from .rules import count_use, find_rule
from .taskbook import Held, is_of_former

__all__ = ["OWNER", "admit_event", "decide", "decided_elsewhere", "hold_shared", "pass_on", "settle"]

OWNER: Final = "owner"
ELSEWHERE: Final = "another device"

_DECISIONS: Final = {
    EventType.TASK_ACCEPT: GateState.RELEASED,
    EventType.TASK_DECLINE: GateState.DECLINED,
    EventType.TASK_FAIL: GateState.DECLINED,
}


#: Nobody has decided yet.
_OPEN: Final = frozenset({GateState.UNBEGUN, GateState.WAITING})

#: What of a decision is written down; that a peer took its task back is the peer's own doing.
_WRITTEN: Final = {GateState.RELEASED: AuditKind.APPROVAL, GateState.DECLINED: AuditKind.DENIAL}


async def admit_event(arrival: Arrival, held: Held, after: Held, role: Role) -> InboxState:
    """Where a peer's task event goes: before our agent, to the gate, or nowhere; `held` is without it."""
    if role is not Role.WORKER:
        return InboxState.UNREAD
    draft = arrival.draft
    gate = (await draft.core.store.gates((held.task,))).get(held.task)
    if gate is not None and gate.peer != arrival.peer:
        gate = None  # of words that have come ahead, from somebody whose task it is not
    if gate is not None and gate.state is not GateState.UNBEGUN:
        if gate.state is GateState.WAITING and after.view.is_final:
            await decide(draft, gate, GateState.OVER, "peer")
        return InboxState.UNREAD if gate.state is GateState.RELEASED else InboxState.QUIET
    asks = isinstance(arrival.content.body, TaskRequest)
    # Between two agents of one owner the request is held already, as the one that asked has sent it.
    begun = held.request is not None and not asks
    if gate is None and begun:
        return InboxState.UNREAD
    why = ""
    if gate is None and not await _waits(arrival):
        why = await gate_reason(arrival) if asks else ""
        if not why:
            if asks:
                count_shown(arrival)
            return InboxState.UNREAD
    if not asks:
        # Words about a task whose request has not come yet are not to pass where the request may not.
        draft.add(PutGate(GateRecord(held.task, arrival.mine, arrival.peer, GateState.UNBEGUN, draft.now)))
        return InboxState.QUIET
    return await _hold(arrival, held.task, after, why)


async def _waits(arrival: Arrival) -> bool:
    core, mine = arrival.draft.core, arrival.mine
    settings = await agent_settings(core, mine.name)
    return settings.waits(await _gated_by_grant(arrival))


async def _gated_by_grant(arrival: Arrival) -> bool:
    if arrival.mine.account == arrival.peer.account:
        return False
    bond = await bond_between(arrival.draft.core.store, arrival.mine, arrival.peer)
    terms = bond.given.terms if bond is not None and bond.given is not None else None
    return terms is None or terms.human_gate


async def _hold(arrival: Arrival, task: Hash, after: Held, why: str) -> InboxState:
    draft, mine, peer = arrival.draft, arrival.mine, arrival.peer
    gate = GateRecord(task, mine, peer, GateState.WAITING, draft.now)
    if after.view.is_final:
        await decide(draft, gate, GateState.OVER, "peer")
        return InboxState.QUIET
    ours = [event.type for event in after.events if event.role is Role.WORKER and event.type in _DECISIONS]
    if ours:
        # Another device of this owner has answered already, and its word came here first.
        await decide(draft, gate, _DECISIONS[ours[0]], ELSEWHERE)
        return InboxState.UNREAD if _DECISIONS[ours[0]] is GateState.RELEASED else InboxState.QUIET
    settings = await agent_settings(draft.core, mine.name)
    # Rules stand in for the gate of a grant. A guarded agent's owner wants to see everything.
    if not why and not settings.waits(human_gate=False):
        rule = await find_rule(draft, peer, mine.name, RuleUse.TASK)
        why = await gate_reason(arrival) if rule is not None else ""
        if rule is not None and not why:
            count_use(draft, rule, RuleUse.TASK, task, mine.name)
            await decide(draft, gate, GateState.RELEASED, rule.id.hex())
            count_shown(arrival)
            return InboxState.UNREAD
    draft.add(PutGate(attrs.evolve(gate, why=why)))
    draft.tell("gate", "", (task, task), state=gate.state.value, agent_name=mine.name)
    draft.tell("gate", mine.name, (), state=gate.state.value, peer=await handle_of(draft.core, peer))
    return InboxState.HELD


async def hold_shared(draft: Draft, row: TaskRecord, held: Held) -> None:
    """Hold what another device of this owner has told of, unless the owner's side has answered it.

    What its gate let pass, the other device does not say; so this one asks its owner, too. History comes in
    parts, and words of the peer's may come ahead of it: each part is looked at, until somebody has decided.
    """
    if row.role != Role.WORKER.value or is_of_former(row):
        return
    gate = (await draft.core.store.gates((row.task,))).get(row.task)
    known = gate is not None and gate.peer == row.peer
    if gate is None or not known:
        gate = GateRecord(row.task, row.mine, row.peer, GateState.UNBEGUN, draft.now)
    state = _as_told(held)
    if gate.state not in _OPEN or (state is GateState.RELEASED and not known):
        return
    if gate.state is GateState.WAITING and state not in _OPEN:
        await pass_on(draft, gate, state, ELSEWHERE)
    elif state in _OPEN:
        draft.add(PutGate(attrs.evolve(gate, state=state)))
    else:
        draft.add(PutGate(attrs.evolve(gate, state=state, decided_at=draft.now, by=ELSEWHERE)))


def _as_told(held: Held) -> GateState:
    """Where a task stands by what our own devices have answered, as far as that is here."""
    ours = [event.type for event in held.events if event.role is Role.WORKER and event.type in _DECISIONS]
    if ours:
        return _DECISIONS[ours[0]]
    if held.view.is_final:
        return GateState.OVER
    return GateState.WAITING if held.request is not None else GateState.UNBEGUN


async def decide(draft: Draft, gate: GateRecord, state: GateState, by: str) -> None:
    """Store how a gate is decided, tell of it, and write it down. It shows no message."""
    draft.add(PutGate(attrs.evolve(gate, state=state, decided_at=draft.now, by=by)))
    draft.tell("gate", "", (gate.task, gate.task), state=state.value, agent_name=gate.mine.name, by=by)
    if state in _WRITTEN:
        subject = await handle_of(draft.core, gate.peer)
        task = gate.task.hex()[:16]
        draft.audit(_WRITTEN[state], subject, what="task", task=task, mine=gate.mine.name, by=by[:64])


async def decided_elsewhere(draft: Draft, task: Hash, kind: EventType) -> None:
    """Another device of this owner has answered a task that waits here: it was decided on there."""
    gate = (await draft.core.store.gates((task,))).get(task)
    if gate is not None and gate.state is GateState.WAITING and kind in _DECISIONS:
        await pass_on(draft, gate, _DECISIONS[kind], ELSEWHERE)


async def settle(draft: Draft, row: TaskRecord, kind: EventType) -> None:
    """The owner answers a task that waits: that decides on it."""
    if row.role != Role.WORKER.value or kind not in _DECISIONS:
        return
    gate = (await draft.core.store.gates((row.task,))).get(row.task)
    if gate is not None and gate.state is GateState.WAITING:
        await pass_on(draft, gate, _DECISIONS[kind], OWNER)


async def pass_on(draft: Draft, gate: GateRecord, state: GateState, by: str) -> None:
    """Decide on a task that waits, and put it before its agent if it is released."""
    await decide(draft, gate, state, by)
    if by == OWNER:
        await person_decided(draft, gate.mine, gate.peer)
    if state is GateState.RELEASED:
        draft.add(ShowMessages(gate.mine.name, (gate.task,)))
