"""What a relay stores: envelopes, mailboxes, connections; and the closed union of changes to them."""

from __future__ import annotations

from typing import Literal

import attrs

from ..ids import AccountId, AgentRef, DeviceId, Hash, Instant, LogPosition, MessageId
from ..values import value
from .audit import AppendAudit, Placed, PruneAudit
from .base import MAILBOX_START, Counted, Done, Flow, GrantRecord, Offset, Place, SharedChange
from .operations import OperatorChange
from .sign_ups import SignUpChange


@attrs.frozen
class AgentPair:
    """Two agents without a direction; make it with `of`, which puts them in order."""

    low: AgentRef
    high: AgentRef

    @classmethod
    def of(cls, one: AgentRef, other: AgentRef) -> AgentPair:
        """The pair of both, whichever is named first."""
        return cls(one, other) if one <= other else cls(other, one)


@attrs.frozen
class StoredConnection:
    """A connection as a relay holds it, all parts as signed. `end` is empty while it lasts.

    `grants` has, for either direction, those of the highest version.
    """

    request: Hash
    from_: AgentRef
    to: AgentRef
    request_raw: bytes
    accept_raw: bytes
    grants: tuple[GrantRecord, ...] = ()
    end_raw: bytes = b""


@attrs.frozen
class PublishedInvite:
    """An invite as its owner published it, for whoever has the link."""

    id: bytes
    agent: AgentRef
    expires_at: Instant
    raw: bytes


@attrs.frozen
class ContactState:
    """What one agent did towards another before they are connected: envelopes of class `connection` sent."""

    sent: int = 0
    answered: bool = False


@attrs.frozen
class Notice:
    """A relay's word that an envelope left a mailbox undelivered, and why (spec/session.md section 2)."""

    hash: Hash
    code: str


@attrs.frozen
class MailboxEntry:
    """An envelope waiting for one device, with the key wrapped for it (80 bytes)."""

    offset: Offset
    envelope: bytes
    sealed: bytes


@attrs.frozen
class MailboxNotice:
    """A notice waiting for one device."""

    offset: Offset
    notice: Notice


MailboxItem = MailboxEntry | MailboxNotice


@attrs.frozen
class MailboxUsage:
    """What waits unacknowledged for a device.

    `last` is the highest offset given to it, `acked` the highest that it acknowledged.
    `bytes` counts envelopes and wraps; a notice counts as 0.
    """

    count: int = 0
    bytes: int = 0
    last: Offset = MAILBOX_START
    acked: Offset = MAILBOX_START


@attrs.frozen
class MailboxShare:
    """What of the entries that wait for a device is from one sending device; notices are from nobody."""

    count: int
    bytes: int


@attrs.frozen
class LogPage:
    """A piece of an account's log, read without the rest: the statements from the index asked for on.

    `position` is where the whole log ends.
    """

    account: AccountId
    position: LogPosition
    statements: tuple[bytes, ...]


@attrs.frozen
class RelayStats:
    """Numbers for an operator. `accepted` is every envelope since the start, `waiting` the unacknowledged."""

    accounts: int
    devices: int
    connections: int
    accepted: int
    waiting: int
    waiting_bytes: int


# --- Changes ----------------------------------------------------------------------------------------------


@value
class StoreEnvelope:
    """Accept an envelope and put it into mailboxes.

    `entries` are the devices that get it, with their wraps. `at` is when the relay took it.
    Result: `Stored`; `AlreadyStored` for the same hash, adding entries only for devices that never had one;
    `Equivocation`, with nothing stored, for other bytes under the same `(device, id)` or `(device, to, seq)`.
    """

    device: DeviceId
    id: MessageId
    to: AgentRef
    seq: int
    hash: Hash
    created_at: Instant
    expires_at: Instant
    at: Instant
    envelope: bytes
    entries: tuple[tuple[DeviceId, bytes], ...]


