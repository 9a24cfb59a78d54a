"""Strangers whose requests came to nothing: forgotten in their time, and what they signed counts no more."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager

import attrs
import pytest

from taskferry_apps.daemon import connection_arrivals
from taskferry_apps.daemon import strangers as strangers_module
from taskferry_apps.daemon.bonds import all_bonds
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.identity_changes import What, changed_owners, drop_forgotten, mark_changed
from taskferry_apps.daemon.outbound import give_up_expired
from taskferry_apps.daemon.receipts import Receipts
from taskferry_apps.daemon.strangers import STEP, Strangers
from taskferry_protocol.connections import EndKind, recall_request, sign_end
from taskferry_protocol.ids import sha256
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.messages import ConnectionEnded
from taskferry_protocol.records import (
    ConnectionState,
    EvidenceRecord,
    HoldAccount,
    Place,
    PutEvidence,
    SaveConnection,
    SetTrust,
    Trust,
)
from taskferry_stores.memory import MemoryDaemonStore
from taskferry_stores.port import DaemonStore
from taskferry_stores.sqlite import open_daemon_store

from .forger import codes, forger_between
from .test_connections_life import asked, in_state, request_by
from .test_ladder import say
from .test_upkeep import upkeep_of
from .worlds import OWNER, Machine, a_world, connected, set_up, texts, until


@asynccontextmanager
async def strangers(bobs=None):
    """Somebody with all of alice's keys and a relay's place, who is a stranger to bob."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob", **({} if bobs is None else {"store": bobs}))
        async with world.running(alice) as a, world.running(bob) as b:
            await set_up(a, "alice", "requester")
            await set_up(b, "bob", "writer")
        forger = await forger_between(world, alice, bob)
        forger.shown = (await forger.alice.own_log()).statements
        yield forger, await world.open_daemon(bob)


async def ended_by(forger, request):
    """Alice takes a request back."""
    raw = sign_end(
        recall_request(request.statement),
        forger.alice.agent("requester"),
        EndKind.REVOKED,
        at=forger.clock.now(),
        log=(await forger.alice.own_log()).position,
        by=forger.alice.manage,
    )
    return ConnectionEnded(raw, "", None)


async def tidy(daemon, core):
    """What a daemon does that has all that the relay had for it, by the core that takes what comes."""
    await daemon._connections.expire_requests()
    await Strangers(core).forget(core.now())


async def held(daemon):
    """The states of all connections, and whether alice is known."""
    states = [view.state for view in await daemon.connections(OWNER, "", "")]
    return states, bool(await daemon._core.store.accounts_named(("alice",)))


async def asked_by(world, bob, names):
    """Each of these has asked Bob for a connection, and went."""
    for number, name in enumerate(names, 1):
        async with world.running(Machine(name)) as stranger:
            await set_up(stranger, name, "requester")
            await stranger.request_connection(OWNER, "requester", "@bob/writer", "May I?")

            async def there(count=number):
                return len(await bob.connections(OWNER, "", "")) == count

            await until(there)


async def test_who_asked_in_vain_is_forgotten_a_month_after_the_request_has_expired(autojump_clock):
    """The connection, the message, the account and its name; until then all of it is there."""
    async with strangers() as (forger, bob):
        request = await request_by(forger, 1, note="hello")
        await forger.deliver(await forger.seal(request))
        assert await held(bob) == (["requested_in"], True)
        forger.clock.ahead_ms += 2 * DAY_MS
        await tidy(bob, forger.bob)
        assert await held(bob) == (["expired"], True)
        forger.clock.ahead_ms += 29 * DAY_MS
        await tidy(bob, forger.bob)
        assert await held(bob) == (["expired"], True)
        forger.clock.ahead_ms += 2 * DAY_MS
        await tidy(bob, forger.bob)
        assert await held(bob) == ([], False)
        assert await forger.bob.logs.get(forger.alice.own) is None
        assert (await bob._core.store.stats()).messages == 0
        # That the request came is owed to somebody who is nobody now.
        await Receipts(forger.bob).say()
        assert (await bob._core.store.stats()).receipts_owed == 0


