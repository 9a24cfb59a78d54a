"""Tasks as callers are shown them: the fold's view with the contents beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from taskferry_protocol.ids import Hash
from taskferry_protocol.links import Role
from taskferry_protocol.messages import ArtifactSubmit, Content, RevisionRequest
from taskferry_protocol.records import InboxState, MessageRecord, Rung, TaskRecord
from taskferry_protocol.task_turns import TURNS
from taskferry_protocol.task_view import Version
from taskferry_protocol.tasks import Effect, Taken, TaskState
from taskferry_protocol.tasks import TaskView as Folded

from .asked import asked_views
from .core import Core
from .delivery import deliveries, ladder_of
from .labels import label_of
from .names import handle_of
from .possible import may_act, possible_actions, writer_of
from .task_windows import Chosen, note_of
from .taskbook import Held, is_of_former, read_summary
from .undelivered import lost_word, unconfirmed
from .views import Delivery, TaskEventView, TaskSummary, TaskView, VersionView

__all__ = ["state_shown", "task_summaries", "task_view", "turn_of", "with_progress"]


def state_shown(state: str, delivery: Delivery | None) -> str:
    """The state in words: a request that has not left yet is `created`."""
    left = delivery is None or delivery.rung != Rung.QUEUED.value
    return state if left or state != TaskState.SENT.value else "created"


async def task_summaries(core: Core, rows: Sequence[TaskRecord]) -> tuple[TaskSummary, ...]:
    """Rows as lists show them."""
    # Of a request it is of interest only at first whether it has left, or waits at the gate.
    asked = [row.task for row in rows if row.state == TaskState.SENT]
    requests = await core.store.message_states(asked)
    unread = await core.store.unread_in_tasks({(row.task, row.mine) for row in rows})
    shown = []
    for row in rows:
        summary = read_summary(row)
        request = _of(row, requests.get(row.task, ()))
        delivery = ladder_of(request) if request is not None else None
        acts = not is_of_former(row)
        shown.append(
            TaskSummary(
                id=row.task,
                title=row.title,
                mine=await handle_of(core, row.mine),
                peer=await handle_of(core, row.peer),
                role=row.role,
                state=state_shown(row.state, delivery),
                confirmed=summary.confirmed,
                final=summary.final,
                versions=summary.versions,
                deadline=row.deadline,
                created_at=row.created_at,
                updated_at=row.updated_at,
                waiting_for=turn_of(row.role, row.state) if acts else "",
                unread=unread.get((row.task, row.mine), 0),
                at_gate=acts and request is not None and request.inbox is InboxState.HELD,
            )
        )
    return tuple(shown)


def turn_of(role: str, state: str) -> str:
    """Whose turn it is in a task in which we have this role: me or peer; "" once it is over, or unknown."""
    turn = TURNS.get(state)
    if turn is None:
        return ""
    return "me" if turn.value == role else "peer"


def with_progress(summary: TaskSummary, row: TaskRecord) -> TaskSummary:
    """The same with the worker's last word on how far it is, which is for the owner's eyes."""
    known = read_summary(row)
    return attrs.evolve(summary, percent=known.percent, progress=known.progress)


def _of(row: TaskRecord, messages: Sequence[MessageRecord]) -> MessageRecord | None:
    return next((message for message in messages if message.mine == row.mine), None)


async def task_view(core: Core, held: Held, row: TaskRecord, chosen: Chosen) -> TaskView:
    """A task, from the side of `row`: with those events and versions that were chosen."""
    hashes = {held.task, *(line.event.hash for line in chosen.lines)}
    messages = await core.store.message_states(hashes)
    ours = [message for found in messages.values() for message in found if message.mine == row.mine]
    ladders = {hash: ladder for (hash, _), ladder in (await deliveries(core, ours)).items()}
    request, view, role, log = held.request, held.view, Role(row.role), await core.own_log()
    here, writer = may_act(view, role, core.device), writer_of(view, role, log)
    may = (here or writer is not None) and not is_of_former(row)
    lost = await lost_word(core, unconfirmed(view, role))
    return TaskView(
        summary=(await task_summaries(core, (row,)))[0],
        brief=request.brief if request is not None else "",
        requirements=request.requirements if request is not None else (),
        parts=request.parts if request is not None else (),
        asks=view.asks,
        revisions=request.revisions if request is not None else 0,
        budget=request.budget if request is not None else None,
        versions=tuple(_versions(held, chosen.versions)),
        revision_requests=tuple(
            (content.body.version, content.body.reasons)
            for hash in chosen.revisions
            if isinstance((content := held.contents[hash]).body, RevisionRequest)
        ),
        events=tuple(_event(line, held.contents, ladders) for line in chosen.lines),
        waiting=(*_troubles(view), *((lost,) if lost else ())),
        actions=possible_actions(view, role, core.now()) if may else (),
        delivery=ladders.get(held.task),
        acts_on=await label_of(core.store, log, writer) if writer is not None and not here else "",
        requests=await asked_views(core, row),
        events_cursor=chosen.events_cursor,
        versions_cursor=chosen.versions_cursor,
    )


def _versions(held: Held, versions: Sequence[Version]) -> list[VersionView]:
    at = {event.hash: event.created_at for event in held.events}
    shown = []
    for version in versions:
        body = held.contents[version.hash].body
        if isinstance(body, ArtifactSubmit):
            shown.append(
                VersionView(
                    version.number,
                    version.hash,
                    version.status.value,
                    body.note,
                    body.parts,
                    at[version.hash],
                )
            )
    return shown


def _event(line: Taken, contents: Mapping[Hash, Content], ladders: Mapping[Hash, Delivery]) -> TaskEventView:
    event = line.event
    return TaskEventView(
        n=event.link.n,
        side=event.role.value,
        type=event.type.value,
        hash=event.hash,
        prev=event.link.prev,
        seen=event.link.seen.count,
        device=event.device,
        at=event.created_at,
        effect=_effect(line),
        confirmed=line.settled,
        note=note_of(contents[event.hash]),
        delivery=ladders.get(event.hash),
    )


def _effect(line: Taken) -> str:
    if line.effect is Effect.SUPERSEDED and line.reason is not None:
        return f"superseded ({line.reason.value})"
    return line.effect.value


def _troubles(view: Folded) -> tuple[str, ...]:
    """Gaps, forks and closed chains in sentences."""
    lines = []
    for gap in view.gaps:
        places = f"event {gap.first}" if gap.first == gap.last else f"events {gap.first} to {gap.last}"
        lines.append(f"The {gap.role.value}'s {places} has not come; what follows waits for it.")
    for fork in view.forks:
        lines.append(f"The {fork.role.value} has signed several events at place {fork.n}.")
    for closure in view.closed:
        lines.append(f"The {closure.role.value}'s chain is closed: {closure.code.value}.")
    return tuple(lines)
