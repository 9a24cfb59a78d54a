"""What a daemon stores for its breakers: what two agents exchanged lately, and what stands stopped."""

from __future__ import annotations

import attrs

from ..ids import AgentRef, Hash, Instant
from ..values import value


@value
class ExchangeRecord:
    """One thing that passed between an agent of ours and a peer, and counts.

    `inbound` ones were put before our agent. `talk` is a message or a new task, anything else an event of a
    task under way. `words` is what talk says in the form that is compared, None for events.
    """

    mine: AgentRef
    peer: AgentRef
    hash: Hash
    at: Instant
    inbound: bool
    talk: bool
    words: Hash | None = None


@attrs.frozen
class BreakerRecord:
    """How the breaker between an agent of ours and a peer stands, and when a person last decided there.

    `code` is what tripped it first, "" while nothing did since the last decision. `held` messages, which take
    `size` bytes, wait for the owner; while it is `latched`, what comes is held as well. Our agent was refused
    to send until `refused_until`.
    """

    mine: AgentRef
    peer: AgentRef
    code: str = ""
    tripped_at: Instant | None = None
    held: int = 0
    size: int = 0
    latched: bool = False
    refused_until: Instant | None = None
    looked_at: Instant | None = None


# --- Changes ------------------------------------------------------------------------------------------------


@value
class CountExchange:
    """Count what has passed. What passed between the two a day or more before or after it is forgotten."""

    exchange: ExchangeRecord


@attrs.frozen
class ForgetExchanges:
    """Forget what passed between the two: a person has decided. Result: `Counted`."""

    mine: AgentRef
    peer: AgentRef


@attrs.frozen
class PutBreaker:
    """Store how a breaker stands, replacing what was there."""

    breaker: BreakerRecord


@attrs.frozen
class DropStopped:
    """Never show these messages to our agent; those that are not stopped are passed over.

    Result: `Counted`.
    """

    agent: str
    hashes: tuple[Hash, ...]


BreakerChange = CountExchange | ForgetExchanges | PutBreaker | DropStopped