async def test_what_a_forgotten_stranger_signed_is_refused_however_it_comes(autojump_clock):
    """The same envelope, and the same request in a new one: neither makes anybody known."""
    async with strangers() as (forger, bob):
        request = await request_by(forger, 1)
        old = await forger.seal(request)
        await forger.deliver(old)
        forger.clock.ahead_ms += 40 * DAY_MS
        await tidy(bob, forger.bob)
        await upkeep_of(bob).tidy()
        assert await held(bob) == ([], False)
        await forger.deliver(old)
        await forger.deliver(await forger.seal(request))
        assert sorted(await codes(bob)) == ["expired", "request-expired"]
        assert await held(bob) == ([], False)


async def test_who_was_forgotten_may_ask_anew(autojump_clock):
    """Nothing is held against them."""
    async with strangers() as (forger, bob):
        await forger.deliver(await forger.seal(await request_by(forger, 1)))
        forger.clock.ahead_ms += 40 * DAY_MS
        await tidy(bob, forger.bob)
        await forger.deliver(await forger.seal(await request_by(forger, 2)))
        assert await held(bob) == (["requested_in"], True)


async def test_a_request_that_was_taken_back_is_forgotten_too(autojump_clock):
    """As long after its time as one that expired, and seen as ended meanwhile."""
    async with strangers() as (forger, bob):
        request = await request_by(forger, 1)
        await forger.deliver(await forger.seal(request))
        await forger.deliver(await forger.seal(await ended_by(forger, request)))
        forger.clock.ahead_ms += 31 * DAY_MS
        await tidy(bob, forger.bob)
        assert await held(bob) == (["ended"], True)
        forger.clock.ahead_ms += 2 * DAY_MS
        await tidy(bob, forger.bob)
        assert await held(bob) == ([], False)
        assert (await bob._core.store.stats()).messages == 0


async def test_who_takes_requests_back_may_not_ask_without_end(monkeypatch, autojump_clock):
    """What was taken back holds its place among the few that an account may have, until its time is over."""
    monkeypatch.setattr(connection_arrivals, "MOST_OF_ONE", 2)
    async with strangers() as (forger, bob):
        for number in range(3):
            request = await request_by(forger, number)
            await forger.deliver(await forger.seal(request))
            await forger.deliver(await forger.seal(await ended_by(forger, request)))
        assert sorted(await codes(bob)) == ["contact-limit", "unknown-request"]
        assert await held(bob) == (["ended", "ended"], True)
        forger.clock.ahead_ms += 2 * DAY_MS
        await forger.deliver(await forger.seal(await request_by(forger, 4)))
        assert "requested_in" in (await held(bob))[0]


async def test_what_is_said_of_a_request_again_and_again_is_kept_once(autojump_clock):
    """However many envelopes bring the same request, or the same end of it."""
    async with strangers() as (forger, bob):
        request = await request_by(forger, 1)
        for _ in range(5):
            await forger.deliver(await forger.seal(request))
        assert (await bob._core.store.stats()).messages == 1
        end = await ended_by(forger, request)
        for _ in range(5):
            await forger.deliver(await forger.seal(end))
        assert (await bob._core.store.stats()).messages == 2
        assert await codes(bob) == []


@pytest.mark.parametrize("kind", ["declined", "blocked"])
async def test_what_the_owner_has_decided_is_never_forgotten(kind, autojump_clock):
    """A block holds for ever, and so what is known of whom it is about."""
    async with strangers() as (forger, bob):
        await forger.deliver(await forger.seal(await request_by(forger, 1)))
        (view,) = await bob.connections(OWNER, "", "")
        await bob.end_connection(OWNER, view.id.hex(), kind, "")
        forger.clock.ahead_ms += 400 * DAY_MS
        await tidy(bob, forger.bob)
        assert await held(bob) == (["ended"], True)


