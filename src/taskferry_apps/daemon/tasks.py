"""What agents do about tasks: ask, accept, submit, revise, finish; checked by the fold before signing."""

from __future__ import annotations

from typing import Final

import attrs

from taskferry_protocol.errors import LocalProtocolError, RejectCode
from taskferry_protocol.gates import Deed
from taskferry_protocol.ids import AgentRef, DeviceId, Hash, Instant
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
from taskferry_protocol.task_actions import ENDING
from taskferry_protocol.task_table import TaskState
from taskferry_protocol.tasks import Refusal, TaskView, VersionName

from .breakers import budget_of, count_sent, permit_event, permit_talk
from .core import Core
from .deeds import Asking, permit_deed
from .draft import Draft, Posted, Thread
from .labels import label_of
from .leads import lead_of, named_message, within_task
from .leasing import check_hold
from .names import may_use, not_found, own_agent
from .port import Caller, DaemonRefusal, Hold, NewTask, TaskAction
from .possible import KINDS, acts_elsewhere, may_act, not_possible, refused_deed
from .proposals import Proposal
from .sending import check_may_say, check_may_send, check_takes_tasks, open_way
from .task_gate import settle
from .task_room import has_room, is_full
from .taskbook import Held, event_of, first_row, load_task, row_after, view_of
from .telling import tells
from .visibility import UNSEEN, held_for_owner, shown_rows

__all__ = ["Step", "Tasks", "add_event"]

#: What is said about one version of the work.
_JUDGING: Final = frozenset({EventType.TASK_COMPLETE, EventType.REVISION_REQUEST})
#: Work that was handed in waits for a word, however late it is.
_HANDED_IN: Final = frozenset({TaskState.SUBMITTED.value, TaskState.RESUBMITTED.value})
#: So many tasks past their deadline are looked at in one go.
_OVERDUE: Final = 64
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
    event = event_of(posted.envelope, posted.content, role)
    return held.with_event(event, posted.content, draft.core.device)


