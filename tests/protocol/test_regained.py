"""What a relay shows of connections that were lost here: it can leave out, and make nothing up."""

from typing import Any

import attrs
import pytest

from taskferry_protocol.accounts import consent_to_stand, recover
from taskferry_protocol.calls import ShownConnection
from taskferry_protocol.connections import (
    EndKind,
    read_request,
    sign_accept,
    sign_end,
    sign_request,
)
from taskferry_protocol.documents import authorize_then
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import Hash, Instant, LogPosition
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.messages import MessageClass
from taskferry_protocol.permissions import recall_grant, sign_grant
from taskferry_protocol.regained import peer_in, read_shown

from .owners import NOW, Owner, Refused, manage_key, managing_device

TERMS = Hash(bytes(32))


def pair() -> tuple[Owner, Owner]:
    """Two owners, with fresh logs."""
    return Owner("ann"), Owner("bob")


def asked(ann: Owner, bob: Owner, **changes) -> bytes:
    """Ann's request."""
    values: dict[str, Any] = {
        "at": NOW,
        "expires_at": Instant(NOW + DAY_MS),
        "nonce": bytes(16),
        "log": ann.log.position,
        "by": ann.manage,
    }
    return sign_request(ann.agent("asker"), bob.agent("coder"), **values | changes)


def granted(owner: Owner, request, agent: str, *, before=None, rate: int = 60, by=None, log=None) -> bytes:
    """A grant by one of the two."""
    return sign_grant(
        request,
        owner.agent(agent),
        before=None if before is None else recall_grant(before),
        at=NOW,
        until=None,
        classes=frozenset({MessageClass.MESSAGE}),
        rate=rate,
        largest=1_000,
        terms=TERMS,
        log=log or owner.log.position,
        by=by or owner.manage,
    )


def shown(ann: Owner, bob: Owner) -> ShownConnection:
    """A connection of the two with a grant of each."""
    raw = asked(ann, bob)
    request = read_request(raw, ann.log)
    accept = sign_accept(request, at=NOW, log=bob.log.position, by=bob.manage)
    grants = (granted(ann, request, "asker"), granted(bob, request, "coder", rate=7))
    return ShownConnection(raw, accept, b"", grants)


def lose_the_laptop(owner: Owner) -> None:
    """The owner takes the account back on another machine; the laptop is put out."""
    desktop = managing_device(f"{owner.name} desktop")
    consent = consent_to_stand(desktop, owner.log.account, owner.log.state.length)
    statement = recover(owner.log.state, [(desktop.record, consent)], {}, at=NOW, by=owner.recovery)
    owner.take(statement)


def test_both_sides_read_what_they_have_signed():
    """Whoever asked: the same connection from either end, with what each allows."""
    ann, bob = pair()
    one = shown(ann, bob)
    hers, his = read_shown(one, ann.log, bob.log), read_shown(one, bob.log, ann.log)
    assert (hers.mine, hers.peer) == (his.peer, his.mine) == (ann.agent("asker"), bob.agent("coder"))
    assert hers.given is not None
    assert hers.received is not None
    assert (hers.given.rate, hers.received.rate) == (60, 7)
    assert (his.given, his.received) == (hers.received, hers.given)
    assert hers.end is None
    assert (peer_in(one, ann.log), peer_in(one, bob.log)) == (bob.log.account, ann.log.account)


def test_devices_that_have_gone_since_have_signed_it_all_the_same():
    """That is why an owner asks: the machine that signed is lost, here and perhaps there."""
    ann, bob = pair()
    one = shown(ann, bob)
    lose_the_laptop(ann)
    lose_the_laptop(bob)
    with Refused("not-authorized", ""):
        read_request(one.request, ann.log)
    assert read_shown(one, ann.log, bob.log).given is not None


def test_a_key_that_was_put_out_signs_nothing_from_there_on():
    """At a position after its end it is no manager's, and a position of no log is none."""
    ann, bob = pair()
    stolen = ann.manage
    lose_the_laptop(ann)
    with Refused("not-authorized", ""):
        read_request(asked(ann, bob, by=stolen), ann.log, authorize_then)
    nowhere = LogPosition(1, bob.log.position.head)
    with Refused("not-an-extension", "log"):
        read_request(asked(ann, bob, by=stolen, log=nowhere), ann.log, authorize_then)


