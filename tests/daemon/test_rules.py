"""Standing rules: requests accepted and tasks released without the owner, and never more than was decided."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from taskferry_apps.daemon.bonds import Bond
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.ending import end_bond
from taskferry_apps.daemon.gates_port import NewRule
from taskferry_apps.daemon.identity_changes import What, mark_changed
from taskferry_apps.daemon.port import Caller, DaemonRefusal, GrantChange, NewAgent
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.connections import EndKind
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.records import SetTrust, Trust

from .test_blocks import ask_again, states
from .test_connections_life import asked, in_state
from .worlds import OWNER, Machine, World, a_world, ask, connect, introduce, set_up, until
from .worlds import in_state as task_in_state

WRITER = Caller(frozenset({"writer"}))


@asynccontextmanager
async def acquainted(world: World):
    """Alice and bob, connected, so that bob knows alice's account; alice has a second agent."""
    async with world.running(Machine("a")) as a, world.running(Machine("b")) as b:
        await set_up(a, "alice", "requester")
        await a.create_agent(OWNER, NewAgent("second"))
        await set_up(b, "bob", "writer")
        await connect(a, b, "requester", "@bob/writer")
        yield a, b


async def trust(daemon: Daemon, owner: str, trust: Trust) -> None:
    """What the owner says of an account once its words were compared."""
    core = daemon._core
    account = (await core.store.accounts_named((owner,)))[owner].record.account
    await core.commit((SetTrust(account, trust, core.now()),))


async def accepted_second(daemon: Daemon):
    """The connection of alice's second agent, once it is accepted here."""

    async def found():
        listed = await daemon.connections(OWNER, "accepted", "")
        return next((one for one in listed if one.peer == "@alice/second"), None)

    return await until(found)


async def test_a_rule_accepts_what_a_verified_owners_agents_ask():
    """The request is accepted in the commit that takes it, with what the rule allows; the use is counted."""
    async with a_world() as world, acquainted(world) as (a, b):
        await trust(b, "alice", Trust.VERIFIED)
        grant = GrantChange(classes=("message", "task"), rate_per_minute=7)
        rule = await b.gates.add_rule(OWNER, NewRule("@alice/*", "writer", 1, grant=grant))
        assert (rule.accept, rule.agent, rule.waits_for) == ("@alice/*", "writer", "")
        await a.request_connection(OWNER, "second", "@bob/writer", "hello")
        connection = await accepted_second(b)
        assert connection.given is not None
        assert (connection.given.classes, connection.given.rate_per_minute) == (("message", "task"), 7)
        assert connection.given.human_gate, "what a rule does not say is the default"
        await until(lambda: _connected(a))
        assert [one.used for one in await b.gates.rules(OWNER)] == [1]


async def _connected(daemon: Daemon):
    return len(await daemon.connections(OWNER, "accepted", "")) == 2


async def test_a_rule_for_all_agents_of_an_unverified_owner_accepts_nobody():
    """It is listed with what it waits for, and works from the moment that the owner is verified."""
    async with a_world() as world, acquainted(world) as (a, b):
        rule = await b.gates.add_rule(OWNER, NewRule("@alice/*"))
        assert "verified" in rule.waits_for
        await a.request_connection(OWNER, "second", "@bob/writer", "hello")
        request = await asked(b)
        assert request.peer == "@alice/second"
        await b.end_connection(OWNER, request.id.hex(), "declined", "", Instant(1))
        await until(lambda: _ended(a))
        await trust(b, "alice", Trust.VERIFIED)
        await a.request_connection(OWNER, "second", "@bob/writer", "hello")
        await accepted_second(b)


async def _ended(daemon: Daemon):
    return await daemon.connections(OWNER, "ended", "")


async def test_a_lookalike_fits_no_rule():
    """@al1ce is another account, verified or not, and so is whoever the relay shows later as @alice."""
    async with a_world() as world, acquainted(world) as (_, b), world.running(Machine("m")) as m:
        await set_up(m, "al1ce", "second")
        await trust(b, "alice", Trust.VERIFIED)
        await b.gates.add_rule(OWNER, NewRule("@alice/*"))
        await b.gates.add_rule(OWNER, NewRule("@alice/second"))
        await m.request_connection(OWNER, "second", "@bob/writer", "hello, it is me")
        assert (await asked(b)).peer == "@al1ce/second"
        assert all(rule.used == 0 for rule in await b.gates.rules(OWNER))


