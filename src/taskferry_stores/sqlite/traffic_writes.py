"""The daemon's changes to messages, tasks, the outbox, receipts, quarantine and the feed, as SQL.

What there is of for each message stands in `held_rows`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeAlias, assert_never

from taskferry_protocol.ids import AgentRef
from taskferry_protocol.records import (
    AddTaskEvent,
    Counted,
    DaemonResult,
    DeferOutbox,
    Done,
    Mark,
    MarkMessages,
    OfferAgain,
    Place,
    Placed,
    PruneEvents,
    PurgeSeen,
    PutQuarantine,
    QuarantineRecord,
    RelayCursor,
    ReviseSeen,
    Saved,
    SaveTask,
    SetCursor,
    SettleReceipts,
    TaskRecord,
)

from ..rules import cursor_to_store, require_revision, unknown
from .forgetting import purge_seen

TrafficChange: TypeAlias = (
    MarkMessages
    | DeferOutbox
    | OfferAgain
    | SaveTask
    | AddTaskEvent
    | SettleReceipts
    | PutQuarantine
    | PurgeSeen
    | ReviseSeen
    | SetCursor
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
            case MarkMessages():
                hashes = dict.fromkeys(change.hashes)
                if change.tell:
                    self._owe_marks(change)
                statement = f"{_MARKS[change.mark]} AND {_OF_AGENT}"
                marked = many(statement, [(change.at, hash, change.agent) for hash in hashes])
                return Counted(max(marked.rowcount, 0))
            case DeferOutbox():
                execute(
                    "UPDATE outbox SET attempts = ?, next_attempt_at = ? WHERE hash = ?",
                    (change.attempts, change.next_attempt_at, change.hash),
                )
            case OfferAgain():
                query = "UPDATE outbox SET state = 'waiting', next_attempt_at = ? WHERE state = 'relayed'"
                if change.to is None:
                    return Counted(execute(query, (change.at,)).rowcount)
                of_agent = " AND target = (SELECT n FROM agents WHERE account = ? AND name = ?)"
                values = (change.at, change.to.account, change.to.name)
                return Counted(execute(query + of_agent, values).rowcount)
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
            case SettleReceipts():
                many("DELETE FROM receipts_owed WHERE n = ?", [(place,) for place in change.places])
            case PutQuarantine():
                return self._put_quarantine(change.item)
            case PurgeSeen():
                return Counted(purge_seen(self._connection, change))
            case ReviseSeen():
                seen = change.seen
                execute(
                    "UPDATE seen SET outcome = ?, code = ? WHERE device = ? AND id = ? AND hash = ?",
                    (seen.outcome, seen.code, seen.device, seen.id, seen.hash),
                )
            case SetCursor():
                self._set_cursor(change.cursor)
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
