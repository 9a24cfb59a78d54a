"""What a relay and a daemon store alike: account logs, cards, grants, rates, evidence; and their changes."""

from __future__ import annotations

from typing import Final, Generic, NewType, TypeVar

import attrs

from ..ids import AccountId, AgentRef, Hash, Instant, LogPosition
from ..values import value

T = TypeVar("T")

Generation = NewType("Generation", bytes)
"""16 random bytes that name one lifetime of a relay's mailboxes (spec/session.md section 5)."""
Offset = NewType("Offset", int)
"""A place in one device's mailbox: rises from 1, never given twice, not necessarily dense."""
Place = NewType("Place", int)
"""A running number that a store gave to a row; it orders rows and serves as a cursor."""

UNPLACED: Final = Place(0)
"""The place of a record that no store has taken yet."""
MAILBOX_START: Final = Offset(0)
"""Before the first entry of a mailbox."""


@attrs.frozen
class Page(Generic[T]):
    """Some rows in order. `next` is the cursor to go on after, or None when nothing more is there now."""

    items: tuple[T, ...]
    next: Place | None


@attrs.frozen
class AccountRecord:
    """An account's log as held: every statement, and where it ends.

    `name` is the owner name now in force. `held` says why its traffic is stopped; empty means it is not.
    """

    account: AccountId
    name: str
    position: LogPosition
    statements: tuple[bytes, ...]
    held: str = ""


@attrs.frozen
class CardRecord:
    """An agent's signed card. `public` repeats its visibility so that a directory can be listed."""

    agent: AgentRef
    version: int
    public: bool
    raw: bytes


@attrs.frozen
class GrantRecord:
    """A signed grant in force for a connection; `terms` are its opened terms, empty where they are not known.

    Two different grants of one version are both kept, since their intersection counts (spec/identity.md 7).
    """

    request: Hash
    grantor: AgentRef
    version: int
    raw: bytes
    terms: bytes = b""


@value(order=True)
class Flow:
    """One direction between two agents."""

    from_: AgentRef
    to: AgentRef


@value
class RateRecord:
    """The token bucket of one flow: thousandths of a token left at an instant."""

    tokens_milli: int
    at: Instant


@attrs.frozen
class EvidenceRecord:
    """Two signed structures that cannot both be honest, kept as they were received.

    `kind` is the reject code that they prove (`equivocation`, `forked`, `fork`).
    `subject` is the device or account.
    `place` is 0 until the store has given one.
    """

    kind: str
    subject: bytes
    first: bytes
    second: bytes
    at: Instant
    place: Place = UNPLACED


# --- Changes that both stores take ------------------------------------------------------------------------


@attrs.frozen
class AppendStatements:
    """Extend an account's log, or begin it.

    Compare and swap: `expected` is the position that the store must hold now (None: the account is new).
    `keep` is how many of its statements stay: `expected.length`, unless a recovery branch replaces a tail.
    `position` is where the log ends afterwards. `name` is claimed for this account, for ever.
    Conflicts: `log-moved`, `name-taken`; at a relay `too-many`, for an account's 17th name. Result: `Done`.
    """

    account: AccountId
    name: str
    expected: LogPosition | None
    keep: int
    statements: tuple[bytes, ...]
    position: LogPosition


@attrs.frozen
class HoldAccount:
    """Stop an account's traffic for a reason, or let it go on with an empty one. Conflict: `unknown`."""

    account: AccountId
    reason: str


@attrs.frozen
class PutCard:
    """Store a card of a higher version than held, else `stale-version`; the same bytes are nothing new.

    It takes the place of the card `instead_of`, whatever that one's version.
    """

    card: CardRecord
    instead_of: bytes = attrs.field(default=b"", repr=False)


@attrs.frozen
class PutGrant:
    """Store a grant. A higher version replaces, the same one is kept beside, a lower one is `stale-version`.

    Conflicts also: `unknown` (no such connection), `ended`, `too-many` (over 8 of one version).
    """

    grant: GrantRecord


@value
class RecordRate:
    """Replace the token bucket of a flow."""

    flow: Flow
    rate: RateRecord


@attrs.frozen
class PutEvidence:
    """Keep evidence. The same pair again is nothing new, nor are more than 8 against one subject."""

    evidence: EvidenceRecord


@attrs.frozen
class PutSetting:
    """Store a value under a key, replacing what was there."""

    key: str
    value: bytes


@attrs.frozen
class DropSetting:
    """Forget a setting, if it is there."""

    key: str


@attrs.frozen
class PurgeSeen:
    """Forget at most `limit` rows of what was seen before `before`. Result: `Counted`.

    With each a daemon's store forgets the envelope that was seen, unless it is a message, an event of a task,
    the proof of a delivery, or in the outbox.
    """

    before: Instant
    limit: int


SharedChange = (
    AppendStatements
    | HoldAccount
    | PutCard
    | PutGrant
    | RecordRate
    | PutEvidence
    | PutSetting
    | DropSetting
    | PurgeSeen
)


# --- Results ----------------------------------------------------------------------------------------------


@value
class Done:
    """The change is made, and there is nothing to tell."""


@attrs.frozen
class Counted:
    """How many rows were changed or taken away. Below a clean-up's limit, it is finished for now."""

    count: int
