"""The daemon's views as JSON: ids in small hex, times in RFC 3339."""

from __future__ import annotations

import json

from taskferry_protocol.ids import Hash, Instant, fingerprint
from taskferry_protocol.records import WaitingCounts

from ..action_port import AskedView
from ..views import (
    AccountView,
    AgentView,
    Delivery,
    EventView,
    LeaseView,
    MessageView,
    QuarantineView,
    RelayStatus,
    Sent,
    SetUp,
    Status,
    TaskEventView,
    TaskSummary,
    TaskView,
    TokenView,
    VersionView,
)
from .first_names import agent_names, status_names
from .kinds import time_text
from .parts import part_object

__all__ = [
    "Object",
    "account_object",
    "agent_object",
    "asked_object",
    "event_object",
    "lease_object",
    "link_object",
    "maybe_time",
    "message_object",
    "quarantine_object",
    "relay_object",
    "sent_object",
    "set_up_object",
    "status_object",
    "summary_object",
    "task_object",
    "token_object",
    "versions_object",
]

Object = dict[str, object]
"""A JSON object that is answered."""


def maybe_time(at: Instant | None) -> str | None:
    """A time, or null where there is none."""
    return None if at is None else time_text(at)


def _hex(raw: bytes | None) -> str | None:
    return None if raw is None else raw.hex()


def status_object(status: Status) -> Object:
    """`GET /health` with a credential."""
    link = status.relay
    return {
        "status": "ok",
        "service": "daemon",
        "set_up": status.set_up,
        "handle_owner": status.owner,
        "account": _hex(status.account),
        "fingerprint": fingerprint(status.account) if status.account is not None else "",
        "device": _hex(status.device),
        "relay": None if link is None else relay_object(link),
        "version": status.version,
        "alarms": list(status.alarms),
        "secrets": status.secrets,
        "manage": status.manage,
        "changed_peers": list(status.changed),
        "stopped": 0 if status.waiting is None else status.waiting.stops,
        "waiting": None if status.waiting is None else _waiting_object(status, status.waiting),
        **status_names(status),
    }


def _waiting_object(status: Status, counts: WaitingCounts) -> Object:
    return {
        "questions": counts.questions,
        "requests": counts.requests,
        "tasks": counts.tasks,
        "stopped": counts.stops,
        "identities": len(status.changed),
        "alarms": len(status.alarms),
        "quarantined": counts.quarantined,
    }


def relay_object(link: RelayStatus) -> Object:
    """How the link to the relay stands."""
    return {
        "url": link.url,
        "connected": link.connected,
        "transport": link.transport,
        "since": maybe_time(link.since),
        "queued": link.queued,
        "last_error": link.last_error,
        "notice": link.notice,
    }


def set_up_object(made: SetUp) -> Object:
    """The outcome of a set-up; the only answer that holds the recovery key."""
    return {
        "ok": True,
        "owner": made.owner,
        "account": made.account.hex(),
        "device": made.device.hex(),
        "recovery_key": made.recovery_key,
        "name_claimed": made.name_claimed,
    }


def account_object(account: AccountView) -> Object:
    """The account log in brief."""
    return {
        "owner": account.owner,
        "account": account.account.hex(),
        "fingerprint": fingerprint(account.account),
        "length": account.length,
        "head": account.head.hex(),
        "devices": [
            {"id": device.hex(), "label": label, "status": status}
            for device, label, status in account.devices
        ],
        "agents": {
            name: [device.hex() for device in devices] for name, devices in sorted(account.agents.items())
        },
    }


def agent_object(agent: AgentView) -> Object:
    """One agent of this owner."""
    return {
        "handle": agent.handle,
        "name": agent.name,
        "display_name": agent.display_name,
        "tagline": agent.tagline,
        "description": agent.description,
        "capabilities": list(agent.capabilities),
        "public": agent.public,
        "version": agent.version,
        "created_at": time_text(agent.created_at),
        "last_seen_at": maybe_time(agent.last_seen_at),
        "status": agent.status,
        "since": maybe_time(agent.since),
        "runtimes": agent.runtimes,
        **agent_names(agent),
    }


def _delivery(delivery: Delivery | None) -> Object | None:
    if delivery is None:
        return None
    return {
        "rung": delivery.rung,
        "at": time_text(delivery.at),
        "code": delivery.code,
        "history": [{"rung": rung, "at": time_text(at)} for rung, at in delivery.history],
        "told": delivery.told,
        "words": delivery.words,
    }


def sent_object(sent: Sent) -> Object:
    """What was just sent."""
    return {
        "ok": True,
        "message_id": sent.message.hex(),
        "conversation": sent.conversation.hex(),
        "delivery": _delivery(sent.delivery),
        "warnings": list(sent.warnings),
    }


def lease_object(lease: LeaseView) -> Object:
    """Under which a bound program has an item."""
    return {"runtime": lease.runtime, "fence": lease.fence, "expires_at": time_text(lease.expires_at)}


