"""What a daemon stores of its owner's decisions: tasks that wait, standing rules, what agents have asked."""

from __future__ import annotations

from enum import StrEnum

import attrs

from ..ids import AccountId, AgentRef, Hash, Instant
from .base import UNPLACED, Place


class GateState(StrEnum):
    """Where a task stands that came while a person was to look at it first."""

    UNBEGUN = "unbegun"
    """Words about it have come, and its request has not."""
    WAITING = "waiting"
    RELEASED = "released"
    DECLINED = "declined"
    OVER = "over"
    """It ended before anybody decided."""


@attrs.frozen
class GateRecord:
    """A task of a peer's that waited for the owner, or still does. While it is not released, its agent is
    shown nothing of it. `by` is who decided: `owner`, or the id of a rule in hexadecimal. `why` is the code
    of the breaker that stopped it, "" for one that waits by its grant or its agent's mode
    and that no rule would have let pass.
    """

    task: Hash
    mine: AgentRef
    peer: AgentRef
    state: GateState
    at: Instant
    decided_at: Instant | None = None
    by: str = ""
    why: str = ""


@attrs.frozen
class RuleRecord:
    """What the owner has decided ahead about one account.

    `peer` is a name among that account's agents, `mine` one of ours; empty means any. `grant` is JSON of the
    daemon's own making: what a connection that is accepted by it may send. `used` is kept by the store.
    """

    id: Hash
    account: AccountId
    peer: str
    mine: str
    tasks_per_day: int
    until: Instant | None
    grant: str
    created_at: Instant
    removed_at: Instant | None = None
    used: int = 0


class RuleUse(StrEnum):
    """What a rule did."""

    CONNECTION = "connection"
    TASK = "task"


class ApprovalState(StrEnum):
    """Where a question to the owner stands."""

    ASKED = "asked"
    APPROVED = "approved"
    DENIED = "denied"
    USED = "used"
    EXPIRED = "expired"
    """Never stored: it follows from the time."""


class ApprovalScope(StrEnum):
    """How far an approval reaches."""

    ONCE = "once"
    TASK = "task"
    """As often as needed, until its task ends or its time is over."""


@attrs.frozen
class ApprovalRecord:
    """What one of our agents asked the owner, word for word, and the answer.

    `id` is a hash over the question, `subject` one over what it is about alone: agent, class, deed, task.
    `by` is `owner` or `policy`. `revision` as in `PeerConnection`.
    """

    id: Hash
    subject: Hash
    agent: str
    action: str
    what: str
    why: str
    task: Hash | None
    state: ApprovalState
    asked_at: Instant
    expires_at: Instant
    scope: ApprovalScope = ApprovalScope.ONCE
    decided_at: Instant | None = None
    by: str = ""
    answer: str = ""
    used_at: Instant | None = None
    revision: int = 0
    place: Place = UNPLACED


@attrs.frozen
class ProposalRecord:
    """What a question asks to send, in full, while it waits for its answer or for its use."""

    approval: Hash
    content: bytes
    expires_at: Instant


@attrs.frozen
class ApprovalQuery:
    """Which questions; None means any. `states` empty means any. States as stored."""

    agent: str | None = None
    subject: Hash | None = None
    states: frozenset[ApprovalState] = frozenset()


@attrs.frozen
class WaitingCounts:
    """How much waits for the owner's word, of each kind, without what is over already."""

    questions: int = 0
    requests: int = 0
    tasks: int = 0
    stops: int = 0
    """Pairs of agents between which a breaker holds something, or refuses: `breakers.is_tripped`."""
    quarantined: int = 0
    """What came and has no effect. It asks for no word, but somebody may have to send it again."""

    @property
    def undecided(self) -> int:
        """All that the owner's word ends."""
        return self.questions + self.requests + self.tasks + self.stops


# --- Changes ------------------------------------------------------------------------------------------------


@attrs.frozen
class PutGate:
    """Store how a task stands at its gate, replacing what was there."""

    gate: GateRecord


@attrs.frozen
class ForgetTask:
    """Forget what is held of a task: rows, events and gate. What came of it stays, as messages."""

    task: Hash


@attrs.frozen
class ShowMessages:
    """Put messages that were held or stopped before one of our agents, in this order and with new places, as
    if they had come just now.

    Others are passed over. Result: `Counted`.
    """

    agent: str
    hashes: tuple[Hash, ...]


@attrs.frozen
class PutRule:
    """Store a rule, or its removal; the count of its uses is kept."""

    rule: RuleRecord


@attrs.frozen
class UseRule:
    """A rule did something. Conflict: `unknown`. What it did more than a day before `at` is forgotten."""

    rule: Hash
    use: RuleUse
    subject: Hash
    at: Instant


@attrs.frozen
class SaveApproval:
    """Store a question, or its answer. Conflict: `revision`. Result: `Saved`."""

    approval: ApprovalRecord


@attrs.frozen
class PurgeApprovals:
    """Forget at most `limit` questions whose time was over before `before`. Result: `Counted`."""

    before: Instant
    limit: int


@attrs.frozen
class PutProposal:
    """Store what a question asks to send, replacing what was there."""

    proposal: ProposalRecord


@attrs.frozen
class DropProposal:
    """Forget what a question asked to send; nothing if there is none."""

    approval: Hash


@attrs.frozen
class PurgeProposals:
    """Forget at most `limit` proposals whose time was over before `before`. Result: `Counted`."""

    before: Instant
    limit: int


GateChange = (
    PutGate
    | ForgetTask
    | ShowMessages
    | PutRule
    | UseRule
    | SaveApproval
    | PurgeApprovals
    | PutProposal
    | DropProposal
    | PurgeProposals
)
