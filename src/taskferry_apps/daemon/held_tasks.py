"""Tasks that wait for their owner: listed in short, read in full, and let pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from taskferry_protocol.breakers import Trip
from taskferry_protocol.ids import AccountId
from taskferry_protocol.links import EventType, Role
from taskferry_protocol.messages import TaskRequest, decode_content, parts_size
from taskferry_protocol.records import GateRecord, GateState, MessageRecord

from .breakers import WORDS
from .core import Core
from .draft import Draft
from .gate_views import HeldTask, WholeTask
from .identity_changes import trust_in
from .names import handle_of, not_found, require_owner
from .port import Caller, DaemonRefusal
from .possible import refused_deed
from .search import find_task
from .task_gate import OWNER, pass_on
from .taskbook import load_task
from .whole_tasks import whole_task

__all__ = ["HeldTasks"]

#: How many are listed at once; a peer's are bounded by its budget of open tasks.
MOST: Final = 500


class HeldTasks:
    """Lists what waits, and lets it pass. Turning away is declining, which the task's own actions do."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def waiting(self, agent: str | None, limit: int = MOST) -> tuple[GateRecord, ...]:
        """What waits for one agent of ours, or for all."""
        return await self._core.store.gates_waiting(agent, limit)

    async def listed(self, caller: Caller, limit: int) -> tuple[HeldTask, ...]:
        """What waits, for the owner to read."""
        require_owner(caller)
        core, gates = self._core, await self.waiting(None, min(limit, MOST))
        messages = await core.store.messages({gate.task for gate in gates})
        trust = await trust_in(core.store, {gate.peer.account for gate in gates})
        return tuple([await _view(core, gate, _asked(messages.get(gate.task, ())), trust) for gate in gates])

    async def find(self, caller: Caller, named: str) -> GateRecord:
        """The task that waits under an id or unique prefix. Raises DaemonRefusal: not-found, ambiguous."""
        require_owner(caller)
        # Among all tasks, not only those that wait: a peer may make a task whose id begins like that of one
        # which the owner has just read, and take that one back.
        task = await find_task(self._core.store, named)
        gate = (await self._core.store.gates((task,))).get(task)
        if gate is None or gate.state is not GateState.WAITING:
            raise not_found("task that waits")
        return gate

    async def one(self, caller: Caller, named: str) -> tuple[HeldTask, WholeTask]:
        """A task that waits, as lists show it and in full. Raises as `find`; conflict without its request."""
        core = self._core
        gate = await self.find(caller, named)
        held = await load_task(core, gate.task)
        request = held.request
        if request is None:
            raise DaemonRefusal(
                "conflict",
                "What was asked has not come to this machine yet.",
                "Look again in a while, or decide on your other machine.",
                status=409,
            )
        sent_at = next(event.created_at for event in held.events if event.hash == gate.task)
        return await self._view(gate), await whole_task(
            core, gate.mine, gate.peer, request, gate.task, sent_at
        )

    async def release(self, caller: Caller, named: str) -> HeldTask:
        """Put a task before its agent, as new."""
        require_owner(caller)
        core = self._core
        async with core.lock:
            draft = Draft(core)
            gate = await self.find(caller, named)
            held = await load_task(core, gate.task)
            refusal = held.view.refuse(Role.WORKER, EventType.TASK_ACCEPT, now=draft.now)
            deadline = held.view.terms.deadline if held.view.terms is not None else None
            if refusal is not None or (deadline is not None and deadline <= draft.now):
                text = refused_deed(held.view, refusal) if refusal is not None else "Its deadline has passed."
                raise DaemonRefusal(
                    "conflict",
                    text,
                    "Decline it, or let it be: nothing of it reaches your agent.",
                    status=409,
                )
            await pass_on(draft, gate, GateState.RELEASED, OWNER)
            state = held.view.state.value if held.view.state is not None else "unknown"
            draft.tell(
                "task",
                gate.mine.name,
                (gate.task, gate.task),
                state=state,
                type=TaskRequest.type_name,
                direction="in",
            )
            await draft.commit()
        return await self._view(gate)

    async def _view(self, gate: GateRecord) -> HeldTask:
        core = self._core
        held = await load_task(core, gate.task)
        return await _view(core, gate, held.request, await trust_in(core.store, {gate.peer.account}))


def _asked(messages: Sequence[MessageRecord]) -> TaskRequest | None:
    """The request among the messages that have its hash; None where it has not come here."""
    bodies = (decode_content(message.content).body for message in messages)
    return next((body for body in bodies if isinstance(body, TaskRequest)), None)


async def _view(
    core: Core, gate: GateRecord, request: TaskRequest | None, trust: Mapping[AccountId, str]
) -> HeldTask:
    parts = request.parts if request is not None else ()
    return HeldTask(
        task=gate.task,
        mine=await handle_of(core, gate.mine),
        peer=await handle_of(core, gate.peer),
        trust=trust.get(gate.peer.account, ""),
        title=request.title if request is not None else "",
        brief_chars=len(request.brief) if request is not None else 0,
        attached=len(parts),
        attached_bytes=parts_size(parts),
        deadline=request.deadline if request is not None else None,
        at=gate.at,
        code=gate.why,
        why=WORDS[Trip(gate.why)] if gate.why else "",
    )
