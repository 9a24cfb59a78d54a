"""One thing that came, was opened and may have an effect; what the effects by type have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from taskferry_protocol.ids import AgentRef, Hash
from taskferry_protocol.inbound import Apply
from taskferry_protocol.messages import Content, MessageClass, Outcome
from taskferry_protocol.records import (
    Direction,
    InboxState,
    KeepSealed,
    MessageRecord,
    OweReceipt,
    ReceiptOwed,
    SealedRecord,
    StoreMessage,
)
from taskferry_protocol.values import value

from .draft import Draft

__all__ = ["Arrival", "owe"]

_OUTCOMES: Final = frozenset(item.value for item in Outcome)
_SILENT: Final = frozenset({MessageClass.RECEIPT, MessageClass.ACCOUNT})


@value
class Arrival:
    """What was decided to apply, and the draft that it goes into.

    `messages` are those that it speaks of, where they were looked up already.
    """

    draft: Draft
    decision: Apply
    messages: Mapping[Hash, tuple[MessageRecord, ...]] | None = None

    @property
    def mine(self) -> AgentRef:
        """Our agent that it is for."""
        return self.decision.envelope.header.to

    @property
    def peer(self) -> AgentRef:
        """Who sent it."""
        return self.decision.envelope.header.from_

    @property
    def hash(self) -> Hash:
        """The envelope's hash."""
        return self.decision.envelope.hash

    @property
    def content(self) -> Content:
        """What was inside."""
        return self.decision.opened.content

    def store(self, inbox: InboxState, *, task: Hash | None = None) -> None:
        """Keep it as a message to our agent."""
        self._store(Direction.IN, self.mine, self.peer, inbox, task)

    def store_copy(self, *, task: Hash | None = None) -> None:
        """Keep it as what another device of this owner has sent."""
        self._store(Direction.COPY, self.peer, self.mine, InboxState.QUIET, task)

    def keep(self) -> None:
        """Keep it as a proof only."""
        envelope = self.decision.envelope
        opened = self.decision.opened
        kept = SealedRecord(envelope.hash, envelope.raw, opened.key, opened.raw)
        self.draft.add(KeepSealed(kept))

    def _store(
        self, direction: Direction, mine: AgentRef, peer: AgentRef, inbox: InboxState, task: Hash | None
    ) -> None:
        envelope, content = self.decision.envelope, self.content
        header = envelope.header
        record = MessageRecord(
            hash=envelope.hash,
            direction=direction,
            mine=mine,
            peer=peer,
            device=envelope.device,
            id=header.id,
            seq=header.seq,
            cls=header.cls.value,
            type=content.body.type_name,
            conv=content.conv,
            content=self.decision.opened.raw,
            created_at=header.created_at,
            expires_at=header.expires_at,
            stored_at=self.draft.now,
            task=task,
            reply=content.reply,
            inbox=inbox,
        )
        self.draft.add(StoreMessage(record, envelope.raw, self.decision.opened.key))


def owe(
    draft: Draft, hash: Hash, cls: MessageClass, mine: AgentRef, peer: AgentRef, outcome: str, code: str
) -> None:
    """Note that the sender is to be told what became of an envelope. Receipts are never receipted."""
    if cls not in _SILENT and outcome in _OUTCOMES:
        draft.add(OweReceipt(ReceiptOwed(hash, mine, peer, outcome, code, draft.now)))
