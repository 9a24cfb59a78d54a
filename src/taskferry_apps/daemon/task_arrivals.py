"""What a peer's task events do here: hold them, fold the task again, confirm what asks for it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import attrs

from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import Hash
from taskferry_protocol.inbound import Standing
from taskferry_protocol.links import ROLES, EventType, Role
from taskferry_protocol.messages import TaskRequest, TaskSeen, decode_content
from taskferry_protocol.records import (
    AddTaskEvent,
    Direction,
    EvidenceRecord,
    InboxState,
    MessageQuery,
    Order,
    PutEvidence,
    QuarantineRecord,
    SaveTask,
    SealedRecord,
    TaskEventRecord,
    TaskQuery,
    TaskRecord,
)
from taskferry_protocol.task_messages import task_event
from taskferry_protocol.tasks import TaskEvent, TaskView, check_event, confirmation_due

from .alarms import raise_alarm
from .arrival import Arrival
from .bounds import BOUNDS
from .breakers import count_sent, screen_event
from .displaced import tell_displaced
from .leads import within_task
from .named_events import with_named
from .port import DaemonRefusal
from .quarantine import set_aside
from .task_gate import admit_event, decided_elsewhere
from .task_parties import held_between
from .task_room import has_room
from .taskbook import Held, event_of, first_row, load_task, row_after
from .tasks import add_event

__all__ = ["take_task_event"]

_UNBEGUN: Final = BOUNDS.unbegun_tasks
_EVENTS: Final = BOUNDS.task_events
_SPARE: Final = BOUNDS.task_events_spare
_LATE: Final = BOUNDS.task_events_late


async def take_task_event(arrival: Arrival) -> RejectCode | None:
    """Take one event. The code, if it is held but closes its author's chain.

    Raises RemoteProtocolError for one that cannot stand in its task, or belongs to none.
    """
    content = arrival.content
    link = content.link
    if link is None:
        raise RemoteProtocolError(RejectCode.MISSING_FIELD, "a task event has a link", field="link")
    task = arrival.hash if link.task is None else link.task
    if arrival.decision.standing is Standing.COPY:
        await _take_copy(arrival, task)
        return None
    core = arrival.draft.core
    records = (await core.store.task_events((task,))).get(task, ())
    if link.task is not None:  # whose task it is, its request says, however much was said of it before
        _check_few(arrival, records, _EVENTS)
    held = await load_task(core, task, (arrival.mine.account, arrival.peer.account), records)
    asks = isinstance(content.body, TaskRequest)
    held = held_between(arrival.draft, held, arrival.mine, arrival.peer, proves=asks)
    if await _may_be_asked_elsewhere(arrival, held):
        arrival.store(InboxState.QUIET, task=task)
        return None
    row, role = await _row(arrival, held, EventType(content.body.type_name))
    event = _event(arrival, role.other)
    check_event(event, task)
    _check_few(arrival, held.records.values(), _most_events(held))
    if not has_room(held, len(arrival.decision.opened.raw)):
        raise RemoteProtocolError(RejectCode.TOO_MANY, "as many bytes are held of that task as may be")
    held = await _with_early_words(arrival, held, row)
    before = held.view if held.rows else None
    held = await with_named(arrival.draft, held, row, event)
    after = held if event.hash in held.records else held.with_event(event, content, core.device)
    code = _closing(after.view, event)
    if code is RejectCode.UNKNOWN_SEEN and await _may_speak_of_another(arrival, after.view, role):
        code = None
    if code is None:
        inbox = await admit_event(arrival, held, after, role)
        if inbox is InboxState.UNREAD and isinstance(content.body, TaskSeen):
            inbox = InboxState.QUIET
        elif inbox is InboxState.UNREAD and not isinstance(content.body, TaskRequest):
            inbox = await screen_event(arrival, held, after)
        arrival.store(inbox, task=task)
    else:
        inbox = InboxState.UNREAD
        arrival.keep()
        await _set_aside(arrival, code)
    _hold(arrival, task, role.other)
    await _report_forks(arrival, held, after)
    after = await _confirm(arrival, before, after, row, role)
    if isinstance(content.body, TaskRequest):
        row = attrs.evolve(
            row, title=content.body.title, home=arrival.decision.envelope.device, conv=content.conv
        )
    row = row_after(row, after.view, after.contents, arrival.draft.now)
    arrival.draft.add(SaveTask(row))
    _report_superseded(arrival, before, after.view, row, role)
    await tell_displaced(arrival.draft, held, after, row)
    arrival.draft.tell(
        "task",
        row.mine.name if inbox is InboxState.UNREAD else "",
        (arrival.hash, task),
        state=row.state,
        type=content.body.type_name,
        direction="in",
    )
    return code


def _check_few(arrival: Arrival, records: Collection[TaskEventRecord], most: int) -> None:
    if len(records) >= most and all(record.hash != arrival.hash for record in records):
        raise RemoteProtocolError(RejectCode.TOO_MANY, f"{most} events are held of that task")


def _most_events(held: Held) -> int:
    """How many events are held of a task. Two honest sides cannot exceed an agreed budget by more: each may
    spend it without having seen the other, and confirms what it takes.
    """
    budget = held.view.terms.budget if held.view.terms is not None else None
    return _EVENTS if budget is None else min(_EVENTS, 4 * budget + _SPARE)


def _event(arrival: Arrival, side: Role) -> TaskEvent:
    envelope = arrival.decision.envelope
    return event_of(envelope, arrival.content, side)


def _hold(arrival: Arrival, task: Hash, side: Role) -> None:
    envelope = arrival.decision.envelope
    record = TaskEventRecord(
        task, envelope.hash, side.value, envelope.device, envelope.header.created_at, arrival.draft.now
    )
    arrival.draft.add(AddTaskEvent(record))


async def _row(arrival: Arrival, held: Held, kind: EventType) -> tuple[TaskRecord, Role]:
    """Our row of the task, and our role in it; a new row for a task that comes, or whose request is late."""
    for row in held.rows:
        if (row.mine, row.peer) == (arrival.mine, arrival.peer):
            return row, Role(row.role)
    if Role.REQUESTER not in ROLES[kind]:
        raise RemoteProtocolError(RejectCode.UNKNOWN_TASK, "no such task was asked for here")
    if kind is not EventType.TASK_REQUEST:
        await _check_unbegun(arrival)
    row = first_row(
        held.task,
        Role.WORKER,
        mine=arrival.mine,
        peer=arrival.peer,
        conv=arrival.content.conv,
        home=arrival.decision.envelope.device,
        now=arrival.draft.now,
    )
    return row, Role.WORKER


async def _check_unbegun(arrival: Arrival) -> None:
    query = TaskQuery(
        agent=arrival.mine.name, peer=arrival.peer, role=Role.WORKER.value, states=frozenset({"unknown"})
    )
    page = await arrival.draft.core.store.task_page(query, None, _UNBEGUN)
    if len(page.items) >= _UNBEGUN:
        raise RemoteProtocolError(RejectCode.UNKNOWN_TASK, "too many tasks whose requests never came")


def _closing(view: TaskView, event: TaskEvent) -> RejectCode | None:
    for refused in view.refused:
        if refused.hash == event.hash and refused.code is not RejectCode.FORK:
            return refused.code
    return None


async def _may_speak_of_another(arrival: Arrival, view: TaskView, role: Role) -> bool:
    """Whether what it has seen may be another device's of ours, whose word has not come here yet.

    So it is while the requester has named nothing that this one signed: two devices may begin at once.
    """
    asked = view.order.chains[Role.REQUESTER]
    if role is not Role.WORKER or not asked or asked[-1].link.seen.count:
        return False
    return len((await arrival.draft.own_log()).state.serving(arrival.mine.name)) > 1


async def _set_aside(arrival: Arrival, code: RejectCode) -> None:
    envelope = arrival.decision.envelope
    await set_aside(
        arrival.draft,
        QuarantineRecord(
            envelope.hash,
            code.value,
            "says that it has seen an event of ours that this device never signed",
            envelope.raw,
            b"",
            arrival.draft.now,
            device=envelope.device,
            mine=arrival.mine,
            peer=arrival.peer,
            cls=envelope.header.cls.value,
            key=arrival.decision.opened.key,
        ),
    )


async def _confirm(
    arrival: Arrival, before: TaskView | None, after: Held, row: TaskRecord, role: Role
) -> Held:
    """With the `task_seen` that is due, if this device writes for our side and somebody could read it."""
    if not after.view.may_write(role, arrival.draft.core.device):
        return after
    link = confirmation_due(before, after.view, role)
    if link is None:
        return after
    mark = arrival.draft.mark()
    try:
        posted = await arrival.draft.post(TaskSeen(), row.mine, row.peer, within_task(after, row.conv, link))
    except DaemonRefusal:
        # Nobody serves that agent any more. What it signed before counts, and is confirmed with what follows.
        arrival.draft.back_to(mark)
        return after
    return add_event(arrival.draft, after, posted, role)


async def _report_forks(arrival: Arrival, before: Held, after: Held) -> None:
    known = {hash for fork in before.view.forks for pair in fork.evidence for hash in pair}
    for fork in after.view.forks:
        for first, second in fork.evidence:
            if {first, second} <= known:
                continue
            sealed = dict(await arrival.draft.core.store.sealed((first, second)))
            envelope = arrival.decision.envelope
            sealed.setdefault(
                envelope.hash, SealedRecord(envelope.hash, envelope.raw, arrival.decision.opened.key, b"")
            )
            if first in sealed and second in sealed:
                evidence = EvidenceRecord(
                    RejectCode.FORK.value,
                    envelope.device,
                    sealed[first].envelope,
                    sealed[second].envelope,
                    arrival.draft.now,
                )
                arrival.draft.add(PutEvidence(evidence))
                text = "A device has signed two versions of the same place in a task."
                await raise_alarm(arrival.draft, text, (after.task,))


def _report_superseded(
    arrival: Arrival, before: TaskView | None, after: TaskView, row: TaskRecord, role: Role
) -> None:
    """Tell our agent of events of its own that came to nothing because of what has come."""
    known = {line.event.hash for line in before.superseded} if before is not None else set()
    for line in after.superseded:
        if line.event.role is role and line.event.hash not in known:
            arrival.draft.tell(
                "superseded",
                row.mine.name,
                (line.event.hash, row.task),
                type=line.event.type.value,
                reason=line.reason.value if line.reason is not None else "",
            )


async def _take_copy(arrival: Arrival, task: Hash) -> None:
    """An event that another device of this owner has signed."""
    held = await load_task(arrival.draft.core, task, (arrival.mine.account, arrival.peer.account))
    held = held_between(arrival.draft, held, arrival.peer, arrival.mine, proves=True)
    row = next((row for row in held.rows if (row.mine, row.peer) == (arrival.peer, arrival.mine)), None)
    role = Role(row.role) if row is not None else _only_role(arrival)
    if role is None:
        # Either side could have signed it: it waits as a message until something tells which.
        arrival.store_copy(task=task)
        return
    event = _event(arrival, role)
    check_event(event, task)
    arrival.store_copy(task=task)
    if not isinstance(arrival.content.body, TaskSeen):
        count_sent(arrival.draft, arrival.peer, arrival.mine, arrival.hash, arrival.content)
    _hold(arrival, task, role)
    if role is Role.WORKER:
        await decided_elsewhere(arrival.draft, task, event.type)
    if row is None:
        body = arrival.content.body
        row = first_row(
            task,
            role,
            mine=arrival.peer,
            peer=arrival.mine,
            conv=arrival.content.conv,
            home=arrival.decision.envelope.device,
            now=arrival.draft.now,
            title=body.title if isinstance(body, TaskRequest) else "",
        )
    held = await _with_early_words(arrival, held, row)
    held = await with_named(arrival.draft, held, row, event)
    after = held.with_event(event, arrival.content, arrival.draft.core.device)
    await tell_displaced(arrival.draft, held, after, row)
    arrival.draft.add(SaveTask(row_after(row, after.view, after.contents, arrival.draft.now)))


def _only_role(arrival: Arrival) -> Role | None:
    roles = ROLES[EventType(arrival.content.body.type_name)]
    return next(iter(roles)) if len(roles) == 1 else None


async def _may_be_asked_elsewhere(arrival: Arrival, held: Held) -> bool:
    """Whether a confirmation may be about what another machine of ours asked, of which nothing is here yet.

    Either side can sign one, so it waits as a message until something tells which. With one machine alone
    the task can only be one that we are asked for.
    """
    if not isinstance(arrival.content.body, TaskSeen):
        return False
    if any((row.mine, row.peer) == (arrival.mine, arrival.peer) for row in held.rows):
        return False
    return len((await arrival.draft.own_log()).state.devices) > 1


async def _with_early_words(arrival: Arrival, held: Held, row: TaskRecord) -> Held:
    """With what came in a task before `row`, which is new, told whose words they are.

    That is what another device of ours signed, and what may have been said to it.
    """
    if row.revision:
        return held
    core = arrival.draft.core
    query = MessageQuery(task=held.task, peer=row.peer)
    page = await core.store.message_page(query, None, _LATE, Order.OLDEST_FIRST)
    for message in page.items:
        if message.hash in held.records or message.mine != row.mine or message.direction is Direction.OUT:
            continue
        side = Role(row.role) if message.direction is Direction.COPY else Role(row.role).other
        content = decode_content(message.content)
        event = task_event(
            content,
            hash=message.hash,
            role=side,
            device=message.device,
            created_at=message.created_at,
        )
        held = held.with_event(event, content, core.device)
        record = TaskEventRecord(
            held.task, message.hash, side.value, message.device, message.created_at, arrival.draft.now
        )
        arrival.draft.add(AddTaskEvent(record))
    return held
