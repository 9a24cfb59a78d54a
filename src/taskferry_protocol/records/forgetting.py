"""What a daemon's store forgets: each change says what has to be over before, and what stays all the same."""

from __future__ import annotations

import attrs

from ..ids import AccountId, DeviceId, Hash, Instant
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

    It stays if it is trusted or held, if there is evidence against it (not only against its devices), if a
    message, a task or a connection of its agents is here or something waits to be sent to them, and if a rule
    names it. The numbers that envelopes to them have used stay always. Result: `Counted`, one or none.
    """

    account: AccountId


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
class ForgetTraffic:
    """Forget what was counted of traffic before a time, a whole hour: at most `limit` rows of each kind.

    Result: `Counted`, of rows; none where a store counts messages when it is asked.
    """

    before: Instant
    limit: int


ForgetChange = ForgetRequest | ForgetAccount | ForgetAccused | ForgetAnswers | ForgetTraffic | PruneAudit
