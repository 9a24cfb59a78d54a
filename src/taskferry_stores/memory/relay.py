"""A relay's store in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import assert_never

import attrs
import trio

from taskferry_protocol.ids import AccountId, AgentRef, DeviceId, Hash, Instant, MessageId
from taskferry_protocol.records import (
    AccountRecord,
    AckMailbox,
    AgentPair,
    AlreadyStored,
    AppendStatements,
    CardRecord,
    ContactState,
    Counted,
    Done,
    DropSetting,
    EndConnection,
    Equivocation,
    EvidenceRecord,
    Expire,
    Expired,
    Flow,
    Generation,
    HoldAccount,
    MailboxEntry,
    MailboxItem,
    MailboxNotice,
    MailboxUsage,
    Notice,
    NoticePut,
    Offset,
    Page,
    Place,
    PurgeSeen,
    PutCard,
    PutConnection,
    PutEvidence,
    PutGrant,
    PutNotice,
    PutSetting,
    RateRecord,
    RecordContact,
    RecordRate,
    RelayChange,
    RelayResult,
    RelayStats,
    Stored,
    StoredConnection,
    StoreEnvelope,
    Sweep,
)

from ..errors import ConflictKind, StoreClosed, StoreConflict
from ..rules import add_grant, unknown
from .tables import Journal, Ledger, page, pick


@attrs.frozen
class _Seen:
    hash: Hash
    place: Place
    at: Instant
    to: AgentRef
    seq: int
    receivers: frozenset[DeviceId]


@attrs.frozen
class _Waiting:
    sender: DeviceId
    expires_at: Instant
    raw: bytes
    entries: frozenset[tuple[DeviceId, Offset]]


class MemoryRelayStore:
    """The relay's port over dictionaries."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._closed = False
        self._journal = Journal()
        self._ledger = Ledger(self._journal)
        self._connections: dict[Hash, StoredConnection] = {}
        self._contacts: dict[Flow, ContactState] = {}
        self._seen: dict[tuple[DeviceId, MessageId], _Seen] = {}
        self._seen_seq: dict[tuple[DeviceId, AgentRef, int], tuple[DeviceId, MessageId]] = {}
        self._waiting: dict[Hash, _Waiting] = {}
        self._mailboxes: dict[tuple[DeviceId, Offset], tuple[Hash, bytes] | Notice] = {}
        self._usage: dict[DeviceId, MailboxUsage] = {}
        self._counters: dict[object, int] = {}

    @property
    def generation(self) -> Generation:
        """The generation of all its mailboxes."""
        return self._generation

    async def renew_generation(self, generation: Generation) -> None:
        """Begin a new generation."""
        await self._begin()
        self._generation = generation

    async def _begin(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._closed:
            raise StoreClosed("the store is closed")

    async def commit(self, changes: Sequence[RelayChange]) -> tuple[RelayResult, ...]:
        """Make all the changes, in order, or none."""
        await self._begin()
        try:
            results = tuple([self._apply(change) for change in changes])
        except BaseException:
            self._journal.roll_back()
            raise
        self._journal.keep()
        return results

    def _apply(self, change: RelayChange) -> RelayResult:
        match change:
            case StoreEnvelope():
                return self._store(change)
            case AckMailbox():
                self._ack(change)
            case PutNotice():
                return NoticePut(self._deliver(change.device, change.notice, 0))
            case Expire():
                return self._expire(change)
            case Sweep():
                return Counted(0)
            case PurgeSeen():
                return self._purge(change)
            case AppendStatements():
                self._ledger.append(change)
            case HoldAccount():
                self._ledger.hold(change)
            case PutCard():
                self._ledger.put_card(change)
            case PutConnection():
                self._connect(change.connection)
            case EndConnection():
                self._end(change)
            case PutGrant():
                held = self._connections.get(change.grant.request)
                if held is None:
                    raise unknown("connection", change.grant.request)
                if held.end_raw:
                    raise StoreConflict(ConflictKind.ENDED, "the connection is ended")
                grants = add_grant(held.grants, change.grant)
                self._journal.put(self._connections, held.request, attrs.evolve(held, grants=grants))
            case RecordContact():
                self._journal.put(self._contacts, change.flow, change.contact)
            case RecordRate():
                self._journal.put(self._ledger.rates, change.flow, change.rate)
            case PutEvidence():
                place = Place(self._journal.count(self._counters, "evidence"))
                self._ledger.put_evidence(change.evidence, place)
            case PutSetting():
                self._journal.put(self._ledger.settings, change.key, change.value)
            case DropSetting():
                self._journal.drop(self._ledger.settings, change.key)
            case _:
                assert_never(change)
        return Done()

    # --- mailboxes ---------------------------------------------------------------------------------------

    def _store(self, change: StoreEnvelope) -> Stored | AlreadyStored | Equivocation:
        by_id = (change.device, change.id)
        by_seq = (change.device, change.to, change.seq)
        seen = self._seen.get(by_id)
        if seen is not None and seen.hash != change.hash:
            return Equivocation(seen.hash, "id", self._raw(seen.hash))
        if seen is None and by_seq in self._seen_seq:
            prior = self._seen[self._seen_seq[by_seq]].hash
            return Equivocation(prior, "seq", self._raw(prior))
        if seen is None:
            place = Place(self._journal.count(self._counters, change.device))
            seen = _Seen(change.hash, place, change.at, change.to, change.seq, frozenset())
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
                added.append((device, self._deliver(device, (change.hash, sealed), size)))
        self._journal.put(
            self._seen, (change.device, change.id), attrs.evolve(seen, receivers=frozenset(receivers))
        )
        if added:
            held = self._waiting.get(change.hash)
            entries = (held.entries if held else frozenset()) | frozenset(added)
            waiting = _Waiting(change.device, change.expires_at, change.envelope, entries)
            self._journal.put(self._waiting, change.hash, waiting)
        return tuple(added)

    def _deliver(self, device: DeviceId, item: tuple[Hash, bytes] | Notice, size: int) -> Offset:
        usage = self._usage.get(device, MailboxUsage())
        offset = Offset(usage.last + 1)
        self._journal.put(self._mailboxes, (device, offset), item)
        usage = attrs.evolve(usage, count=usage.count + 1, bytes=usage.bytes + size, last=offset)
        self._journal.put(self._usage, device, usage)
        return offset

    def _raw(self, hash: Hash) -> bytes:
        held = self._waiting.get(hash)
        return held.raw if held else b""

    def _remove(self, device: DeviceId, offset: Offset) -> None:
        """Take one entry out, and its envelope with the last entry."""
        item = self._mailboxes[device, offset]
        self._journal.drop(self._mailboxes, (device, offset))
        usage = self._usage[device]
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
        self._journal.put(self._usage, device, usage)

    def _ack(self, change: AckMailbox) -> None:
        usage = self._usage.get(change.device)
        if usage is None:
            return
        acked = Offset(min(usage.last, max(usage.acked, change.offset)))
        for offset in range(usage.acked + 1, acked + 1):
            if (change.device, Offset(offset)) in self._mailboxes:
                self._remove(change.device, Offset(offset))
        self._journal.put(self._usage, change.device, attrs.evolve(self._usage[change.device], acked=acked))

    def _expire(self, change: Expire) -> Expired:
        due = [(w.expires_at, h) for h, w in self._waiting.items() if w.expires_at <= change.now]
        notices = []
        for _, hash in sorted(due)[: change.limit]:
            held = self._waiting[hash]
            for device, offset in sorted(held.entries):
                self._remove(device, offset)
            notice = Notice(hash, "expired")
            notices.append((held.sender, self._deliver(held.sender, notice, 0), notice))
        return Expired(min(len(due), change.limit), tuple(notices))

    def _purge(self, change: PurgeSeen) -> Counted:
        old = [(s.at, key) for key, s in self._seen.items() if s.at < change.before]
        old = [(at, key) for at, key in old if self._seen[key].hash not in self._waiting]
        for _, key in sorted(old)[: change.limit]:
            seen = self._seen[key]
            self._journal.drop(self._seen_seq, (key[0], seen.to, seen.seq))
            self._journal.drop(self._seen, key)
        return Counted(min(len(old), change.limit))

    # --- connections -------------------------------------------------------------------------------------

    def _connect(self, connection: StoredConnection) -> None:
        held = self._connections.get(connection.request)
        if held is not None and held.end_raw:
            raise StoreConflict(ConflictKind.ENDED, "the connection is ended")
        if held is None:
            self._journal.put(self._connections, connection.request, connection)

    def _end(self, change: EndConnection) -> None:
        held = self._connections.get(change.request)
        if held is None:
            raise unknown("connection", change.request)
        if not held.end_raw:
            self._journal.put(self._connections, change.request, attrs.evolve(held, end_raw=change.raw))

    def _live(self) -> Iterator[StoredConnection]:
        return (c for c in self._connections.values() if not c.end_raw)

    # --- reads -------------------------------------------------------------------------------------------

    async def accounts(self, accounts: Collection[AccountId]) -> Mapping[AccountId, AccountRecord]:
        """Account logs by id."""
        await self._begin()
        return pick(self._ledger.accounts, accounts)

    async def accounts_named(self, names: Collection[str]) -> Mapping[str, AccountRecord]:
        """Account logs by owner name."""
        await self._begin()
        return self._ledger.by_name(names)

    async def cards(self, agents: Collection[AgentRef]) -> Mapping[AgentRef, CardRecord]:
        """Cards by agent."""
        await self._begin()
        return pick(self._ledger.cards, agents)

    async def public_cards(self, after: AgentRef | None, limit: int) -> tuple[CardRecord, ...]:
        """Public cards by rising agent reference."""
        await self._begin()
        cards = (card for _, card in sorted(self._ledger.cards.items()) if card.public)
        return tuple([card for card in cards if after is None or card.agent > after][:limit])

    async def connections(
        self, pairs: Collection[AgentPair]
    ) -> Mapping[AgentPair, tuple[StoredConnection, ...]]:
        """Lasting connections between two agents."""
        await self._begin()
        found: dict[AgentPair, tuple[StoredConnection, ...]] = {}
        for connection in self._live():
            pair = AgentPair.of(connection.from_, connection.to)
            if pair in pairs:
                found[pair] = (*found.get(pair, ()), connection)
        return found

    async def connections_by_request(self, requests: Collection[Hash]) -> Mapping[Hash, StoredConnection]:
        """Connections by request."""
        await self._begin()
        return pick(self._connections, requests)

    async def linked(
        self, pairs: Collection[tuple[AccountId, AccountId]]
    ) -> frozenset[tuple[AccountId, AccountId]]:
        """Those of the pairs of accounts with agents connected."""
        await self._begin()
        live = {(c.from_.account, c.to.account) for c in self._live()}
        return frozenset((a, b) for a, b in pairs if (a, b) in live or (b, a) in live)

    async def contacts(self, flows: Collection[Flow]) -> Mapping[Flow, ContactState]:
        """Contact states by flow."""
        await self._begin()
        return pick(self._contacts, flows)

    async def rates(self, flows: Collection[Flow]) -> Mapping[Flow, RateRecord]:
        """Token buckets by flow."""
        await self._begin()
        return pick(self._ledger.rates, flows)

    async def mailbox(
        self, device: DeviceId, after: Offset, limit: int, max_bytes: int
    ) -> tuple[MailboxItem, ...]:
        """What waits for a device above an offset."""
        await self._begin()
        usage = self._usage.get(device, MailboxUsage())
        items: list[MailboxItem] = []
        total = 0
        for offset in range(max(after, usage.acked) + 1, usage.last + 1):
            item = self._mailboxes.get((device, Offset(offset)))
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

    async def usage(self, devices: Collection[DeviceId]) -> Mapping[DeviceId, MailboxUsage]:
        """How full mailboxes are."""
        await self._begin()
        return pick(self._usage, devices)

    async def settings(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Settings by key."""
        await self._begin()
        return pick(self._ledger.settings, keys)

    async def evidence(self, after: Place, limit: int) -> Page[EvidenceRecord]:
        """Evidence in order."""
        await self._begin()
        return page(((p, e) for p, e in sorted(self._ledger.evidence.items()) if p > after), limit)

    async def stats(self) -> RelayStats:
        """Numbers for an operator."""
        await self._begin()
        return RelayStats(
            accounts=len(self._ledger.accounts),
            devices=len(self._usage),
            connections=sum(1 for _ in self._live()),
            accepted=sum(n for key, n in self._counters.items() if key != "evidence"),
            waiting=sum(usage.count for usage in self._usage.values()),
            waiting_bytes=sum(usage.bytes for usage in self._usage.values()),
        )

    async def aclose(self) -> None:
        """Let go of everything."""
        await trio.lowlevel.checkpoint()
        self._closed = True
