"""What agents are not shown: the tasks that their owner has not let pass, and all that was said in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from taskferry_protocol.ids import Hash
from taskferry_protocol.links import Role
from taskferry_protocol.records import GateState, MessageRecord, TaskRecord

from .core import Core
from .port import Caller

__all__ = ["hidden", "shown_rows", "without_hidden"]


async def hidden(core: Core, tasks: Iterable[Hash | None]) -> frozenset[tuple[Hash, str]]:
    """(task, agent) of those tasks that the agent which is to do them may not see."""
    gates = await core.store.gates({task for task in tasks if task is not None})
    return frozenset(
        (gate.task, gate.mine.name) for gate in gates.values() if gate.state is not GateState.RELEASED
    )


async def without_hidden(
    core: Core, caller: Caller, messages: Collection[MessageRecord]
) -> tuple[MessageRecord, ...]:
    """The messages that a caller may see: the owner sees all."""
    if caller.is_owner:
        return tuple(messages)
    unseen = await hidden(core, (message.task for message in messages))
    return tuple(
        message
        for message in messages
        if message.task is None or (message.task, message.mine.name) not in unseen
    )


async def shown_rows(core: Core, caller: Caller, rows: Collection[TaskRecord]) -> tuple[TaskRecord, ...]:
    """The rows of tasks that a caller may see. Whoever asked for a task sees it all the same."""
    if caller.is_owner:
        return tuple(rows)
    unseen = await hidden(core, (row.task for row in rows))
    return tuple(
        row for row in rows if row.role != Role.WORKER.value or (row.task, row.mine.name) not in unseen
    )
