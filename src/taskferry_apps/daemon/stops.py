"""What breakers have stopped, pair by pair, and the owner's decision: let it pass, in order, or drop it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from taskferry_protocol.audit import AuditKind
from taskferry_protocol.breakers import Trip, after_decision, stop_id
from taskferry_protocol.ids import AgentRef, Hash, Instant
from taskferry_protocol.links import EventType, Role
from taskferry_protocol.messages import decode_content
from taskferry_protocol.records import (
    BreakerRecord,
    DropStopped,
    Flow,
    ForgetExchanges,
    GateRecord,
    GateState,
    MessageRecord,
    PutBreaker,
    ShowMessages,
)

from .breakers import HELD_ITEMS, WORDS, tripped_breakers
from .core import Core
from .draft import Draft
from .gate_views import HeldItem, StopView
from .names import handle_of, match_prefix, parse_prefix, require_owner
from .port import Caller, DaemonRefusal, TaskAction
from .possible import may_act
from .task_gate import OWNER, decide
from .taskbook import load_task
from .tasks import Tasks

__all__ = ["Stops"]

#: Tasks at the gate that a breaker sent there; a peer's are bounded by its budget of open tasks.
_MOST_TASKS: Final = 500
#: Nobody is told then: there is no connection, or nobody who serves the agent.
_UNREACHABLE: Final = frozenset({"not-connected", "account-held", "unknown-recipient", "device-gone"})
#: Characters of what is held that the owner is shown.
_SHOWN: Final = 400


class Stops:
    """Lists what is stopped, and carries the owner's decision out."""

    def __init__(self, core: Core, tasks: Tasks) -> None:
        self._core = core
        self._tasks = tasks

    async def listed(self, caller: Caller) -> tuple[StopView, ...]:
        """What is stopped, the first to trip first."""
        require_owner(caller)
        return tuple([await self._view(breaker) for breaker in await tripped_breakers(self._core)])

    async def counted(self, caller: Caller, limit: int) -> tuple[StopView, ...]:
        """The same without what is held, for a list of many."""
        require_owner(caller)
        tripped = (await tripped_breakers(self._core))[:limit]
        gates = await self._core.store.gates_waiting(None, _MOST_TASKS)
        between: dict[tuple[AgentRef, AgentRef], list[GateRecord]] = {}
        for gate in gates:
            if gate.why:
                between.setdefault((gate.mine, gate.peer), []).append(gate)
        return tuple(
            [
                await self._shown(breaker, (), between.get((breaker.mine, breaker.peer), []))
                for breaker in tripped
            ]
        )

    async def one(self, caller: Caller, named: str) -> StopView:
        """One of them, by id or unique prefix."""
        require_owner(caller)
        return await self._view(await self._find(named))

    async def waiting(self, agent: str) -> Counter[str]:
        """How much is held of each peer's for one agent of ours, by handle."""
        counts: Counter[str] = Counter()
        for breaker in await tripped_breakers(self._core):
            if breaker.mine.name == agent and breaker.held:
                counts[await handle_of(self._core, breaker.peer)] += breaker.held
        return counts

    async def release(self, caller: Caller, named: str, seen: Hash | None) -> StopView:
        """Put what is held between two agents before ours, in its order; counts and hops begin anew.

        `seen` names what the owner was shown: what differs from it is refused as a conflict.
        """
        require_owner(caller)
        core = self._core
        async with core.lock:
            draft = Draft(core)
            breaker = await self._find(named)
            view = await self._view(breaker)
            _check_seen(view, seen)
            stopped = await self._stopped(breaker)
            gates = [gate for gate in await self._gates(breaker) if await self._is_possible(draft, gate)]
            shown = [*stopped, *await self._requests(gates)]
            shown.sort(key=lambda message: message.place)
            for gate in gates:
                await decide(draft, gate, GateState.RELEASED, OWNER)
            draft.add(ShowMessages(breaker.mine.name, tuple(message.hash for message in shown)))
            await self._tell(draft, shown)
            await self._decided(draft, breaker, AuditKind.APPROVAL)
            await draft.commit()
        return view

    async def drop(self, caller: Caller, named: str, seen: Hash | None) -> StopView:
        """Never put what is held between two agents before ours. Tasks are declined, so that they end.

        Whoever sent a message was told the truth, `delivered`. Where the two are connected no more, nobody is
        told of a task: it leaves the gate all the same. `seen` as in `release`.
        """
        require_owner(caller)
        core = self._core
        found = await self._find(named)
        view = await self._view(found)
        _check_seen(view, seen)
        unsaid = [gate.task for gate in await self._gates(found) if not await self._turn_away(caller, gate)]
        async with core.lock:
            draft = Draft(core)
            for gate in (await core.store.gates(unsaid)).values():
                if gate.state is GateState.WAITING:
                    await decide(draft, gate, GateState.DECLINED, OWNER)
            breaker = (await core.pairs.of(found.mine, found.peer, draft.now)).breaker
            stopped = await self._stopped(breaker)
            # While its tasks were declined, more may have come, or somebody else have decided.
            if [message.hash for message in stopped] != [item.hash for item in view.items]:
                raise _changed()
            draft.add(DropStopped(breaker.mine.name, tuple(message.hash for message in stopped)))
            await self._decided(draft, breaker, AuditKind.DENIAL)
            await draft.commit()
        return view

    async def _decided(self, draft: Draft, breaker: BreakerRecord, kind: AuditKind) -> None:
        peer = await handle_of(draft.core, breaker.peer)
        draft.add(PutBreaker(after_decision(breaker, draft.now)))
        draft.add(ForgetExchanges(breaker.mine, breaker.peer))
        draft.tell("breaker", "", (), code="", mine=breaker.mine.name, peer=peer, held=0)
        draft.audit(kind, peer, what="stop", code=breaker.code, mine=breaker.mine.name, held=breaker.held)

    async def _turn_away(self, caller: Caller, gate: GateRecord) -> bool:
        """Decline a task; False where nothing can be said of it, so that the gate alone is decided."""
        held = await load_task(self._core, gate.task)
        if held.view.refuse(Role.WORKER, EventType.TASK_DECLINE, now=self._core.now()) is not None:
            return False
        if not may_act(held.view, Role.WORKER, self._core.device):
            return True  # another device of this owner answers it, or has
        try:
            await self._tasks.act(caller, gate.task, TaskAction("decline", mine=gate.mine.name))
        except DaemonRefusal as refused:
            if refused.code not in _UNREACHABLE:
                raise
            return False
        return True

    async def _is_possible(self, draft: Draft, gate: GateRecord) -> bool:
        held = await load_task(self._core, gate.task)
        deadline = held.view.terms.deadline if held.view.terms is not None else None
        late = deadline is not None and deadline <= draft.now
        return not late and held.view.refuse(Role.WORKER, EventType.TASK_ACCEPT, now=draft.now) is None

    # --- What is there

    async def _find(self, named: str) -> BreakerRecord:
        """The stop under an id or unique prefix. Raises DaemonRefusal: not-found, ambiguous."""
        known = {_id(breaker): breaker for breaker in await tripped_breakers(self._core)}
        wanted = parse_prefix(named, "stop")
        return known[match_prefix(wanted if isinstance(wanted, str) else wanted.hex(), known, "stop")]

    async def _stopped(self, breaker: BreakerRecord) -> tuple[MessageRecord, ...]:
        return await self._core.store.stopped(Flow(breaker.mine, breaker.peer), HELD_ITEMS)

    async def _gates(self, breaker: BreakerRecord) -> list[GateRecord]:
        waiting = await self._core.store.gates_waiting(breaker.mine.name, _MOST_TASKS)
        return [gate for gate in waiting if gate.why and gate.peer == breaker.peer]

    async def _requests(self, gates: list[GateRecord]) -> list[MessageRecord]:
        found = await self._core.store.messages([gate.task for gate in gates])
        mine = {gate.task: gate.mine for gate in gates}
        return [one for hash, messages in found.items() for one in messages if one.mine == mine[hash]]

    async def _view(self, breaker: BreakerRecord) -> StopView:
        return await self._shown(breaker, await self._stopped(breaker), await self._gates(breaker))

    async def _shown(
        self, breaker: BreakerRecord, items: Sequence[MessageRecord], gates: Sequence[GateRecord]
    ) -> StopView:
        core = self._core
        return StopView(
            id=_id(breaker),
            mine=await handle_of(core, breaker.mine),
            peer=await handle_of(core, breaker.peer),
            code=breaker.code,
            why=WORDS[Trip(breaker.code)],
            since=breaker.tripped_at or core.now(),
            held=breaker.held,
            tasks=tuple(gate.task for gate in gates),
            refused_until=breaker.refused_until,
            items=tuple(_item(message) for message in items),
        )

    async def _tell(self, draft: Draft, messages: list[MessageRecord]) -> None:
        """The lines of the feed that these messages did not have when they came."""
        tasks = await self._core.store.tasks({one.task for one in messages if one.task is not None})
        for message in messages:
            facts = {"type": message.type, "direction": "in"}
            if message.task is None:
                draft.tell("message", message.mine.name, (message.hash,), **facts)
                continue
            state = next((row.state for row in tasks[message.task] if row.mine == message.mine), "unknown")
            draft.tell("task", message.mine.name, (message.hash, message.task), state=state, **facts)


def _check_seen(view: StopView, seen: Hash | None) -> None:
    """Nothing if that is what is held. Raises DaemonRefusal(conflict)."""
    if seen is not None and seen != view.seen:
        raise _changed()


def _changed() -> DaemonRefusal:
    return DaemonRefusal(
        "conflict",
        "What is held has changed since it was shown.",
        "Look at it again, then decide.",
        status=409,
    )


def _id(breaker: BreakerRecord) -> Hash:
    return stop_id(breaker.mine, breaker.peer, Instant(breaker.tripped_at or 0))


def _item(message: MessageRecord) -> HeldItem:
    members = decode_content(message.content).body.to_cbor()
    texts = (members.get(name) for name in ("text", "note", "reason", "title"))
    text = next((said for said in texts if isinstance(said, str) and said), "")
    return HeldItem(message.hash, message.type, message.task, message.stored_at, text[:_SHOWN])
