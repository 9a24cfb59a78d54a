"""What a device is about to commit: a changed copy of its store, with everything that it signs."""

from __future__ import annotations

from typing import Final

import attrs

from ..accounts import AccountLog, DeviceKeys
from ..cbor import decode
from ..envelope import Envelope, Parcel, encode_parcel, read_parcel
from ..errors import LocalProtocolError
from ..handoff import Kept
from ..ids import AgentRef, ConversationId, Hash, Instant
from ..limits import DAY_MS, RECEIPT_ITEMS
from ..links import Role, TaskLink
from ..messages import Content, Outcome, Receipt, ReceiptItem
from ..messages.base import Body
from ..records import Rung
from ..sealing import Address, seal_envelope, wrap_for
from ..task_events import TaskEvent
from ..task_messages import task_event
from ..task_view import TaskView
from .chance import Chance
from .device_store import DeviceStore, Owed, Quarantined, Sent

__all__ = ["Draft"]

#: How long an envelope may be under way.
_LIFETIME_MS: Final = 7 * DAY_MS


class Draft:
    """Changes that are not made yet. Whoever drops it has changed nothing."""

    def __init__(self, keys: DeviceKeys, store: DeviceStore, chance: Chance, now: Instant) -> None:
        self.store = store.copy()
        self.now = now
        self.keys = keys
        self._chance = chance

    # --- What leaves

    def post(
        self,
        body: Body,
        mine: AgentRef,
        peer: AgentRef,
        conv: ConversationId,
        link: TaskLink | None = None,
    ) -> Envelope:
        """Sign and seal a message for all devices that are to have it, and put it into the outbox."""
        store = self.store
        theirs = self._log_of(peer)
        seq = store.sequences.get(peer, 0) + 1
        content = Content(body, conv, link=link)
        sealed = seal_envelope(
            content,
            Address(mine, peer, seq, store.log.position, theirs.position),
            created_at=self.now,
            expires_at=Instant(self.now + _LIFETIME_MS),
            device_key=self.keys.signing,
            entropy=self._chance.entropy,
        )
        envelope = sealed.envelope
        store.sequences[peer] = seq
        store.kept[envelope.hash] = Kept(envelope.raw, sealed.key)
        store.contents[envelope.hash] = content
        parcel = self._wrapped(envelope.raw, sealed.key, peer)
        store.sent[envelope.hash] = Sent(envelope.hash, mine, peer, parcel)
        return envelope

    def wrap_again(self, sent: Sent) -> None:
        """The same envelope, wrapped for the devices that its recipient and this owner have by now."""
        raw = read_parcel(decode(sent.parcel, limit=len(sent.parcel))).envelope
        parcel = self._wrapped(raw, self.store.kept[sent.hash].key, sent.peer)
        self.store.sent[sent.hash] = attrs.evolve(sent, parcel=parcel)

    def _wrapped(self, raw: bytes, key: bytes, peer: AgentRef) -> bytes:
        theirs = [device.record.enc for device in self._log_of(peer).state.serving(peer.name)]
        own = [
            device.record.enc for device in self.store.log.state.active_devices() if device.id != self.keys.id
        ]
        return encode_parcel(Parcel(raw, wrap_for(key, [*theirs, *own], self._chance.entropy)))

    def _log_of(self, peer: AgentRef) -> AccountLog:
        log = self.store.log_of(peer.account)
        if log is None:
            raise LocalProtocolError("nothing is known of that account")
        return log

    # --- Tasks

    def view(self, task: Hash) -> TaskView:
        """The task as it would be."""
        return self.store.view(task, self.keys.id)

    def sign_event(self, task: Hash, body: Body, link: TaskLink) -> Envelope:
        """Post an event of a task that is known here, and hold it."""
        row = self.store.tasks[task]
        envelope = self.post(body, row.mine, row.peer, row.conv, link)
        self.hold_own(task, row.role, envelope)
        return envelope

    def hold_own(self, task: Hash, role: Role, envelope: Envelope) -> None:
        """Hold an event that was just posted."""
        content = self.store.contents[envelope.hash]
        created = envelope.header.created_at
        self.hold(
            task,
            task_event(content, hash=envelope.hash, role=role, device=envelope.device, created_at=created),
        )

    def hold(self, task: Hash, event: TaskEvent) -> None:
        """Hold an event, whoever signed it."""
        self.store.events[task] = (*self.store.events.get(task, ()), event)

    # --- Receipts and quarantine

    def owe(self, owed: Owed) -> None:
        """Remember to say what became of a message."""
        self.store.owed = (*self.store.owed, owed)

    def pay(self) -> None:
        """Post the receipts that are owed."""
        owed, self.store.owed = self.store.owed, ()
        flows = list(dict.fromkeys((item.mine, item.peer) for item in owed))
        for mine, peer in flows:
            items = [item for item in owed if (item.mine, item.peer) == (mine, peer)]
            for start in range(0, len(items), RECEIPT_ITEMS):
                said = tuple(
                    ReceiptItem(item.hash, Outcome(item.outcome), item.code or None)
                    for item in items[start : start + RECEIPT_ITEMS]
                )
                self.post(Receipt(said), mine, peer, ConversationId(self._chance.entropy(16)))

    def quarantine(self, item: Quarantined) -> None:
        """Keep something that has no effect."""
        self.store.quarantine = (*self.store.quarantine, item)

    def conversation(self) -> ConversationId:
        """A fresh one."""
        return ConversationId(self._chance.entropy(16))

    def set_rung(self, hash: Hash, rung: Rung) -> None:
        """Note how far a message of mine has come, if it is one."""
        sent = self.store.sent.get(hash)
        if sent is not None:
            self.store.sent[hash] = attrs.evolve(sent, rung=rung)