@attrs.frozen
class Step:
    """An action that its caller may ask for: in which task, by which row of ours, about which version."""

    held: Held
    row: TaskRecord
    kind: EventType
    names: VersionName | None
    answers: int
    budget: int | None
    """How many messages the task may take, agreed or usual; None for any."""

    @property
    def role(self) -> Role:
        """Our side."""
        return Role(self.row.role)

    def is_ours(self, device: DeviceId) -> bool:
        """Whether this device is the one that signs it."""
        return may_act(self.held.view, self.role, device)

    def check_possible(self, now: Instant) -> None:
        """Nothing if the table allows it now. Raises DaemonRefusal(not-possible)."""
        view = self.held.view
        refusal = view.refuse(self.role, self.kind, now=now, names=self.names, answers=self.answers)
        spent = self.budget is not None and view.spent >= self.budget
        if refusal is None and spent and self.kind not in ENDING:
            refusal = Refusal(RejectCode.RATE_LIMITED)
        if refusal is not None:
            raise not_possible(view, self.role, now, refused_deed(view, refusal))


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
            led = [await named_message(draft, caller, mine, task.cause)] if task.cause else []
            lead = await lead_of(draft, caller, mine, way.peer, led)
            await permit_talk(draft, mine, way.peer, lead, body)
            proposal = Proposal(way.peer, body)

            def asking() -> Asking:
                # The owner is not asked about what cannot be sent.
                check_takes_tasks(way)
                return Asking(proposal.words(way.handle), proposal)

            approved = await permit_deed(draft, caller, mine, Deed.TASK, asking)
            if approved is not None:
                body = approved.task
            link = TaskLink(None, 0, None, Seen(0, None))
            thread = Thread(draft.conversation(), link=link, hop=lead.hop, cause=lead.cause)
            posted = await draft.post(body, mine, way.peer, thread)
            check_may_send(way, posted, draft.now)
            count_sent(draft, mine, way.peer, posted.hash, posted.content)
            header = posted.envelope.header
            event = event_of(posted.envelope, posted.content, Role.REQUESTER)
            view = view_of(posted.hash, (event,), core.device, frozenset())
            row = first_row(
                posted.hash,
                Role.REQUESTER,
                mine=mine,
                peer=way.peer,
                conv=thread.conv,
                home=core.device,
                now=draft.now,
                title=task.title,
            )
            row = row_after(row, view, {}, draft.now)
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
        async with self._core.lock:
            draft = Draft(self._core)
            step = await self.prepare(draft, caller, task, action)
            posted, held = await self.sign(draft, step, action)
            await draft.commit()
        return posted, held

    async def prepare(self, draft: Draft, caller: Caller, task: Hash, action: TaskAction) -> Step:
        """Who would do what in which task, if the caller may; whether it is possible is not asked yet."""
        kind = KINDS.get(action.kind)
        if kind is None:
            raise DaemonRefusal("bad-value", f"{action.kind!r} is no action on a task.")
        held = await load_task(self._core, task)
        row = await self._row_for(caller, held, kind, action.mine)
        draft.add(*await check_hold(self._core, caller, row.mine.name, task, action.hold))
        await permit_deed(draft, caller, row.mine, Deed.WORD)
        names = _named_version(held.view, action)
        if not caller.is_owner and names is not None and kind in _JUDGING:
            await _check_shown(self._core, row.mine, names)
        answers = await self._answers(caller, held, row, action)
        pair = await self._core.pairs.of(row.mine, row.peer, draft.now)
        return Step(held, row, kind, names, answers, budget_of(held, pair.limits))

    async def sign(self, draft: Draft, step: Step, action: TaskAction) -> tuple[Posted, Held]:
        """Sign the event in this draft. DaemonRefusal(not-possible), also where another device writes."""
        core, held, row, kind = self._core, step.held, step.row, step.kind
        if not step.is_ours(core.device):
            raise acts_elsewhere(held.view, await self._writer_label(held.view, step.role))
        step.check_possible(draft.now)
        await permit_event(draft, row.mine, row.peer, kind)
        posted = await self._post(draft, held, row, _body(kind, action, step.names, step.answers))
        if row.mine.account != row.peer.account:
            await check_may_say(core, row.mine, row.peer, posted, draft.now, ends=kind in ENDING)
        is_over = is_full(held) and kind not in ENDING
        if is_over or (posted.record is not None and not has_room(held, len(posted.record.content))):
            raise DaemonRefusal(
                "too-large",
                "This task holds so much already that no more of this size goes into it, or only its end.",
                "End it, and begin a new one.",
                status=413,
            )
        count_sent(draft, row.mine, row.peer, posted.hash, posted.content)
        held = add_event(draft, held, posted, step.role)
        row = row_after(row, held.view, held.contents, draft.now)
        draft.add(SaveTask(row))
        await settle(draft, row, kind)
        _tell(draft, row, posted)
        return posted, held

    async def note_read(self, caller: Caller, held: Held, row: TaskRecord) -> None:
        """An agent has looked at the task, and so at all that it is shown of what the other side said."""
        core, order = self._core, Mark.READ.order
        theirs = [event.hash for event in held.events if event.role is not Role(row.role)]
        found = await core.store.message_states(theirs)
        tell = await tells(core, caller, row.mine.name)
        fresh = tuple(
            message.hash
            for rows in found.values()
            for message in rows
            if message.mine == row.mine
            and message.inbox not in UNSEEN
            and (message.inbox in _IN_INBOX or message.hash in held.view.revisions)
            and (message.read_at is None or (tell and message.told < order))
        )
        if fresh:
            marks = (Mark.OFFERED, Mark.READ)
            now = core.now()
            await core.commit([MarkMessages(row.mine.name, fresh, mark, now, tell) for mark in marks])

    async def expire_overdue(self, drained_until: Instant) -> None:
        """Say of tasks whose deadline passed before `drained_until` that they expired, where that holds."""
        core, last = self._core, None
        # Some of them are not this device's to end, and come again each time: look past them.
        while rows := await core.store.tasks_overdue(drained_until, _OVERDUE, last):
            for row in rows:
                if row.role == Role.REQUESTER.value and row.state not in _HANDED_IN:
                    async with core.lock:
                        await self._expire(row)
            last = rows[-1] if len(rows) == _OVERDUE else None
            if last is None:
                return

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
        try:
            posted = await self._post(draft, held, current, TaskExpire(deadline))
        except DaemonRefusal:
            return  # this machine may not sign now; it is said once it may
        held = add_event(draft, held, posted, Role.REQUESTER)
        current = row_after(current, held.view, held.contents, draft.now)
        draft.add(SaveTask(current))
        _tell(draft, current, posted)
        await draft.commit()

    async def _post(self, draft: Draft, held: Held, row: TaskRecord, body: Body) -> Posted:
        view, role, device = held.view, Role(row.role), self._core.device
        link = view.next_link(role) if view.may_write(role, device) else view.adopting_link(device)
        thread = within_task(held, row.conv, link)
        # An agent that nobody serves never comes back: what its name is given to later is another one.
        return await draft.post(body, row.mine, row.peer, thread, to_nobody=body.type_name in ENDING)

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
        messages = await self._core.store.message_states(asked)
        read = {
            message.hash
            for found in messages.values()
            for message in found
            if message.mine == row.mine and (message.read_at is not None or message.processed_at is not None)
        }
        return held.view.answers(read)


def _named_version(view: TaskView, action: TaskAction) -> VersionName | None:
    if action.version is None and action.hash is None:
        return view.newest
    for version in view.versions:
        if action.version in {None, version.number} and action.hash in {None, version.hash}:
            return version.name
    raise DaemonRefusal(
        "not-found", "There is no such version of the work.", "Look at the task's versions.", status=404
    )


async def _check_shown(core: Core, mine: AgentRef, names: VersionName) -> None:
    """Nothing if no breaker holds that version from our agent: nobody judges what was not shown to them."""
    for message in (await core.store.messages((names.hash,))).get(names.hash, ()):
        if message.mine == mine and message.inbox in UNSEEN:
            raise held_for_owner()


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
