"""Task events of revoked devices that were set aside here, and that the other side had taken in time.

Whether an event of a device came before the news that it was revoked is nothing that all can agree on. What
the other side says it has seen is: that counts, here as there (spec/tasks.md section 1).
"""

from __future__ import annotations

from collections.abc import Iterable

from taskferry_protocol.envelope import Envelope, parse_envelope, verify_envelope
from taskferry_protocol.errors import LocalProtocolError, RejectCode, RemoteProtocolError
from taskferry_protocol.ids import Hash
from taskferry_protocol.links import Role
from taskferry_protocol.messages import Content, TaskSeen
from taskferry_protocol.records import (
    AddTaskEvent,
    DropQuarantine,
    InboxState,
    QuarantineRecord,
    SaveTask,
    StoreMessage,
    TaskEventRecord,
    TaskRecord,
)
from taskferry_protocol.sealing import Opened, open_envelope
from taskferry_protocol.tasks import TaskEvent, check_event

from .alarms import raise_alarm
from .draft import Draft
from .held_messages import held_message, stood
from .labels import label_of
from .names import handle_of
from .taskbook import Held, event_of, load_task, row_after

__all__ = ["take_if_named", "with_named"]


async def with_named(draft: Draft, held: Held, row: TaskRecord, event: TaskEvent) -> Held:
    """With what was set aside of revoked devices and `event`, which has come, has seen or stands on."""
    after = await _followed(draft, held, row, event)
    if after is not held:
        await _tell(draft, held, after, row)
    return after


async def _followed(draft: Draft, held: Held, row: TaskRecord, event: TaskEvent) -> Held:
    wanted = _before(event)
    while wanted:
        hash = wanted.pop()
        if hash in held.contents:
            continue
        item = (await draft.core.store.quarantine((hash,))).get(hash)
        if item is None or item.code != RejectCode.DEVICE_GONE.value or item.device is None:
            continue
        found = await _open(draft, item.envelope, item.sealed, held.task, row)
        if found is not None:
            held = await _taken(draft, held, *found)
            wanted += _before(found[1])
    return held


async def take_if_named(draft: Draft, envelope: Envelope, sealed: bytes) -> bool:
    """Take an event of a revoked device into its task, if something held has seen it or stands on it."""
    try:
        opened = open_envelope(envelope, sealed, draft.core.keys.opening_keys())
    except RemoteProtocolError:
        return False
    link, header = opened.content.link, envelope.header
    if link is None or link.task is None:
        return False
    before = await load_task(draft.core, link.task)
    ends = {(header.from_, header.to), (header.to, header.from_)}
    row = next((row for row in before.rows if (row.mine, row.peer) in ends), None)
    if row is None or not any(envelope.hash in _before(event) for event in before.events):
        return False
    found = await _open(draft, envelope.raw, sealed, link.task, row)
    if found is None:
        return False
    held = await _followed(draft, await _taken(draft, before, *found), row, found[1])
    await _reopen(draft, before, held)
    draft.add(SaveTask(row_after(row, held.view, held.contents, draft.now)))
    await _tell(draft, before, held, row)
    return True


def _before(event: TaskEvent) -> list[Hash]:
    """What an event says was there before it."""
    return [hash for hash in (event.link.seen.hash, event.link.prev) if hash is not None]


_Found = tuple[Envelope, TaskEvent, Opened]


async def _open(draft: Draft, raw: bytes, sealed: bytes, task: Hash, row: TaskRecord) -> _Found | None:
    """The event of `task` in what was set aside, if it stood when it says that it was signed."""
    try:
        envelope = parse_envelope(raw)
        verify_envelope(envelope)
        opened = open_envelope(envelope, sealed, draft.core.keys.opening_keys())
    except RemoteProtocolError:
        return None
    header = envelope.header
    ends = (header.from_, header.to)
    if opened.content.link is None or ends not in {(row.mine, row.peer), (row.peer, row.mine)}:
        return None
    log = await draft.log(header.from_.account)
    if log is None or not stood(log, envelope):
        return None
    if not log.served_at(envelope.device, header.from_.name, header.log.length):
        return None
    side = Role(row.role) if header.from_ == row.mine else Role(row.role).other
    try:
        event = event_of(envelope, opened.content, side)
        check_event(event, task)
    except (RemoteProtocolError, LocalProtocolError):
        return None
    return envelope, event, opened


async def _taken(draft: Draft, held: Held, envelope: Envelope, event: TaskEvent, opened: Opened) -> Held:
    record = await held_message(draft, envelope, opened.content)
    draft.add(
        StoreMessage(record, envelope.raw, opened.key),
        AddTaskEvent(
            TaskEventRecord(
                held.task, event.hash, event.role.value, event.device, event.created_at, draft.now
            )
        ),
        DropQuarantine(event.hash),
    )
    return held.with_event(event, opened.content, draft.core.device)


async def _reopen(draft: Draft, before: Held, after: Held) -> None:
    """Bring before our agent what the peer signed on top of it, and what so far could not be taken."""
    was, now = _taken_in(before), _taken_in(after)
    fresh = [event for event in before.events if event.hash in now and event.hash not in was]
    items = await draft.core.store.quarantine([event.hash for event in fresh])
    for event in fresh:
        item = items.get(event.hash)
        if item is not None and item.code == RejectCode.UNKNOWN_SEEN.value:
            await _bring(draft, item, before.contents[event.hash])
            draft.add(DropQuarantine(event.hash))


async def _bring(draft: Draft, item: QuarantineRecord, content: Content) -> None:
    quiet = isinstance(content.body, TaskSeen)
    inbox = InboxState.QUIET if quiet else InboxState.UNREAD
    envelope = parse_envelope(item.envelope)
    draft.add(StoreMessage(await held_message(draft, envelope, content, inbox), item.envelope, item.key))


def _taken_in(held: Held) -> set[Hash]:
    return {line.event.hash for line in held.view.taken}


async def _tell(draft: Draft, before: Held, after: Held, row: TaskRecord) -> None:
    """Say whose last words count, and which events of our side come to nothing by that."""
    core = draft.core
    fresh = [event for event in after.events if event.hash not in before.contents]
    own = await draft.own_log()
    ours = {
        event.device for event in fresh if event.role.value == row.role and event.device in own.state.devices
    }
    for device in sorted(ours):
        label = await label_of(core.store, own, device)
        peer = await handle_of(core, row.peer)
        text = (
            f"What your device {label} signed in task {row.task.hex()[:8]} before it was revoked counts:"
            f" {peer} had taken it."
        )
        await raise_alarm(draft, text, (row.task,))
    for event in _displaced((line.event for line in before.view.taken), after):
        if event.role.value == row.role:
            draft.tell(
                "superseded",
                row.mine.name,
                (event.hash, row.task),
                type=event.type.value,
                reason="revoked device was first",
            )


def _displaced(taken: Iterable[TaskEvent], after: Held) -> list[TaskEvent]:
    still = _taken_in(after)
    return [event for event in taken if event.hash not in still]
