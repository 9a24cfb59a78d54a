"""The relay's hot path: envelopes into mailboxes and out again, a group at a time.

Numbers, offsets and counters of all devices of a group are read once, counted up in memory, and written once.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from taskferry_protocol.ids import AgentRef, DeviceId, Hash
from taskferry_protocol.limits import SEEN_MS
from taskferry_protocol.records import (
    AckMailbox,
    AlreadyStored,
    Counted,
    Equivocation,
    Expire,
    Expired,
    Notice,
    Offset,
    Place,
    PurgeSeen,
    PutNotice,
    RelayChange,
    RelayResult,
    Stored,
    StoreEnvelope,
    Sweep,
)

from .boxes import Box, Boxes
from .rows import Column, insert, select_in, to_signed

_RECEIVER = struct.Struct("<IQ")
"""One device's number, and the offset that it has an envelope at."""


_WRAP = struct.Struct("<IH")
"""One device's number, and the length of the wrapped key that follows."""


def _pack_wrap(device: int, sealed: bytes) -> bytes:
    return _WRAP.pack(device, len(sealed)) + sealed


def find_wrap(wraps: bytes, device: int) -> bytes:
    """The wrapped key of one device among those that stand with an envelope."""
    at = 0
    while at < len(wraps):
        receiver, length = _WRAP.unpack_from(wraps, at)
        at += _WRAP.size
        if receiver == device:
            return wraps[at : at + length]
        at += length
    raise LookupError("the envelope has no wrap for this device")


_TOGETHER: Final = (16, 4, 1)
"""So many envelopes are accepted by one statement: a statement each would cost as much as what it writes."""


@lru_cache(maxsize=len(_TOGETHER))
def _see(count: int) -> str:
    """The statement that accepts so many envelopes."""
    rows = ",".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?)"] * count)
    columns = "n, device, id, target, seq, hash, place, at, receivers"
    return f"INSERT INTO seen ({columns}) VALUES {rows} ON CONFLICT DO NOTHING"  # noqa: S608


def _distinct(entries: Sequence[tuple[DeviceId, bytes]]) -> Iterable[tuple[DeviceId, bytes]]:
    """The first entry of each device."""
    if len(entries) == 1:
        return entries
    found: dict[DeviceId, bytes] = {}
    for device, sealed in entries:
        found.setdefault(device, sealed)
    return found.items()


def _pack(receivers: Iterable[tuple[int, int]]) -> bytes:
    return b"".join([_RECEIVER.pack(device, offset) for device, offset in receivers])


def _unpack(receivers: bytes) -> Iterator[tuple[int, int]]:
    return _RECEIVER.iter_unpack(receivers)


