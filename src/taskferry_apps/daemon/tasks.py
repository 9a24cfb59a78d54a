"""What agents do about tasks: ask, accept, submit, revise, finish; checked by the fold before signing."""

from __future__ import annotations

from typing import Final

import attrs

from taskferry_protocol.cbor import encode
from taskferry_protocol.errors import LocalProtocolError
from taskferry_protocol.gates import Deed
from taskferry_protocol.ids import Hash, Instant, sha256
from taskferry_protocol.links import ROLES, EventType, Role, Seen, TaskLink
from taskferry_protocol.messages import (
    ArtifactSubmit,
    Body,
    RevisionRequest,
    TaskAccept,
    TaskCancel,
    TaskComplete,
    TaskDecline,
    TaskExpire,
    TaskFail,
    TaskProgress,
    TaskRequest,
)
from taskferry_protocol.records import (
    AddTaskEvent,
    InboxState,
    Mark,
    MarkMessages,
    SaveTask,
    TaskEventRecord,
    TaskRecord,
)
from taskferry_protocol.tasks import TaskView, VersionName

from .approvals import permit_deed
from .core import Core
from .draft import Draft, Posted, Thread
from .labels import label_of
from .leasing import check_hold
from .names import may_use, not_found, own_agent
from .port import Caller, DaemonRefusal, Hold, NewTask, TaskAction
from .possible import KINDS, acts_elsewhere, may_act, not_possible, refused_deed
from .sending import check_may_send, open_way
from .task_gate import settle
from .taskbook import Held, event_of, load_task, row_after, view_of
from .telling import tells
from .visibility import shown_rows

__all__ = ["Tasks", "add_event"]

#: Characters of a brief that an owner is shown before a task leaves.
_SHOWN: Final = 600
_IN_INBOX: Final = frozenset({InboxState.UNREAD, InboxState.READ, InboxState.PROCESSED})


def add_event(draft: Draft, held: Held, posted: Posted, role: Role) -> Held:
    """Hold an event that was just posted; what is held with it."""
    header = posted.envelope.header
    device = posted.envelope.device
    draft.add(
        AddTaskEvent(
            TaskEventRecord(held.task, posted.hash, role.value, device, header.created_at, draft.now)
        )
    )
    event = event_of(posted.hash, role, device, header.created_at, posted.content)
    return held.with_event(event, posted.content, draft.core.device)