async def test_a_rule_for_all_agents_needs_an_owner_that_is_known():
    """A name that nobody has met may be anybody's; one agent named in full is looked up and pinned."""
    async with a_world() as world, world.running(Machine("a")) as a, world.running(Machine("b")) as b:
        await set_up(a, "alice", "requester")
        await set_up(b, "bob", "writer")
        with pytest.raises(DaemonRefusal) as refused:
            await b.gates.add_rule(OWNER, NewRule("@alice/*"))
        assert refused.value.code == "unknown-account"
        rule = await b.gates.add_rule(OWNER, NewRule("@alice/requester"))
        assert (rule.trust, rule.waits_for) == ("unverified", "")
        assert rule.account == (await a.account(OWNER)).account.hex()
        await a.request_connection(OWNER, "requester", "@bob/writer", "")
        assert (await in_state(b, "accepted")).peer == "@alice/requester"


@pytest.mark.parametrize("pattern", ["*", "@*/x", "alice/*", "@alice", "@alice/", "@alice/a*", "@Alice/*"])
async def test_a_rule_names_one_owner(pattern):
    """There is no rule for everybody."""
    async with a_world() as world, acquainted(world) as (_, b):
        with pytest.raises(DaemonRefusal) as refused:
            await b.gates.add_rule(OWNER, NewRule(pattern))
        assert (refused.value.code, refused.value.detail["field"]) == ("bad-value", "accept")


async def held(daemon: Daemon) -> list[str]:
    """Titles of what waits."""
    return [one.title for one in await daemon.gates.held_tasks(OWNER)]


async def test_a_rule_releases_so_many_tasks_in_any_day_and_the_next_one_waits():
    """The count is durable: a daemon that was killed begins no new day."""
    async with a_world() as world:
        bob = Machine("b")
        async with world.running(Machine("a")) as a:
            async with world.running(bob) as b:
                await introduce(a, b)
                await b.set_permissions(OWNER, ("writer", "@alice/requester"), GrantChange(human_gate=True))
                await b.gates.add_rule(OWNER, NewRule("@alice/requester", tasks_per_day=2))
                first = await ask(a, "requester", "@bob/writer", title="one")
                await task_in_state(b, first, "sent")
                assert (await b.task(WRITER, first.hex())).summary.title == "one"
                # No person has seen it: whether programs may begin is the grant's to say.
                assert not (await b.message(WRITER, first.hex())).auto_start
            async with world.running(bob) as b:
                tasks = [await ask(a, "requester", "@bob/writer", title=title) for title in ("two", "three")]
                await task_in_state(b, tasks[1], "sent")
                assert await held(b) == ["three"]
                assert [rule.tasks_today for rule in await b.gates.rules(OWNER)] == [2]
                world.clock.ahead_ms += DAY_MS + 1
                last = await ask(a, "requester", "@bob/writer", title="four")
                await task_in_state(b, last, "sent")
                assert await held(b) == ["three"]
                (rule,) = await b.gates.rules(OWNER)
                assert (rule.tasks_today, rule.used) == (1, 3)


async def test_a_rule_does_nothing_for_a_guarded_agent():
    """Whoever guards an agent wants to see each task."""
    async with a_world() as world, acquainted(world) as (a, b):
        await b.gates.add_rule(OWNER, NewRule("@alice/requester", tasks_per_day=9))
        await b.gates.set_mode(OWNER, "writer", "guarded")
        task = await ask(a, "requester", "@bob/writer", title="seen")
        await task_in_state(b, task, "sent")
        assert await held(b) == ["seen"]


async def test_a_rule_that_was_removed_or_is_over_does_nothing():
    """What it has accepted stays; what comes later waits."""
    async with a_world() as world, acquainted(world) as (a, b):
        await b.set_permissions(OWNER, ("writer", "@alice/requester"), GrantChange(human_gate=True))
        until_then = Instant(world.clock.now() + 60_000)
        await b.gates.add_rule(OWNER, NewRule("@alice/requester", tasks_per_day=9, until=until_then))
        rule = await b.gates.add_rule(OWNER, NewRule("@alice/second"))
        await a.request_connection(OWNER, "second", "@bob/writer", "")
        await accepted_second(b)
        removed = await b.gates.remove_rule(OWNER, rule.id.hex()[:8])
        assert removed.used == 1
        await accepted_second(b)
        world.clock.ahead_ms += 60_001
        task = await ask(a, "requester", "@bob/writer", title="late")
        await task_in_state(b, task, "sent")
        assert await held(b) == ["late"]
        assert [one.waits_for for one in await b.gates.rules(OWNER)] == ["nothing: its time is over"]


async def test_rules_are_the_owners():
    """No agent's credential reads, makes or removes one."""
    async with a_world() as world, acquainted(world) as (_, b):
        rule = await b.gates.add_rule(OWNER, NewRule("@alice/requester"))
        for call in (
            b.gates.rules(WRITER),
            b.gates.add_rule(WRITER, NewRule("@alice/*", tasks_per_day=99)),
            b.gates.remove_rule(WRITER, rule.id.hex()),
        ):
            with pytest.raises(DaemonRefusal) as refused:
                await call
            assert refused.value.code == "owner-only"


