"""Rows of the daemon's traffic as records. Each `SELECT` stands beside the function that reads its rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from taskferry_protocol.ids import ConversationId, DeviceId, Hash, Instant, MessageId
from taskferry_protocol.records import (
    Direction,
    InboxState,
    MessageRecord,
    OutboxRecord,
    OutboxState,
    Place,
    QuarantineRecord,
    ReceiptGot,
    ReceiptOwed,
    Rung,
    SeenRecord,
    TaskCursor,
    TaskEventRecord,
    TaskPage,
    TaskRecord,
)

from .rows import agent_ref, to_unsigned

MESSAGES = (
    "SELECT t.n, t.hash, t.direction, a.account, a.name, b.account, b.name, t.device, t.id, t.seq, t.cls,"
    " t.type, t.conv, s.content, t.created_at, t.expires_at, t.stored_at, t.task, t.reply, t.inbox, t.rung,"
    " t.code, t.relayed_at, t.delivered_at, t.offered_at, t.read_at, t.processed_at, t.told"
    " FROM messages t JOIN agents a ON a.n = t.mine JOIN agents b ON b.n = t.peer"
    " JOIN sealed s ON s.hash = t.hash WHERE"
)


#: The same, with nothing of what was said.
MESSAGE_STATES = MESSAGES.replace("s.content", "x''").replace(" JOIN sealed s ON s.hash = t.hash", "")


def message_record(row: sqlite3.Row) -> MessageRecord:
    """A row of `MESSAGES`."""
    (n, hash, direction, account, name, peer, peer_name, device, id, seq, cls, type, conv, content) = row[:14]
    (created_at, expires_at, stored_at, task, reply, inbox, rung, code, *times) = row[14:]
    relayed_at, delivered_at, offered_at, read_at, processed_at, told = times
    return MessageRecord(
        hash=Hash(hash),
        direction=Direction(direction),
        mine=agent_ref(account, name),
        peer=agent_ref(peer, peer_name),
        device=DeviceId(device),
        id=MessageId(id),
        seq=to_unsigned(seq),
        cls=cls,
        type=type,
        conv=ConversationId(conv),
        content=content,
        created_at=Instant(created_at),
        expires_at=Instant(expires_at),
        stored_at=Instant(stored_at),
        task=task,
        reply=reply,
        inbox=InboxState(inbox),
        rung=None if rung is None else Rung(rung),
        code=code,
        relayed_at=relayed_at,
        delivered_at=delivered_at,
        offered_at=offered_at,
        read_at=read_at,
        processed_at=processed_at,
        told=told,
        place=Place(n),
    )


OUTBOX = (
    "SELECT t.n, t.hash, b.account, b.name, t.seq, t.cls, t.parcel, t.next_attempt_at, t.expires_at,"
    " t.attempts, t.state FROM outbox t JOIN agents b ON b.n = t.target WHERE"
)


def outbox_record(row: sqlite3.Row) -> OutboxRecord:
    """A row of `OUTBOX`."""
    _, hash, account, name, seq, cls, parcel, next_attempt_at, expires_at, attempts, state = row
    return OutboxRecord(
        hash=Hash(hash),
        to=agent_ref(account, name),
        seq=to_unsigned(seq),
        cls=cls,
        parcel=parcel,
        next_attempt_at=Instant(next_attempt_at),
        expires_at=Instant(expires_at),
        attempts=attempts,
        state=OutboxState(state),
    )


TASKS = (
    "SELECT t.task, t.role, a.account, a.name, b.account, b.name, t.conv, t.title, t.home, t.state, t.open,"
    " t.snapshot, t.created_at, t.updated_at, t.deadline, t.revision"
    " FROM tasks t JOIN agents a ON a.n = t.mine JOIN agents b ON b.n = t.peer WHERE"
)


def task_record(row: sqlite3.Row) -> TaskRecord:
    """A row of `TASKS`."""
    task, role, account, name, peer, peer_name, conv, title, home, state, is_open = row[:11]
    snapshot, created_at, updated_at, deadline, revision = row[11:]
    return TaskRecord(
        task=Hash(task),
        role=role,
        mine=agent_ref(account, name),
        peer=agent_ref(peer, peer_name),
        conv=ConversationId(conv),
        title=title,
        home=DeviceId(home),
        state=state,
        open=bool(is_open),
        snapshot=snapshot,
        created_at=Instant(created_at),
        updated_at=Instant(updated_at),
        deadline=deadline,
        revision=revision,
    )


def page_of_tasks(records: Sequence[TaskRecord], limit: int) -> TaskPage:
    """A page out of up to `limit` + 1 tasks, the last updated first."""
    last = records[limit - 1] if len(records) > limit else None
    cursor = TaskCursor(last.updated_at, last.task, last.role) if last else None
    return TaskPage(tuple(records[:limit]), cursor)


TASK_EVENTS = (
    "SELECT t.n, t.task, t.hash, t.side, t.device, t.created_at, t.stored_at, s.content"
    " FROM task_events t JOIN sealed s ON s.hash = t.hash WHERE"
)


def task_event_record(row: sqlite3.Row) -> TaskEventRecord:
    """A row of `TASK_EVENTS`."""
    _, task, hash, side, device, created_at, stored_at, content = row
    return TaskEventRecord(
        Hash(task),
        Hash(hash),
        side,
        DeviceId(device),
        Instant(created_at),
        Instant(stored_at),
        content,
    )


OWED = (
    "SELECT t.n, t.hash, a.account, a.name, b.account, b.name, t.outcome, t.code, t.at"
    " FROM receipts_owed t JOIN agents a ON a.n = t.mine JOIN agents b ON b.n = t.peer WHERE"
)


def owed_record(row: sqlite3.Row) -> ReceiptOwed:
    """A row of `OWED`."""
    n, hash, account, name, peer, peer_name, outcome, code, at = row
    mine, other = agent_ref(account, name), agent_ref(peer, peer_name)
    return ReceiptOwed(Hash(hash), mine, other, outcome, code, Instant(at), Place(n))


GOT = "SELECT n, hash, device, outcome, code, receipt, at FROM receipts_got WHERE"


def got_record(row: sqlite3.Row) -> ReceiptGot:
    """A row of `GOT`."""
    _, hash, device, outcome, code, receipt, at = row
    return ReceiptGot(Hash(hash), DeviceId(device), outcome, code, Hash(receipt), Instant(at))


QUARANTINE = (
    "SELECT t.n, t.hash, t.code, t.text, t.envelope, t.sealed, t.received_at, t.device, a.account, a.name,"
    " b.account, b.name, t.cls, t.key FROM quarantine t LEFT JOIN agents a ON a.n = t.mine"
    " LEFT JOIN agents b ON b.n = t.peer WHERE"
)


def quarantine_record(row: sqlite3.Row) -> QuarantineRecord:
    """A row of `QUARANTINE`."""
    n, hash, code, text, envelope, sealed, received_at, device, *agents, cls, key = row
    account, name, peer, peer_name = agents
    return QuarantineRecord(
        hash=Hash(hash),
        code=code,
        text=text,
        envelope=envelope,
        sealed=sealed,
        received_at=Instant(received_at),
        device=device,
        mine=None if account is None else agent_ref(account, name),
        peer=None if peer is None else agent_ref(peer, peer_name),
        cls=cls,
        key=key,
        place=Place(n),
    )


SEEN = (
    "SELECT t.device, t.id, b.account, b.name, t.seq, t.hash, t.outcome, t.code, t.at"
    " FROM seen t JOIN agents b ON b.n = t.target WHERE"
)


def seen_record(row: sqlite3.Row) -> SeenRecord:
    """A row of `SEEN`."""
    device, id, account, name, seq, hash, outcome, code, at = row
    return SeenRecord(
        DeviceId(device),
        MessageId(id),
        agent_ref(account, name),
        to_unsigned(seq),
        Hash(hash),
        outcome,
        code,
        Instant(at),
    )
