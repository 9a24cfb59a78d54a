"""What agents are not shown: the tasks that their owner has not let pass, all that was said in them, and what
a breaker holds or the owner has dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import attrs

from taskferry_protocol.ids import AgentRef, Hash
from taskferry_protocol.links import Role
from taskferry_protocol.records import GateState, InboxState, MessageRecord, TaskRecord

from .core import Core
from .describe_tasks import task_view, with_progress
from .port import Caller, DaemonRefusal
from .task_windows import choose
from .taskbook import Held
from .views import TaskView, Window

__all__ = [
    "UNSEEN",
    "check_all_shown",
    "held_for_owner",
    "hidden",
    "shown_of",
    "shown_rows",
    "shown_task",
    "without_hidden",
]


#: What a breaker holds, and what the owner has dropped of it.
UNSEEN: Final = frozenset({InboxState.STOPPED, InboxState.DROPPED})


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
        if message.inbox not in UNSEEN
        and (message.task is None or (message.task, message.mine.name) not in unseen)
    )


async def shown_rows(core: Core, caller: Caller, rows: Collection[TaskRecord]) -> tuple[TaskRecord, ...]:
    """The rows of tasks that a caller may see. Whoever asked for a task sees it all the same."""
    if caller.is_owner:
        return tuple(rows)
    unseen = await hidden(core, (row.task for row in rows))
    return tuple(
        row for row in rows if row.role != Role.WORKER.value or (row.task, row.mine.name) not in unseen
    )


async def shown_of(core: Core, mine: AgentRef, hashes: Collection[Hash]) -> tuple[Hash, ...]:
    """Those of some events of a task that no breaker holds or held from our agent, in their order."""
    found = await core.store.message_states(hashes)
    stopped = {
        message.hash
        for messages in found.values()
        for message in messages
        if message.mine == mine and message.inbox in UNSEEN
    }
    return tuple(hash for hash in hashes if hash not in stopped)


async def shown_task(
    core: Core, caller: Caller, held: Held, row: TaskRecord, window: Window = None
) -> TaskView:
    """A task, in full or as much as a window shows. While a breaker holds some of it, an agent is shown where
    the task stands, as both ends have it, and not what was said in what is held.
    """
    chosen = choose(held, window)
    view = await task_view(core, held, row, chosen)
    if caller.is_owner:
        return attrs.evolve(view, summary=with_progress(view.summary, row))
    hashes = {
        *(line.event.hash for line in chosen.lines),
        *(version.hash for version in chosen.versions),
        *chosen.revisions,
    }
    shown = frozenset(await shown_of(core, row.mine, hashes))
    if shown == hashes:
        return view
    asked = zip(chosen.revisions, view.revision_requests, strict=True)
    return attrs.evolve(
        view,
        versions=tuple(version for version in view.versions if version.hash in shown),
        revision_requests=tuple(request for hash, request in asked if hash in shown),
        events=tuple(event if event.hash in shown else attrs.evolve(event, note="") for event in view.events),
    )


async def check_all_shown(core: Core, mine: AgentRef, held: Held) -> None:
    """Nothing if no breaker holds anything of a task from our agent. Raises DaemonRefusal(conflict)."""
    if len(await _shown_events(core, mine, held)) != len(held.events):
        raise held_for_owner()


async def _shown_events(core: Core, mine: AgentRef, held: Held) -> frozenset[Hash]:
    return frozenset(await shown_of(core, mine, [event.hash for event in held.events]))


def held_for_owner() -> DaemonRefusal:
    """The refusal of what a breaker holds."""
    return DaemonRefusal(
        "conflict",
        "Some of this is held until the owner has looked at it.",
        "The owner decides with: taskferry approvals",
        status=409,
    )