class Tasks:
    """Signs task events for this owner's agents."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(self, caller: Caller, task: NewTask) -> tuple[Posted, Held]:
        """Ask a peer for work; the task's id is the hash of what was posted."""
        core = self._core
        mine = await own_agent(core, caller, task.mine)
        async with core.lock:
            draft = Draft(core)
            way = await open_way(core, mine, task.peer)
            if task.deadline is not None and task.deadline <= draft.now:
                raise DaemonRefusal(
                    "bad-value",
                    "The deadline has passed.",
                    "Give a later one.",
                    detail={"field": "deadline"},
                )
            body = TaskRequest(
                task.title,
                task.brief,
                task.parts,
                task.requirements,
                task.deadline,
                task.revisions,
                task.budget,
            )
            await permit_deed(draft, caller, mine, Deed.TASK, _handing_on(way.handle, body))
            thread = Thread(draft.conversation(), link=TaskLink(None, 0, None, Seen(0, None)))
            posted = await draft.post(body, mine, way.peer, thread)
            check_may_send(way, posted, draft.now)
            header = posted.envelope.header
            event = event_of(posted.hash, Role.REQUESTER, core.device, header.created_at, posted.content)
            view = view_of(posted.hash, (event,), core.device, frozenset())
            row = TaskRecord(
                task=posted.hash,
                role=Role.REQUESTER.value,
                mine=mine,
                peer=way.peer,
                conv=thread.conv,
                title=task.title,
                home=core.device,
                state="",
                open=True,
                snapshot=b"",
                created_at=draft.now,
                updated_at=draft.now,
            )
            row = row_after(row, view, draft.now)
            record = TaskEventRecord(
                posted.hash,
                posted.hash,
                Role.REQUESTER.value,
                core.device,
                header.created_at,
                draft.now,
            )
            draft.add(AddTaskEvent(record), SaveTask(row))
            if task.runtime:
                draft.add(*await check_hold(core, caller, mine.name, posted.hash, Hold(task.runtime)))
            _tell(draft, row, posted)
            await draft.commit()
        return posted, await load_task(core, posted.hash)

    async def act(self, caller: Caller, task: Hash, action: TaskAction) -> tuple[Posted, Held]:
        """Sign one event, if the table allows it now. Refusal `not-possible` carries state and actions."""
        core = self._core
        kind = KINDS.get(action.kind)
        if kind is None:
            raise DaemonRefusal("bad-value", f"{action.kind!r} is no action on a task.")
        async with core.lock:
            draft = Draft(core)
            held = await load_task(core, task)
            row = await self._row_for(caller, held, kind, action.mine)
            draft.add(*await check_hold(core, caller, row.mine.name, task, action.hold))
            await permit_deed(draft, caller, row.mine, Deed.WORD)
            role = Role(row.role)
            names = _named_version(held.view, action)
            answers = await self._answers(caller, held, row, action)
            if not may_act(held.view, role, core.device):
                raise acts_elsewhere(held.view, await self._writer_label(held.view, role))
            _check_possible(held.view, role, kind, draft, names, answers)
            body = _body(kind, action, names, answers)
            posted = await self._post(draft, held, row, body)
            if row.mine.account != row.peer.account:
                way = await open_way(core, row.mine, row.peer)
                check_may_send(way, posted, draft.now)
            held = add_event(draft, held, posted, role)
            row = row_after(row, held.view, draft.now)
            draft.add(SaveTask(row))
            await settle(draft, row, kind)
            _tell(draft, row, posted)
            await draft.commit()
        return posted, held

    async def note_read(self, caller: Caller, held: Held, row: TaskRecord) -> None:
        """An agent has looked at the task, and so at all that the other side has said in it."""
        core, order = self._core, Mark.READ.order
        theirs = [event.hash for event in held.events if event.role is not Role(row.role)]
        found = await core.store.messages(theirs)
        tell = await tells(core, caller, row.mine.name)
        fresh = tuple(
            message.hash
            for rows in found.values()
            for message in rows
            if message.mine == row.mine
            and (message.inbox in _IN_INBOX or message.hash in held.view.revisions)
            and (message.read_at is None or (tell and message.told < order))
        )
        if fresh:
            marks = (Mark.OFFERED, Mark.READ)
            now = core.now()
            await core.commit([MarkMessages(row.mine.name, fresh, mark, now, tell) for mark in marks])

    async def expire_overdue(self, drained_until: Instant) -> None:
        """Say of tasks whose deadline passed before `drained_until` that they expired, where that holds."""
        core = self._core
        for row in await core.store.tasks_overdue(drained_until, 64):
            if row.role == Role.REQUESTER.value:
                async with core.lock:
                    await self._expire(row)

    async def _expire(self, row: TaskRecord) -> None:
        draft = Draft(self._core)
        held = await load_task(self._core, row.task)
        current, view = held.row(Role.REQUESTER), held.view
        deadline = view.terms.deadline if view.terms is not None else None
        if (
            current is None
            or deadline is None
            or not view.may_write(Role.REQUESTER, self._core.device)
            or view.refuse(Role.REQUESTER, EventType.TASK_EXPIRE, now=draft.now) is not None
        ):
            return
        posted = await self._post(draft, held, current, TaskExpire(deadline))
        held = add_event(draft, held, posted, Role.REQUESTER)
        current = row_after(current, held.view, draft.now)
        draft.add(SaveTask(current))
        _tell(draft, current, posted)
        await draft.commit()

    async def _post(self, draft: Draft, held: Held, row: TaskRecord, body: Body) -> Posted:
        view, role, device = held.view, Role(row.role), self._core.device
        link = view.next_link(role) if view.may_write(role, device) else view.adopting_link(device)
        thread = Thread(row.conv, link=link)
        return await draft.post(body, row.mine, row.peer, thread)

    async def _writer_label(self, view: TaskView, role: Role) -> str:
        """What the device is called that writes for our side."""
        writer = view.home if role is Role.REQUESTER else view.worker_device
        log = await self._core.own_log()
        return await label_of(self._core.store, log, writer) if writer is not None else "another one"

    async def _row_for(self, caller: Caller, held: Held, kind: EventType, mine: str | None) -> TaskRecord:
        """Our row that the caller acts on: of the side that signs such events, where both are ours."""
        rows = [
            row for row in await shown_rows(self._core, caller, held.rows) if may_use(caller, row.mine.name)
        ]
        if mine is not None:
            agent = await own_agent(self._core, caller, mine)
            rows = [row for row in rows if row.mine == agent]
        if not rows:
            raise not_found("task")
        fitting = [row for row in rows if Role(row.role) in ROLES[kind]]
        if not fitting:
            raise not_possible(
                held.view, Role(rows[0].role), self._core.now(), f"A {rows[0].role} cannot do that."
            )
        return fitting[0]

    async def _answers(self, caller: Caller, held: Held, row: TaskRecord, action: TaskAction) -> int:
        """How many revision requests the submitting agent has read; its owner knows them all."""
        if action.answers is not None:
            return action.answers
        if caller.is_owner:
            return held.view.asks
        asked = held.view.revisions
        messages = await self._core.store.messages(asked)
        read = {
            message.hash
            for found in messages.values()
            for message in found
            if message.mine == row.mine and (message.read_at is not None or message.processed_at is not None)
        }
        return held.view.answers(read)


