"""What a daemon stores about the programs that act as its agents, and which of them has what in hand.

The relay and the peers never see any of it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NewType

import attrs

from ..ids import AgentRef, Hash, Instant
from .base import Place

RuntimeId = NewType("RuntimeId", bytes)
"""16 random bytes."""
NOBODY: Final = RuntimeId(b"")
"""Who has a lease that was given back."""


class RuntimeStatus(StrEnum):
    """What a bound program says of itself."""

    IDLE = "idle"
    BUSY = "busy"


@attrs.frozen
class RuntimeRecord:
    """A program that is bound to an agent of ours, or was and may come back under its key.

    `key` is the program's own word for what stays when it starts again; empty for none. `since` is when
    `status` began. It is live before `expires_at`; each sign of life sets that `lease_ms` ahead.
    """

    id: RuntimeId
    agent: str
    program: str
    key: str
    name: str
    status: RuntimeStatus
    since: Instant
    bound_at: Instant
    seen_at: Instant
    expires_at: Instant
    lease_ms: int


@attrs.frozen
class LeaseRecord:
    """What is handed to one runtime at a time: a task with all that is said in it, or a lone message.

    `unit` is the task's id or the message's hash. `fence` rises whenever somebody takes it, so that what an
    earlier holder does is told from what the present one does. It holds while its runtime is live.
    """

    unit: Hash
    agent: str
    runtime: RuntimeId
    fence: int
    at: Instant


@attrs.frozen
class WaitingItem:
    """An item of an inbox that is not processed: its place, what it is leased as, and the lease.

    `offered` and `read` say whether it was put before the agent, and given to it, before; `told` as in
    `MessageRecord`.
    """

    place: Place
    hash: Hash
    unit: Hash
    lease: LeaseRecord | None
    offered: bool = False
    read: bool = False
    told: int = 0


@attrs.frozen
class Settled:
    """Items that no look of `me` is given: what `others` have, and what it has and was told of before.

    The latter stands up to the place `known` and was taken at `since` or before (None: whenever).
    """

    others: frozenset[RuntimeId]
    me: RuntimeId
    known: Place | None = None
    since: Instant | None = None

    def has(self, place: Place, lease: LeaseRecord | None) -> bool:
        """Whether an item is one of them."""
        if lease is None or lease.runtime != self.me:
            return lease is not None and lease.runtime in self.others
        is_told = self.known is not None and place <= self.known
        return is_told and (self.since is None or lease.at <= self.since)


@attrs.frozen
class PeerWord:
    """What a peer's daemon last said: whether it tells one of our agents what becomes of its mail there.

    `seen_at` is when that agent was last run, as far as it was said; `said_at` when the word was signed.
    """

    mine: AgentRef
    peer: AgentRef
    tells: bool
    seen_at: Instant | None
    said_at: Instant


# --- Changes ------------------------------------------------------------------------------------------------


@attrs.frozen
class PutRuntime:
    """Store a runtime, replacing what was there."""

    runtime: RuntimeRecord


@attrs.frozen
class DropRuntimes:
    """Forget runtimes. Their leases stay, and hold nothing."""

    ids: tuple[RuntimeId, ...]


@attrs.frozen
class PutLeases:
    """Store leases, each in place of the one of its unit and agent."""

    leases: tuple[LeaseRecord, ...]


@attrs.frozen
class RaiseFences:
    """Raise the fence of every lease of a runtime: it was bound again. Result: `Counted`."""

    runtime: RuntimeId
    at: Instant


@attrs.frozen
class PurgeLeases:
    """Forget at most `limit` leases that were last taken before `before`. Result: `Counted`."""

    before: Instant
    limit: int


@attrs.frozen
class NoteSeen:
    """Somebody acted as one of our agents at a time; what is earlier than what is held is passed over.

    A day earlier and more it is not: what is held is of a clock that was ahead.
    """

    agent: str
    at: Instant


@attrs.frozen
class PutPeerWord:
    """Store what a peer's daemon said; what was said before what is held is passed over."""

    word: PeerWord


RuntimeChange = PutRuntime | DropRuntimes | PutLeases | RaiseFences | PurgeLeases | NoteSeen | PutPeerWord
