"""What a relay stores for its operator and for its public pages, the changes to it, and what it answers.

Accounts that are suspended, one-time links into the operator's pages, the directory of public agents.
"""

from __future__ import annotations

from enum import StrEnum

import attrs

from ..ids import AccountId, AgentRef, DeviceId, Hash, Instant
from .base import CardRecord, Place


@attrs.frozen
class Suspension:
    """An account that its relay's operator has stopped: why, in one line, and since when."""

    account: AccountId
    reason: str
    at: Instant


@attrs.frozen
class SuspensionList:
    """All suspensions, as of a `version` that rises with every change of them."""

    version: int
    suspensions: tuple[Suspension, ...]


class Standing(StrEnum):
    """Which accounts an operator asks for."""

    ALL = "all"
    SUSPENDED = "suspended"
    HELD = "held"


@attrs.frozen
class AccountQuery:
    """Accounts whose name begins with `prefix`."""

    prefix: str = ""
    state: Standing = Standing.ALL


@attrs.frozen
class AccountLine:
    """An account as an operator sees it in a list, with what waits for all of its devices.

    `oldest` is when the relay took the oldest envelope that waits for one of them; None where none does.
    """

    account: AccountId
    name: str
    held: str
    suspension: Suspension | None
    waiting: int
    waiting_bytes: int
    oldest: Instant | None


@attrs.frozen
class MailboxLine:
    """A device's mailbox; `name` is the owner's, empty where no account has named the device."""

    device: DeviceId
    account: AccountId | None
    name: str
    count: int
    bytes: int
    oldest: Instant | None


@attrs.frozen
class WaitingMailbox:
    """A mailbox that holds something. `oldest` is when its first envelope was taken; None: only notices."""

    count: int
    oldest: Instant | None


@attrs.frozen
class RelayOverview:
    """Numbers for an operator, read without looking at every row of anything that grows with mail.

    `accepted` is every envelope since the start. `oldest` is when the oldest envelope that is still kept was
    taken; one that was acknowledged is swept away soon.
    """

    accounts: int
    suspended: int
    held: int
    devices: int
    agents: int
    public_agents: int
    invites: int
    connections: int
    accepted: int
    waiting: int
    waiting_bytes: int
    mailboxes: int
    oldest: Instant | None


@attrs.frozen
class DirectoryEntry:
    """What a public agent is found by: casefolded `text`, and words such as `cap:review`, `tag:backend`."""

    agent: AgentRef
    version: int
    text: str
    words: frozenset[str]


@attrs.frozen
class DirectoryQuery:
    """Agents that have all the `words`, and `text` (casefolded) in their text or their handle."""

    text: str = ""
    words: frozenset[str] = frozenset()


@attrs.frozen
class ListedAgent:
    """A public agent's card, and under which owner name it is listed."""

    place: Place
    owner: str
    card: CardRecord


@attrs.frozen
class DirectoryPage:
    """Agents, those first listed last before others. `next` is where to look on, None at the end.

    A page may be short, or empty, and yet have more behind it: only so many agents are looked at for one.
    """

    agents: tuple[ListedAgent, ...]
    next: Place | None


# --- Changes ----------------------------------------------------------------------------------------------


@attrs.frozen
class SuspendAccount:
    """Suspend an account; for one that is, the reason is replaced. Conflict: `unknown`."""

    suspension: Suspension


@attrs.frozen
class ReleaseAccount:
    """Lift an account's suspension. Result: `Counted`, 0 if there is none."""

    account: AccountId


@attrs.frozen
class PutSignIn:
    """Keep the SHA-256 of a one-time link into the operator's pages; those that are over at `at` go.

    At most `most` are kept: the first to end goes for a new one.
    """

    digest: Hash
    expires_at: Instant
    at: Instant
    most: int


@attrs.frozen
class TakeSignIn:
    """Use such a link up. Result: `Counted`, 0 if there is none that is good at `at`."""

    digest: Hash
    at: Instant


@attrs.frozen
class ListAgent:
    """List a public agent, or renew how it is found. An older version than is listed changes nothing."""

    entry: DirectoryEntry


@attrs.frozen
class UnlistAgent:
    """Take an agent off the list, if it is there."""

    agent: AgentRef


OperatorChange = SuspendAccount | ReleaseAccount | PutSignIn | TakeSignIn | ListAgent | UnlistAgent
