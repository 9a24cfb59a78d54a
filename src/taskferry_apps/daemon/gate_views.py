"""What callers are shown of the owner's decisions: tasks that wait, rules, questions, modes."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from taskferry_protocol.ids import Hash, Instant

from .views import GrantView

__all__ = ["ApprovalView", "HeldTask", "ModeView", "RuleView"]


@attrs.frozen
class HeldTask:
    """A task that waits for the owner, who may read it before the agent does."""

    task: Hash
    mine: str
    peer: str
    trust: str
    title: str
    brief: str
    requirements: tuple[str, ...]
    attached: tuple[tuple[str, int], ...]
    """(name, bytes) of what came with it."""
    deadline: Instant | None
    at: Instant


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
