"""What a daemon stores about who is who: pinned accounts, its agents, connections, credentials; and its feed.

Device keys are never among it. The only secrets are each message's K and each invite's secret.
"""

from __future__ import annotations

from enum import StrEnum

import attrs

from ..ids import AgentRef, Hash, Instant
from ..values import value
from .base import UNPLACED, AccountRecord, GrantRecord, Place


class Trust(StrEnum):
    """How an account came to be pinned."""

    OWN = "own"
    INVITED = "invited"
    PINNED = "pinned"
    VERIFIED = "verified"
    UNVERIFIED = "unverified"


@attrs.frozen
class PinnedAccount:
    """An account whose log this daemon holds to. `record.held` is the alarm, if there is one."""

    record: AccountRecord
    trust: Trust
    pinned_at: Instant


@attrs.frozen
class LocalAgent:
    """An agent of this owner that this daemon serves. `settings` is JSON of the daemon's own making."""

    name: str
    settings: str
    created_at: Instant


class ConnectionState(StrEnum):
    """Where a connection stands, seen from here. A request that nobody answered in time is `expired`."""

    REQUESTED_OUT = "requested_out"
    REQUESTED_IN = "requested_in"
    ACCEPTED = "accepted"
    ENDED = "ended"
    EXPIRED = "expired"


@attrs.frozen
class PeerConnection:
    """A connection, or the request for one, between one of our agents and a peer's; statements as signed.

    `grants` hold the highest version of each direction with its terms: what `mine` allows has
    `grantor == mine`. They are changed with `PutGrant` alone, except in a record that is new.
    `again_at` is from when on the one who was declined may ask again, where that was said, or whom this owner
    had blocked, where that was taken back.
    `revision` is 0 in a record that is new; a save names the revision that it was made from.
    `invite` is the id of the invite that the request named; `invite_state` is `valid` if the request came
    through it, else the code of what is wrong with it; it is empty where nobody looked.
    `taken_back` says that the peer took its own request back before it was accepted here.
    """

    request: Hash
    mine: AgentRef
    peer: AgentRef
    state: ConnectionState
    request_raw: bytes
    created_at: Instant
    updated_at: Instant
    expires_at: Instant
    accept_raw: bytes = b""
    end_raw: bytes = b""
    end_kind: str = ""
    note: str = ""
    invite: bytes = b""
    invite_state: str = ""
    grants: tuple[GrantRecord, ...] = ()
    again_at: Instant | None = None
    taken_back: bool = False
    revision: int = 0


@attrs.frozen
class ConnectionQuery:
    """Which connections; None means any, `states` empty means any."""

    agent: str | None = None
    states: frozenset[ConnectionState] = frozenset()


@attrs.frozen
class TokenRecord:
    """A local credential, known by the SHA-256 of its secret. An owner's names no agents."""

    digest: bytes
    label: str
    scope: str
    agents: tuple[str, ...]
    created_at: Instant
    revoked_at: Instant | None = None


@attrs.frozen
class IdempotencyRecord:
    """The answer that was given to a request under a key, for who may ask for it again."""

    scope: str
    key: str
    digest: bytes
    response: bytes
    expires_at: Instant


@attrs.frozen
class InviteRecord:
    """An invite that this owner made, with the secret that proves who came through it.

    `accepts` says that a request through it is accepted at once, with `permissions`: JSON of the daemon's own
    making. `note` is for the owner alone.
    """

    id: bytes
    agent: str
    raw: bytes
    secret: bytes
    uses: int
    expires_at: Instant
    created_at: Instant
    used: int = 0
    revoked: bool = False
    note: str = ""
    accepts: bool = False
    permissions: str = ""


@value
class EventRecord:
    """One line of the feed that owners and agents follow. `text` is small JSON, without secrets.

    `agent` is empty for what concerns the owner only.
    """

    kind: str
    agent: str
    refs: tuple[Hash, ...]
    text: str
    at: Instant
    place: Place = UNPLACED


@attrs.frozen
class DaemonStats:
    """Numbers for `doctor` and the dashboard."""

    accounts: int
    messages: int
    tasks: int
    outbox_waiting: int
    outbox_relayed: int
    quarantined: int
    receipts_owed: int
    waiting_until: Instant | None = None
    """When the first of what waits in the outbox expires."""


@attrs.frozen
class StoreReport:
    """How a store is: "ok", or what was found wrong with its file; its schema's version and its bytes."""

    verdict: str
    version: int
    size: int