def message_object(message: MessageView) -> Object:
    """One message in full."""
    coming = message.direction == "in"
    lease = message.lease
    shown = {} if lease is None else {"lease": lease_object(lease)}
    return {
        **shown,
        "id": message.id.hex(),
        "direction": message.direction,
        "type": message.type,
        "from": message.peer if coming else message.mine,
        "to": message.mine if coming else message.peer,
        "conversation": message.conversation.hex(),
        "task_id": _hex(message.task),
        "title": message.title,
        "created_at": time_text(message.created_at),
        "received_at": maybe_time(message.received_at),
        "state": message.state,
        "trust": message.trust,
        "code": message.code,
        "auto_start": message.auto_start,
        "payload": dict(message.payload),
        "delivery": _delivery(message.delivery),
    }


def quarantine_object(item: QuarantineView) -> Object:
    """Something that arrived and has no effect."""
    return {
        "id": item.id.hex(),
        "peer": item.peer,
        "code": item.code,
        "reason": item.reason,
        "received_at": time_text(item.received_at),
        "size": item.size,
        "barred": item.barred,
        "next": item.next_step,
    }


def token_object(token: TokenView) -> Object:
    """A credential without its secret."""
    return {
        "id": token.id,
        "label": token.label,
        "agents": list(token.agents),
        "created_at": time_text(token.created_at),
        "revoked_at": maybe_time(token.revoked_at),
    }


# --- Tasks --------------------------------------------------------------------------------------------------


def summary_object(task: TaskSummary) -> Object:
    """A task in a list."""
    return {
        "task_id": task.id.hex(),
        "title": task.title,
        "mine": task.mine,
        "peer": task.peer,
        "role": task.role,
        "state": task.state,
        "confirmed": task.confirmed,
        "final": task.final,
        "versions": task.versions,
        "deadline": maybe_time(task.deadline),
        "created_at": time_text(task.created_at),
        "updated_at": time_text(task.updated_at),
    }


def _version(version: VersionView) -> Object:
    return {
        "version": version.version,
        "hash": version.hash.hex(),
        "status": version.status,
        "note": version.note,
        "parts": [part_object(index, part) for index, part in enumerate(version.parts)],
        "submitted_at": time_text(version.submitted_at),
    }


def link_object(event: TaskEventView) -> Object:
    """One event of a task's two chains, with its place in them."""
    return {
        "n": event.n,
        "side": event.side,
        "type": event.type,
        "hash": event.hash.hex(),
        "prev": _hex(event.prev),
        "seen": event.seen,
        "device": event.device.hex(),
        "at": time_text(event.at),
        "effect": event.effect,
        "confirmed": event.confirmed,
        "note": event.note,
        "delivery": _delivery(event.delivery),
    }


def task_object(task: TaskView) -> Object:
    """A task in full."""
    return {
        **summary_object(task.summary),
        "brief": task.brief,
        "requirements": list(task.requirements),
        "parts": [part_object(index, part) for index, part in enumerate(task.parts)],
        "asks": task.asks,
        "revisions": task.revisions,
        "budget": task.budget,
        "versions": [_version(version) for version in task.versions],
        "revision_requests": _revision_requests(task),
        "events": [link_object(event) for event in task.events],
        "waiting": list(task.waiting),
        "actions": list(task.actions),
        "delivery": _delivery(task.delivery),
        "acts_on": task.acts_on,
        "requests": [asked_object(asked) for asked in task.requests],
        "events_cursor": task.events_cursor,
        "versions_cursor": task.versions_cursor,
    }


def versions_object(task: TaskView) -> Object:
    """A page of a task's versions, and what was found wanting in them."""
    return {
        "task_id": task.summary.id.hex(),
        "versions": [_version(version) for version in task.versions],
        "revision_requests": _revision_requests(task),
        "cursor": task.versions_cursor,
        "more": bool(task.versions_cursor),
    }


def _revision_requests(task: TaskView) -> list[Object]:
    return [{"version": version, "reasons": list(reasons)} for version, reasons in task.revision_requests]


def asked_object(asked: AskedView) -> Object:
    """An action that was passed on to another device of the owner's."""
    return {
        "request_id": asked.id.hex(),
        "task_id": asked.task.hex(),
        "device": asked.device,
        "agent": asked.agent,
        "action": asked.action,
        "state": asked.state,
        "asked_at": time_text(asked.asked_at),
        "until": time_text(asked.until),
        "ended_at": maybe_time(asked.ended_at),
        "event": _hex(asked.event),
        "code": asked.code,
        "message": asked.text,
        "next": asked.next_step,
    }


# --- The feed -----------------------------------------------------------------------------------------------


def event_object(event: EventView) -> Object:
    """One line of the feed: its facts, then what every line has.

    The first reference is the message that the line is about, the second the task that it belongs to.
    """
    facts = json.loads(event.text) if event.text else {}
    shown = {_unlike(name, event.kind): value for name, value in facts.items()}
    own: Object = {
        "id": event.id,
        "kind": event.kind,
        "agent": event.agent,
        "at": time_text(event.at),
    }
    return {**own, **shown, **_references(event.refs), **own}


def _unlike(name: str, kind: str) -> str:
    # `id` is the line's own number.
    return f"{kind}_id" if name == "id" else name


def _references(refs: tuple[Hash, ...]) -> Object:
    return {name: ref.hex() for name, ref in zip(("message_id", "task_id"), refs, strict=False)}
