"""What is shown of the owner's decisions, as JSON: ids in small hex, times in RFC 3339."""

from __future__ import annotations

from taskferry_protocol.breakers import BreakerLimits
from taskferry_protocol.ids import Instant, fingerprint

from ...breaker_settings import LIMIT_NAMES
from ..gate_views import ApprovalView, ConnectionLimits, HeldTask, ModeView, RuleView, StopView, WholeTask
from .answers import Object
from .connection_answers import connection_object, grant_object
from .kinds import time_text
from .parts import part_object

__all__ = [
    "approval_object",
    "connection_limits_object",
    "held_object",
    "limits_object",
    "mode_object",
    "rule_object",
    "stop_object",
    "whole_object",
]


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
        "brief_chars": held.brief_chars,
        "attached": held.attached,
        "attached_bytes": held.attached_bytes,
        "deadline": _time(held.deadline),
        "arrived_at": time_text(held.at),
        "code": held.code,
        "why": held.why,
    }


def stop_object(stop: StopView) -> Object:
    """What a breaker has stopped."""
    return {
        "id": stop.id.hex(),
        "mine": stop.mine,
        "peer": stop.peer,
        "code": stop.code,
        "why": stop.why,
        "since": time_text(stop.since),
        "held": stop.held,
        "task_ids": [task.hex() for task in stop.tasks],
        "refused_until": _time(stop.refused_until),
        "items": [
            {
                "id": item.hash.hex(),
                "type": item.type,
                "task_id": None if item.task is None else item.task.hex(),
                "arrived_at": time_text(item.at),
                "text": item.text,
            }
            for item in stop.items
        ],
    }


def limits_object(limits: BreakerLimits) -> Object:
    """When breakers trip."""
    return {name.replace("-", "_"): getattr(limits, field) for name, field in LIMIT_NAMES.items()}


def connection_limits_object(view: ConnectionLimits) -> Object:
    """When they trip between the two agents of a connection, and what of it is set for them alone."""
    return {
        "id": view.id.hex(),
        "mine": view.mine,
        "peer": view.peer,
        "limits": limits_object(view.limits),
        "own": [name.replace("-", "_") for name, field in LIMIT_NAMES.items() if field in view.own],
    }


def whole_object(whole: WholeTask) -> Object:
    """A task word for word."""
    return {
        "peer": whole.peer,
        "account": whole.account.hex(),
        "fingerprint": fingerprint(whole.account),
        "trust": whole.trust,
        "sha256": whole.hash.hex(),
        "title": whole.title,
        "brief": whole.brief,
        "requirements": list(whole.requirements),
        "parts": [part_object(index, part) for index, part in enumerate(whole.parts)],
        "deadline": _time(whole.deadline),
        "revisions": whole.revisions,
        "budget": whole.budget,
        "created_at": _time(whole.created_at),
        "connection": None if whole.connection is None else connection_object(whole.connection),
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
    return {
        "agent": mode.agent,
        "mode": mode.mode,
        "tells": mode.tells,
        "policies": dict(mode.policies),
        "said": mode.is_said,
    }
