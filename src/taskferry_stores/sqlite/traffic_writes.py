"""The daemon's changes to messages, tasks, the outbox, receipts, quarantine and the feed, as SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeAlias, assert_never

from taskferry_protocol.ids import AgentRef
from taskferry_protocol.records import (
    AddTaskEvent,
    AppendEvent,
    Counted,
    DaemonResult,
    DeferOutbox,
    Done,
    DropOutbox,
    DropQuarantine,
    EventRecord,
    KeepSealed,
    Mark,
    MarkMessages,
    OfferAgain,
    OutboxRecord,
    OweReceipt,
    Place,
    Placed,
    PruneEvents,
    PurgeSeen,
    PutOutbox,
    PutQuarantine,
    QuarantineRecord,
    RecordReceipt,
    RecordSeen,
    RelayCursor,
    RelayedOutbox,
    Rung,
    Saved,
    SaveTask,
    SealedRecord,
    SeenRecord,
    SetCursor,
    SetRung,
    SettleReceipts,
    StoreMessage,
    TaskRecord,
    UseSequence,
)

from ..errors import ConflictKind, StoreConflict
from ..rules import cursor_to_store, require_revision, require_same_seen, unknown
from . import history_rows
from .history_rows import Line
from .rows import to_signed
from .traffic_rows import SEEN, seen_record

TrafficChange: TypeAlias = (
    StoreMessage
    | KeepSealed
    | MarkMessages
    | SetRung
    | PutOutbox
    | RelayedOutbox
    | DeferOutbox
    | DropOutbox
    | OfferAgain
    | UseSequence
    | SaveTask
    | AddTaskEvent
    | OweReceipt
    | SettleReceipts
    | RecordReceipt
    | PutQuarantine
    | DropQuarantine
    | RecordSeen
    | PurgeSeen
    | SetCursor
    | AppendEvent
    | PruneEvents
)

_OF_AGENT = "hash = ? AND mine IN (SELECT n FROM agents WHERE name = ?)"
_MARKS = {
    Mark.OFFERED: "UPDATE messages SET offered_at = ? WHERE offered_at IS NULL",
    Mark.READ: (
        "UPDATE messages SET read_at = coalesce(read_at, ?),"
        " inbox = CASE inbox WHEN 'unread' THEN 'read' ELSE inbox END"
        " WHERE (read_at IS NULL OR inbox = 'unread')"
    ),
    Mark.PROCESSED: (
        "UPDATE messages SET processed_at = coalesce(processed_at, ?),"
        " inbox = CASE WHEN inbox IN ('unread', 'read') THEN 'processed' ELSE inbox END"
        " WHERE (processed_at IS NULL OR inbox IN ('unread', 'read'))"
    ),
}


class TrafficWrites:
    """Writes traffic inside a transaction. `number` gives an agent's number."""

    def __init__(self, connection: sqlite3.Connection, number: Callable[[AgentRef], int]) -> None:
        self._connection = connection
        self._number = number

    def apply(self, change: TrafficChange) -> DaemonResult:
        """Make one change."""
        execute, many = self._connection.execute, self._connection.executemany
        match change:
            case StoreMessage():
                return self._store_message(change)
            case KeepSealed():
                self._keep(change.sealed)
            case MarkMessages():
                hashes = dict.fromkeys(change.hashes)
                if change.tell:
                    self._owe_marks(change)
                statement = f"{_MARKS[change.mark]} AND {_OF_AGENT}"
                marked = many(statement, [(change.at, hash, change.agent) for hash in hashes])
                return Counted(max(marked.rowcount, 0))
            case SetRung():
                self._set_rung(change)
            case PutOutbox():
                self._put_outbox(change.entry)
            case RelayedOutbox():
                many("UPDATE outbox SET state = 'relayed' WHERE hash = ?", [(h,) for h in change.hashes])
            case DeferOutbox():
                execute(
                    "UPDATE outbox SET attempts = ?, next_attempt_at = ? WHERE hash = ?",
                    (change.attempts, change.next_attempt_at, change.hash),
                )
            case DropOutbox():
                many("DELETE FROM outbox WHERE hash = ?", [(hash,) for hash in change.hashes])
            case OfferAgain():
                again = execute(
                    "UPDATE outbox SET state = 'waiting', next_attempt_at = ? WHERE state = 'relayed'",
                    (change.at,),
                )
                return Counted(again.rowcount)
            case UseSequence():
                self._use_sequence(change)
            case SaveTask():
                return self._save_task(change.task)
            case AddTaskEvent():
                event = change.event
                if not execute("SELECT 1 FROM sealed WHERE hash = ?", (event.hash,)).fetchone():
                    raise unknown("sealed record", event.hash)
                execute(
                    "INSERT INTO task_events (task, hash, side, device, created_at, stored_at)"
                    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (event.task, event.hash, event.side, event.device, event.created_at, event.stored_at),
                )
            case OweReceipt():
                owed = change.receipt
                mine, peer = self._number(owed.mine), self._number(owed.peer)
                execute(
                    "INSERT INTO receipts_owed (hash, mine, peer, outcome, code, at)"
                    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (owed.hash, mine, peer, owed.outcome, owed.code, owed.at),
                )
            case SettleReceipts():
                many("DELETE FROM receipts_owed WHERE n = ?", [(place,) for place in change.places])
            case RecordReceipt():
                got = change.receipt
                execute(
                    "INSERT INTO receipts_got (hash, device, outcome, code, receipt, at)"
                    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (got.hash, got.device, got.outcome, got.code, got.receipt, got.at),
                )
            case PutQuarantine():
                return self._put_quarantine(change.item)
            case DropQuarantine():
                execute("DELETE FROM quarantine WHERE hash = ?", (change.hash,))
            case RecordSeen():
                self._see(change.seen)
            case PurgeSeen():
                gone = execute(
                    "DELETE FROM seen WHERE n IN (SELECT n FROM seen WHERE at < ? ORDER BY at LIMIT ?)",
                    (change.before, change.limit),
                )
                return Counted(gone.rowcount)
            case SetCursor():
                self._set_cursor(change.cursor)
            case AppendEvent():
                return self._append_event(change.event)
            case PruneEvents():
                return self._prune(change)
            case _:
                assert_never(change)
        return Done()

    def _owe_marks(self, change: MarkMessages) -> None:
        rank, keys = change.mark.order, [(hash, change.agent) for hash in dict.fromkeys(change.hashes)]
        which = f"{_OF_AGENT} AND direction = 'in' AND told < ?"
        self._connection.executemany(
            "INSERT INTO receipts_owed (hash, mine, peer, outcome, code, at)"  # noqa: S608
            f" SELECT hash, mine, peer, ?, '', ? FROM messages WHERE {which} ON CONFLICT DO NOTHING",
            [(change.mark, change.at, *key, rank) for key in keys],
        )
        self._connection.executemany(
            f"UPDATE messages SET told = ? WHERE {which}",  # noqa: S608
            [(rank, *key, rank) for key in keys],
        )

    # --- messages ----------------------------------------------------------------------------------------

    def _keep(self, sealed: SealedRecord) -> None:
        self._connection.execute(
            "INSERT INTO sealed (hash, envelope, key, content) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (sealed.hash, sealed.envelope, sealed.key, sealed.content),
        )

    def _store_message(self, change: StoreMessage) -> Placed:
        m = change.message
        self._keep(SealedRecord(m.hash, change.envelope, change.key, m.content))
        stored = self._connection.execute(
            "INSERT INTO messages (hash, direction, mine, peer, device, id, seq, cls, type, conv, created_at,"
            " expires_at, stored_at, task, reply, inbox, rung, code, relayed_at, delivered_at, offered_at,"
            " read_at, processed_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING RETURNING n",
            (
                *(m.hash, m.direction, self._number(m.mine), self._number(m.peer), m.device, m.id),
                *(to_signed(m.seq), m.cls, m.type, m.conv, m.created_at, m.expires_at, m.stored_at),
                *(m.task, m.reply, m.inbox, m.rung, m.code, m.relayed_at, m.delivered_at, m.offered_at),
                *(m.read_at, m.processed_at),
            ),
        ).fetchone()
        if stored is None:
            raise StoreConflict(ConflictKind.EXISTS, "this agent has the message already")
        (n,) = stored
        mine, peer = self._number(m.mine), self._number(m.peer)
        line = Line(n, mine, peer, m.direction, m.cls, m.conv, m.task, m.stored_at, m.content)
        history_rows.add(self._connection, line)
        return Placed(Place(n))

    def _set_rung(self, change: SetRung) -> None:
        times = {Rung.RELAYED: ", relayed_at = ?", Rung.DELIVERED: ", delivered_at = ?"}
        time = times.get(change.rung, "")
        self._connection.execute(
            f"UPDATE messages SET rung = ?, code = ?{time} WHERE {_OF_AGENT} AND rung IS NOT NULL"  # noqa: S608
            " AND rung != 'delivered'",
            (change.rung, change.code, *([change.at] if time else []), change.hash, change.agent),
        )

    # --- the outbox --------------------------------------------------------------------------------------

    def _put_outbox(self, entry: OutboxRecord) -> None:
        # A replaced entry keeps its number, and so its turn.
        self._connection.execute(
            "INSERT INTO outbox"
            " (hash, target, seq, cls, parcel, next_attempt_at, expires_at, attempts, state)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (hash) DO UPDATE SET target = excluded.target,"
            " seq = excluded.seq, cls = excluded.cls, parcel = excluded.parcel,"
            " next_attempt_at = excluded.next_attempt_at, expires_at = excluded.expires_at,"
            " attempts = excluded.attempts, state = excluded.state",
            (
                *(entry.hash, self._number(entry.to), to_signed(entry.seq), entry.cls, entry.parcel),
                *(entry.next_attempt_at, entry.expires_at, entry.attempts, entry.state),
            ),
        )

    def _use_sequence(self, change: UseSequence) -> None:
        target = self._number(change.to)
        row = self._connection.execute("SELECT seq FROM sequences WHERE target = ?", (target,)).fetchone()
        last = max(row[0] if row else 0, change.above)
        if change.seq != last + 1:
            raise StoreConflict(ConflictKind.SEQUENCE, f"the last number used is {last}")
        self._connection.execute(
            "INSERT OR REPLACE INTO sequences (target, seq) VALUES (?, ?)", (target, change.seq)
        )

    # --- tasks -------------------------------------------------------------------------------------------

    def _save_task(self, task: TaskRecord) -> Saved:
        row = self._connection.execute(
            "SELECT revision FROM tasks WHERE task = ? AND role = ?", (task.task, task.role)
        ).fetchone()
        require_revision(row[0] if row else 0, task.revision, "task")
        columns = (
            "mine, peer, conv, title, home, state, open, snapshot, created_at, updated_at, deadline, revision"
        )
        places = ", ".join("?" * 12)
        values = (
            *(self._number(task.mine), self._number(task.peer), task.conv, task.title, task.home),
            *(task.state, task.open, task.snapshot, task.created_at, task.updated_at, task.deadline),
            task.revision + 1,
        )
        if row is None:
            statement = f"INSERT INTO tasks ({columns}, task, role) VALUES ({places}, ?, ?)"  # noqa: S608
        else:
            statement = f"UPDATE tasks SET ({columns}) = ({places}) WHERE task = ? AND role = ?"  # noqa: S608
        self._connection.execute(statement, (*values, task.task, task.role))
        return Saved(task.revision + 1)

    # --- what was received -------------------------------------------------------------------------------

    def _put_quarantine(self, item: QuarantineRecord) -> Placed:
        self._connection.execute(
            "INSERT INTO quarantine"
            " (hash, code, text, envelope, sealed, received_at, device, mine, peer, cls, key)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                *(item.hash, item.code, item.text, item.envelope, item.sealed, item.received_at, item.device),
                None if item.mine is None else self._number(item.mine),
                None if item.peer is None else self._number(item.peer),
                *(item.cls, item.key),
            ),
        )
        (n,) = self._connection.execute("SELECT n FROM quarantine WHERE hash = ?", (item.hash,)).fetchone()
        return Placed(Place(n))

    def _see(self, seen: SeenRecord) -> None:
        target = self._number(seen.to)
        rows = self._connection.execute(
            f"{SEEN} t.device = ?1 AND t.id = ?2 OR t.device = ?1 AND t.target = ?3 AND t.seq = ?4",
            (seen.device, seen.id, target, to_signed(seen.seq)),
        ).fetchall()
        known = [require_same_seen(seen_record(row), seen) for row in rows]
        if not known:
            self._connection.execute(
                "INSERT INTO seen (device, id, target, seq, hash, outcome, code, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(seen.device, seen.id, target, to_signed(seen.seq), seen.hash),
                    *(seen.outcome, seen.code, seen.at),
                ),
            )

    def _set_cursor(self, offered: RelayCursor) -> None:
        row = self._connection.execute(
            "SELECT relay, generation, offset FROM cursors WHERE relay = ?", (offered.relay,)
        ).fetchone()
        cursor = cursor_to_store(RelayCursor(*row) if row else None, offered)
        self._connection.execute(
            "INSERT OR REPLACE INTO cursors (relay, generation, offset) VALUES (?, ?, ?)",
            (cursor.relay, cursor.generation, cursor.offset),
        )

    # --- the feed ----------------------------------------------------------------------------------------

    def _append_event(self, event: EventRecord) -> Placed:
        (place,) = self._connection.execute(
            "INSERT INTO events (kind, agent, refs, text, at) VALUES (?, ?, ?, ?, ?) RETURNING place",
            (event.kind, event.agent, b"".join(event.refs), event.text, event.at),
        ).fetchone()
        return Placed(Place(place))

    def _prune(self, change: PruneEvents) -> Counted:
        # The oldest line that is young enough ends what age takes; when all are old, nothing does.
        gone = self._connection.execute(
            "DELETE FROM events WHERE place IN (SELECT place FROM events WHERE place <= max("
            " coalesce((SELECT place FROM events WHERE at >= ? ORDER BY place LIMIT 1) - 1,"
            "  (SELECT max(place) FROM events)),"
            " (SELECT seq FROM sqlite_sequence WHERE name = 'events') - ?) ORDER BY place LIMIT ?)",
            (change.before, change.keep, change.limit),
        )
        return Counted(gone.rowcount)
