"""Messages as a stranger would write them by the text alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pytest

from taskferry_protocol.cbor import encode
from taskferry_protocol.errors import RemoteProtocolError
from taskferry_protocol.messages import (
    decode_content,
)

from .contents import CONV

H = b"h" * 32
FILE = {
    "kind": "file",
    "name": "a.txt",
    "media": "text/plain",
    "size": 3,
    "sha256": hashlib.sha256(b"abc").digest(),
    "data": b"abc",
}
BLOB = {
    "kind": "blob",
    "name": "a.bin",
    "media": "application/octet-stream",
    "size": 5_000_000,
    "sha256": H,
    "blob": H,
    "key": H,
    "length": 5_000_080,
    "chunk": 1_048_576,
}

#: A body of each type as it stands on the wire.
SAMPLES: Mapping[str, Mapping[str, object]] = {
    "message": {"text": "hi", "parts": []},
    "connection_request": {"statement": b"s", "grant": b"g", "terms": b"t", "note": "", "log": [b"c"]},
    "connection_accept": {"statement": b"s", "grant": b"g", "terms": b"t", "log": [b"c"]},
    "connection_end": {"statement": b"s", "reason": ""},
    "grant_update": {"grant": b"g", "terms": b"t"},
    "task_request": {
        "title": "Tidy up",
        "brief": "",
        "parts": [],
        "requirements": [],
        "deadline": None,
        "revisions": 2,
        "budget": None,
    },
    "task_accept": {"note": ""},
    "task_decline": {"reason": ""},
    "task_progress": {"note": "", "percent": None},
    "artifact_submit": {"note": "", "parts": [FILE], "answers": 0},
    "revision_request": {"version": 1, "hash": H, "reasons": ["too short"]},
    "task_complete": {"version": 1, "hash": H, "note": ""},
    "task_cancel": {"reason": ""},
    "task_fail": {"reason": ""},
    "task_expire": {"deadline": 5},
    "task_seen": {},
    "task_repeat": {"envelope": b"e", "key": bytes(32)},
    "receipt": {"items": [[H, "applied", None]]},
    "account_update": {"statements": [b"s"], "from": 3},
    "card_update": {"card": b"c"},
    "grant_digest": {"digest": H, "count": 1},
    "device_share": {"items": [{"kind": "card", "card": b"c"}], "done": 0, "total": 0},
    "action_request": {
        "task": H,
        "action": "cancel",
        "agent": "coder",
        "by": "owner",
        "until": 1,
        "text": "",
        "percent": None,
        "parts": [],
        "reasons": [],
        "version": None,
        "hash": None,
        "answers": None,
    },
    "action_outcome": {
        "request": H,
        "outcome": "done",
        "event": H,
        "state": "cancelled",
        "code": "",
        "text": "",
        "next": "",
    },
}
LINK = {"task": H, "n": 1, "prev": H, "seen": [1, H]}


def written(type_name: str, body: object, /, **members: object) -> bytes:
    """Content as a stranger would write it; a member that is `...` is left out."""
    link: dict[str, object] = {}
    if type_name == "task_request":
        link = {"link": {"task": None, "n": 0, "prev": None, "seen": [0, None]}}
    elif type_name in ("artifact_submit", "revision_request") or (
        type_name.startswith("task_") and type_name != "task_repeat"
    ):
        link = {"link": LINK}
    content = {"type": type_name, "minor": 0, "conv": CONV, "hop": 0, "cause": [], "body": body}
    return encode({key: value for key, value in (content | link | members).items() if value is not ...})


def refusal(raw: bytes) -> tuple[str, str]:
    """Code and field of what is refused."""
    with pytest.raises(RemoteProtocolError) as caught:
        decode_content(raw)
    return caught.value.code.value, caught.value.field