@attrs.frozen
class NameKeys:
    """Remember keys that an account's log names: of its devices, those that manage, those that recover.

    They are never forgotten: whoever holds none of them can be turned away before the log is read.
    Conflict: `unknown`.
    """

    account: AccountId
    keys: frozenset[bytes]


@attrs.frozen
class PutConnection:
    """Store an accepted connection with its first grants. The same request again is nothing new; `ended`.

    Neither account may have more than `most`, ended ones among them: `too-many`.
    """

    connection: StoredConnection
    most: int = 10_000


@attrs.frozen
class EndConnection:
    """End a connection for good. A second end changes nothing. Conflict: `unknown`."""

    request: Hash
    raw: bytes


@attrs.frozen
class RecordContact:
    """Replace the contact state of a flow."""

    flow: Flow
    contact: ContactState


@attrs.frozen
class PublishInvite:
    """Keep an invite; the same again is nothing new. `most` is how many of an account may be kept at `at`.

    Conflicts: `exists`, for another one under this id; `too-many`.
    """

    invite: PublishedInvite
    at: Instant
    most: int


@attrs.frozen
class WithdrawInvite:
    """Forget an account's invite. Where it has none of that id, nothing happens."""

    account: AccountId
    id: bytes


@attrs.frozen
class PurgeInvites:
    """Forget at most `limit` invites that are over. Result: `Counted`."""

    now: Instant
    limit: int


@value
class AckMailbox:
    """A device has committed everything up to `offset`. Never goes back, never past what was given out.

    A revoked device's mailbox is emptied by acknowledging its `MailboxUsage.last`.
    """

    device: DeviceId
    offset: Offset


@attrs.frozen
class PutNotice:
    """Put a notice into a device's mailbox. Result: `NoticePut`."""

    device: DeviceId
    notice: Notice


@attrs.frozen
class Expire:
    """Take at most `limit` envelopes whose time is over out of all mailboxes.

    The sending device of each that some device had not acknowledged gets one notice with code `expired`.
    Result: `Expired`.
    """

    now: Instant
    limit: int


@attrs.frozen
class Sweep:
    """Delete at most `limit` acknowledged entries, and envelopes that no mailbox needs. Result: `Counted`."""

    limit: int


RelayChange = (
    SharedChange
    | SignUpChange
    | OperatorChange
    | StoreEnvelope
    | NameKeys
    | PutConnection
    | EndConnection
    | RecordContact
    | PublishInvite
    | WithdrawInvite
    | PurgeInvites
    | AckMailbox
    | PutNotice
    | Expire
    | Sweep
    | AppendAudit
    | PruneAudit
)


# --- Results ----------------------------------------------------------------------------------------------


@value
class Stored:
    """Accepted for the first time: the sender device's running number, and where it lies in each mailbox."""

    place: Place
    offsets: tuple[tuple[DeviceId, Offset], ...]


@attrs.frozen
class AlreadyStored:
    """The same envelope was accepted before at `place`; `added` are entries for devices that had none."""

    place: Place
    added: tuple[tuple[DeviceId, Offset], ...]


@attrs.frozen
class Equivocation:
    """The device signed something else under this id, or under this `(to, seq)`, before: its hash is `prior`.

    `prior_raw` are the bytes of the first where the relay still holds them, else empty.
    """

    prior: Hash
    by: Literal["id", "seq"]
    prior_raw: bytes = b""


@attrs.frozen
class NoticePut:
    """Where a notice lies."""

    offset: Offset


@attrs.frozen
class Expired:
    """What expired in one step: the notices given (sending device, offset, notice).

    `count` is how many envelopes were looked at; fewer than the limit means that nothing is left to expire.
    """

    count: int
    notices: tuple[tuple[DeviceId, Offset, Notice], ...]


RelayResult = Done | Counted | Placed | Stored | AlreadyStored | Equivocation | NoticePut | Expired
