"""What a relay keeps: accounts, connections and mailboxes, in dictionaries that survive a loss of power."""

from __future__ import annotations

import attrs

from ..accounts import AccountLog
from ..admission import AdmissionFacts, Admitted, Prior, RelayConnection
from ..connections import ConnectionRequest
from ..envelope import Envelope
from ..errors import RejectCode
from ..frame_items import Entry, Mail, Notice
from ..header import Header
from ..ids import AccountId, AgentRef, DeviceId, Hash, Instant, MessageId, sha256
from ..permissions import Grant
from ..rates import RateState
from ..records import ContactState, Flow, MailboxUsage

__all__ = ["RelayStore", "Waiting"]


@attrs.frozen
class Waiting:
    """An entry of a mailbox; `sender` and `expires_at` are None for a notice, which waits for ever."""

    entry: Entry
    sender: DeviceId | None = None
    expires_at: Instant | None = None


@attrs.define
class RelayStore:
    """One state of everything. Values inside are frozen, so a copy of the dictionaries is a backup."""

    generation: bytes
    accounts: dict[AccountId, AccountLog] = attrs.field(factory=dict)
    connections: dict[tuple[AgentRef, AgentRef], tuple[ConnectionRequest, Grant]] = attrs.field(factory=dict)
    rates: dict[Flow, RateState] = attrs.field(factory=dict)
    contacts: dict[Flow, ContactState] = attrs.field(factory=dict)
    by_id: dict[tuple[DeviceId, MessageId], Hash] = attrs.field(factory=dict)
    by_seq: dict[tuple[DeviceId, AgentRef, int], Hash] = attrs.field(factory=dict)
    placed: dict[Hash, frozenset[DeviceId]] = attrs.field(factory=dict)
    places: dict[DeviceId, int] = attrs.field(factory=dict)
    offsets: dict[DeviceId, int] = attrs.field(factory=dict)
    boxes: dict[DeviceId, dict[int, Waiting]] = attrs.field(factory=dict)

    def copy(self) -> RelayStore:
        """The same, to go its own way from here."""
        return RelayStore(
            self.generation,
            dict(self.accounts),
            dict(self.connections),
            dict(self.rates),
            dict(self.contacts),
            dict(self.by_id),
            dict(self.by_seq),
            dict(self.placed),
            dict(self.places),
            dict(self.offsets),
            {device: dict(box) for device, box in self.boxes.items()},
        )

    # --- Facts

    def facts(self, account: AccountId, device: DeviceId, envelope: Envelope) -> AdmissionFacts:
        """What is known when an envelope of this session is decided on."""
        header = envelope.header
        flow, back = Flow(header.from_, header.to), Flow(header.to, header.from_)
        given = self.connections.get((header.to, header.from_))
        return AdmissionFacts(
            account,
            device,
            self.accounts[account],
            self.accounts.get(header.to.account),
            connection=RelayConnection(given[0].hash, given[1]) if given is not None else None,
            acquainted=self._acquainted(header),
            contact=self.contacts.get(flow, ContactState()),
            reverse=self.contacts.get(back, ContactState()),
            rate=self.rates.get(flow),
            usage={box: MailboxUsage(len(waiting)) for box, waiting in self.boxes.items()},
            prior=Prior(
                self.by_id.get((envelope.device, header.id)),
                self.by_seq.get((envelope.device, header.to, header.seq)),
            ),
        )

    def _acquainted(self, header: Header) -> bool:
        ends = (header.from_.account, header.to.account)
        return any((by.account, to.account) == ends for by, to in self.connections)

    # --- Changes

    def take(self, admitted: Admitted) -> tuple[int, list[tuple[DeviceId, bytes]]]:
        """Remember what was admitted: its place, and the devices that have no entry of it yet."""
        envelope = admitted.envelope
        header, device = envelope.header, envelope.device
        if (device, header.id) not in self.by_id:
            self.places[device] = self.places.get(device, 0) + 1
        self.by_id[device, header.id] = envelope.hash
        self.by_seq[device, header.to, header.seq] = envelope.hash
        if admitted.rate is not None:
            self.rates[Flow(header.from_, header.to)] = admitted.rate
        self.contacts.update(admitted.contacts)
        had = self.placed.get(envelope.hash, frozenset())
        # The order in which admission names devices may differ between runs: it goes through a set.
        fresh = sorted(entry for entry in admitted.entries if entry[0] not in had)
        return self.places[device], fresh

    def put(self, device: DeviceId, envelope: Envelope, raw: bytes, sealed: bytes) -> None:
        """Put an entry into a mailbox, as the one that is due for `envelope`."""
        self.placed[envelope.hash] = self.placed.get(envelope.hash, frozenset()) | {device}
        mail = Mail(self._next_offset(device), raw, sealed)
        self.boxes[device][mail.offset] = Waiting(mail, envelope.device, envelope.header.expires_at)

    def _next_offset(self, device: DeviceId) -> int:
        self.offsets[device] = self.offsets.get(device, 0) + 1
        self.boxes.setdefault(device, {})
        return self.offsets[device]

    def acknowledge(self, device: DeviceId, offset: int) -> None:
        """Forget what a device has."""
        box = self.boxes.get(device, {})
        for taken in [place for place in box if place <= offset]:
            del box[taken]

    def expire(self, now: Instant) -> None:
        """Take away what nobody came for in time, and leave its sender a notice."""
        late: list[tuple[DeviceId, Hash]] = []
        for box in self.boxes.values():
            for offset, waiting in list(box.items()):
                if waiting.expires_at is not None and waiting.expires_at <= now:
                    del box[offset]
                    late.extend(_notice_due(waiting))
        for sender, hash in late:
            offset = self._next_offset(sender)
            self.boxes[sender][offset] = Waiting(Notice(offset, hash, RejectCode.EXPIRED))

    def waiting(self, device: DeviceId, after: int) -> list[Entry]:
        """The entries of a mailbox behind an offset, in order."""
        box = self.boxes.get(device, {})
        return [box[offset].entry for offset in sorted(box) if offset > after]


def _notice_due(waiting: Waiting) -> list[tuple[DeviceId, Hash]]:
    if waiting.sender is None or not isinstance(waiting.entry, Mail):
        return []
    return [(waiting.sender, sha256(waiting.entry.envelope))]
