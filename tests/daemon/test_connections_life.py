"""A connection's life: asked for, declined for a while, blocked, unblocked, expired; and those who cheat."""

from __future__ import annotations

from contextlib import asynccontextmanager

import attrs
import pytest

from taskferry_apps.daemon import connection_arrivals
from taskferry_apps.daemon.port import DaemonRefusal, GrantChange, NewAgent
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.connections import read_request, recall_request, sign_accept, sign_request
from taskferry_protocol.ids import AgentRef, Instant, sha256
from taskferry_protocol.limits import CONTACTS, DAY_MS
from taskferry_protocol.messages import ConnectionAccepted, ConnectionRequested, GrantUpdated, TextMessage
from taskferry_protocol.messages.connections import InviteProof
from taskferry_protocol.permissions import GRANTABLE, Terms, encode_terms, sign_grant

from .forger import Forger, codes, forging
from .test_blocks import ask_again
from .worlds import OWNER, Machine, a_world, connected, set_up, texts, until


async def asked(daemon: Daemon):
    """The request that waits, as soon as one does."""

    async def found():
        return await daemon.connections(OWNER, "requested_in", "")

    return (await until(found))[0]


async def in_state(daemon: Daemon, state: str):
    """A connection in a state, as soon as there is one."""

    async def found():
        return await daemon.connections(OWNER, state, "")

    return (await until(found))[0]


async def test_who_was_declined_may_ask_again_only_after_the_pause_and_is_told_when():
    """The decline carries the time, the asking side says it, and after it the request goes through."""
    async with a_world() as world, world.running(Machine("a")) as a, world.running(Machine("b")) as b:
        await set_up(a, "alice", "requester")
        await set_up(b, "bob", "writer")
        await a.request_connection(OWNER, "requester", "@bob/writer", "May I?")
        again = Instant(world.clock.now() + 3 * DAY_MS)
        request = await asked(b)
        await b.end_connection(OWNER, request.id.hex(), "declined", "Not now", again)
        assert (await in_state(a, "ended")).again_at == again
        with pytest.raises(DaemonRefusal, match="3 days") as refused:
            await a.request_connection(OWNER, "requester", "@bob/writer", "Now?")
        assert refused.value.code == "contact-limit"
        assert 2.9 * 86_400 < float(str(refused.value.detail["retry_after"])) <= 3 * 86_400
        world.clock.ahead_ms += 3 * DAY_MS
        await a.request_connection(OWNER, "requester", "@bob/writer", "Now?")
        assert (await asked(b)).note == "Now?"


async def test_the_pause_is_a_week_unless_the_owner_says_otherwise():
    """Nothing said is not nothing."""
    async with a_world() as world, world.running(Machine("a")) as a, world.running(Machine("b")) as b:
        await set_up(a, "alice", "requester")
        await set_up(b, "bob", "writer")
        await a.request_connection(OWNER, "requester", "@bob/writer", "May I?")
        await b.end_connection(OWNER, (await asked(b)).id.hex(), "declined", "")
        again = (await in_state(a, "ended")).again_at
        assert again is not None
        assert abs(again - world.clock.now() - 7 * DAY_MS) < 60_000


async def test_a_request_that_nobody_answers_expires_visibly_on_both_sides():
    """Both owners see `expired`; it can be accepted no more, and a new request starts over."""
    async with a_world() as world, world.running(Machine("a")) as a, world.running(Machine("b")) as b:
        await set_up(a, "alice", "requester")
        await set_up(b, "bob", "writer")
        await a.request_connection(OWNER, "requester", "@bob/writer", "May I?")
        request = await asked(b)
        world.clock.ahead_ms += request.expires_at - world.clock.now() + 1
        for daemon in (a, b):
            await daemon._connections.expire_requests()
            assert (await in_state(daemon, "expired")).id == request.id
        with pytest.raises(DaemonRefusal) as refused:
            await b.accept_connection(OWNER, request.id.hex(), GrantChange())
        assert refused.value.code == "conflict"