def _handing_on(peer: str, body: TaskRequest) -> str:
    """What an owner is shown who is asked: the beginning, and a hash over all of it but the deadline."""
    whole = encode({**attrs.evolve(body, deadline=None).to_cbor(), "to": peer})
    brief = body.brief if len(body.brief) <= _SHOWN else f"{body.brief[:_SHOWN]}…"
    attached = f"\n{len(body.parts)} files or texts are attached." if body.parts else ""
    return f"Send {peer} the task: {body.title}\n{brief}{attached}\nsha256 {sha256(whole).hex()}"


def _named_version(view: TaskView, action: TaskAction) -> VersionName | None:
    if action.version is None and action.hash is None:
        return view.newest
    for version in view.versions:
        if action.version in {None, version.number} and action.hash in {None, version.hash}:
            return version.name
    raise DaemonRefusal(
        "not-found", "There is no such version of the work.", "Look at the task's versions.", status=404
    )


def _check_possible(
    view: TaskView,
    role: Role,
    kind: EventType,
    draft: Draft,
    names: VersionName | None,
    answers: int,
) -> None:
    refusal = view.refuse(role, kind, now=draft.now, names=names, answers=answers)
    if refusal is not None:
        raise not_possible(view, role, draft.now, refused_deed(view, refusal))


def _body(kind: EventType, action: TaskAction, names: VersionName | None, answers: int) -> Body:
    match kind:
        case EventType.TASK_ACCEPT:
            return TaskAccept(action.text)
        case EventType.TASK_DECLINE:
            return TaskDecline(action.text)
        case EventType.TASK_PROGRESS:
            return TaskProgress(action.text, action.percent)
        case EventType.ARTIFACT_SUBMIT:
            return ArtifactSubmit(action.text, action.parts, answers)
        case EventType.TASK_CANCEL:
            return TaskCancel(action.text)
        case EventType.TASK_FAIL:
            return TaskFail(action.text)
        case EventType.REVISION_REQUEST | EventType.TASK_COMPLETE if names is not None:
            if kind is EventType.TASK_COMPLETE:
                return TaskComplete(names.version, names.hash, action.text)
            reasons = action.reasons or ((action.text,) if action.text else ())
            return RevisionRequest(names.version, names.hash, reasons)
        case _:
            raise LocalProtocolError(f"{kind.value} is nothing that an agent signs like this")


def _tell(draft: Draft, row: TaskRecord, posted: Posted) -> None:
    draft.tell(
        "task",
        row.mine.name,
        (posted.hash, row.task),
        state=row.state,
        type=posted.content.body.type_name,
        direction="out",
    )
