"""The closed union of changes to a daemon's store, and what they answer.

A commit holds as many as belong together: a message, its task event, the cursor and the receipt owed are one.
"""

from __future__ import annotations

from enum import StrEnum

import attrs

from ..ids import AccountId, AgentRef, Hash, Instant
from ..values import value
from .audit import AppendAudit, Placed
from .base import Counted, Done, Place, SharedChange
from .breakers import BreakerChange
from .daemon import (
    EventRecord,
    IdempotencyRecord,
    InviteRecord,
    LocalAgent,
    PeerConnection,
    TokenRecord,
    Trust,
)
from .forgetting import ForgetChange, ForgetSealed
from .gates import GateChange
from .runtimes import RuntimeChange
from .traffic import (
    MessageRecord,
    OutboxRecord,
    QuarantineRecord,
    ReceiptGot,
    ReceiptOwed,
    RelayCursor,
    Rung,
    SealedRecord,
    SeenRecord,
    TaskEventRecord,
    TaskRecord,
)


@attrs.frozen
class SetTrust:
    """Say how an account came to be pinned. A new account is `unverified`. Conflict: `unknown`."""

    account: AccountId
    trust: Trust
    at: Instant


@attrs.frozen
class ReleaseName:
    """Take a name from an account, which is called `shown_as` here from now on, so that another may have it.

    Conflict: `unknown`, if the name is not this account's.
    """

    account: AccountId
    name: str
    shown_as: str


@attrs.frozen
class PutAgent:
    """Store an agent of ours, replacing its settings."""

    agent: LocalAgent


@attrs.frozen
class DropAgent:
    """Forget an agent of ours. Its messages and tasks stay."""

    name: str


@attrs.frozen
class SaveConnection:
    """Store a connection; its grants only where it is new. Conflict: `revision`. Result: `Saved`."""

    connection: PeerConnection


@value
class StoreMessage:
    """Store a message with the envelope and K that prove it.

    Conflict: `exists`, if this agent has it already. Result: `Placed`.
    """

    message: MessageRecord
    envelope: bytes
    key: bytes


@value
class KeepSealed:
    """Keep an envelope that is no message of anybody's, such as a receipt. Held already: nothing new."""

    sealed: SealedRecord


class Mark(StrEnum):
    """What became of a message at its agent."""

    OFFERED = "offered"
    READ = "read"
    PROCESSED = "processed"

    @property
    def order(self) -> int:
        """1, 2 or 3: which of them comes later."""
        return {Mark.OFFERED: 1, Mark.READ: 2, Mark.PROCESSED: 3}[self]


@attrs.frozen
class MarkMessages:
    """Note the time of a mark on messages of one of our agents; the first time stands.

    An inbound message in the inbox also rises to `read` or `processed`, and never falls back.
    Hashes that this agent does not have are passed over. Result: `Counted`, counting those that changed.
    With `tell`, a receipt of the mark is owed to whoever sent an inbound message: once, and not after one of
    a later mark.
    """

    agent: str
    hashes: tuple[Hash, ...]
    mark: Mark
    at: Instant
    tell: bool = False


@value
class SetRung:
    """Say how far an outbound message has come. What is `delivered` stays so. Not held: nothing happens."""

    hash: Hash
    agent: str
    rung: Rung
    code: str
    at: Instant


@value
class PutOutbox:
    """Put a parcel into the outbox, or replace it there, as when it was wrapped again."""

    entry: OutboxRecord


@value
class RelayedOutbox:
    """The relay has committed these: they wait no more, and are kept until delivery is known."""

    hashes: tuple[Hash, ...]


@attrs.frozen
class DeferOutbox:
    """An attempt failed: try again at a time."""

    hash: Hash
    attempts: int
    next_attempt_at: Instant


@value
class DropOutbox:
    """These need no more sending: delivered, failed or expired."""

    hashes: tuple[Hash, ...]