async def test_our_own_requests_stay_in_the_list(autojump_clock):
    """What this owner has asked for is history; so is the account that it was asked of."""
    async with a_world() as world, world.running(Machine("a")) as a, world.running(Machine("b")) as b:
        await set_up(a, "alice", "requester")
        await set_up(b, "bob", "writer")
        await b.request_connection(OWNER, "writer", "@alice/requester", "May I?")
        await asked(a)
        world.clock.ahead_ms += 100 * DAY_MS
        await in_state(b, "expired")
        await tidy(b, b._core)
        assert await held(b) == (["expired"], True)


async def test_nothing_is_forgotten_before_all_that_came_is_taken(autojump_clock):
    """A machine that was away for months may have the answer of another of its owner's devices waiting."""
    async with strangers() as (forger, bob):
        await forger.deliver(await forger.seal(await request_by(forger, 1)))
        forger.clock.ahead_ms += 100 * DAY_MS
        await upkeep_of(bob).round()
        assert await held(bob) == (["expired"], True)


async def test_however_many_there_are_they_go_a_few_at_a_time(monkeypatch, autojump_clock):
    """One step looks at so many and no more; the next goes on from there, and then waits for an hour."""
    monkeypatch.setattr("taskferry_apps.daemon.strangers.STEP", 2)
    assert STEP > 2
    async with strangers() as (forger, bob):
        for number in range(3):
            await forger.deliver(await forger.seal(await request_by(forger, number)))
        forger.clock.ahead_ms += 40 * DAY_MS
        await bob._connections.expire_requests()
        core, left = bob._core, []
        strangers_ = Strangers(core)
        for _ in range(3):
            await strangers_.forget(core.now())
            left.append(len((await held(bob))[0]))
        assert left == [1, 0, 0]


async def test_it_happens_by_itself_in_a_file(tmp_path):
    """A daemon that runs and has taken everything forgets without being asked."""
    async with open_daemon_store(tmp_path / "daemon.db") as store, a_world() as world:
        bob = Machine("bob", store=store)
        async with world.running(Machine("alice")) as a, world.running(bob) as b:
            await set_up(a, "alice", "requester")
            await set_up(b, "bob", "writer")
            await a.request_connection(OWNER, "requester", "@bob/writer", "May I?")
            await asked(b)
        # Each time it begins anew: no session outlives such a step of the clock for certain.
        world.clock.ahead_ms += 15 * DAY_MS
        async with world.running(bob) as b:

            async def expired():
                b._core.due.ring()
                return await b.connections(OWNER, "expired", "")

            await until(expired)
        world.clock.ahead_ms += 40 * DAY_MS
        async with world.running(bob) as b:

            async def gone():
                b._core.due.ring()
                return (await held(b)) == ([], False)

            await until(gone)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_of_those_who_stay_for_what_is_held_against_them_the_oldest_go(kind, tmp_path, monkeypatch):
    """No relay fills the disk with strangers who show two histories; with them goes what was said of them."""
    monkeypatch.setattr(strangers_module, "MOST_ACCUSED", 1)
    async with AsyncExitStack() as stack:
        store: DaemonStore = MemoryDaemonStore()
        if kind == "sqlite":
            store = await stack.enter_async_context(open_daemon_store(tmp_path / "daemon.db"))
        world = await stack.enter_async_context(a_world())
        bob = await stack.enter_async_context(world.running(Machine("bob", store=store)))
        await set_up(bob, "bob", "writer")
        core, names = bob._core, ("alice", "carol", "dave")
        await asked_by(world, bob, names)
        known = {name: found.record.account for name, found in (await store.accounts_named(names)).items()}
        async with core.lock:
            draft = Draft(core)
            for name, account in known.items():
                draft.add(HoldAccount(account, "two histories"))
                draft.add(PutEvidence(EvidenceRecord("forked", account, b"1", b"2", core.now())))
                await mark_changed(draft, account, name, What.OTHER_HISTORY)
            await draft.commit()
        world.clock.ahead_ms += 70 * DAY_MS

        async def gone():
            # A receipt that was owed waits for one who is held until it expires.
            world.clock.ahead_ms += DAY_MS
            await give_up_expired(core)
            await tidy(bob, core)
            return len(await store.accounts_named(names)) == 1

        await until(gone)
        assert await bob.connections(OWNER, "", "") == ()
        assert len((await store.evidence(Place(0), 9)).items) == 1
        async with core.lock:
            draft = Draft(core)
            await drop_forgotten(draft)
            await draft.commit()
        assert len(await changed_owners(store)) == 1


