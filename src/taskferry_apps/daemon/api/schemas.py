"""The shapes of the answers, as OpenAPI describes them. A test holds every real answer against its own."""

from __future__ import annotations

from typing import Final

from .fields import Schema

__all__ = [
    "COMPONENTS",
    "FLAG",
    "HASH",
    "NUMBER",
    "OK",
    "TEXT",
    "TEXTS",
    "TIME",
    "many",
    "maybe",
    "page",
    "record",
    "ref",
]

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "integer"}
FLAG: Final[Schema] = {"type": "boolean"}
OK: Final[Schema] = {"const": True}
HASH: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
TEXTS: Final[Schema] = {"type": "array", "items": TEXT}


def ref(name: str) -> Schema:
    """A component by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def many(item: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": item}


def maybe(schema: Schema) -> Schema:
    """A value or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def record(optional: dict[str, Schema] | None = None, /, **members: Schema) -> Schema:
    """A closed object: all members but the `optional` ones are always there."""
    return {
        "type": "object",
        "properties": {**members, **(optional or {})},
        "required": list(members),
        "additionalProperties": False,
    }


def page(name: str, item: Schema) -> Schema:
    """Some items and where to go on: the cursor is empty at the end."""
    return record(**{name: many(item), "cursor": TEXT, "more": FLAG})


_RELAY: Final = record(
    url=TEXT,
    connected=FLAG,
    transport={"enum": ["websocket", "longpoll", "memory", ""]},
    since=maybe(TIME),
    queued=NUMBER,
    last_error=TEXT,
    notice=TEXT,
)
_TERMS: Final = record(auto_trigger=FLAG, human_gate=FLAG, task_budget=NUMBER, largest_artifact=NUMBER)
_SUMMARY: Final[dict[str, Schema]] = {
    "task_id": HASH,
    "title": TEXT,
    "mine": TEXT,
    "peer": TEXT,
    "role": {"enum": ["requester", "worker"]},
    "state": TEXT,
    "confirmed": FLAG,
    "final": FLAG,
    "deadline": maybe(TIME),
    "created_at": TIME,
    "updated_at": TIME,
}
_PART: Final = record(
    {"text": TEXT, "json": TEXT, "media": TEXT, "sha256": HASH},
    kind={"enum": ["text", "json", "file", "blob"]},
    part={**NUMBER, "description": "Its number in the download path."},
    name=TEXT,
    size=NUMBER,
)
_EVENT: Final = record(
    n=NUMBER,
    side={"enum": ["requester", "worker"]},
    type=TEXT,
    hash=HASH,
    prev=maybe(HASH),
    seen=NUMBER,
    device=HASH,
    at=TIME,
    effect=TEXT,
    confirmed=FLAG,
    note=TEXT,
    delivery=maybe(ref("Delivery")),
)
_INVITE: Final = record(
    id={"type": "string", "pattern": "^[0-9a-f]{32}$"},
    agent=TEXT,
    note=TEXT,
    state={"enum": ["open", "used_up", "over", "withdrawn"]},
    uses=NUMBER,
    used=NUMBER,
    accept=FLAG,
    expires_at=TIME,
    created_at=TIME,
)
_BY_AGENT_ID: Final = "in an inbox asked for by `agent_id`."
#: A task in a list: `versions` is how many there are.
_LISTED_TASK: Final = record(**_SUMMARY, versions=NUMBER)