async def test_an_acceptance_in_time_that_comes_late_connects_all_the_same():
    """Both ends agree on what was signed in time, though one of them had given it up."""
    async with a_world() as world:
        alice, bob = Machine("a"), Machine("b")
        async with world.running(alice) as a, world.running(bob) as b:
            await set_up(a, "alice", "requester")
            await set_up(b, "bob", "writer")
            await a.request_connection(OWNER, "requester", "@bob/writer", "May I?")
            request = await asked(b)
        record = (await alice.store.connections((request.id,)))[request.id]
        world.clock.ahead_ms += record.expires_at - world.clock.now() - 60_000
        async with world.running(bob) as b:
            await b.accept_connection(OWNER, request.id.hex(), GrantChange())
            await until(lambda: _relayed(bob))
        world.clock.ahead_ms += 120_000
        late = await world.open_daemon(alice)
        await late._connections.expire_requests()
        assert (await in_state(late, "expired")).id == request.id
        async with world.running(alice) as a:
            assert (await in_state(a, "accepted")).id == request.id


async def _relayed(machine: Machine):
    return await machine.store.next_attempt() is None


async def test_a_blocked_agent_asks_in_vain_until_it_is_unblocked():
    """What it sends meanwhile is quarantined; unblocking sends nothing and lets it ask again."""
    async with forging() as (forger, bob):
        pair = ("writer", "@alice/requester")
        await bob.end_connection(OWNER, pair, "blocked", "")
        await forger.deliver(await forger.seal(await request_by(forger, 1)))
        assert await codes(bob) == ["not-permitted"]
        lifted = await bob.gates.unblock(OWNER, pair)
        assert (lifted.state, lifted.message) == ("ended", None)
        await forger.deliver(await forger.seal(await request_by(forger, 2)))
        assert (await asked(bob)).peer == "@alice/requester"
        with pytest.raises(DaemonRefusal) as refused:
            await bob.gates.unblock(OWNER, pair)
        assert refused.value.code == "conflict"


# --- Those who cheat ----------------------------------------------------------------------------------------


async def request_by(
    forger: Forger, number: int, lifetime_ms: int = DAY_MS, note: str = ""
) -> ConnectionRequested:
    """A request of alice's to bob, with a grant for the way back."""
    own, peer = await forger.alice.own_log(), await forger.bob.own_log()
    mine, theirs = AgentRef(own.account, "requester"), AgentRef(peer.account, "writer")
    at = forger.clock.now()
    raw = sign_request(
        mine, theirs, at=at, expires_at=Instant(at + lifetime_ms), nonce=bytes([number]) * 16,
        log=own.position, by=forger.alice.manage,
    )  # fmt: skip
    request = read_request(raw, own)
    terms = encode_terms(Terms(bytes(16)))
    grant = sign_grant(
        request, mine, before=None, at=at, until=None, classes=frozenset(GRANTABLE), rate=60,
        largest=100_000, terms=sha256(terms), log=own.position, by=forger.alice.manage,
    )  # fmt: skip
    return ConnectionRequested(raw, grant, terms, note, own.statements)


async def test_a_daemon_holds_to_the_pause_whatever_the_peer_and_its_relay_do():
    """A request before its time is quarantined, and the owner is not asked again."""
    async with forging() as (forger, bob):
        pair = ("writer", "@alice/requester")
        await bob.end_connection(OWNER, pair, "revoked", "")
        await forger.deliver(await forger.seal(await request_by(forger, 1)))
        await bob.end_connection(OWNER, pair, "declined", "")
        await forger.deliver(await forger.seal(await request_by(forger, 2)))
        assert await codes(bob) == ["contact-limit"]
        assert await bob.connections(OWNER, "requested_in", "") == ()
        forger.clock.ahead_ms += 8 * DAY_MS
        await forger.deliver(await forger.seal(await request_by(forger, 3)))
        assert len(await bob.connections(OWNER, "requested_in", "")) == 1


async def test_the_pause_holds_also_while_another_request_waits():
    """Of two requests one is declined: the pause is about the agent, not about that request."""
    async with forging() as (forger, bob):
        await bob.end_connection(OWNER, ("writer", "@alice/requester"), "revoked", "")
        for number in (1, 2):
            await forger.deliver(await forger.seal(await request_by(forger, number)))
        first = (await bob.connections(OWNER, "requested_in", ""))[-1]
        await bob.end_connection(OWNER, first.id.hex(), "declined", "")
        await forger.deliver(await forger.seal(await request_by(forger, 3)))
        assert await codes(bob) == ["contact-limit"]
        assert len(await bob.connections(OWNER, "requested_in", "")) == 1


