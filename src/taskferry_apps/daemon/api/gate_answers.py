"""What is shown of the owner's decisions, as JSON: ids in small hex, times in RFC 3339."""

from __future__ import annotations

from taskferry_protocol.ids import Instant

from ..gate_views import ApprovalView, HeldTask, ModeView, RuleView
from .answers import Object, grant_object
from .kinds import time_text

__all__ = ["approval_object", "held_object", "mode_object", "rule_object"]


def _time(at: Instant | None) -> str | None:
    return None if at is None else time_text(at)


def held_object(held: HeldTask) -> Object:
    """A task that waits for the owner."""
    return {
        "task_id": held.task.hex(),
        "mine": held.mine,
        "peer": held.peer,
        "trust": held.trust,
        "title": held.title,
        "brief": held.brief,
        "requirements": list(held.requirements),
        "attached": [{"name": name, "size": size} for name, size in held.attached],
        "deadline": _time(held.deadline),
        "arrived_at": time_text(held.at),
    }


def rule_object(rule: RuleView) -> Object:
    """A standing rule."""
    return {
        "id": rule.id.hex(),
        "accept": rule.accept,
        "agent": rule.agent,
        "account": rule.account,
        "trust": rule.trust,
        "tasks_per_day": rule.tasks_per_day,
        "tasks_today": rule.tasks_today,
        "until": _time(rule.until),
        "permissions": grant_object(rule.grant),
        "created_at": time_text(rule.created_at),
        "used": rule.used,
        "waits_for": rule.waits_for,
    }


def approval_object(approval: ApprovalView) -> Object:
    """A question and its answer."""
    return {
        "id": approval.id.hex(),
        "agent": approval.agent,
        "class": approval.action,
        "what": approval.what,
        "why": approval.why,
        "task_id": None if approval.task is None else approval.task.hex(),
        "state": approval.state,
        "scope": approval.scope,
        "asked_at": time_text(approval.asked_at),
        "expires_at": time_text(approval.expires_at),
        "decided_at": _time(approval.decided_at),
        "by": approval.by,
        "answer": approval.answer,
        "used_at": _time(approval.used_at),
    }


def mode_object(mode: ModeView) -> Object:
    """How freely an agent acts."""
    return {"agent": mode.agent, "mode": mode.mode, "policies": dict(mode.policies), "said": mode.is_said}
