"""A relay's mailboxes in memory, and what it has seen."""

from __future__ import annotations

from collections.abc import Collection

import attrs

from taskferry_protocol.ids import AgentRef, DeviceId, Hash, Instant, MessageId
from taskferry_protocol.records import (
    AckMailbox,
    AlreadyStored,
    Counted,
    Equivocation,
    Expire,
    Expired,
    MailboxEntry,
    MailboxItem,
    MailboxNotice,
    MailboxShare,
    MailboxUsage,
    Notice,
    Offset,
    Place,
    PurgeSeen,
    Stored,
    StoreEnvelope,
)

from .tables import Journal


@attrs.frozen
class _Seen:
    n: int
    hash: Hash
    place: Place
    at: Instant
    to: AgentRef
    seq: int
    receivers: frozenset[DeviceId]


@attrs.frozen
class _Waiting:
    n: int
    sender: DeviceId
    expires_at: Instant
    raw: bytes
    entries: frozenset[tuple[DeviceId, Offset]]
    at: Instant


class Mailboxes:
    """Envelopes, entries and counters; acknowledged entries are gone at once."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.seen: dict[tuple[DeviceId, MessageId], _Seen] = {}
        self.usage: dict[DeviceId, MailboxUsage] = {}
        self.places: dict[DeviceId, int] = {}
        self._seen_seq: dict[tuple[DeviceId, AgentRef, int], tuple[DeviceId, MessageId]] = {}
        self._waiting: dict[Hash, _Waiting] = {}
        self._items: dict[tuple[DeviceId, Offset], tuple[Hash, bytes] | Notice] = {}

    def store(self, change: StoreEnvelope) -> Stored | AlreadyStored | Equivocation:
        """Accept an envelope, or say why it is not new."""
        by_id = (change.device, change.id)
        by_seq = (change.device, change.to, change.seq)
        seen = self.seen.get(by_id)
        if seen is not None and seen.hash != change.hash:
            return Equivocation(seen.hash, "id", self._raw(seen.hash))
        if seen is None and by_seq in self._seen_seq:
            prior = self.seen[self._seen_seq[by_seq]].hash
            return Equivocation(prior, "seq", self._raw(prior))
        if seen is None:
            place = Place(self._journal.count(self.places, change.device))
            n = sum(self.places.values())
            seen = _Seen(n, change.hash, place, change.at, change.to, change.seq, frozenset())
            self._journal.put(self._seen_seq, by_seq, by_id)
            offsets = self._add_entries(change, seen)
            return Stored(place, offsets)
        return AlreadyStored(seen.place, self._add_entries(change, seen))

    def _add_entries(self, change: StoreEnvelope, seen: _Seen) -> tuple[tuple[DeviceId, Offset], ...]:
        added = []
        receivers = set(seen.receivers)
        for device, sealed in change.entries:
            if device not in receivers:
                receivers.add(device)
                size = len(change.envelope) + len(sealed)
                added.append((device, self.deliver(device, (change.hash, sealed), size)))
        self._journal.put(
            self.seen, (change.device, change.id), attrs.evolve(seen, receivers=frozenset(receivers))
        )
        if added:
            held = self._waiting.get(change.hash)
            entries = (held.entries if held else frozenset()) | frozenset(added)
            waiting = _Waiting(seen.n, change.device, change.expires_at, change.envelope, entries, seen.at)
            self._journal.put(self._waiting, change.hash, waiting)
        return tuple(added)

    def deliver(self, device: DeviceId, item: tuple[Hash, bytes] | Notice, size: int) -> Offset:
        """Put an item into a mailbox; `size` is what it weighs there."""
        usage = self.usage.get(device, MailboxUsage())
        offset = Offset(usage.last + 1)
        self._journal.put(self._items, (device, offset), item)
        usage = attrs.evolve(usage, count=usage.count + 1, bytes=usage.bytes + size, last=offset)
        self._journal.put(self.usage, device, usage)
        return offset

    def shares(self, devices: Collection[DeviceId]) -> dict[DeviceId, dict[DeviceId, MailboxShare]]:
        """What waits in each mailbox, by sending device."""
        found: dict[DeviceId, dict[DeviceId, MailboxShare]] = {}
        for (device, _), item in self._items.items():
            if device in devices and not isinstance(item, Notice):
                held = self._waiting[item[0]]
                box = found.setdefault(device, {})
                share = box.get(held.sender, MailboxShare(0, 0))
                size = len(held.raw) + len(item[1])
                box[held.sender] = MailboxShare(share.count + 1, share.bytes + size)
        return found

    def oldest(self, device: DeviceId | None) -> Instant | None:
        """When the oldest envelope that waits for a device, or for any, was taken."""
        waiting = [
            held.at
            for held in self._waiting.values()
            if device is None or any(device == receiver for receiver, _ in held.entries)
        ]
        return min(waiting, default=None)

    def _raw(self, hash: Hash) -> bytes:
        held = self._waiting.get(hash)
        return held.raw if held else b""

    def _remove(self, device: DeviceId, offset: Offset) -> None:
        """Take one entry out, and its envelope with the last entry."""
        item = self._items[device, offset]
        self._journal.drop(self._items, (device, offset))
        usage = self.usage[device]
        size = 0
        if not isinstance(item, Notice):
            hash, sealed = item
            held = self._waiting[hash]
            size = len(held.raw) + len(sealed)
            entries = held.entries - {(device, offset)}
            if entries:
                self._journal.put(self._waiting, hash, attrs.evolve(held, entries=entries))
            else:
                self._journal.drop(self._waiting, hash)
        usage = attrs.evolve(usage, count=usage.count - 1, bytes=usage.bytes - size)
        self._journal.put(self.usage, device, usage)

    def ack(self, change: AckMailbox) -> None:
        """Take out what is acknowledged."""
        usage = self.usage.get(change.device)
        if usage is None:
            return
        acked = Offset(min(usage.last, max(usage.acked, change.offset)))
        for offset in range(usage.acked + 1, acked + 1):
            if (change.device, Offset(offset)) in self._items:
                self._remove(change.device, Offset(offset))
        self._journal.put(self.usage, change.device, attrs.evolve(self.usage[change.device], acked=acked))

    def expire(self, change: Expire) -> Expired:
        """Take out what has expired, and tell the senders."""
        due = [(w.expires_at, w.n, h) for h, w in self._waiting.items() if w.expires_at <= change.now]
        notices = []
        for _, _, hash in sorted(due)[: change.limit]:
            held = self._waiting[hash]
            for device, offset in sorted(held.entries):
                self._remove(device, offset)
            notice = Notice(hash, "expired")
            notices.append((held.sender, self.deliver(held.sender, notice, 0), notice))
        return Expired(min(len(due), change.limit), tuple(notices))

    def purge(self, change: PurgeSeen) -> Counted:
        """Forget what was seen long ago and is in no mailbox."""
        old = [(s.at, key) for key, s in self.seen.items() if s.at < change.before]
        old = [(at, key) for at, key in old if self.seen[key].hash not in self._waiting]
        for _, key in sorted(old)[: change.limit]:
            seen = self.seen[key]
            self._journal.drop(self._seen_seq, (key[0], seen.to, seen.seq))
            self._journal.drop(self.seen, key)
        return Counted(min(len(old), change.limit))

    def read(self, device: DeviceId, after: Offset, limit: int, max_bytes: int) -> tuple[MailboxItem, ...]:
        """What waits for a device above an offset."""
        usage = self.usage.get(device, MailboxUsage())
        items: list[MailboxItem] = []
        total = 0
        for offset in range(max(after, usage.acked) + 1, usage.last + 1):
            item = self._items.get((device, Offset(offset)))
            if item is None:
                continue
            if isinstance(item, Notice):
                items.append(MailboxNotice(Offset(offset), item))
            else:
                raw = self._waiting[item[0]].raw
                total += len(raw) + len(item[1])
                if items and total > max_bytes:
                    break
                items.append(MailboxEntry(Offset(offset), raw, item[1]))
            if len(items) == limit:
                break
        return tuple(items)