@attrs.frozen
class OfferAgain:
    """The relay may have lost what it had: all that is `relayed` waits again, due at `at`.

    With `to`, what is for that agent alone: other devices serve it now. Result: `Counted`.
    """

    at: Instant
    to: AgentRef | None = None


@value
class UseSequence:
    """Take the next number towards a target. Conflict: `sequence`, if `seq` is not one more than the last.

    `above` counts as used: a device that was put back from a backup does not know what it has used since.
    """

    to: AgentRef
    seq: int
    above: int = 0


@attrs.frozen
class SaveTask:
    """Store a task's row. Conflict: `revision`. Result: `Saved`."""

    task: TaskRecord


@attrs.frozen
class AddTaskEvent:
    """Hold an event of a task; its sealed record must be there already or in this commit, before it.

    Held already: nothing new. Conflict: `unknown`, if there is no sealed record of that hash.
    """

    event: TaskEventRecord


@value
class OweReceipt:
    """Something to say in the next receipt. The same hash and outcome twice is said once."""

    receipt: ReceiptOwed


@attrs.frozen
class SettleReceipts:
    """These are said, in a receipt that stands in the outbox of the same commit."""

    places: tuple[Place, ...]


@value
class RecordReceipt:
    """A recipient's device said something of a message of ours. Said already: the first word stands."""

    receipt: ReceiptGot


@attrs.frozen
class PutQuarantine:
    """Set something aside. The same bytes twice are kept once. Result: `Placed`."""

    item: QuarantineRecord


@value
class DropQuarantine:
    """Take something out of quarantine: the owner has let it pass or go."""

    hash: Hash


@value
class RecordSeen:
    """Remember a decision. The same again is nothing new. Conflict: `equivocation`, for another hash."""

    seen: SeenRecord


@value
class ReviseSeen:
    """Another outcome for an envelope whose decision is remembered. Not held: nothing happens."""

    seen: SeenRecord


@attrs.frozen
class SetCursor:
    """How far the mailbox at a relay is taken. Within a generation it never goes back."""

    cursor: RelayCursor


@attrs.frozen
class PutToken:
    """Store a credential's digest."""

    token: TokenRecord


@attrs.frozen
class RevokeToken:
    """Revoke a credential. Conflict: `unknown`."""

    digest: bytes
    at: Instant


@attrs.frozen
class PutAnswer:
    """Remember the answer to a request under its key. Conflict: `key-used`, if there is one already."""

    answer: IdempotencyRecord


@attrs.frozen
class PutInvite:
    """Store an invite, or its revocation; the count of its uses is kept."""

    invite: InviteRecord


@attrs.frozen
class UseInvite:
    """A request came through an invite. The same request counts once.

    Conflicts: `unknown`; `invite-used`, if it is used up, revoked or over.
    """

    id: bytes
    request: Hash
    at: Instant


@value
class AppendEvent:
    """Add a line to the feed. Result: `Placed`."""

    event: EventRecord


@attrs.frozen
class PruneEvents:
    """Take at most `limit` of the oldest lines: those before `before`, and those beyond the newest `keep`.

    Result: `Counted`.
    """

    before: Instant
    keep: int
    limit: int


@attrs.frozen
class PurgeAnswers:
    """Forget at most `limit` answers whose time is over. Result: `Counted`."""

    now: Instant
    limit: int


DaemonChange = (
    SharedChange
    | AppendAudit
    | SetTrust
    | ReleaseName
    | PutAgent
    | DropAgent
    | SaveConnection
    | StoreMessage
    | KeepSealed
    | ForgetSealed
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
    | ReviseSeen
    | SetCursor
    | PutToken
    | RevokeToken
    | PutAnswer
    | PutInvite
    | UseInvite
    | AppendEvent
    | PruneEvents
    | PurgeAnswers
    | GateChange
    | RuntimeChange
    | BreakerChange
    | ForgetChange
)


@attrs.frozen
class Saved:
    """The revision that a record has now; the next save is to name it."""

    revision: int


DaemonResult = Done | Counted | Placed | Saved
