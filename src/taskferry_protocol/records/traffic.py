"""What a daemon stores about what comes and goes: messages, tasks, the outbox, receipts, quarantine.

Strings named `cls`, `type`, `state`, `role`, `side` and `outcome` hold the specification's own words.
"""

from __future__ import annotations

from enum import StrEnum

import attrs

from ..ids import AgentRef, ConversationId, DeviceId, Hash, Instant, MessageId
from ..values import value
from .base import UNPLACED, Generation, Offset, Place


class Direction(StrEnum):
    """Which way a message went, seen from here. A copy was sent by another device of the same owner."""

    IN = "in"
    OUT = "out"
    COPY = "copy"


class InboxState(StrEnum):
    """Where an inbound message stands with its agent.

    `quiet` ones are never put before it; `held` ones, which wait at a gate, and `stopped` ones, which a
    breaker has held, not before the owner has let them pass; `dropped` ones the owner did not let pass.
    """

    QUIET = "quiet"
    HELD = "held"
    STOPPED = "stopped"
    DROPPED = "dropped"
    UNREAD = "unread"
    READ = "read"
    PROCESSED = "processed"


class Rung(StrEnum):
    """How far an outbound message has come, and what is known of it."""

    QUEUED = "queued"
    RELAYED = "relayed"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"


@value
class MessageRecord:
    """One message from the point of view of one of our agents; `(hash, mine.name)` names it.

    A message between two agents of one owner has two records. `task` is the task's id in every task message,
    the request's own hash included. `inbox` has a meaning for inbound ones, `rung` for the others.
    `offered_at`, `read_at` and `processed_at` tell of our agent for inbound messages; for outbound ones, of
    the peer's, as far as its owner lets it be known. `code` says why a message failed or expired.
    `told` is the order of the latest mark of which an inbound message's sender was told, or is to be.
    `place` orders a daemon's messages by when they were stored; it is 0 until the store has given one.
    """

    hash: Hash
    direction: Direction
    mine: AgentRef
    peer: AgentRef
    device: DeviceId
    id: MessageId
    seq: int
    cls: str
    type: str
    conv: ConversationId
    content: bytes
    created_at: Instant
    expires_at: Instant
    stored_at: Instant
    task: Hash | None = None
    reply: Hash | None = None
    inbox: InboxState = InboxState.QUIET
    rung: Rung | None = None
    code: str = ""
    relayed_at: Instant | None = None
    delivered_at: Instant | None = None
    offered_at: Instant | None = None
    read_at: Instant | None = None
    processed_at: Instant | None = None
    told: int = 0
    place: Place = UNPLACED


@value
class SealedRecord:
    """What proves a message to anybody: the envelope as sent, its K, and the content that K opens."""

    hash: Hash
    envelope: bytes
    key: bytes
    content: bytes


@attrs.frozen
class MessageQuery:
    """Which messages; None means any. `inbox` empty means any state."""

    agent: str | None = None
    peer: AgentRef | None = None
    conv: ConversationId | None = None
    task: Hash | None = None
    direction: Direction | None = None
    inbox: frozenset[InboxState] = frozenset()


class Order(StrEnum):
    """By place, rising or falling."""

    OLDEST_FIRST = "oldest_first"
    NEWEST_FIRST = "newest_first"


@attrs.frozen
class InboxCount:
    """How much waits for an agent: not yet read, and read but not processed."""

    unread: int = 0
    read: int = 0


class OutboxState(StrEnum):
    """`waiting` for the relay's word, or `relayed` and kept until delivery is known or its time is over."""

    WAITING = "waiting"
    RELAYED = "relayed"


@value
class OutboxRecord:
    """An encoded parcel on its way. `(to, seq)` is its order, `cls` its envelope's class."""

    hash: Hash
    to: AgentRef
    seq: int
    cls: str
    parcel: bytes
    next_attempt_at: Instant
    expires_at: Instant
    attempts: int = 0
    state: OutboxState = OutboxState.WAITING


@attrs.frozen
class TaskRecord:
    """A task from the point of view of one side; `(task, role)` names it.

    `state` is the folded state's word and `snapshot` the daemon's own rendering of the view, both redone with
    every event. `open` is whether the state is not final. `revision` as in `PeerConnection`.
    """

    task: Hash
    role: str
    mine: AgentRef
    peer: AgentRef
    conv: ConversationId
    title: str
    home: DeviceId
    state: str
    open: bool
    snapshot: bytes
    created_at: Instant
    updated_at: Instant
    deadline: Instant | None = None
    revision: int = 0


@attrs.frozen
class TaskQuery:
    """Which tasks; None means any. `states` empty means any."""

    agent: str | None = None
    peer: AgentRef | None = None
    role: str | None = None
    states: frozenset[str] = frozenset()


@attrs.frozen(order=True)
class TaskCursor:
    """A place in the list of tasks, newest update first."""

    updated_at: Instant
    task: Hash
    role: str


@attrs.frozen
class TaskPage:
    """Some tasks, and the cursor to go on after, or None when nothing more is there."""

    items: tuple[TaskRecord, ...]
    next: TaskCursor | None


@attrs.frozen
class TaskEventRecord:
    """One event of a task as held, whether or not the fold has taken it. `side` is its author's role.

    `content` is given by the store, out of the sealed record of that hash, when events are read.
    """

    task: Hash
    hash: Hash
    side: str
    device: DeviceId
    created_at: Instant
    stored_at: Instant
    content: bytes = b""


@value
class ReceiptOwed:
    """Something to say in the next receipt from `mine` to `peer`."""

    hash: Hash
    mine: AgentRef
    peer: AgentRef
    outcome: str
    code: str
    at: Instant
    place: Place = UNPLACED


@value
class ReceiptGot:
    """What a recipient's device said of a message of ours, in the envelope with hash `receipt`."""

    hash: Hash
    device: DeviceId
    outcome: str
    code: str
    receipt: Hash
    at: Instant


@attrs.frozen
class QuarantineRecord:
    """Something received that has no effect, and why. What could not be read is None or empty.

    `hash` is SHA-256 of the envelope's bytes, whatever they are.
    """

    hash: Hash
    code: str
    text: str
    envelope: bytes
    sealed: bytes
    received_at: Instant
    device: DeviceId | None = None
    mine: AgentRef | None = None
    peer: AgentRef | None = None
    cls: str = ""
    key: bytes = b""
    place: Place = UNPLACED


@attrs.frozen
class QuarantineLine:
    """What a quarantined item takes, and whether anybody's signature stands behind it."""

    hash: Hash
    code: str
    size: int
    proven: bool


@value
class SeenRecord:
    """An envelope that was decided on: it is never decided on again. `outcome` is a receipt's word."""

    device: DeviceId
    id: MessageId
    to: AgentRef
    seq: int
    hash: Hash
    outcome: str
    code: str
    at: Instant


@value
class SeenKey:
    """The two ways in which an envelope may have been seen before."""

    device: DeviceId
    id: MessageId
    to: AgentRef
    seq: int


@value
class Seen:
    """What stands under a `SeenKey`: by `(device, id)`, and by `(device, to, seq)`."""

    by_id: SeenRecord | None = None
    by_seq: SeenRecord | None = None


@attrs.frozen
class RelayCursor:
    """How far this device has taken its mailbox at a relay, which is named by its origin."""

    relay: str
    generation: Generation
    offset: Offset
