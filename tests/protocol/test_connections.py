"""Requests, acceptances and ends (spec/identity.md section 6)."""

import pytest

from taskferry_protocol.connections import (
    ConnectionRequest,
    EndKind,
    read_accept,
    read_end,
    read_request,
    sign_accept,
    sign_end,
    sign_request,
)
from taskferry_protocol.crypto import Kind
from taskferry_protocol.errors import LocalProtocolError
from taskferry_protocol.ids import AgentRef, Instant, sha256
from taskferry_protocol.limits import DAY_MS

from .owners import NOW, Owner, Refused, resigned

ANN, BOB, EVE = Owner("ann"), Owner("bob"), Owner("eve")


ASKER, CODER = ANN.agent("asker"), BOB.agent("coder")
TOMORROW = Instant(NOW + DAY_MS)


def ask(to: AgentRef = CODER, expires_at: Instant = TOMORROW) -> ConnectionRequest:
    """Ann's request, as Bob reads it."""
    raw = sign_request(
        ASKER,
        to,
        at=NOW,
        expires_at=expires_at,
        nonce=bytes(16),
        log=ANN.log.position,
        by=ANN.manage,
    )
    return read_request(raw, ANN.log)


REQUEST = ask()
ACCEPT = sign_accept(REQUEST, at=NOW, log=BOB.log.position, by=BOB.manage)


def test_request_survives_the_way():
    """The hash of the bytes as sent names the connection."""
    assert REQUEST.hash == sha256(REQUEST.raw)
    assert (REQUEST.from_, REQUEST.to) == (ANN.agent("asker"), BOB.agent("coder"))
    assert (REQUEST.at, REQUEST.expires_at, REQUEST.nonce) == (NOW, NOW + DAY_MS, bytes(16))


def test_two_agents_of_one_account_may_connect():
    """An owner's agents ask each other like any two; an agent does not ask itself."""
    ask(to=ANN.agent("coder"))
    with Refused("bad-value", "to"):
        ask(to=ANN.agent("asker"))


def test_request_lives_thirty_days_at_most():
    """It ends after it began, and not too late."""
    ask(expires_at=Instant(NOW + 1))
    ask(expires_at=Instant(NOW + 30 * DAY_MS))
    for end in (NOW, NOW - 1, NOW + 30 * DAY_MS + 1):
        with Refused("bad-time", "expires_at"):
            ask(expires_at=Instant(end))


def test_nonce_is_sixteen_bytes():
    """No more and no fewer."""
    with Refused("bad-value", "nonce"):
        raw = resigned(REQUEST.raw, Kind.CONNECTION_REQUEST, ANN.manage, {"nonce": bytes(15)})
        read_request(raw, ANN.log)


def test_acceptance_is_by_the_one_who_was_asked():
    """It quotes the request and both agents."""
    accept = read_accept(ACCEPT, BOB.log, REQUEST)
    assert (accept.request, accept.by, accept.peer) == (REQUEST.hash, REQUEST.to, REQUEST.from_)
    assert accept.hash == sha256(ACCEPT)


def test_nobody_accepts_their_own_request():
    """Whoever asks cannot answer, even in the right form."""
    by, peer = [ANN.log.account, "asker"], [BOB.log.account, "coder"]
    raw = resigned(
        ACCEPT, Kind.CONNECTION_ACCEPT, ANN.manage, {"by": by, "peer": peer, "log": [1, ANN.log.heads[0]]}
    )
    with Refused("own-request"):
        read_accept(raw, ANN.log, REQUEST)


@pytest.mark.parametrize(
    "changes",
    [
        {"request": bytes(32)},
        {"by": [BOB.log.account, "other"]},
        {"by": [EVE.log.account, "coder"]},
        {"peer": [ANN.log.account, "other"]},
        {"peer": [BOB.log.account, "coder"]},
    ],
)
def test_acceptance_of_what_was_not_asked_is_refused(changes):
    """Another request, another agent of the same owner, another owner."""
    raw = resigned(ACCEPT, Kind.CONNECTION_ACCEPT, BOB.manage, changes)
    with Refused("unknown-request"):
        read_accept(raw, BOB.log, REQUEST)


def test_acceptance_in_time():
    """At the last millisecond it still counts; after that the request is over."""
    read_accept(
        sign_accept(REQUEST, at=REQUEST.expires_at, log=BOB.log.position, by=BOB.manage), BOB.log, REQUEST
    )
    late = sign_accept(REQUEST, at=Instant(REQUEST.expires_at + 1), log=BOB.log.position, by=BOB.manage)
    with Refused("request-expired"):
        read_accept(late, BOB.log, REQUEST)


@pytest.mark.parametrize("kind", list(EndKind))
def test_either_agent_ends_it(kind):
    """The other one is the peer."""
    for owner, agent, peer in ((ANN, REQUEST.from_, REQUEST.to), (BOB, REQUEST.to, REQUEST.from_)):
        raw = sign_end(REQUEST, agent, kind, at=NOW, log=owner.log.position, by=owner.manage)
        end = read_end(raw, owner.log, REQUEST)
        assert (end.by, end.peer, end.kind, end.request) == (agent, peer, kind, REQUEST.hash)


def test_no_third_agent_signs_an_end():
    """Whoever has no part in a request learns so before anything is signed."""
    third = AgentRef(BOB.log.account, "other")
    with pytest.raises(LocalProtocolError, match="one of the two agents"):
        sign_end(REQUEST, third, EndKind.REVOKED, at=NOW, log=BOB.log.position, by=BOB.manage)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"request": bytes(32)}, "unknown-request"),
        ({"by": [EVE.log.account, "coder"]}, "unknown-request"),
        ({"by": [BOB.log.account, "other"]}, "unknown-request"),
        ({"peer": [BOB.log.account, "coder"]}, "unknown-request"),
        ({"kind": "paused"}, "bad-value"),
    ],
)
def test_end_of_what_is_not_there_is_refused(changes, code):
    """A third agent ends nothing, and there are three ways to end."""
    raw = sign_end(REQUEST, REQUEST.to, EndKind.REVOKED, at=NOW, log=BOB.log.position, by=BOB.manage)
    with Refused(code):
        read_end(resigned(raw, Kind.CONNECTION_END, BOB.manage, changes), BOB.log, REQUEST)


def test_other_agent_of_a_request():
    """Each is the other's other; a third has none."""
    assert REQUEST.other(REQUEST.from_) == REQUEST.to
    assert REQUEST.other(REQUEST.to) == REQUEST.from_
    assert REQUEST.other(EVE.agent("x")) is None
