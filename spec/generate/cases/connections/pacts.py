"""Requests, acceptances and ends: who may sign what, for whom, until when."""

from __future__ import annotations

from collections.abc import Iterator

from spec.generate.kit import DAY, Value, fixed, tampered
from spec.generate.pacts import ASKED, REQUEST, accept, end, request
from spec.generate.parcels import ADA, BOB, CODER, LEAD
from spec.generate.vector import ACCEPT, Json, Vector, hexes

AREA = "connections"
SECTION = "identity.md#6-connections"
Fault = tuple[str, str, str, bytes]
OTHER: list[Value] = [fixed("third account"), "third"]


def case(
    kind: str, name: str, comment: str, expect: str, raw: bytes, signer: str = "bob", asked: bytes = REQUEST
) -> Vector:
    """One statement; all but the request are read against the request."""
    logs: Json = {
        "ada": hexes(ADA.statements),
        "bob": hexes(BOB.statements),
    }
    members: dict[str, Json] = {
        "spec": SECTION,
        "comment": comment,
        "kind": kind,
        "logs": logs,
        "signer": signer,
    }
    if kind != "connection-request":
        members["request"] = asked.hex()
    return Vector(
        AREA, f"{kind.removeprefix('connection-')}_{name}", {**members, "input": raw.hex(), "expect": expect}
    )


def requests() -> Iterator[Fault]:
    """Requests."""
    yield "good", "ada/lead asks bob/coder", ACCEPT, REQUEST
    yield "thirty_days", "the longest that a request may stand", ACCEPT, request(expires_at=ASKED + 30 * DAY)
    within = request(to=[ADA.account, "writer"])
    yield "within_account", "two agents of one account", ACCEPT, within
    yield "to_itself", "an agent asks itself", "bad-value", request(to=LEAD)
    yield (
        "expires_late",
        "it stands 30 days and a millisecond",
        "bad-time",
        request(expires_at=ASKED + 30 * DAY + 1),
    )
    yield "expires_at_once", "it expires when it is made", "bad-time", request(expires_at=ASKED)
    yield "nonce_short", "a nonce of 15 bytes", "bad-value", request(nonce=bytes(15))
    yield "version_2", "a later format", "unknown-version", request(v=2)
    yield "more", "a field that is not known", "unknown-field", request(note="hello")
    yield "from_empty", "an account asks, not an agent", "bad-value", request(from_=[ADA.account, ""])
    yield "by_device_key", "signed by a device key", "not-authorized", request(ADA.first.id)
    yield "by_peer", "signed by the one who is asked", "not-authorized", request(BOB.manage)
    yield "other_kind", "signed as an acceptance", "bad-signature", request(ADA.manage, "connection-accept")
    yield "signature", "one bit of the signature changed", "bad-signature", tampered(REQUEST)
    yield (
        "log_elsewhere",
        "a head that the log does not have",
        "not-an-extension",
        request(log=[1, bytes(32)]),
    )


def accepts() -> Iterator[Fault]:
    """Acceptances by Bob."""
    yield "good", "bob/coder accepts", ACCEPT, accept()
    yield "last_moment", "in the last millisecond", ACCEPT, accept(at=ASKED + 30 * DAY)
    yield (
        "late",
        "a millisecond after the request expired",
        "request-expired",
        accept(at=ASKED + 30 * DAY + 1),
    )
    yield "other_request", "another request's hash", "unknown-request", accept(request=fixed("no request"))
    yield "other_peer", "another peer than the one who asked", "unknown-request", accept(peer=OTHER)
    yield (
        "other_agent",
        "another agent of the account that is asked",
        "unknown-request",
        accept(by=[BOB.account, "writer"]),
    )
    yield "by_device_key", "signed by a device key", "not-authorized", accept(BOB.first.id)
    yield "by_other_owner", "signed by the one who asked", "not-authorized", accept(ADA.manage)
    yield "more", "a field that is not known", "unknown-field", accept(note="welcome")
    yield "other_kind", "signed as a request", "bad-signature", accept(BOB.manage, "connection-request")
    yield "log_elsewhere", "a head that the log does not have", "not-an-extension", accept(log=[1, bytes(32)])


def ends() -> Iterator[Fault]:
    """Ends by Bob."""
    for kind in ("declined", "revoked", "blocked"):
        yield kind, f"bob/coder: {kind}", ACCEPT, end(kind_=kind)
    yield "kind_unknown", "an end that is not known", "bad-value", end(kind_="forgotten")
    yield "other_request", "another request's hash", "unknown-request", end(request=fixed("no request"))
    yield "other_peer", "a peer that has no part in it", "unknown-request", end(peer=OTHER)
    yield "by_device_key", "signed by a device key", "not-authorized", end(BOB.first.id)
    yield "other_kind", "signed as an acceptance", "bad-signature", end(BOB.manage, "connection-accept")
    yield "more", "a field that is not known", "unknown-field", end(reason="over")


def vectors() -> Iterator[Vector]:
    """All of them."""
    for name, comment, code, raw in requests():
        yield case("connection-request", name, comment, code, raw, "ada")
    for name, comment, code, raw in accepts():
        yield case("connection-accept", name, comment, code, raw)
    own = accept(ADA.manage, by=LEAD, peer=CODER, log=ADA.position())
    yield case("connection-accept", "own_request", "who asked accepts", "own-request", own, "ada")
    for name, comment, code, raw in ends():
        yield case("connection-end", name, comment, code, raw)
    mine = end(ADA.manage, by=LEAD, peer=CODER, log=ADA.position())
    yield case("connection-end", "by_requester", "who asked may end it too", ACCEPT, mine, "ada")