async def test_an_invite_that_is_none_does_not_get_around_the_pause():
    """Naming an invite that the owner never made is refused like any other early request."""
    async with forging() as (forger, bob):
        await bob.end_connection(OWNER, ("writer", "@alice/requester"), "revoked", "")
        await forger.deliver(await forger.seal(await request_by(forger, 1)))
        await bob.end_connection(OWNER, ("writer", "@alice/requester"), "declined", "")
        feigned = attrs.evolve(await request_by(forger, 2), invite=InviteProof(bytes(16), bytes(32)))
        await forger.deliver(await forger.seal(feigned))
        assert await codes(bob) == ["contact-limit"]
        assert await bob.connections(OWNER, "requested_in", "") == ()


async def test_few_requests_wait_and_small_ones_whatever_a_relay_lets_through():
    """Three may wait; a fourth, and a note that is too long, have no effect at the daemon."""
    async with forging() as (forger, bob):
        await bob.end_connection(OWNER, ("writer", "@alice/requester"), "revoked", "")
        for number in range(CONTACTS + 1):
            await forger.deliver(await forger.seal(await request_by(forger, number)))
        assert len(await bob.connections(OWNER, "requested_in", "")) == CONTACTS
        assert await codes(bob) == ["contact-limit"]


async def test_an_acceptance_without_a_request_connects_nobody():
    """A peer that accepts what was never asked, or its own request, is refused."""
    async with forging() as (forger, bob):
        await bob.end_connection(OWNER, ("writer", "@alice/requester"), "revoked", "")
        own, peer = await forger.alice.own_log(), await forger.bob.own_log()
        mine, theirs = AgentRef(own.account, "requester"), AgentRef(peer.account, "writer")
        # As if bob had asked: alice signs it with her own key, for want of his.
        at = forger.clock.now()
        raw = sign_request(
            theirs, mine, at=at, expires_at=Instant(at + DAY_MS), nonce=bytes(16), log=own.position,
            by=forger.alice.manage,
        )  # fmt: skip
        own_request = await request_by(forger, 1)
        await forger.deliver(await forger.seal(own_request))
        for request in (recall_request(raw), read_request(own_request.statement, own)):
            accept = sign_accept(request, at=at, log=own.position, by=forger.alice.manage)
            body = ConnectionAccepted(accept, own_request.grant, own_request.terms, own.statements)
            await forger.deliver(await forger.seal(body))
        assert set(await codes(bob)) <= {"unknown-request", "not-authorized", "wrong-account", "own-request"}
        assert len(await codes(bob)) == 2
        assert await bob.connections(OWNER, "accepted", "") == ()


@pytest.mark.parametrize("version", [1, 2, 50])
async def test_a_peer_cannot_raise_its_own_rights(version):
    """A grant for alice's direction that alice signs is refused, whatever version it claims."""
    async with forging() as (forger, bob):
        (before,) = await bob.connections(OWNER, "accepted", "")
        record = (await forger.alice.store.connections((before.id,)))[before.id]
        own, peer = await forger.alice.own_log(), await forger.bob.own_log()
        request = read_request(record.request_raw, own)
        terms = encode_terms(Terms(bytes(16), auto_trigger=True, human_gate=False, task_budget=99))
        theirs = AgentRef(peer.account, "writer")
        held = next(g for g in record.grants if g.grantor == theirs)
        import attrs

        from taskferry_protocol.permissions import recall_grant

        last = attrs.evolve(recall_grant(held.raw), version=version - 1) if version > 1 else None
        raw = sign_grant(
            request, theirs, before=last, at=forger.clock.now(), until=None, classes=frozenset(GRANTABLE),
            rate=10_000, largest=262_144, terms=sha256(terms), log=peer.position, by=forger.alice.manage,
        )  # fmt: skip
        await forger.deliver(await forger.seal(GrantUpdated(raw, terms)))
        assert len(await codes(bob)) == 1
        (after,) = await bob.connections(OWNER, "accepted", "")
        assert after.given == before.given
        assert after.received == before.received


async def test_an_old_grant_of_the_owners_replayed_changes_nothing():
    """A relay or peer that brings back what the owner had allowed before is refused."""
    async with forging() as (forger, bob):
        pair = ("writer", "@alice/requester")
        (before,) = await bob.connections(OWNER, "accepted", "")
        record = (await forger.bob.store.connections((before.id,)))[before.id]
        old = next(g for g in record.grants if g.grantor == record.mine)
        narrowed = await bob.set_permissions(OWNER, pair, GrantChange(classes=(), human_gate=True))
        await forger.deliver(await forger.seal(GrantUpdated(old.raw, old.terms)))
        assert len(await codes(bob)) == 1
        (after,) = await bob.connections(OWNER, "accepted", "")
        assert after.given == narrowed.given
        await forger.deliver(await forger.seal(TextMessage("let me in")))
        assert await texts(bob) == []


