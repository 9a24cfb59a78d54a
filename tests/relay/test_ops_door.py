"""Who sees the operator's pages and numbers: every way in, and those who try the others."""

from __future__ import annotations

import pytest
import trio

from taskferry_apps.relay.audit import RelayAudit
from taskferry_apps.relay.ops_door import (
    Approach,
    OpsDoor,
    OpsPolicy,
    is_own_button,
    make_sign_in,
    standpoint_of,
)
from taskferry_protocol.ids import sha256
from taskferry_protocol.limits import DAY_MS

from .conftest import Clock
from .people import entropy_from

HERE = OpsPolicy()
PUBLIC = OpsPolicy(origin="https://relay.example")


@pytest.mark.parametrize(
    ("host", "peer"),
    [("127.0.0.1:8080", "127.0.0.1"), ("localhost:9000", "::1"), ("[::1]:8080", "127.0.0.1")],
)
def test_this_machine_sees_the_pages_by_its_own_names(host, peer):
    """By any port, since a tunnel may have another; the origin is what the browser says of its pages."""
    found = standpoint_of(Approach(host, peer), HERE)
    assert found is not None
    assert found.origin == f"http://{host}"
    assert not found.secure


@pytest.mark.parametrize(
    ("host", "peer"),
    [
        ("evil.example:8080", "127.0.0.1"),
        ("127.0.0.1.evil.example", "127.0.0.1"),
        ("relay.example", "127.0.0.1"),
        ("127.0.0.1:8080", "203.0.113.9"),
        ("", "127.0.0.1"),
        ("127.0.0.1:8080@evil", "127.0.0.1"),
        ("127.0.0.1\n", "127.0.0.1"),
        ("0.0.0.0:8080", "127.0.0.1"),
        ("127.0.0.1:8080", "unix"),
    ],
)
def test_any_other_name_or_address_sees_none(host, peer):
    """A name that an attacker points at this machine, a stranger's address, half a host."""
    assert standpoint_of(Approach(host, peer), HERE) is None


def test_the_configured_origin_is_exact():
    """Its own host from anywhere, with a cookie for it alone; no other host, no other port."""
    found = standpoint_of(Approach("Relay.Example", "203.0.113.9"), PUBLIC)
    assert found is not None
    assert (found.origin, found.cookie, found.secure) == (PUBLIC.origin, "__Host-taskferry_ops", True)
    for host in ("relay.example:8443", "x.relay.example", "relay.example."):
        assert standpoint_of(Approach(host, "203.0.113.9"), PUBLIC) is None


def test_a_button_is_of_these_pages_alone():
    """An `Origin` must be there and be this one; another port of this machine is another origin."""
    found = standpoint_of(Approach("127.0.0.1:8080", "127.0.0.1"), HERE)
    assert found is not None
    own = "http://127.0.0.1:8080"
    assert is_own_button(Approach("127.0.0.1:8080", "", own, "same-origin"), found)
    assert is_own_button(Approach("127.0.0.1:8080", "", own), found)
    for origin, site in (
        (None, None),
        ("null", None),
        ("http://127.0.0.1:9000", "same-site"),
        ("https://127.0.0.1:8080", None),
        (own, "cross-site"),
        (own, "none"),
    ):
        assert not is_own_button(Approach("127.0.0.1:8080", "", origin, site), found)


@pytest.fixture
def doors(store):
    """Makes doors on one store with one clock."""
    clock = Clock()

    def make(policy=HERE):
        return OpsDoor(policy, store, RelayAudit(store, clock.now), clock.now, entropy_from(7))

    return make, store, clock


async def test_a_link_lets_one_browser_in_once(doors):
    """The second who has it stays out; a session is known by its secret alone, and ends by signing out."""
    make, store, clock = doors
    door = make()
    secret, _ = await make_sign_in(store, clock.now(), entropy_from(1))
    session = await door.let_in(secret)
    assert session is not None
    assert await door.let_in(secret) is None
    assert door.session(session) is not None
    for other in ("", secret, session[:-1], session + "A", "\ud800"):
        assert door.session(other) is None
    door.sign_out(session)
    assert door.session(session) is None


async def test_two_who_come_at_once_by_one_link_are_one(doors):
    """Both find the link good before either has used it up; the store lets one of them in."""
    make, store, clock = doors
    door = make()
    secret, _ = await make_sign_in(store, clock.now(), entropy_from(1))
    found = []

    async def come():
        found.append(await door.let_in(secret))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(come)
        nursery.start_soon(come)
    assert sum(session is not None for session in found) == 1


async def test_links_and_sessions_end(doors):
    """A link after two minutes, a session after half an hour unused and after twelve hours in any case."""
    make, store, clock = doors
    door = make()
    late, _ = await make_sign_in(store, clock.now(), entropy_from(2))
    clock.ahead_ms += 120_000
    assert await door.let_in(late) is None
    secret, _ = await make_sign_in(store, clock.now(), entropy_from(3))
    session = await door.let_in(secret)
    for _ in range(24):
        clock.ahead_ms += 29 * 60_000
        assert door.session(session) is not None
    clock.ahead_ms += 31 * 60_000
    assert door.session(session) is None
    other, _ = await make_sign_in(store, clock.now(), entropy_from(4))
    lasting = await door.let_in(other)
    for _ in range(30):
        clock.ahead_ms += 25 * 60_000
        door.session(lasting)
    assert door.session(lasting) is None


async def test_no_session_lasts_for_years_because_a_clock_was_ahead(doors):
    """The clock is put right by fourteen years, and whoever was let in before is let in anew."""
    make, store, clock = doors
    door = make()
    clock.ahead_ms = 5_000 * DAY_MS
    secret, _ = await make_sign_in(store, clock.now(), entropy_from(3))
    session = await door.let_in(secret)
    clock.ahead_ms -= 60_000
    assert door.session(session) is not None
    clock.ahead_ms = 0
    assert door.session(session) is None


async def test_guesses_write_nothing(doors):
    """Whatever is tried in place of a link: no commit, no session, no entry."""
    make, store, _ = doors
    before = await store.audit_chain()
    for guess in ("", "x", "A" * 43, "A" * 10_000, "'; DROP TABLE sign_ins; --", "\ud800" * 43):
        assert await make().let_in(guess) is None
    assert await store.audit_chain() == before


async def test_a_relay_that_starts_anew_knows_no_browser(doors):
    """Sessions are in memory alone."""
    make, store, clock = doors
    secret, _ = await make_sign_in(store, clock.now(), entropy_from(5))
    session = await make().let_in(secret)
    assert make().session(session) is None


async def test_numbers_are_for_the_token_or_for_neighbours(doors):
    """With a token, for who has it; without, for this machine, unless a proxy's requests look the same."""
    make, _, _ = doors
    near = Approach("127.0.0.1:8080", "127.0.0.1")
    far = Approach("relay.example", "203.0.113.9")
    page = Approach("127.0.0.1:8080", "127.0.0.1", "http://127.0.0.1:9000", "same-site")
    rebound = Approach("evil.example:8080", "127.0.0.1")
    assert make().may_read_numbers(near, None)
    assert not any(make().may_read_numbers(approach, None) for approach in (far, page, rebound))
    assert not make(OpsPolicy(neighbours=False)).may_read_numbers(near, None)
    token = make(OpsPolicy(token=sha256(b"a token of sixteen")))
    assert token.may_read_numbers(far, "a token of sixteen")
    for wrong in (None, "", "A token of sixteen", "\ud800"):
        assert not token.may_read_numbers(near, wrong)
