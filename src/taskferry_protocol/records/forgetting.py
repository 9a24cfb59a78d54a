"""What a daemon's store forgets: each change says what has to be over before, and what stays all the same."""

from __future__ import annotations

import attrs

from ..ids import AccountId, AgentRef, DeviceId, Hash, Instant
from ..values import value
from .audit import PruneAudit

__all__ = [
    "ForgetAccount",
    "ForgetAccused",
    "ForgetAnswers",
    "ForgetChange",
    "ForgetRequest",
    "ForgetSealed",
    "ForgetTraffic",
    "SetApart",
]


@value
class ForgetSealed:
    """Forget envelopes that were kept to be sent, such as receipts.

    What is a message or an event of a task, or is in the outbox, stays.
    """

    hashes: tuple[Hash, ...]


@attrs.frozen
class ForgetRequest:
    """Forget a request for a connection that expired or was taken back, and what its peer said in it.

    A connection that was ever accepted stays, and so does one that is anything else. Of messages, those of
    class `connection` that came before any other connection of the two agents go. Result: `Counted`.
    """

    request: Hash


@attrs.frozen
class ForgetAccount:
    """Forget the log of a pinned account, the names that it claimed and the cards of its agents.

    It stays if it is trusted or held, if there is evidence against it or these devices of its, if a message,
    a task or a connection of its agents is here or something waits to be sent to them, and if a rule names
    it. The numbers that envelopes to them have used stay always. Result: `Counted`, one or none.
    """

    account: AccountId
    devices: tuple[DeviceId, ...]


@attrs.frozen
class ForgetAccused:
    """Forget an account as `ForgetAccount` does, though it is held or there is evidence against it.

    With it goes the evidence against it and against these devices of its. Result: `Counted`, one or none.
    """

    account: AccountId
    devices: tuple[DeviceId, ...]


@attrs.frozen
class ForgetAnswers:
    """Forget all answers that were kept to be repeated to callers of these scopes. Result: `Counted`."""

    scopes: tuple[str, ...]


@attrs.frozen
class SetApart:
    """Keep under a name that no agent has what an agent of ours had and was: it was withdrawn.

    The name is that of the former agent (`former.former`) by the first number from `number` on that is free.

    These go with it: messages, tasks, what stood at its gate, what was quarantined, exchanges and breakers,
    questions, lines of the feed, and which envelopes were seen. These stay with the name, as they bind
    whoever has it: connections and what was granted in them, rates, the numbers of envelopes, cards, what
    waits to be sent to it, and the word of peers. Receipts that it owes, its leases and when it was seen are
    forgotten, and none of its tasks is open any more on either side, as nobody acts in them.
    """

    agent: AgentRef
    number: int


@attrs.frozen
class ForgetTraffic:
    """Forget what was counted of traffic before a time, a whole hour: at most `limit` rows of each kind.

    Result: `Counted`, of rows; none where a store counts messages when it is asked.
    """

    before: Instant
    limit: int


ForgetChange = (
    ForgetRequest | ForgetAccount | ForgetAccused | ForgetAnswers | ForgetTraffic | PruneAudit | SetApart
)