COMPONENTS: Final[dict[str, Schema]] = {
    "Error": record(
        ok={"const": False},
        error=record(
            {
                "field": TEXT,
                "state": TEXT,
                "actions": TEXTS,
                "retry_after": {"type": "number", "description": "Seconds."},
                "approval": {**HASH, "description": "The question that the owner is asked."},
            },
            code=TEXT,
            message=TEXT,
            next=TEXT,
        ),
    ),
    "Status": record(
        {
            "set_up": FLAG,
            "handle_owner": TEXT,
            "account": maybe(HASH),
            "device": maybe(HASH),
            "relay": maybe(_RELAY),
            "version": TEXT,
            "alarms": TEXTS,
            "secrets": {"enum": ["files", "keyring"]},
            "manage": {"enum": ["none", "open", "locked", "unlocked"]},
            "changed_peers": TEXTS,
            "client_id": {**TEXT, "description": "Another name for `handle_owner`."},
            "device_id": {**TEXT, "description": "Another name for `device`; empty where there is none."},
            "relay_connected": {**FLAG, "description": "Another name for `relay.connected`."},
        },
        status={"const": "ok"},
        service={"const": "daemon"},
    ),
    "SetUp": record(ok=OK, owner=TEXT, account=HASH, device=HASH, recovery_key=TEXT, name_claimed=FLAG),
    "Account": record(
        owner=TEXT,
        account=HASH,
        length=NUMBER,
        head=HASH,
        devices=many(record(id=HASH, label=TEXT, status=TEXT)),
        agents={"type": "object", "additionalProperties": many(HASH)},
    ),
    "Agent": record(
        handle=TEXT,
        name=TEXT,
        display_name=TEXT,
        tagline=TEXT,
        description=TEXT,
        capabilities=TEXTS,
        public=FLAG,
        created_at=TIME,
        last_seen_at=maybe(TIME),
        agent_id={**TEXT, "description": "Another name for `handle`."},
        public_profile={**FLAG, "description": "Another name for `public`."},
    ),
    "Grant": record(
        version=NUMBER,
        classes=TEXTS,
        rate_per_minute=NUMBER,
        largest_bytes=NUMBER,
        until=maybe(TIME),
        terms=_TERMS,
    ),
    "Connection": record(
        id=HASH,
        mine=TEXT,
        peer=TEXT,
        state={"enum": ["requested_out", "requested_in", "accepted", "ended", "expired"]},
        end_kind=TEXT,
        note=TEXT,
        trust=TEXT,
        given=maybe(ref("Grant")),
        received=maybe(ref("Grant")),
        created_at=TIME,
        updated_at=TIME,
        invite={**maybe(TEXT), "description": "The id of the invite that the request named."},
        invite_state={"enum": ["", "valid", "unknown-invite", "expired", "invite-used"]},
        expires_at={**TIME, "description": "Of the request."},
        again_at={**maybe(TIME), "description": "From when on the one who was declined may ask again."},
    ),
    "ConnectionStep": record(ok=OK, id=HASH, message_id=maybe(HASH), state=TEXT),
    "Delivery": record(rung=TEXT, at=TIME, code=TEXT, history=many(record(rung=TEXT, at=TIME))),
    "SentMessage": record(
        {"failed": many(record(to=TEXT, error={"type": "object"}))},
        ok=OK,
        message_id=HASH,
        message_ids=many(HASH),
        conversation=TEXT,
        delivery=ref("Delivery"),
        warnings=TEXTS,
    ),
    "SentTask": record(
        {"version": NUMBER},
        ok=OK,
        task_id=HASH,
        message_id=HASH,
        conversation=TEXT,
        state=TEXT,
        delivery=ref("Delivery"),
        warnings=TEXTS,
    ),
    "Message": record(
        {
            "payload": {"type": "object", "description": "The content; left out with header_only."},
            "MessageID": {**HASH, "description": f"Another name for `id`, {_BY_AGENT_ID}"},
            "TaskID": {**TEXT, "description": f"Another name for `task_id`, or empty, {_BY_AGENT_ID}"},
            "Sender": {**TEXT, "description": f"Another name for `from`, {_BY_AGENT_ID}"},
            "Plaintext": {
                **record({"version": NUMBER}),
                "description": f"Which version of the work an artifact is, {_BY_AGENT_ID}",
            },
        },
        id=HASH,
        direction={"enum": ["in", "out", "copy"]},
        type=TEXT,
        **{"from": TEXT},
        to=TEXT,
        conversation=TEXT,
        task_id=maybe(HASH),
        title=TEXT,
        created_at=TIME,
        received_at=maybe(TIME),
        state=TEXT,
        trust=TEXT,
        code=TEXT,
        auto_start={**FLAG, "description": "Whether a program may begin on it without a person."},
        delivery=maybe(ref("Delivery")),
    ),
    "Acknowledged": record(ok=OK, id=HASH, state={"const": "processed"}),
    "Quarantined": record(id=HASH, peer=TEXT, code=TEXT, reason=TEXT, received_at=TIME, size=NUMBER),
    "Part": _PART,
    "Version": record(
        version=NUMBER, hash=HASH, status=TEXT, note=TEXT, parts=many(ref("Part")), submitted_at=TIME
    ),
    "TaskEvent": _EVENT,
    "ListedTask": _LISTED_TASK,
    "Task": record(
        **_SUMMARY,
        brief=TEXT,
        requirements=TEXTS,
        parts=many(ref("Part")),
        asks=NUMBER,
        revisions=NUMBER,
        budget=maybe(NUMBER),
        versions=many(ref("Version")),
        revision_requests=many(record(version=NUMBER, reasons=TEXTS)),
        events=many(ref("TaskEvent")),
        waiting=TEXTS,
        actions=TEXTS,
        delivery=maybe(ref("Delivery")),
        mark={**TEXT, "description": "Another one whenever anything shown here is otherwise."},
    ),
    "TaskLog": record(task_id=HASH, state=TEXT, events=many(ref("TaskEvent"))),
    "Invite": _INVITE,
    "NewInvite": record(
        ok=OK,
        link={**TEXT, "description": "With the secret, told once."},
        page={**TEXT, "description": "The relay's page about it, without the secret."},
        published={**FLAG, "description": "Whether the relay has it by now."},
        invite=ref("Invite"),
    ),
    "HeldLink": record(ok=OK, id=TEXT, relay=TEXT, problem=maybe(record(code=TEXT, message=TEXT, next=TEXT))),
    "Link": record(
        id=TEXT,
        kind={"const": "invite"},
        relay=TEXT,
        peer=TEXT,
        account=HASH,
        fingerprint=TEXT,
        trust={**TEXT, "description": "How the account is known here; empty for one that is new."},
        display_name=TEXT,
        tagline=TEXT,
        expires_at=TIME,
        agents=many(record(name=TEXT, state=TEXT)),
    ),
    "HeldTask": record(
        task_id=HASH,
        mine=TEXT,
        peer=TEXT,
        trust=TEXT,
        title=TEXT,
        brief=TEXT,
        requirements=TEXTS,
        attached=many(record(name=TEXT, size=NUMBER)),
        deadline=maybe(TIME),
        arrived_at=TIME,
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
        policies={"type": "object", "additionalProperties": {"enum": ["always", "ask", "never"]}},
    ),
    "Token": record(id=TEXT, label=TEXT, agents=TEXTS, created_at=TIME, revoked_at=maybe(TIME)),
    "NewToken": record(
        ok=OK, token={**TEXT, "description": "The secret, told once."}, id=TEXT, label=TEXT, agents=TEXTS
    ),
}
