"""The programs that act as agents, and who a caller is, as JSON."""

from __future__ import annotations

from typing import Final

from ..runtimes_port import BoundView, Identity, RuntimeView
from .answers import Object, relay_object
from .kinds import time_text
from .schemas import FLAG, HASH, NUMBER, OK, RELAY, TEXT, TEXTS, TIME, many, record

__all__ = ["BOUND", "IDENTITY", "RUNTIME_SHAPE", "bound_object", "identity_object", "runtime_object"]

RUNTIME_SHAPE: Final = record(
    id=TEXT,
    name=TEXT,
    agent=TEXT,
    program=TEXT,
    status={"enum": ["idle", "busy", "offline"]},
    since={
        **TIME,
        "description": "When the status began; while offline, when it was last heard of.",
    },
    bound_at=TIME,
    seen_at=TIME,
    expires_at={**TIME, "description": "When it counts as gone, if nothing is heard of it."},
)
BOUND: Final = record(
    ok=OK,
    runtime=RUNTIME_SHAPE,
    lease_s={**NUMBER, "description": "How long it keeps what it has in hand without a sign of life."},
    heartbeat_s={**NUMBER, "description": "How often it should send a heartbeat."},
    again={**FLAG, "description": "Whether it was known under its key, and has what it had in hand."},
)
IDENTITY: Final = record(
    owner=TEXT,
    credential={"enum": ["owner", "agent"]},
    label={**TEXT, "description": "What an agent's credential is called."},
    agents=TEXTS,
    device=HASH,
    version=TEXT,
    relay=RELAY,
    runtimes=many(RUNTIME_SHAPE),
)


def runtime_object(runtime: RuntimeView) -> Object:
    """A program that is bound to an agent."""
    return {
        "id": runtime.id,
        "name": runtime.name,
        "agent": runtime.agent,
        "program": runtime.program,
        "status": runtime.status,
        "since": time_text(runtime.since),
        "bound_at": time_text(runtime.bound_at),
        "seen_at": time_text(runtime.seen_at),
        "expires_at": time_text(runtime.expires_at),
    }


def bound_object(bound: BoundView) -> Object:
    """The answer to binding, and to a sign of life."""
    return {
        "ok": True,
        "runtime": runtime_object(bound.runtime),
        "lease_s": bound.lease_s,
        "heartbeat_s": bound.heartbeat_s,
        "again": bound.again,
    }


def identity_object(identity: Identity) -> Object:
    """`GET /whoami`."""
    return {
        "owner": f"@{identity.owner}",
        "credential": "owner" if identity.is_owner else "agent",
        "label": identity.label,
        "agents": list(identity.agents),
        "device": identity.device.hex(),
        "version": identity.version,
        "relay": relay_object(identity.relay),
        "runtimes": [runtime_object(runtime) for runtime in identity.runtimes],
    }