@pytest.mark.parametrize("part", ["request", "accept"])
def test_a_relay_makes_no_connection_up(part):
    """Signed by somebody else, or altered: it is not read, whatever the rest says."""
    ann, bob = pair()
    eve = Owner("eve")
    one = shown(ann, bob)
    request = read_request(one.request, ann.log)
    forged = {
        "request": asked(ann, bob, by=eve.manage),
        "accept": sign_accept(request, at=NOW, log=bob.log.position, by=eve.manage),
    }
    raw = getattr(one, part)
    for other in (forged[part], raw[:-1] + bytes([raw[-1] ^ 1]), b"", raw[:20]):
        made_up: dict[str, Any] = {part: other}
        with pytest.raises(RemoteProtocolError):
            read_shown(attrs.evolve(one, **made_up), ann.log, bob.log)


def test_nobody_elses_connection_is_taken_for_ones_own():
    """Between two others, or between two agents of one owner."""
    ann, bob = pair()
    eve = Owner("eve")
    one = shown(ann, bob)
    for log in (eve.log, eve.log):
        with Refused("wrong-account", ""):
            read_shown(one, log, bob.log)
    # Another log in the place of the peer's vouches for nothing.
    with pytest.raises(RemoteProtocolError) as refused:
        read_shown(one, ann.log, eve.log)
    assert refused.value.code is RejectCode.WRONG_ACCOUNT
    within = sign_request(
        ann.agent("asker"),
        ann.agent("coder"),
        at=NOW,
        expires_at=Instant(NOW + DAY_MS),
        nonce=bytes(16),
        log=ann.log.position,
        by=ann.manage,
    )
    with Refused("wrong-account", ""):
        peer_in(attrs.evolve(one, request=within), ann.log)


def test_an_end_counts_from_either_side_and_from_nobody_else():
    """Signed by a device that stood then; anything else that is shown as one refuses the whole."""
    ann, bob = pair()
    eve = Owner("eve")
    one = shown(ann, bob)
    request = read_request(one.request, ann.log)
    for owner, agent in ((ann, "asker"), (bob, "coder")):
        raw = sign_end(
            request,
            owner.agent(agent),
            EndKind.BLOCKED,
            at=NOW,
            log=owner.log.position,
            by=owner.manage,
        )
        read = read_shown(attrs.evolve(one, end=raw), ann.log, bob.log)
        assert read.end is not None
        assert (read.end.by, read.end.kind) == (owner.agent(agent), EndKind.BLOCKED)
    forged = sign_end(
        request, bob.agent("coder"), EndKind.REVOKED, at=NOW, log=bob.log.position, by=eve.manage
    )
    with Refused("not-authorized", ""):
        read_shown(attrs.evolve(one, end=forged), ann.log, bob.log)


def test_of_several_grants_the_newest_that_hold_count():
    """Forged ones and those of other requests are passed over; rivals of one version allow what both do."""
    ann, bob = pair()
    eve = Owner("eve")
    one = shown(ann, bob)
    request = read_request(one.request, ann.log)
    first = one.grants[0]
    second = granted(ann, request, "asker", before=first, rate=30)
    rival = granted(ann, request, "asker", before=first, rate=20)
    other = read_request(asked(ann, bob, nonce=b"n" * 16), ann.log)
    forged = granted(ann, request, "asker", before=first, rate=9, by=eve.manage)
    stray = granted(bob, request, "coder", log=ann.log.position)
    grants = (second, first, forged, granted(ann, other, "asker"), b"", stray, rival)
    read = read_shown(attrs.evolve(one, grants=grants), ann.log, bob.log)
    assert read.given is not None
    assert (read.given.version, read.given.rate, len(read.given.raws)) == (2, 20, 2)
    assert read.received is None


def test_a_device_that_never_managed_signed_nothing():
    """Its signature is good, and it had no say."""
    ann, bob = pair()
    tablet = managing_device("tablet")
    raw = asked(ann, bob, by=manage_key(tablet))
    with Refused("not-authorized", ""):
        read_request(raw, ann.log, authorize_then)
    ann.add(tablet)
    # Added later, it has not stood where the request says.
    with Refused("not-authorized", ""):
        read_request(raw, ann.log, authorize_then)
    now = asked(ann, bob, by=manage_key(tablet), log=ann.log.position)
    ann.revoke(tablet)
    read_request(now, ann.log, authorize_then)
