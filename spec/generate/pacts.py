"""Connection statements, grants and terms between ada/lead, who asks, and bob/coder, who is asked."""

from __future__ import annotations

from collections.abc import Mapping

from spec.generate.kit import DAY, NOW, Map, Signer, Value, enc, fixed, sha, sign
from spec.generate.parcels import ADA, BOB, CODER, LEAD

ASKED = NOW - DAY


def request(by: Signer | None = None, kind: str = "connection-request", /, **other: Value) -> bytes:
    """Ada's request; `from` comes as `from_`."""
    members: Map = {
        "v": 1,
        "from": LEAD,
        "to": CODER,
        "at": ASKED,
        "expires_at": ASKED + 30 * DAY,
        "nonce": fixed("request nonce", 16),
        "log": ADA.position(),
    }
    return sign(by or ADA.manage, kind, _with(members, other))


def _with(members: Map, other: Mapping[str, Value]) -> Map:
    return members | {key.rstrip("_"): value for key, value in other.items()}


REQUEST = request()
NAME = sha(REQUEST)


def accept(by: Signer | None = None, kind: str = "connection-accept", /, **other: Value) -> bytes:
    """Bob's acceptance."""
    members: Map = {
        "v": 1,
        "request": NAME,
        "by": CODER,
        "peer": LEAD,
        "at": ASKED + 60_000,
        "log": BOB.position(),
    }
    return sign(by or BOB.manage, kind, _with(members, other))


def end(by: Signer | None = None, kind: str = "connection-end", /, **other: Value) -> bytes:
    """Bob's end of it; the payload's own `kind` comes as `kind_`."""
    members: Map = {
        "v": 1,
        "request": NAME,
        "by": CODER,
        "peer": LEAD,
        "kind": "revoked",
        "at": NOW,
        "log": BOB.position(),
    }
    return sign(by or BOB.manage, kind, _with(members, other))


def terms(**members: Value) -> bytes:
    """Terms, encoded; the salt is always there."""
    return enc({"salt": fixed("terms salt", 16), **members})


TERMS = terms(auto_trigger=True, human_gate=False, task_budget=3, largest_artifact=1_000_000)


def grant(by: Signer | None = None, kind: str = "grant", /, **other: Value) -> bytes:
    """What Bob lets Ada send: `from` is who grants, `to` who may send."""
    members: Map = {
        "v": 1,
        "request": NAME,
        "from": CODER,
        "to": LEAD,
        "version": 1,
        "prev": None,
        "at": ASKED + 60_000,
        "until": None,
        "classes": ["artifact", "message", "task"],
        "rate": 60,
        "largest": 262_144,
        "terms": sha(TERMS),
        "log": BOB.position(),
    }
    return sign(by or BOB.manage, kind, _with(members, other))