class Mailboxes:
    """Mailboxes inside one transaction; `flush` writes what is still held back."""

    def __init__(self, connection: sqlite3.Connection, changes: Iterable[RelayChange], boxes: Boxes) -> None:
        self._connection = connection
        devices: set[DeviceId] = set()
        targets: set[AgentRef] = set()
        for change in changes:
            match change:
                case StoreEnvelope():
                    devices.add(change.device)
                    devices.update([device for device, _ in change.entries])
                    targets.add(change.to)
                case AckMailbox() | PutNotice():
                    devices.add(change.device)
                case _:
                    pass
        self._boxes = boxes
        boxes.begin(connection, devices, targets)
        self._envelopes: list[tuple[Column, ...]] = []
        self._entries: list[tuple[Column, ...]] = []
        self._notices: list[tuple[Column, ...]] = []

    def flush(self) -> None:
        """Write held-back rows and all counters that changed."""
        self._flush_rows()
        self._boxes.write(self._connection)

    def _flush_rows(self) -> None:
        if self._envelopes:
            insert(self._connection, "envelopes (n, expires_at, wraps, raw)", self._envelopes)
            self._envelopes.clear()
        if self._entries:
            insert(self._connection, "mailbox (device, offset, size, envelope)", self._entries)
            self._entries.clear()
        if self._notices:
            insert(self._connection, "mailbox (device, offset, size, hash, code)", self._notices)
            self._notices.clear()

    # --- in ----------------------------------------------------------------------------------------------

    def store_all(self, changes: Sequence[StoreEnvelope]) -> list[RelayResult]:
        """Accept envelopes in their order, and say of each that is not new why."""
        results: list[RelayResult] = []
        while len(results) < len(changes):
            start = len(results)
            size = next(step for step in _TOGETHER if start + step <= len(changes))
            results += self._store(changes[start : start + size])
        return results

    def _store(self, changes: Sequence[StoreEnvelope]) -> Sequence[RelayResult]:
        """Accept some together, or, if one of them was seen before, each by itself."""
        new = self._store_new(changes)
        if new is not None:
            return new
        if len(changes) == 1:
            return [self._judge_repeat(changes[0])]
        return [result for change in changes for result in self._store([change])]

    def _store_new(self, changes: Sequence[StoreEnvelope]) -> list[Stored] | None:
        """Accept envelopes by one statement. None, and nothing has happened, unless all of them are new."""
        counted = self._boxes
        if counted.next == 0:
            (counted.next,) = self._connection.execute("SELECT coalesce(max(n), 0) + 1 FROM seen").fetchone()
        first = counted.next
        places: dict[Box, int] = {}
        lasts: dict[Box, int] = {}
        rows: list[Column] = []
        planned: list[tuple[StoreEnvelope, int, list[tuple[Box, int, bytes]]]] = []
        boxes, targets = self._boxes.of, self._boxes.targets
        for n, change in enumerate(changes, first):
            sender = boxes[change.device]
            place = places[sender] = places.get(sender, sender.place) + 1
            receivers: list[tuple[Box, int, bytes]] = []
            packed = b""
            for device, sealed in _distinct(change.entries):
                box = boxes[device]
                offset = lasts[box] = lasts.get(box, box.last) + 1
                receivers.append((box, offset, sealed))
                packed += _RECEIVER.pack(box.n, offset)
            target, seq = targets[change.to], to_signed(change.seq)
            rows += (n, sender.n, change.id, target, seq, change.hash, place, change.at, packed)
            planned.append((change, place, receivers))
        inserted = self._connection.execute(_see(len(changes)), rows).rowcount
        if inserted < len(changes):
            if inserted:
                self._connection.execute("DELETE FROM seen WHERE n >= ?", (first,))
            return None
        counted.next += len(changes)
        for sender, place in places.items():
            sender.place = place
            self._boxes.touch(sender)
        return [self._hold(n, *plan) for n, plan in enumerate(planned, first)]

    def _hold(
        self, n: int, change: StoreEnvelope, place: int, receivers: list[tuple[Box, int, bytes]]
    ) -> Stored:
        """Hold back the rows of an envelope that is new, and count them."""
        size = len(change.envelope)
        if len(receivers) == 1:
            ((box, offset, sealed),) = receivers
            self._put(box, offset, size + len(sealed), n)
            self._envelopes.append((n, change.expires_at, _pack_wrap(box.n, sealed), change.envelope))
            return Stored(Place(place), ((box.id, Offset(offset)),))
        offsets = []
        wraps = []
        for box, offset, sealed in receivers:
            self._put(box, offset, size + len(sealed), n)
            offsets.append((box.id, Offset(offset)))
            wraps.append(_pack_wrap(box.n, sealed))
        if wraps:
            self._envelopes.append((n, change.expires_at, b"".join(wraps), change.envelope))
        return Stored(Place(place), tuple(offsets))

    def _put(self, box: Box, offset: int, size: int, envelope: int) -> None:
        self._entries.append((box.n, offset, size, envelope))
        box.last = offset
        box.count += 1
        box.bytes += size
        if not box.touched:
            self._boxes.touch(box)

    def _judge_repeat(self, change: StoreEnvelope) -> AlreadyStored | Equivocation:
        """What stands where this envelope would: itself, which may have new receivers, or another."""
        self._flush_rows()
        sender, target = self._boxes.of[change.device], self._boxes.targets[change.to]
        query = "SELECT n, hash, place, receivers FROM seen WHERE device = ? AND"
        row = self._connection.execute(f"{query} id = ?", (sender.n, change.id)).fetchone()
        by_id = row is not None
        if row is None:
            row = self._connection.execute(
                f"{query} target = ? AND seq = ?", (sender.n, target, to_signed(change.seq))
            ).fetchone()
        n, hash, place, receivers = row
        if hash != change.hash:
            raw = self._connection.execute("SELECT raw FROM envelopes WHERE n = ?", (n,)).fetchone()
            return Equivocation(Hash(hash), "id" if by_id else "seq", raw[0] if raw else b"")
        have = dict(_unpack(receivers))
        added = []
        wraps = []
        for device, sealed in change.entries:
            box = self._boxes.of[device]
            if box.n not in have:
                have[box.n] = box.last + 1
                added.append((device, Offset(box.last + 1)))
                self._put(box, box.last + 1, len(change.envelope) + len(sealed), n)
                wraps.append(_pack_wrap(box.n, sealed))
        if added:
            self._add_wraps(n, change, b"".join(wraps))
            self._connection.execute("UPDATE seen SET receivers = ? WHERE n = ?", (_pack(have.items()), n))
        return AlreadyStored(Place(place), tuple(added))

    def _add_wraps(self, n: int, change: StoreEnvelope, wraps: bytes) -> None:
        """Give an envelope more wraps; its bytes come back if no mailbox needed them any more."""
        row = self._connection.execute("SELECT wraps FROM envelopes WHERE n = ?", (n,)).fetchone()
        if row is None:
            self._envelopes.append((n, change.expires_at, wraps, change.envelope))
        else:
            self._connection.execute("UPDATE envelopes SET wraps = ? WHERE n = ?", (row[0] + wraps, n))

    def notify(self, device: DeviceId, notice: Notice) -> Offset:
        """Put a notice into a mailbox."""
        box = self._boxes.of[device]
        box.last += 1
        box.count += 1
        self._boxes.touch(box)
        self._notices.append((box.n, box.last, 0, notice.hash, notice.code))
        return Offset(box.last)

    # --- out ---------------------------------------------------------------------------------------------

    def ack(self, change: AckMailbox) -> None:
        """Note an acknowledgement; the entries are deleted later, by `sweep`."""
        box = self._boxes.of[change.device]
        upto = min(box.last, change.offset)
        if upto <= box.acked:
            return
        self._flush_rows()
        count, size = self._connection.execute(
            "SELECT count(*), coalesce(sum(size), 0) FROM mailbox"
            " WHERE device = ? AND offset > ? AND offset <= ?",
            (box.n, box.acked, upto),
        ).fetchone()
        box.acked = upto
        box.count -= count
        box.bytes -= size
        self._boxes.touch(box)

    def sweep(self, change: Sweep) -> Counted:
        """Delete acknowledged entries, and the envelopes for which they were the last."""
        self.flush()
        left = change.limit
        waiting = self._connection.execute("SELECT n FROM devices WHERE swept < acked LIMIT ?", (left,))
        numbers = [n for (n,) in waiting.fetchall()]
        self._boxes.load_numbered(self._connection, numbers)
        for n in numbers:
            if left == 0:
                break
            box = self._boxes.numbered[n]
            rows = self._connection.execute(
                "SELECT offset, envelope FROM mailbox WHERE device = ? AND offset > ? AND offset <= ?"
                " ORDER BY offset LIMIT ?",
                (n, box.swept, box.acked, left),
            ).fetchall()
            upto = rows[-1][0] if len(rows) == left else box.acked
            self._connection.execute("DELETE FROM mailbox WHERE device = ? AND offset <= ?", (n, upto))
            self._drop_unneeded([envelope for _, envelope in rows if envelope is not None])
            box.swept = upto
            self._boxes.touch(box)
            # A mailbox whose entries have all expired costs a step too.
            left -= max(1, len(rows))
        return Counted(change.limit - left)

    def _drop_unneeded(self, envelopes: list[int]) -> None:
        """Delete those of the envelopes that every receiver has acknowledged."""
        rows = select_in(self._connection, "SELECT n, receivers FROM seen WHERE n", ((n,) for n in envelopes))
        receivers = {n: list(_unpack(packed)) for n, packed in rows}
        self._boxes.load_numbered(
            self._connection, {device for pairs in receivers.values() for device, _ in pairs}
        )
        done = [
            (n,)
            for n, pairs in receivers.items()
            if all(offset <= self._boxes.numbered[device].acked for device, offset in pairs)
        ]
        self._connection.executemany("DELETE FROM envelopes WHERE n = ?", done)

    def expire(self, change: Expire) -> Expired:
        """Take envelopes out at their end, and tell their senders what was not acknowledged."""
        self._flush_rows()
        rows = self._connection.execute(
            "SELECT e.n, s.device, s.hash, s.receivers FROM envelopes e JOIN seen s ON s.n = e.n"
            " WHERE e.expires_at <= ? ORDER BY e.expires_at, e.n LIMIT ?",
            (change.now, change.limit),
        ).fetchall()
        pairs = [(n, list(_unpack(receivers))) for n, _, _, receivers in rows]
        self._boxes.load_numbered(self._connection, {device for _, some in pairs for device, _ in some})
        self._boxes.load_numbered(self._connection, {sender for _, sender, _, _ in rows})
        notices = []
        for (_, receivers), (n, sender, hash, _) in zip(pairs, rows, strict=True):
            undelivered = False
            for device, offset in receivers:
                box = self._boxes.numbered[device]
                if offset <= box.acked:
                    continue
                gone = self._connection.execute(
                    "DELETE FROM mailbox WHERE device = ? AND offset = ? RETURNING size", (device, offset)
                ).fetchone()
                undelivered = True
                if gone is None:
                    # It expired before, and the envelope came back wrapped for another device.
                    continue
                box.count -= 1
                box.bytes -= gone[0]
                self._boxes.touch(box)
            self._connection.execute("DELETE FROM envelopes WHERE n = ?", (n,))
            if undelivered:
                notice = Notice(Hash(hash), "expired")
                told = self._boxes.numbered[sender].id
                notices.append((told, self.notify(told, notice), notice))
        return Expired(len(rows), tuple(notices))

    def purge(self, change: PurgeSeen) -> Counted:
        """Forget what was seen long ago and is in no mailbox. Rows stand in the order of their time.

        Of a time that is far ahead are those of a clock that was: they keep none behind them.
        """
        self._flush_rows()
        done = self._connection.execute(
            "DELETE FROM seen WHERE n IN (SELECT s.n FROM seen s WHERE s.n < coalesce("
            " (SELECT n FROM seen WHERE at >= ? AND at < ? ORDER BY n LIMIT 1),"
            " (SELECT max(n) + 1 FROM seen))"
            " AND NOT EXISTS (SELECT 1 FROM envelopes e WHERE e.n = s.n) ORDER BY s.n LIMIT ?)",
            (change.before, change.before + 2 * SEEN_MS, change.limit),
        )
        return Counted(done.rowcount)
