"""What a daemon writes for each message: held back within a transaction, then written, many a statement.

Each of these changes is on rows of its own, so that their order does not matter; where one meets another, on
the same message or outbox entry, what is held is written first. A statement for each costs more than its row:
it gives up and takes back the interpreter's lock, and has the index of words write out what it holds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, assert_never

from taskferry_protocol.ids import AgentRef, Hash, Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.records import (
    AppendEvent,
    CountExchange,
    DaemonResult,
    Done,
    DropOutbox,
    DropQuarantine,
    EventRecord,
    ExchangeRecord,
    Flow,
    KeepSealed,
    MessageRecord,
    OutboxRecord,
    OweReceipt,
    Place,
    Placed,
    PutOutbox,
    RecordReceipt,
    RecordSeen,
    RelayedOutbox,
    Rung,
    SeenRecord,
    SetRung,
    StoreMessage,
    UseSequence,
)
from taskferry_protocol.records.forgetting import ForgetSealed

from ..errors import ConflictKind, StoreConflict
from ..rules import require_same_seen
from . import history_rows
from .history_rows import Line
from .rows import Row, insert, to_signed, update_with
from .traffic_rows import SEEN, seen_record

__all__ = ["HeldChange", "HeldRows"]

HeldChange: TypeAlias = (
    StoreMessage
    | AppendEvent
    | SetRung
    | PutOutbox
    | RelayedOutbox
    | DropOutbox
    | UseSequence
    | CountExchange
    | RecordSeen
    | OweReceipt
    | RecordReceipt
    | DropQuarantine
    | KeepSealed
    | ForgetSealed
)

_SEALED: Final = "sealed (hash, envelope, key, content)"
_MESSAGES: Final = (
    "messages (n, hash, direction, mine, peer, device, id, seq, cls, type, conv, created_at, expires_at,"
    " stored_at, task, reply, inbox, rung, code, relayed_at, delivered_at, offered_at, read_at, processed_at)"
)
_EVENTS: Final = "events (place, kind, agent, refs, text, at)"
_EXCHANGES: Final = "exchanges (mine, peer, hash, at, inbound, talk, words)"
_SEEN_ROWS: Final = "seen (device, id, target, seq, hash, outcome, code, at)"
_OWED: Final = "receipts_owed (hash, mine, peer, outcome, code, at)"
_GOT: Final = "receipts_got (hash, device, outcome, code, receipt, at)"
_OUTBOX: Final = "outbox (hash, target, seq, cls, parcel, next_attempt_at, expires_at, attempts, state)"
# A replaced entry keeps its number, and so its turn.
_REPLACED: Final = (
    " ON CONFLICT (hash) DO UPDATE SET target = excluded.target, seq = excluded.seq, cls = excluded.cls,"
    " parcel = excluded.parcel, next_attempt_at = excluded.next_attempt_at,"
    " expires_at = excluded.expires_at, attempts = excluded.attempts, state = excluded.state"
)
_KEPT: Final = " ON CONFLICT DO NOTHING"
_FORGET: Final = (
    "DELETE FROM sealed WHERE hash = ?1 AND NOT EXISTS (SELECT 1 FROM messages WHERE hash = ?1)"
    " AND NOT EXISTS (SELECT 1 FROM task_events WHERE hash = ?1)"
    " AND NOT EXISTS (SELECT 1 FROM outbox WHERE hash = ?1)"
)
_RUNG_AT: Final = {Rung.RELAYED: ", relayed_at = column4", Rung.DELIVERED: ", delivered_at = column4"}


class HeldRows:
    """The rows of one transaction, or of one caller's part of it. `number` gives an agent's number."""

    def __init__(self, connection: sqlite3.Connection, number: Callable[[AgentRef], int]) -> None:
        self._connection = connection
        self._number = number
        self._begin()

    def _begin(self) -> None:
        self._holds = False
        self._sealed: list[Row] = []
        self._messages: list[Row] = []
        self._lines: list[Line] = []
        self._rungs: dict[Rung, list[Row]] = {}
        self._met: set[Hash] = set()
        """Messages that are stored or change their rung."""
        self._outbox: list[Row] = []
        self._relayed: list[Hash] = []
        self._dropped: list[Hash] = []
        self._entries: set[Hash] = set()
        """Outbox entries that are put, relayed or dropped."""
        self._events: list[Row] = []
        self._exchanges: list[Row] = []
        self._counted: dict[Flow, Instant] = {}
        self._seen: list[Row] = []
        self._offered: list[MessageRecord | SeenRecord] = []
        """What may be there already, in order."""
        self._owed: list[Row] = []
        self._got: list[Row] = []
        self._cleared: list[Hash] = []
        self._forgotten: list[Hash] = []
        self._sequences: dict[AgentRef, int] = {}
        self._named: dict[str, tuple[int, ...]] = {}
        self._last: dict[str, int] = {}
        """The last running numbers that were given in tables."""

    def take(self, change: HeldChange) -> DaemonResult:
        """Hold one change. Raises StoreConflict, as `write` does."""
        result: DaemonResult = Done()
        match change:
            case StoreMessage():
                result = self._store(change)
            case AppendEvent():
                result = self._append(change.event)
            case SetRung():
                self._set_rung(change)
            case PutOutbox():
                self._put(change.entry)
            case RelayedOutbox():
                self._meet_entries(change.hashes)
                self._relayed += change.hashes
            case DropOutbox():
                self._meet_entries(change.hashes)
                self._dropped += change.hashes
            case UseSequence():
                self._use(change)
            case CountExchange():
                self._count(change.exchange)
            case RecordSeen():
                self._see(change.seen)
            case OweReceipt():
                owed = change.receipt
                mine, peer = self._number(owed.mine), self._number(owed.peer)
                self._owed.append((owed.hash, mine, peer, owed.outcome, owed.code, owed.at))
            case RecordReceipt():
                got = change.receipt
                self._got.append((got.hash, got.device, got.outcome, got.code, got.receipt, got.at))
            case DropQuarantine():
                self._cleared.append(change.hash)
            case KeepSealed():
                kept = change.sealed
                self._keep(kept.hash)
                self._sealed.append((kept.hash, kept.envelope, kept.key, kept.content))
            case ForgetSealed():
                self._forgotten += change.hashes
            case _:
                assert_never(change)
        self._holds = True
        return result

    # --- Holding

    def _store(self, change: StoreMessage) -> Placed:
        m = change.message
        self._meet(m.hash)
        self._keep(m.hash)
        n = self._next("messages")
        mine, peer = self._number(m.mine), self._number(m.peer)
        self._sealed.append((m.hash, change.envelope, change.key, m.content))
        self._messages.append(
            (
                *(n, m.hash, m.direction.value, mine, peer, m.device, m.id, to_signed(m.seq), m.cls, m.type),
                *(m.conv, m.created_at, m.expires_at, m.stored_at, m.task, m.reply, m.inbox.value),
                *(None if m.rung is None else m.rung.value, m.code, m.relayed_at, m.delivered_at),
                *(m.offered_at, m.read_at, m.processed_at),
            )
        )
        direction = m.direction.value
        self._lines.append(Line(n, mine, peer, direction, m.cls, m.conv, m.task, m.stored_at, m.content))
        self._offered.append(m)
        return Placed(Place(n))

    def _append(self, event: EventRecord) -> Placed:
        place = self._next("events")
        refs = b"".join(event.refs)
        self._events.append((place, event.kind, event.agent, refs, event.text, event.at))
        return Placed(Place(place))

    def _set_rung(self, change: SetRung) -> None:
        self._meet(change.hash)
        rows = self._rungs.setdefault(change.rung, [])
        for n in self._all_named(change.agent):
            rows.append((change.hash, n, change.code, change.at))

    def _all_named(self, name: str) -> tuple[int, ...]:
        """The numbers of agents of a name, of which only ours have messages."""
        numbers = self._named.get(name)
        if numbers is None:
            rows = self._connection.execute("SELECT n FROM agents WHERE name = ?", (name,))
            numbers = self._named[name] = tuple([n for (n,) in rows])
        return numbers

    def _put(self, entry: OutboxRecord) -> None:
        self._meet_entries((entry.hash,))
        target = self._number(entry.to)
        self._outbox.append(
            (
                *(entry.hash, target, to_signed(entry.seq), entry.cls, entry.parcel, entry.next_attempt_at),
                *(entry.expires_at, entry.attempts, entry.state.value),
            )
        )

    def _use(self, change: UseSequence) -> None:
        used = self._sequences.get(change.to)
        if used is None:
            row = self._connection.execute(
                "SELECT seq FROM sequences WHERE target = ?", (self._number(change.to),)
            ).fetchone()
            used = row[0] if row else 0
        last = max(used, change.above)
        if change.seq != last + 1:
            # What is wrong with something before it is said first.
            self.write()
            raise StoreConflict(ConflictKind.SEQUENCE, f"the last number used is {last}")
        self._sequences[change.to] = change.seq

    def _see(self, seen: SeenRecord) -> None:
        target = self._number(seen.to)
        self._seen.append(
            (
                *(seen.device, seen.id, target, to_signed(seen.seq), seen.hash),
                *(seen.outcome, seen.code, seen.at),
            )
        )
        self._offered.append(seen)

    def _count(self, exchange: ExchangeRecord) -> None:
        flow = Flow(exchange.mine, exchange.peer)
        if self._counted.get(flow, exchange.at) != exchange.at:
            # What is too old is reckoned from each.
            self.write()
        self._counted[flow] = exchange.at
        mine, peer = self._number(exchange.mine), self._number(exchange.peer)
        inbound, talk = int(exchange.inbound), int(exchange.talk)
        self._exchanges.append((mine, peer, exchange.hash, exchange.at, inbound, talk, exchange.words))

    def _next(self, table: str) -> int:
        last = self._last.get(table)
        if last is None:
            query = "SELECT seq FROM sqlite_sequence WHERE name = ?"
            row = self._connection.execute(query, (table,)).fetchone()
            last = int(row[0]) if row else 0
        self._last[table] = last + 1
        return last + 1

    def _meet(self, hash: Hash) -> None:
        if hash in self._met:
            self.write()
        self._met.add(hash)

    def _keep(self, hash: Hash) -> None:
        if hash in self._forgotten:
            self.write()

    def _meet_entries(self, hashes: Iterable[Hash]) -> None:
        if not self._entries.isdisjoint(hashes):
            self.write()
        self._entries.update(hashes)

    # --- Writing

    def write(self) -> None:
        """Write all that is held. Raises StoreConflict: then nothing of this transaction may be kept."""
        if not self._holds:
            return
        connection = self._connection
        insert(connection, _SEALED, self._sealed, _KEPT)
        made = insert(connection, _MESSAGES, self._messages, _KEPT)
        made += insert(connection, _SEEN_ROWS, self._seen, _KEPT)
        if made < len(self._offered):
            self._judge()
        self._write_rungs()
        insert(connection, _OUTBOX, self._outbox, _REPLACED)
        _with_hashes(connection, "UPDATE outbox SET state = 'relayed' WHERE hash = ?", self._relayed)
        _with_hashes(connection, "DELETE FROM outbox WHERE hash = ?", self._dropped)
        self._write_exchanges()
        insert(connection, _EVENTS, self._events)
        insert(connection, _OWED, self._owed, _KEPT)
        insert(connection, _GOT, self._got, _KEPT)
        _with_hashes(connection, "DELETE FROM quarantine WHERE hash = ?", self._cleared)
        _with_hashes(connection, _FORGET, self._forgotten)
        if self._sequences:
            connection.executemany(
                "INSERT OR REPLACE INTO sequences (target, seq) VALUES (?, ?)",
                [(self._number(to), seq) for to, seq in self._sequences.items()],
            )
        if self._lines:
            # Last, since a statement on any other table makes the index write out what it has so far.
            history_rows.add_all(connection, self._lines)
        self._begin()

    def _write_rungs(self) -> None:
        for rung, rows in self._rungs.items():
            changed = f"rung = '{rung.value}', code = column3{_RUNG_AT.get(rung, '')}"
            found = "hash = column1 AND mine = column2 AND rung IS NOT NULL AND rung != 'delivered'"
            update_with(self._connection, "messages", changed, found, rows)

    def _write_exchanges(self) -> None:
        if not self._exchanges:
            return
        pairs = [(self._number(flow.from_), self._number(flow.to), at) for flow, at in self._counted.items()]
        # What is of a later day was counted by a clock that was ahead. Each end by itself, since with both in
        # one statement all that the two exchanged in a day is looked at.
        execute_many = self._connection.executemany
        old = "DELETE FROM exchanges WHERE mine = ? AND peer = ? AND at <= ?"
        execute_many(old, [(mine, peer, at - DAY_MS) for mine, peer, at in pairs])
        ahead = "DELETE FROM exchanges WHERE mine = ? AND peer = ? AND at >= ?"
        execute_many(ahead, [(mine, peer, at + DAY_MS) for mine, peer, at in pairs])
        insert(self._connection, _EXCHANGES, self._exchanges)

    def _judge(self) -> None:
        """Of what was offered some is there already: raise StoreConflict for the first that may not be."""
        of_message = "SELECT 1 FROM messages WHERE hash = ? AND mine = ? AND n < ?"
        of_seen = f"{SEEN} t.device = ?1 AND t.id = ?2 OR t.device = ?1 AND t.target = ?3 AND t.seq = ?4"
        first = min((line.n for line in self._lines), default=0)
        for one in self._offered:
            if isinstance(one, MessageRecord):
                key = (one.hash, self._number(one.mine), first)
                if self._connection.execute(of_message, key).fetchone():
                    raise StoreConflict(ConflictKind.EXISTS, "this agent has the message already")
            else:
                names = (one.device, one.id, self._number(one.to), to_signed(one.seq))
                for row in self._connection.execute(of_seen, names).fetchall():
                    require_same_seen(seen_record(row), one)


def _with_hashes(connection: sqlite3.Connection, statement: str, hashes: list[Hash]) -> None:
    if hashes:
        connection.executemany(statement, [(hash,) for hash in hashes])
