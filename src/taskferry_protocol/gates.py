"""What an owner decides ahead: modes of agents, policies for classes of action, gates, standing rules.

Local decisions: nothing in here travels, and no peer learns of it but by what it is answered.
"""

from __future__ import annotations

from enum import StrEnum

from .ids import AgentRef, Instant
from .limits import MINUTE_MS
from .records import ApprovalRecord, ApprovalState, RuleRecord, Trust

__all__ = [
    "ActionClass",
    "AgentMode",
    "Deed",
    "Policy",
    "Verdict",
    "approval_state",
    "deadline_stands",
    "rule_fits",
    "verdict_on",
    "waits_for_owner",
]


class AgentMode(StrEnum):
    """How freely the programs that hold an agent's credential act as it."""

    OPEN = "open"
    GUARDED = "guarded"
    READ_ONLY = "read-only"


class ActionClass(StrEnum):
    """What an agent may want to do on its owner's account."""

    LOCAL_FILES = "local-files"
    SHELL = "shell"
    PAID_CALLS = "paid-calls"
    MAIL = "mail"
    UPLOADS = "uploads"
    CODE_CHANGES = "code-changes"
    DELETIONS = "deletions"
    DELEGATION = "delegation"


class Policy(StrEnum):
    """What the owner has decided ahead about a class of action. Not decided means `ask`."""

    ALWAYS = "always"
    ASK = "ask"
    NEVER = "never"


class Deed(StrEnum):
    """What an agent sends through its daemon."""

    CONNECTION = "connection"
    """A request for a connection."""
    TASK = "task"
    """A task of its own."""
    WORD = "word"
    """A message, or an event in a task that is under way."""


class Verdict(StrEnum):
    """What becomes of a deed."""

    ALLOW = "allow"
    ASK = "ask"
    REFUSE = "refuse"


def verdict_on(deed: Deed, mode: AgentMode, delegation: Policy | None) -> Verdict:
    """Whether an agent's credential may do it now. `delegation` is what the owner has set, None for nothing.

    Of mode and policy the stricter one counts: a guarded agent asks also where delegation is `always`.
    """
    if mode is AgentMode.READ_ONLY:
        return Verdict.REFUSE
    if deed is Deed.WORD:
        return Verdict.ALLOW
    if deed is Deed.TASK and delegation is Policy.NEVER:
        return Verdict.REFUSE
    if mode is AgentMode.GUARDED or (deed is Deed.TASK and delegation is Policy.ASK):
        return Verdict.ASK
    return Verdict.ALLOW


def waits_for_owner(mode: AgentMode, human_gate: bool) -> bool:
    """Whether a task that has come for an agent waits, by the grant to its sender and the agent's mode."""
    return human_gate or mode is AgentMode.GUARDED


def rule_fits(rule: RuleRecord, peer: AgentRef, mine: str, trust: Trust, now: Instant) -> bool:
    """Whether a standing rule speaks of what `peer` sends to `mine`.

    A rule is bound to an account, never to a name: a relay that shows another account under the name, and a
    name that only looks alike, fit none. One for all agents of an owner needs an account that the owner has
    verified or invited; one that names an agent needs that very account, which was looked up for it.
    """
    if rule.removed_at is not None or (rule.until is not None and now >= rule.until):
        return False
    if rule.account != peer.account or rule.mine not in {"", mine}:
        return False
    if rule.peer:
        return rule.peer == peer.name
    return trust in {Trust.VERIFIED, Trust.INVITED}


def approval_state(approval: ApprovalRecord, now: Instant) -> ApprovalState:
    """The state as of now: what is past its time is over, answered or not."""
    if approval.state in {ApprovalState.ASKED, ApprovalState.APPROVED} and now >= approval.expires_at:
        return ApprovalState.EXPIRED
    return approval.state


def deadline_stands(asked: Instant | None, again: Instant | None, asked_at: Instant, now: Instant) -> bool:
    """Whether the deadline that an owner was asked about may stand for the one that comes with it `again`.

    It may for the same, and for one that is later by as much as the agent has waited, a minute more or less:
    so it is where a program gives a length of time. It does not once it has passed.
    """
    if asked is None or again is None:
        return asked is again
    return asked > now and -MINUTE_MS <= again - asked <= now - asked_at + MINUTE_MS
