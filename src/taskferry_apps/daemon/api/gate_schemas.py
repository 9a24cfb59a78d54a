"""The shapes of what waits for the owner, and of what is decided ahead."""

from __future__ import annotations

from typing import Final

from .fields import Schema
from .shapes import FLAG, HASH, NUMBER, TEXT, TEXTS, TIME, many, maybe, record, ref

__all__ = ["GATE_COMPONENTS"]

GATE_COMPONENTS: Final[dict[str, Schema]] = {
    "HeldTask": record(
        task_id=HASH,
        mine=TEXT,
        peer=TEXT,
        trust=TEXT,
        title=TEXT,
        brief_chars={**NUMBER, "description": "Characters of the brief, which the whole task has."},
        attached={**NUMBER, "description": "How many parts came with it."},
        attached_bytes=NUMBER,
        deadline=maybe(TIME),
        arrived_at=TIME,
        code=TEXT,
        why=TEXT,
    ),
    "Alarm": record(id=HASH, text=TEXT, raised_at=maybe(TIME), times=NUMBER, until=TEXT),
    "Stop": record(
        id=HASH,
        mine=TEXT,
        peer=TEXT,
        code=TEXT,
        why=TEXT,
        since=TIME,
        held=NUMBER,
        task_ids=many(HASH),
        refused_until=maybe(TIME),
        items=many(record(id=HASH, type=TEXT, task_id=maybe(HASH), arrived_at=TIME, text=TEXT)),
    ),
    "Limits": record(
        hops=NUMBER,
        messages=NUMBER,
        messages_a_day=NUMBER,
        events=NUMBER,
        events_a_day=NUMBER,
        repeats=NUMBER,
        task_messages=NUMBER,
    ),
    "ConnectionLimits": record(
        id=HASH,
        mine=TEXT,
        peer=TEXT,
        limits=ref("Limits"),
        own={**TEXTS, "description": "Which of them are set for this connection alone."},
    ),
    "WholeTask": record(
        peer={**TEXT, "description": "The agent at the other end."},
        account={**HASH, "description": "Its account, with the fingerprint and how it is known here."},
        fingerprint=TEXT,
        trust=TEXT,
        sha256={**HASH, "description": "What the owner's word binds: the task's id, or the question's hash."},
        title=TEXT,
        brief=TEXT,
        requirements=TEXTS,
        parts=many(ref("Part")),
        deadline=maybe(TIME),
        revisions=NUMBER,
        budget=maybe(NUMBER),
        created_at={**maybe(TIME), "description": "As its sender says; null before it is sent."},
        connection={**maybe(ref("Connection")), "description": "The one in force between the two agents."},
    ),
    "Rule": record(
        id=HASH,
        accept=TEXT,
        agent=TEXT,
        account=HASH,
        trust=TEXT,
        tasks_per_day=NUMBER,
        tasks_today=NUMBER,
        until=maybe(TIME),
        permissions=ref("Grant"),
        created_at=TIME,
        used=NUMBER,
        waits_for=TEXT,
    ),
    "Approval": record(
        id={**HASH, "description": "A hash over the whole question."},
        agent=TEXT,
        **{"class": TEXT},
        what=TEXT,
        why=TEXT,
        task_id=maybe(HASH),
        state={"enum": ["asked", "approved", "denied", "used", "expired"]},
        scope={"enum": ["once", "task"]},
        asked_at=TIME,
        expires_at=TIME,
        decided_at=maybe(TIME),
        by=TEXT,
        answer=TEXT,
        used_at=maybe(TIME),
    ),
    "Mode": record(
        agent=TEXT,
        mode={"enum": ["open", "guarded", "read-only"]},
        tells={**FLAG, "description": "Whether senders are told what becomes of their mail there."},
        policies={"type": "object", "additionalProperties": {"enum": ["always", "ask", "never"]}},
        said={"type": "boolean", "description": "Whether its owner has said the mode on this machine."},
    ),
}
