"""Grants, their terms, and what they permit (spec/identity.md section 7)."""

import functools
import itertools

import attrs
import hypothesis.strategies as st
import pytest
from hypothesis import given

from taskferry_protocol.cbor import encode
from taskferry_protocol.connections import read_request, sign_request
from taskferry_protocol.crypto import Kind
from taskferry_protocol.errors import LocalProtocolError, RejectCode
from taskferry_protocol.ids import AgentRef, Hash, Instant, sha256
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.messages.base import MessageClass
from taskferry_protocol.permissions import (
    GRANTABLE,
    RIVALS,
    Grant,
    Terms,
    check_grant_for,
    encode_terms,
    newer_grant,
    permits,
    read_grant,
    read_terms,
    sign_grant,
    stricter_terms,
)

from .owners import NOW, Owner, Refused, resigned

ANN, BOB, EVE = Owner("ann"), Owner("bob"), Owner("eve")


def _ask(nonce: bytes) -> bytes:
    return sign_request(
        ANN.agent("asker"),
        BOB.agent("coder"),
        at=NOW,
        expires_at=Instant(NOW + DAY_MS),
        nonce=nonce,
        log=ANN.log.position,
        by=ANN.manage,
    )


REQUEST = read_request(_ask(bytes(16)), ANN.log)
TERMS = Terms(bytes(16), auto_trigger=True, human_gate=False, task_budget=5, largest_artifact=10**6)
ALL = frozenset(GRANTABLE)


def granted(
    before: Grant | None = None,
    *,
    classes: frozenset[MessageClass] = ALL,
    rate: int = 60,
    largest: int = 100_000,
    until: Instant | None = None,
    at: Instant = NOW,
) -> Grant:
    """What Bob lets Ann send."""
    raw = sign_grant(
        REQUEST,
        BOB.agent("coder"),
        before=before,
        at=at,
        until=until,
        classes=classes,
        rate=rate,
        largest=largest,
        terms=sha256(encode_terms(TERMS)),
        log=BOB.log.position,
        by=BOB.manage,
    )
    return read_grant(raw, BOB.log)


FIRST = granted()


def test_grant_survives_the_way():
    """What was signed is what is read, between the two of the request."""
    grant = granted(until=Instant(NOW + 5), classes=frozenset({MessageClass.TASK, MessageClass.ARTIFACT}))
    assert (grant.request, grant.grantor, grant.grantee) == (REQUEST.hash, REQUEST.to, REQUEST.from_)
    assert (grant.version, grant.prev, grant.until) == (1, None, NOW + 5)
    assert grant.classes == {MessageClass.TASK, MessageClass.ARTIFACT}
    assert (grant.rate, grant.largest, grant.terms) == (60, 100_000, sha256(encode_terms(TERMS)))
    assert (grant.hash, grant.raws) == (sha256(grant.raw), (grant.raw,))
    check_grant_for(grant, REQUEST)


def test_grant_needs_one_of_the_two_agents():
    """Our own caller cannot grant for a third."""
    with pytest.raises(LocalProtocolError):
        sign_grant(
            REQUEST,
            EVE.agent("x"),
            before=None,
            at=NOW,
            until=None,
            classes=ALL,
            rate=1,
            largest=1,
            terms=Hash(bytes(32)),
            log=EVE.log.position,
            by=EVE.manage,
        )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"version": 0}, "bad-value"),
        ({"version": 2}, "bad-grant"),
        ({"prev": bytes(32)}, "bad-grant"),
        ({"prev": bytes(31)}, "bad-value"),
        ({"until": "never"}, "wrong-type"),
        ({"classes": ["receipt"]}, "bad-value"),
        ({"classes": ["task", "artifact"]}, "not-canonical"),
        ({"classes": ["task", "task"]}, "not-canonical"),
        ({"classes": [f"class{n:02}" for n in range(17)]}, "too-many"),
        ({"classes": [1]}, "wrong-type"),
        ({"rate": -1}, "bad-value"),
        ({"largest": None}, "wrong-type"),
        ({"terms": b""}, "bad-value"),
    ],
)
def test_faulty_grant_is_refused(changes, code):
    """Closed classes, sorted; a first version alone has nothing before it."""
    with Refused(code):
        read_grant(resigned(FIRST.raw, Kind.GRANT, BOB.manage, changes), BOB.log)


def test_grant_for_another_request_or_pair_is_refused():
    """It quotes the request that it rests on, and binds its two agents only."""
    with Refused("unknown-request"):
        check_grant_for(FIRST, read_request(_ask(b"another request!"), ANN.log))
    for changes in (
        {"to": [EVE.log.account, "x"]},
        {"to": [BOB.log.account, "coder"]},
        {"from": [BOB.log.account, "other"]},
    ):
        grant = read_grant(resigned(FIRST.raw, Kind.GRANT, BOB.manage, changes), BOB.log)
        with Refused("bad-grant"):
            check_grant_for(grant, REQUEST)


# --- Which grant counts ---


def test_higher_version_replaces_a_lower_one():
    """Also across a version that never came; a lower one is stale."""
    second = granted(FIRST, rate=5)
    third = granted(second, rate=7)
    assert newer_grant(None, second) is second
    assert newer_grant(FIRST, second) is second
    assert newer_grant(FIRST, third) is third
    assert newer_grant(third, third) is third
    with Refused("stale-grant"):
        newer_grant(third, second)


def test_next_version_follows_the_one_held():
    """A version whose `prev` is another grant is refused where that can be seen."""
    stray = granted(granted(rate=1))
    with Refused("bad-grant", "prev"):
        newer_grant(FIRST, stray)


