"""Tasks as they are stored, folded: events to a view, and the view to the row that lists show."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import attrs

from taskferry_protocol.account_state import DeviceStatus
from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.envelope import Envelope
from taskferry_protocol.former_names import is_former
from taskferry_protocol.ids import AccountId, AgentRef, ConversationId, DeviceId, Hash, Instant
from taskferry_protocol.links import Role
from taskferry_protocol.messages import (
    Content,
    TaskProgress,
    TaskRequest,
    decode_content,
)
from taskferry_protocol.records import TaskEventRecord, TaskRecord
from taskferry_protocol.task_messages import task_event
from taskferry_protocol.tasks import (
    Effect,
    TaskEvent,
    TaskView,
    fold_task,
)

from .core import Core
from .lines import LINE_CHARS, one_line

__all__ = [
    "Held",
    "Summary",
    "event_of",
    "first_row",
    "is_of_former",
    "load_task",
    "read_summary",
    "row_after",
    "view_of",
]


def event_of(envelope: Envelope, content: Content, role: Role) -> TaskEvent:
    """The event of a task that an envelope brings, as the fold sees it."""
    created_at = envelope.header.created_at
    return task_event(content, hash=envelope.hash, role=role, device=envelope.device, created_at=created_at)


@attrs.frozen
class Held:
    """All that is held of a task: our rows (one for each side that is ours), events, contents, the view."""

    task: Hash
    rows: tuple[TaskRecord, ...]
    records: Mapping[Hash, TaskEventRecord]
    contents: Mapping[Hash, Content]
    events: tuple[TaskEvent, ...]
    revoked: frozenset[DeviceId]
    view: TaskView

    def row(self, role: Role) -> TaskRecord | None:
        """Our row for a side, None if that side is not ours."""
        return next((row for row in self.rows if row.role == role.value), None)

    @property
    def request(self) -> TaskRequest | None:
        """What was asked for; None while the request itself is missing."""
        content = self.contents.get(self.task)
        return content.body if content is not None and isinstance(content.body, TaskRequest) else None

    def with_event(self, event: TaskEvent, content: Content, device: DeviceId) -> Held:
        """With one more event."""
        events = (*self.events, event)
        view = view_of(self.task, events, device, self.revoked)
        return attrs.evolve(self, events=events, view=view, contents={**self.contents, event.hash: content})


def view_of(
    task: Hash, events: Iterable[TaskEvent], device: DeviceId, revoked: frozenset[DeviceId]
) -> TaskView:
    """The task as this device sees it."""
    return fold_task(events, task=task, viewer=device, revoked=revoked)


def revoked_in(logs: Iterable[AccountLog | None]) -> frozenset[DeviceId]:
    """The devices that these accounts have put out."""
    return frozenset(
        device.id
        for log in logs
        if log is not None
        for device in log.state.devices.values()
        if device.status is DeviceStatus.REVOKED
    )


async def load_task(
    core: Core,
    task: Hash,
    parties: Iterable[AccountId] = (),
    records: Sequence[TaskEventRecord] | None = None,
    known: Held | None = None,
) -> Held:
    """What is held of a task, which may be nothing yet; `parties` are the accounts it is between.

    `records` are its events, where they were looked up already. `known` is what this device found before: if
    its events are the same, they are not decoded and folded anew.
    """
    rows = (await core.store.tasks((task,))).get(task, ())
    if records is None:
        records = (await core.store.task_events((task,))).get(task, ())
    accounts = {*parties, *(row.mine.account for row in rows), *(row.peer.account for row in rows)}
    revoked = revoked_in([await core.logs.get(account) for account in sorted(accounts)])
    if known is not None and known.revoked == revoked and tuple(known.records.values()) == tuple(records):
        return attrs.evolve(known, rows=rows)
    contents = {record.hash: decode_content(record.content) for record in records}
    events = tuple(
        task_event(
            contents[record.hash],
            hash=record.hash,
            role=Role(record.side),
            device=record.device,
            created_at=record.created_at,
        )
        for record in records
    )
    view = view_of(task, events, core.device, revoked)
    return Held(task, rows, {record.hash: record for record in records}, contents, events, revoked, view)


# --- The row in lists ---------------------------------------------------------------------------------------


@attrs.frozen
class Summary:
    """What lists show beside the state: the daemon's own rendering, redone with every event."""

    confirmed: bool = True
    final: bool = False
    versions: int = 0
    percent: int | None = None
    progress: str = ""
    """The worker's last word on how far it is, in one line."""


def read_summary(row: TaskRecord) -> Summary:
    """The summary that a row carries."""
    members = json.loads(row.snapshot)
    return Summary(
        bool(members["confirmed"]),
        bool(members["final"]),
        int(members["versions"]),
        members.get("percent"),
        members.get("progress", ""),
    )


def first_row(
    task: Hash,
    role: Role,
    *,
    mine: AgentRef,
    peer: AgentRef,
    conv: ConversationId,
    home: DeviceId,
    now: Instant,
    title: str = "",
) -> TaskRecord:
    """The row of a task of which no event is folded yet; `row_after` says how it stands."""
    return TaskRecord(
        task=task,
        role=role.value,
        mine=mine,
        peer=peer,
        conv=conv,
        title=title,
        home=home,
        state="",
        open=True,
        snapshot=b"",
        created_at=now,
        updated_at=now,
    )


def is_of_former(row: TaskRecord) -> bool:
    """Whether one of its agents is a former one of ours: nobody acts in the task any more."""
    return is_former(row.mine.name) or is_former(row.peer.name)


def row_after(row: TaskRecord, view: TaskView, contents: Mapping[Hash, Content], now: Instant) -> TaskRecord:
    """The row as it stands after an event; `contents` are those of the view's events, as far as at hand."""
    reports = (
        content.body
        for line in reversed(view.taken)
        if line.effect is Effect.EFFECTIVE
        and (content := contents.get(line.event.hash)) is not None
        and isinstance(content.body, TaskProgress)
    )
    report = next(reports, TaskProgress())
    summary = Summary(
        view.settled, view.is_final, len(view.versions), report.percent, one_line(report.note, LINE_CHARS)
    )
    return attrs.evolve(
        row,
        state=view.state.value if view.state is not None else "unknown",
        open=not view.is_final and not is_of_former(row),
        snapshot=json.dumps(attrs.asdict(summary), separators=(",", ":")).encode(),
        updated_at=now,
        deadline=view.terms.deadline if view.terms is not None else None,
    )