async def test_nobody_accepts_long_afterwards_what_is_over():
    """Not with a time from when the request still was: that is a claim."""
    async with forging() as (forger, bob):
        await bob.end_connection(OWNER, ("writer", "@alice/requester"), "revoked", "")
        await ask_again(bob, forger.alice.own)
        (asked,) = await bob.connections(OWNER, "requested_out", "")
        record = (await forger.bob.store.connections((asked.id,)))[asked.id]
        request, own, then = (
            recall_request(record.request_raw),
            await forger.alice.own_log(),
            forger.clock.now(),
        )
        accept = sign_accept(request, at=then, log=own.position, by=forger.alice.manage)
        body = await request_by(forger, 1)
        terms = body.terms
        grant = sign_grant(
            request, request.to, before=None, at=then, until=None, classes=frozenset(GRANTABLE), rate=60,
            largest=100_000, terms=sha256(terms), log=own.position, by=forger.alice.manage,
        )  # fmt: skip
        accepted = ConnectionAccepted(accept, grant, terms, own.statements)
        forger.clock.ahead_ms += 31 * DAY_MS
        await bob._connections.expire_requests()
        await forger.deliver(await forger.seal(accepted))
        assert await codes(bob) == ["request-expired"]
        assert not await bob.connections(OWNER, "accepted", "")


@asynccontextmanager
async def _strangers():
    """Alice's, Bob's and Carol's daemons, which are not connected; Carol has two agents."""
    async with (
        a_world() as world,
        world.running(Machine("alice")) as a,
        world.running(Machine("bob")) as b,
        world.running(Machine("carol")) as c,
    ):
        await set_up(a, "alice", "requester")
        await set_up(b, "bob", "writer")
        await set_up(c, "carol", "coder")
        await c.create_agent(OWNER, NewAgent("tester"))
        yield a, b, c


async def test_of_the_requests_of_strangers_no_more_wait_than_an_owner_reads(monkeypatch):
    """A relay makes as many strangers as it likes: of one too many nothing is kept, not even its account."""
    monkeypatch.setattr(connection_arrivals, "MOST_REQUESTS", 1)
    async with _strangers() as (a, b, c):

        async def set_aside():
            return await b.quarantine(OWNER, "", 50)

        await a.request_connection(OWNER, "requester", "@bob/writer", "hello")
        first = await asked(b)
        await c.request_connection(OWNER, "coder", "@bob/writer", "hello")
        (refused,) = await until(set_aside)
        assert refused.code == "contact-limit"
        assert await b._core.logs.get(c._core.own) is None
        assert [one.id for one in await b.connections(OWNER, "requested_in", "")] == [first.id]
        await b.end_connection(OWNER, first.id.hex(), "declined", "")
        await c.request_connection(OWNER, "tester", "@bob/writer", "hello")
        assert (await asked(b)).peer == "@carol/tester"


async def test_one_stranger_with_many_agents_keeps_nobody_out(monkeypatch):
    """An account has some requests and no more, whichever of its agents asks; another's are taken."""
    monkeypatch.setattr(connection_arrivals, "MOST_OF_ONE", 1)
    async with _strangers() as (a, b, c):
        await c.request_connection(OWNER, "coder", "@bob/writer", "hello")
        first = await asked(b)
        await c.request_connection(OWNER, "tester", "@bob/writer", "hello")
        (refused,) = await until(lambda: b.quarantine(OWNER, "", 50))
        assert refused.code == "contact-limit"
        await a.request_connection(OWNER, "requester", "@bob/writer", "hello")

        async def both():
            found = await b.connections(OWNER, "requested_in", "")
            return found if len(found) == 2 else None

        assert {one.peer for one in await until(both)} == {first.peer, "@alice/requester"}


async def test_who_is_connected_asks_however_many_strangers_wait(monkeypatch):
    """A friend whose machine was restored asks anew, and is none of those whom a relay makes up."""
    async with a_world() as world, connected(world) as (a, b):
        monkeypatch.setattr(connection_arrivals, "MOST_REQUESTS", 0)
        monkeypatch.setattr(connection_arrivals, "MOST_OF_ONE", 0)
        await ask_again(b, a._core.own)

        async def taken():
            return await a.connections(OWNER, "requested_in", "")

        await until(taken)
        assert await codes(a) == []
