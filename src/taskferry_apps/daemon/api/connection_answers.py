"""Connections and what is known of the agents at their other ends, as JSON."""

from __future__ import annotations

from ..views import CardView, ConnectionView, GrantView
from .answers import Object, maybe_time
from .kinds import time_text

__all__ = ["connection_object", "connection_step_object", "grant_object"]


def grant_object(grant: GrantView) -> Object:
    """What one side may send to the other."""
    return {
        "version": grant.version,
        "classes": list(grant.classes),
        "rate_per_minute": grant.rate_per_minute,
        "largest_bytes": grant.largest_bytes,
        "until": maybe_time(grant.until),
        "terms": {
            "auto_trigger": grant.auto_trigger,
            "human_gate": grant.human_gate,
            "task_budget": grant.task_budget,
            "largest_artifact": grant.largest_artifact,
        },
    }


def connection_object(connection: ConnectionView) -> Object:
    """A connection, or a request for one."""
    return {
        "id": connection.id.hex(),
        "mine": connection.mine,
        "peer": connection.peer,
        "state": connection.state,
        "end_kind": connection.end_kind,
        "note": connection.note,
        "trust": connection.trust,
        "given": None if connection.given is None else grant_object(connection.given),
        "received": None if connection.received is None else grant_object(connection.received),
        "created_at": time_text(connection.created_at),
        "updated_at": time_text(connection.updated_at),
        "invite": connection.invite.hex() or None,
        "invite_state": connection.invite_state,
        "expires_at": time_text(connection.expires_at),
        "again_at": maybe_time(connection.again_at),
        "barred": connection.barred,
        "card": None if connection.card is None else _card_object(connection.card),
    }


def _card_object(card: CardView) -> Object:
    return {
        "version": card.version,
        "display_name": card.display_name,
        "tagline": card.tagline,
        "description": card.description,
        "capabilities": list(card.capabilities),
    }


def connection_step_object(connection: ConnectionView) -> Object:
    """What was just done about a connection."""
    return {
        "ok": True,
        "id": connection.id.hex(),
        "message_id": connection.message.hex() if connection.message is not None else None,
        "state": connection.state,
    }