@asynccontextmanager
async def in_vain(*names):
    """Bob's daemon, which has not answered those who asked; and their accounts."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        await asked_by(world, bob, names)
        known = await bob._core.store.accounts_named(names)
        yield world, bob, {name: found.record.account for name, found in known.items()}


async def later(world, bob):
    """The requests are over, and so is what was owed to those who made them."""
    world.clock.ahead_ms += 70 * DAY_MS
    for _ in range(4):
        world.clock.ahead_ms += DAY_MS
        await give_up_expired(bob._core)
        await tidy(bob, bob._core)
    assert await bob.connections(OWNER, "expired", "") == ()


async def test_who_is_accused_is_not_pushed_out_by_those_of_whom_nothing_stays(monkeypatch):
    """Requests in vain are no reason to forget what is held against somebody else."""
    monkeypatch.setattr(strangers_module, "MOST_ACCUSED", 1)
    async with in_vain("alice", "carol", "dave") as (world, bob, known):
        core = bob._core
        await core.commit((PutEvidence(EvidenceRecord("forked", known["alice"], b"1", b"2", core.now())),))
        await later(world, bob)
        assert set(await core.store.accounts(known.values())) == {known["alice"]}
        assert len((await core.store.evidence(Place(0), 9)).items) == 1


async def test_evidence_against_the_devices_of_strangers_goes_with_them(monkeypatch):
    """No stranger after another leaves two letters of one number here for good."""
    monkeypatch.setattr(strangers_module, "MOST_ACCUSED", 1)
    async with in_vain("alice", "carol") as (world, bob, known):
        core = bob._core
        for account in known.values():
            log = await core.logs.get(account)
            (device,) = log.state.devices
            evidence = EvidenceRecord("equivocation", device, b"1", b"2", core.now())
            await core.commit((PutEvidence(evidence),))
        await later(world, bob)
        assert len(await core.store.accounts(known.values())) == 1
        assert len((await core.store.evidence(Place(0), 9)).items) == 1


@pytest.mark.parametrize("how", ["trusted", "connected"])
async def test_who_is_known_otherwise_takes_no_place_of_the_accused(how, monkeypatch):
    """Whoever the owner trusts, or was connected with, is not forgotten, and pushes nobody out."""
    monkeypatch.setattr(strangers_module, "MOST_ACCUSED", 1)
    async with in_vain("alice", "carol", "dave") as (world, bob, known):
        core, others = bob._core, {known["carol"], known["dave"]}
        against = EvidenceRecord("forked", known["alice"], b"1", b"2", core.now())
        await core.commit((PutEvidence(against),))
        if how == "trusted":
            await core.commit([SetTrust(account, Trust.VERIFIED, core.now()) for account in others])
        else:
            asked = [bond.record for bond in await all_bonds(core.store)]
            more = [
                attrs.evolve(
                    one,
                    request=sha256(one.request),
                    state=ConnectionState.ENDED,
                    accept_raw=b"a",
                    end_raw=b"e",
                    revision=0,
                )
                for one in asked
            ]
            await core.commit([SaveConnection(one) for one in more if one.peer.account in others])
        await later(world, bob)
        assert set(await core.store.accounts(known.values())) == set(known.values())
        assert len((await core.store.evidence(Place(0), 9)).items) == 1


async def test_receipts_are_not_kept_once_the_relay_has_them():
    """A message leaves one envelope at its recipient, and not a second one for having said that it came."""
    async with a_world() as world, connected(world) as (a, b):
        await say(a)

        async def has_come():
            return await texts(b) == ["hello"]

        await until(has_come)

        async def settled():
            stats = await b._core.store.stats()
            return not stats.receipts_owed and not stats.outbox_waiting

        await until(settled)
        store = b._core.store
        assert isinstance(store, MemoryDaemonStore)
        state = store._state
        proofs = {got.receipt for got in state.got.values()}
        assert state.sealed.keys() - {hash for hash, _ in state.messages} - proofs == set()