def test_grants_of_different_directions_are_not_compared():
    """Mixing them up is our own bug."""
    with pytest.raises(LocalProtocolError):
        newer_grant(FIRST, attrs.evolve(FIRST, grantee=AgentRef(EVE.log.account, "x")))


def test_two_of_one_version_count_as_what_both_allow():
    """Whoever signs twice has granted the less."""
    narrow = granted(classes=frozenset({MessageClass.TASK}), rate=100, until=Instant(NOW + 9))
    small = granted(classes=ALL, rate=7, largest=10)
    both = newer_grant(narrow, small)
    assert both.classes == {MessageClass.TASK}
    assert (both.rate, both.largest, both.until) == (7, 10, NOW + 9)
    assert set(both.raws) == {narrow.raw, small.raw}
    assert set(both.all_terms) == {narrow.terms}
    assert newer_grant(both, small) is both
    for one in (narrow, small):
        following = granted(one, rate=3)
        assert newer_grant(both, following) is following


def test_rivals_are_bounded():
    """An owner who signs many of one version fills nobody's store."""
    held = FIRST
    for rate in range(RIVALS):
        held = newer_grant(held, granted(rate=rate + 1))
    assert len(held.raws) == RIVALS + 1
    with Refused("too-many"):
        newer_grant(held, granted(rate=999))


@given(
    st.lists(
        st.builds(
            granted,
            classes=st.sets(st.sampled_from(sorted(GRANTABLE))).map(frozenset),
            rate=st.integers(0, 3),
            largest=st.integers(0, 3),
            until=st.none() | st.integers(0, 3).map(Instant),
        ),
        min_size=2,
        max_size=4,
    )
)
def test_order_of_arrival_does_not_matter(grants):
    """Both ends come to the same grant, in whatever order the versions came, and from what they stored."""
    results = [functools.reduce(newer_grant, order) for order in itertools.permutations(grants)]
    assert all(result == results[0] for result in results)
    stored = [read_grant(raw, BOB.log) for raw in results[0].raws]
    assert functools.reduce(newer_grant, stored) == results[0]


# --- What is permitted ---


@pytest.mark.parametrize("cls", list(MessageClass))
def test_classes_that_need_a_grant(cls):
    """Messages, tasks and artifacts need one; the rest goes by connection."""
    expected = RejectCode.NOT_PERMITTED if cls in GRANTABLE else None
    assert permits(None, cls, 1, NOW) is expected
    assert permits(granted(classes=frozenset()), cls, 1, NOW) is expected
    assert permits(FIRST, cls, 1, NOW) is None


def test_size_and_time_bound_a_grant():
    """The largest size still passes, the moment of the end does not."""
    grant = granted(largest=10, until=Instant(NOW + 5))
    assert permits(grant, MessageClass.TASK, 10, Instant(NOW + 4)) is None
    assert permits(grant, MessageClass.TASK, 11, NOW) is RejectCode.NOT_PERMITTED
    assert permits(grant, MessageClass.TASK, 10, Instant(NOW + 5)) is RejectCode.NOT_PERMITTED


# --- Terms ---


def test_terms_survive_the_way():
    """What was sealed is what is read."""
    raw = encode_terms(TERMS)
    assert read_terms(raw, sha256(raw)) == TERMS


def test_absent_terms_are_the_least():
    """No automatic start, a human gate, no open task, 65,536 bytes."""
    raw = encode({"salt": bytes(16)})
    assert read_terms(raw, sha256(raw)) == Terms(bytes(16), False, True, 0, 65_536)


def test_terms_that_the_grant_does_not_name_are_refused():
    """The hash ties the sealed terms to the signed grant."""
    raw = encode_terms(TERMS)
    with Refused("bad-grant"):
        read_terms(raw, sha256(raw + b"x"))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({}, "missing-field"),
        ([], "wrong-type"),
        ({"salt": bytes(15)}, "bad-value"),
        ({"salt": bytes(16), "task_budget": "1", "more": 1}, "wrong-type"),
        ({"salt": bytes(16), "auto_trigger": 1}, "wrong-type"),
        ({"salt": bytes(16), "human_gate": None}, "wrong-type"),
        ({"salt": bytes(16), "task_budget": -1}, "bad-value"),
        ({"salt": bytes(16), "largest_artifact": "x"}, "wrong-type"),
    ],
)
def test_faulty_terms_are_refused(value, code):
    """Terms are closed and typed."""
    raw = encode(value)
    with Refused(code):
        read_terms(raw, sha256(raw))


_TERMS = st.builds(
    Terms,
    st.binary(min_size=16, max_size=16),
    st.booleans(),
    st.booleans(),
    st.integers(0, 9),
    st.integers(0, 9),
)


@given(_TERMS, _TERMS)
def test_stricter_terms_allow_no_more_than_either(left, right):
    """The same from both sides, and never more than one of them."""
    both = stricter_terms(left, right)
    assert both == stricter_terms(right, left)
    for one in (left, right):
        assert stricter_terms(both, one) == attrs.evolve(both, salt=min(both.salt, one.salt))
        assert both.auto_trigger <= one.auto_trigger
        assert both.human_gate >= one.human_gate
        assert both.task_budget <= one.task_budget
        assert both.largest_artifact <= one.largest_artifact


@pytest.mark.parametrize("more", [{"quiet_hours": [22, 6]}, {"": 0}, {"human_gates": False}])
def test_terms_that_say_something_unknown_mean_the_least(more):
    """What a later version adds may narrow what is known, so nothing of it is taken as given."""
    generous = {"auto_trigger": True, "human_gate": False, "task_budget": 9, "largest_artifact": 10**6}
    raw = encode({"salt": bytes(16), **generous, **more})
    assert read_terms(raw, sha256(raw)) == Terms(bytes(16))
