"""What callers are shown of the owner's decisions: tasks that wait, rules, questions, modes."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from taskferry_protocol.breakers import BreakerLimits
from taskferry_protocol.ids import AccountId, Hash, Instant, sha256
from taskferry_protocol.messages import Part

from .views import ConnectionView, GrantView

__all__ = [
    "ApprovalView",
    "ConnectionLimits",
    "HeldItem",
    "HeldTask",
    "ModeView",
    "RuleView",
    "StopView",
    "WholeTask",
]


@attrs.frozen
class HeldTask:
    """A task that waits for the owner, as lists show it; `brief_chars` says how long its brief is."""

    task: Hash
    mine: str
    peer: str
    trust: str
    title: str
    brief_chars: int
    attached: int
    """How many parts came with it."""
    attached_bytes: int
    deadline: Instant | None
    at: Instant
    code: str = ""
    """The code of the breaker that sent it to the gate; "" if none did. `why` says it in words."""
    why: str = ""


@attrs.frozen
class HeldItem:
    """A message that a breaker holds; `text` is the beginning of what it says."""

    hash: Hash
    type: str
    task: Hash | None
    at: Instant
    text: str


@attrs.frozen
class StopView:
    """What a breaker has stopped between an agent of ours and a peer.

    `code` and `why` say what tripped it first, in a word and in words. `items` are the `held` messages;
    `tasks` wait at the gate, for they came meanwhile. Our agent was refused to send until `refused_until`.
    """

    id: Hash
    mine: str
    peer: str
    code: str
    why: str
    since: Instant
    held: int
    tasks: tuple[Hash, ...]
    refused_until: Instant | None
    items: tuple[HeldItem, ...]
    """Where a list asked for none: empty, and `held` says how many."""

    @property
    def seen(self) -> Hash:
        """A hash over what is held, by which a decision names exactly what was shown."""
        return sha256(b"".join((self.id, *(item.hash for item in self.items), b"/", *self.tasks)))


@attrs.frozen
class ConnectionLimits:
    """When breakers trip between the two agents of a connection; `own` names the fields set for it alone."""

    id: Hash
    mine: str
    peer: str
    limits: BreakerLimits
    own: frozenset[str]


@attrs.frozen
class WholeTask:
    """A task word for word, as the agent that it is for will read it, and who is at the other end.

    `hash` names exactly this: of a task that came it is its id, which a release names; of one that is to be
    sent it stands in the question. `created_at` is when its sender says to have sent it, None before that.
    `connection` is the one in force between the two, None if there is none (any more).
    """

    peer: str
    account: AccountId
    trust: str
    hash: Hash
    title: str
    brief: str
    requirements: tuple[str, ...]
    parts: tuple[Part, ...]
    deadline: Instant | None
    revisions: int
    budget: int | None
    created_at: Instant | None
    connection: ConnectionView | None


@attrs.frozen
class RuleView:
    """A standing rule. `waits_for` says why it does nothing now, empty where it works."""

    id: Hash
    accept: str
    agent: str
    account: str
    trust: str
    tasks_per_day: int
    tasks_today: int
    until: Instant | None
    grant: GrantView
    created_at: Instant
    used: int
    waits_for: str


@attrs.frozen
class ApprovalView:
    """A question of an agent, word for word, and how it stands as of now."""

    id: Hash
    agent: str
    action: str
    what: str
    why: str
    task: Hash | None
    state: str
    scope: str
    asked_at: Instant
    expires_at: Instant
    decided_at: Instant | None
    by: str
    answer: str
    used_at: Instant | None


@attrs.frozen
class ModeView:
    """How freely an agent acts: its mode, and what becomes of a question about each class of action.

    `is_said`: the owner has said so on this machine.
    """

    agent: str
    mode: str
    policies: Mapping[str, str]
    is_said: bool
    tells: bool = True
    """Whether those who send to it are told what becomes of that."""