async def test_a_rule_does_nothing_while_an_identity_is_in_question():
    """What was decided ahead was decided about somebody whose account held together."""
    async with a_world() as world, acquainted(world) as (a, b):
        await trust(b, "alice", Trust.VERIFIED)
        await b.gates.add_rule(OWNER, NewRule("@alice/*"))
        core = b._core
        async with core.lock:
            draft = Draft(core)
            account = (await core.store.accounts_named(("alice",)))["alice"].record.account
            await mark_changed(draft, account, "alice", What.SECOND_CLAIM)
            await draft.commit()
        await a.request_connection(OWNER, "second", "@bob/writer", "")
        assert (await asked(b)).peer == "@alice/second"


async def test_no_rule_gives_back_what_the_owner_has_taken_from_an_agent_that_ends_and_asks_anew():
    """It is connected again, and may send what the owner had said last; a rule that is made later counts."""
    async with a_world() as world, acquainted(world) as (a, b):
        await trust(b, "alice", Trust.VERIFIED)
        grant = GrantChange(classes=("message", "task"))
        rule = await b.gates.add_rule(OWNER, NewRule("@alice/*", grant=grant))
        world.clock.ahead_ms += 1_000
        less = GrantChange(classes=("message",), rate_per_minute=7)
        await b.set_permissions(OWNER, ("writer", "@alice/requester"), less)
        assert await _given_after_asking_anew(a, b) == (("message",), 7)
        await b.gates.remove_rule(OWNER, rule.id.hex())
        world.clock.ahead_ms += 1_000
        await b.gates.add_rule(OWNER, NewRule("@alice/*", grant=grant))
        assert await _given_after_asking_anew(a, b) == (("message", "task"), 60)
        world.clock.ahead_ms += 1_000
        await b.set_permissions(OWNER, ("writer", "@alice/requester"), GrantChange(rate_per_minute=30))
        assert await _given_after_asking_anew(a, b) == (("message", "task"), 30)


async def test_the_last_word_counts_also_where_the_newest_connection_had_ended_before_it():
    """The owner restricts what still stands, an older one; neither it nor the newest gives more back."""
    async with a_world() as world, acquainted(world) as (a, b):
        await trust(b, "alice", Trust.VERIFIED)
        await b.gates.add_rule(OWNER, NewRule("@alice/*", grant=GrantChange(classes=("message", "task"))))
        world.clock.ahead_ms += 1_000
        await ask_again(a, b._core.own, "requester", "writer")
        (request,) = await until(lambda: b.connections(OWNER, "requested_in", ""))
        await b.accept_connection(OWNER, request.id.hex(), GrantChange(classes=("message", "task")))
        await until(lambda: _are(a, ["accepted", "accepted"]))
        core = a._core
        async with core.lock:
            draft = Draft(core)
            newest = Bond((await core.store.connections((request.id,)))[request.id])
            await end_bond(draft, newest, EndKind.REVOKED, "", None)
            await draft.commit()
        core.outgoing.ring()
        await until(lambda: _are(b, ["accepted", "ended"]))
        world.clock.ahead_ms += 1_000
        less = GrantChange(classes=("message",), rate_per_minute=7)
        await b.set_permissions(OWNER, ("writer", "@alice/requester"), less)
        world.clock.ahead_ms += 1_000
        assert await _given_after_asking_anew(a, b) == (("message",), 7)


async def _given_after_asking_anew(a, b):
    """What bob lets alice send, once she has ended the connection and his rule has accepted another one."""
    ended = await states(b)
    await a.end_connection(OWNER, ("requester", "@bob/writer"), "revoked", "")
    await until(lambda: _are(b, ["ended" for _ in ended]))
    await a.request_connection(OWNER, "requester", "@bob/writer", "again")
    await until(lambda: _are(b, ["accepted", *["ended" for _ in ended]]))
    await until(lambda: _are(a, ["accepted", *["ended" for _ in ended]]))
    (connection,) = await b.connections(OWNER, "accepted", "")
    return connection.given.classes, connection.given.rate_per_minute


async def _are(daemon, wanted):
    return await states(daemon) == wanted


async def test_no_rule_gives_back_what_the_owner_has_taken_from_a_connected_agent():
    """It asks for another connection: that waits for the owner, and what it may send stays as it was said."""
    async with a_world() as world, acquainted(world) as (a, b):
        await trust(b, "alice", Trust.VERIFIED)
        await b.gates.add_rule(OWNER, NewRule("@alice/*", grant=GrantChange(classes=("message", "task"))))
        await b.set_permissions(OWNER, ("writer", "@alice/requester"), GrantChange(classes=("message",)))
        await ask_again(a, b._core.own, "requester", "writer")

        async def waits():
            return await states(b) == ["accepted", "requested_in"]

        await until(waits)
        (connection,) = await b.connections(OWNER, "accepted", "")
        assert connection.given.classes == ("message",)
