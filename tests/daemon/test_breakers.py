"""Breakers: agents that go on for ever are stopped, the owner sees it and decides, and no task is hurt."""

from __future__ import annotations

from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from taskferry_apps.daemon.breakers import HELD_ITEMS
from taskferry_apps.daemon.gates_port import NewRule
from taskferry_apps.daemon.port import Caller, DaemonRefusal, GrantChange, NewAgent, NewTask, TaskAction
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.accounts import set_agent
from taskferry_protocol.breakers import DEFAULT_LIMITS, BreakerLimits
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import MINUTE_MS
from taskferry_protocol.links import Seen, TaskLink
from taskferry_protocol.messages import (
    RevisionRequest,
    TaskCancel,
    TaskRequest,
    TextMessage,
    TextPart,
    decode_content,
)
from taskferry_protocol.records import Flow
from taskferry_stores.sqlite import open_daemon_store

from .forger import codes, forging
from .test_nobody_left import hear
from .worlds import (
    OWNER,
    Machine,
    World,
    a_world,
    act,
    ask,
    connect,
    connected,
    in_state,
    set_up,
    until,
)

WRITER = Caller(frozenset({"writer"}))
REQUESTER = Caller(frozenset({"requester"}))
#: The rungs at which a message has come to its recipient's machine.
REACHED = {"delivered", "offered", "read", "processed"}
PAIR = ("writer", "@alice/requester")
FEW = BreakerLimits(talk=6, talk_a_day=20, events=8, events_a_day=40, repeats=3, budget=8)
MUCH = GrantChange(human_gate=False, rate_per_minute=100_000, task_budget=200)


@asynccontextmanager
async def a_pair(world: World, limits: BreakerLimits = DEFAULT_LIMITS, bob: Machine | None = None):
    """Alice's requester and bob's writer, connected, with room for everything but what breakers stop."""
    alice = Machine("alice", limits=limits)
    bob = bob or Machine("bob", limits=limits)
    async with connected(world, alice, bob) as (a, b):
        await b.set_permissions(OWNER, PAIR, MUCH)
        await a.set_permissions(OWNER, ("requester", "@bob/writer"), MUCH)

        async def told():
            shown = [*await a.connections(OWNER, "", ""), *await b.connections(OWNER, "", "")]
            rates = [
                way.rate_per_minute for one in shown for way in (one.given, one.received) if way is not None
            ]
            return rates == [100_000] * 4

        await until(told)
        yield a, b


async def say(daemon, caller, mine, peer, text, reply_to="", cause=""):
    """Send a message."""
    return await daemon.send_message(caller, mine, peer, text, (), "", reply_to, cause)


async def got(daemon, agent, count):
    """The inbox of an agent once as much is in it."""

    async def there():
        page = await daemon.inbox(Caller(frozenset({agent})), agent, False, "", 200, 0)
        return page.messages if len(page.messages) >= count else None

    return await until(there)


async def a_stop(daemon):
    """What a breaker has stopped there, as soon as it has."""

    async def there():
        return await daemon.gates.stops(OWNER)

    (stop,) = await until(there)
    return stop


async def refused(call, code, status=429):
    """Require that a call is refused so; its detail."""
    with pytest.raises(DaemonRefusal) as caught:
        await call
    assert (caught.value.code, caught.value.status) == (code, status)
    return caught.value.detail


async def thanker(daemon, mine, peer, sent, words):
    """A program that answers whatever comes, without saying what it answers, until it is refused."""
    caller, cursor = Caller(frozenset({mine})), ""
    while True:
        page = await daemon.inbox(caller, mine, True, cursor, 50, 30)
        cursor = page.cursor
        for message in page.messages:
            await daemon.acknowledge(caller, message.id.hex())
            if message.type != TextMessage.type_name:
                continue
            try:
                await say(daemon, caller, mine, peer, words(len(sent)))
            except DaemonRefusal:
                return
            sent.append(message.id)


async def test_agents_that_thank_each_other_stop_by_themselves_and_go_on_when_the_owner_lets_them():
    """Neither says what it answers, and each time other words: hops end it, and somebody's owner sees it."""
    async with a_world() as world, a_pair(world) as (a, b), trio.open_nursery() as nursery:
        sent: list[bytes] = []
        nursery.start_soon(thanker, a, "requester", "@bob/writer", sent, lambda n: f"Thank you, {n} times")
        nursery.start_soon(thanker, b, "writer", "@alice/requester", sent, lambda n: f"My pleasure, {n}")
        await say(a, REQUESTER, "requester", "@bob/writer", "Thanks for yesterday!")

        async def stopped():
            return [(d, one) for d in (a, b) for one in await d.gates.stops(OWNER)]

        ((daemon, stop),) = await until(stopped)
        assert stop.code == "hop-limit"
        assert len(sent) == 16
        assert (stop.held, len(stop.items)) == (1, 1)
        mine = "requester" if daemon is a else "writer"
        caller = Caller(frozenset({mine}))
        assert [count for _, count in await daemon.gates.waiting(caller, mine)] == [1]
        inbox = (await daemon.inbox(caller, mine, False, "", 200, 0)).messages
        assert stop.items[0].hash not in {message.id for message in inbox}
        for call in (
            daemon.message(caller, stop.items[0].hash.hex()),
            daemon.acknowledge(caller, stop.items[0].hash.hex()),
        ):
            await refused(call, "not-found", 404)
        assert all(message.id != stop.items[0].hash for message in await _all_messages(daemon, caller, mine))
        await daemon.gates.release_stop(OWNER, stop.id.hex()[:8])

        async def goes_on():
            return len(sent) > 17

        await until(goes_on)
        nursery.cancel_scope.cancel()


async def _all_messages(daemon, caller, agent):
    return (await daemon.messages(caller, agent, "", 200)).messages


async def test_the_same_words_are_refused_and_the_owner_sees_why():
    """However they are written; the refusal says when it goes on, and that the owner can let it."""
    async with a_world() as world, a_pair(world, FEW) as (a, b):
        for words in ("Thanks!", "THANKS", " thanks… "):
            await say(a, OWNER, "requester", "@bob/writer", words)
        detail = await refused(say(a, OWNER, "requester", "@bob/writer", "thanks"), "same-words")
        assert 3_000 < detail["retry_after"] <= 3_600
        await say(a, OWNER, "requester", "@bob/writer", "Something else")
        stop = await a_stop(a)
        assert (stop.code, stop.held, stop.peer) == ("same-words", 0, "@bob/writer")
        await a.gates.release_stop(OWNER, stop.id.hex())
        assert await a.gates.stops(OWNER) == ()
        await say(a, OWNER, "requester", "@bob/writer", "thanks")
        assert len(await got(b, "writer", 4)) >= 4


async def test_a_window_that_is_full_opens_by_itself():
    """What is refused can be sent ten minutes after the first, and not before; nobody has to do anything."""
    async with a_world() as world, a_pair(world, FEW) as (a, _):
        for n in range(6):
            await say(a, REQUESTER, "requester", "@bob/writer", f"number {n}")
        call = say(a, REQUESTER, "requester", "@bob/writer", "one more")
        wait = (await refused(call, "pair-limit"))["retry_after"]
        assert 500 < wait <= 600
        await refused(a.create_task(OWNER, NewTask("requester", "@bob/writer", "Work", "")), "pair-limit")
        world.clock.ahead_ms += 10 * MINUTE_MS
        await say(a, REQUESTER, "requester", "@bob/writer", "one more")
        assert await a.gates.stops(OWNER) == (), "it is over"


async def test_a_peer_that_never_counts_hops_is_held_in_order_and_no_longer_heard():
    """Hop 0 always, varied words, a new conversation each time: the window holds it, and all that follows."""
    async with forging() as (forger, _):
        forger.bob.pairs.limits = FEW
        for n in range(12):
            await forger.deliver(await forger.seal(TextMessage(f"Thanks {n}"), conv=bytes([n]) * 16))
        reader = facing(forger)
        shown = await reader.inbox(WRITER, "writer", False, "", 50, 0)
        assert [m.payload["text"] for m in shown.messages] == [f"Thanks {n}" for n in range(6)]
        assert await reader.gates.waiting(WRITER, "writer") == (("@alice/requester", 6),)
        stop = await a_stop(reader)
        assert (stop.code, stop.held) == ("pair-limit", 6)
        assert [item.text for item in stop.items] == [f"Thanks {n}" for n in range(6, 12)]
        forger.clock.ahead_ms += 11 * MINUTE_MS
        await forger.deliver(await forger.seal(TextMessage("Thanks later")))
        assert (await a_stop(reader)).held == 7, "nothing overtakes what is held"
        released = await reader.gates.release_stop(OWNER, stop.id.hex())
        assert released.held == 7
        after = await reader.inbox(WRITER, "writer", False, shown.cursor, 50, 0)
        assert [m.payload["text"] for m in after.messages] == [
            *(f"Thanks {n}" for n in range(6, 12)),
            "Thanks later",
        ]
        await refused(reader.gates.release_stop(OWNER, stop.id.hex()), "not-found", 404)


def facing(forger):
    """Bob's daemon, with what the forger hands over before it."""
    return Daemon(forger.bob, pytest.fail, b"", None)


async def test_a_peer_that_is_held_cannot_fill_the_disk():
    """So much is held of one pair; more is quarantined, which is bounded, too, and its sender is told so."""
    async with forging() as (forger, bob):
        forger.bob.pairs.limits = FEW
        reader = facing(forger)
        await reader.set_permissions(OWNER, PAIR, MUCH)
        for n in range(6 + HELD_ITEMS + 5):
            await forger.deliver(await forger.seal(TextMessage(f"Thanks {n}")))
        stop = await a_stop(reader)
        assert stop.held == HELD_ITEMS
        assert await codes(bob) == ["too-many"] * 5
        dropped = await reader.gates.drop_stop(OWNER, stop.id.hex())
        assert dropped.held == HELD_ITEMS
        assert await reader.gates.stops(OWNER) == ()
        assert len((await reader.inbox(WRITER, "writer", False, "", 200, 0)).messages) == 6
        await forger.deliver(await forger.seal(TextMessage("again")))
        assert len((await reader.inbox(WRITER, "writer", False, "", 200, 0)).messages) == 7


async def test_a_flood_of_tasks_goes_to_the_gate():
    """New tasks beyond the window wait for the owner and say why; their agent is shown nothing of them."""
    async with forging() as (forger, _):
        await facing(forger).set_permissions(OWNER, PAIR, MUCH)
        forger.bob.pairs.limits = FEW
        reader = facing(forger)
        for n in range(9):
            request = TaskRequest(f"Task {n}", "")
            await forger.deliver(await forger.seal(request, link=TaskLink(None, 0, None, Seen(0, None))))
        shown = await reader.tasks(WRITER, "writer", "", "", "", 50)
        assert sorted(task.title for task in shown[0]) == [f"Task {n}" for n in range(6)]
        held = await reader.gates.held_tasks(OWNER)
        assert [(task.title, task.code) for task in held] == [
            ("Task 6", "pair-limit"),
            ("Task 7", "after-held"),
            ("Task 8", "after-held"),
        ]
        stop = await a_stop(reader)
        assert stop.tasks == tuple(task.task for task in held)
        await reader.gates.release_stop(OWNER, stop.id.hex())
        page = await reader.inbox(WRITER, "writer", False, "", 50, 0)
        assert [message.title for message in page.messages] == [f"Task {n}" for n in range(9)]
        assert await reader.gates.held_tasks(OWNER) == ()


async def test_approving_a_stop_lets_no_task_through_that_waits_for_a_person_anyway():
    """A task at the gate of a grant is looked at by itself, whatever the breaker between the two does."""
    async with forging() as (forger, _):
        reader = facing(forger)
        await reader.set_permissions(OWNER, PAIR, GrantChange(human_gate=True))
        forger.bob.pairs.limits = FEW
        await forger.deliver(await forger.seal(TextMessage("so far"), hop=16))
        request = TaskRequest("Secret title", "")
        await forger.deliver(await forger.seal(request, link=TaskLink(None, 0, None, Seen(0, None)), hop=16))
        stop = await a_stop(reader)
        assert (stop.code, stop.held, stop.tasks) == ("hop-limit", 1, ())
        await reader.gates.release_stop(OWNER, stop.id.hex())
        assert [(held.title, held.code) for held in await reader.gates.held_tasks(OWNER)] == [
            ("Secret title", "")
        ]
        assert "Secret" not in str(await reader.tasks(WRITER, "writer", "", "", "", 50))


async def test_a_rule_lets_no_task_pass_a_breaker():
    """What a rule would let through waits as well, and passes when the owner approves the stop."""
    async with forging() as (forger, _):
        reader = facing(forger)
        await reader.set_permissions(OWNER, PAIR, attrs.evolve(MUCH, human_gate=True))
        await reader.gates.add_rule(OWNER, NewRule("@alice/requester", "writer", tasks_per_day=50))
        forger.bob.pairs.limits = FEW
        for n in range(8):
            request = TaskRequest(f"Task {n}", "")
            await forger.deliver(await forger.seal(request, link=TaskLink(None, 0, None, Seen(0, None))))
        held = await reader.gates.held_tasks(OWNER)
        assert [(task.title, task.code) for task in held] == [
            ("Task 6", "pair-limit"),
            ("Task 7", "after-held"),
        ]
        await reader.gates.release_stop(OWNER, (await a_stop(reader)).id.hex())
        assert len((await reader.tasks(WRITER, "writer", "", "", "", 50))[0]) == 8


async def test_what_is_dropped_is_never_shown():
    """No path of an agent's leads to what its owner dropped; the owner finds it among the messages."""
    async with forging() as (forger, _):
        reader = facing(forger)
        forger.bob.pairs.limits = FEW
        await forger.deliver(await forger.seal(TextMessage("a secret"), hop=16))
        stop = await a_stop(reader)
        await reader.gates.drop_stop(OWNER, stop.id.hex())
        assert "a secret" not in str(await _all_messages(reader, WRITER, "writer"))
        assert "a secret" not in str(await reader.inbox(WRITER, "writer", False, "", 50, 0))
        await refused(reader.message(WRITER, stop.items[0].hash.hex()), "not-found", 404)
        await refused(reader.acknowledge(OWNER, stop.items[0].hash.hex()), "conflict", 409)
        assert "a secret" in str(await _all_messages(reader, OWNER, "writer"))


async def test_what_comes_while_the_owner_drops_is_not_dropped_unseen():
    """The decision is about what was shown: with more there, the owner is asked to look again."""
    async with forging() as (forger, _):
        reader = facing(forger)
        forger.bob.pairs.limits = FEW
        await forger.deliver(await forger.seal(TextMessage("first"), hop=16))
        stop = await a_stop(reader)
        second = await forger.seal(TextMessage("second"), hop=16)

        async def drop():
            await refused(reader.gates.drop_stop(OWNER, stop.id.hex(), stop.seen), "conflict", 409)

        async with trio.open_nursery() as nursery, forger.bob.lock:
            nursery.start_soon(forger.deliver, second)
            await wait_all_tasks_blocked()
            nursery.start_soon(drop)
            await wait_all_tasks_blocked()
        assert (await a_stop(reader)).held == 2


async def test_tasks_that_are_dropped_are_declined():
    """Whoever asked learns it, and the pair may go on."""
    async with a_world() as world, a_pair(world, FEW) as (a, b):
        for n in range(6):
            await say(b, OWNER, "writer", "@alice/requester", f"number {n}")
        await got(a, "requester", 6)
        a._core.pairs.limits = BreakerLimits()
        a._core.pairs._pairs.clear()
        task = await ask(a, "requester", "@bob/writer")
        stop = await a_stop(b)
        assert stop.tasks == (task,)
        await b.gates.drop_stop(OWNER, stop.id.hex())
        await in_state(a, task, "declined")
        assert await b.gates.stops(OWNER) == ()


@pytest.mark.parametrize("kind", ["revoked", "blocked", "withdrawn"])
async def test_what_is_dropped_of_a_pair_that_is_connected_no_more_leaves_the_gate(kind):
    """Nothing can be said to the peer, or nobody serves it: its tasks wait no longer; no agent sees them."""
    async with a_world() as world, a_pair(world, FEW) as (a, b):
        for n in range(FEW.talk):
            await say(b, OWNER, "writer", "@alice/requester", f"word {n}")
        task = await ask(a, "requester", "@bob/writer")
        stop = await a_stop(b)
        assert stop.tasks == (task,)
        if kind == "withdrawn":
            log = await a._core.own_log()
            gone = set_agent(log.state, "requester", (), at=world.clock.now(), by=a._core.manage)
            await hear(b._core, gone, log)
        else:
            await b.end_connection(OWNER, PAIR, kind, "")
        await b.gates.drop_stop(OWNER, stop.id.hex())
        assert await b.gates.stops(OWNER) == ()
        assert await b.gates.held_tasks(OWNER) == ()
        assert await b.gates.waiting(WRITER, "writer") == ()
        assert (await b.tasks(WRITER, "", "", "", "", 50))[0] == ()
        with pytest.raises(DaemonRefusal):
            await b.task(WRITER, task.hex())
        denied = [entry.note for entry in (await b.audit.entries(OWNER, "denial", "", 10)).entries]
        assert {dict(note.facts)["what"] for note in denied} == {"stop", "task"}


async def test_held_events_are_folded_and_both_ends_agree():
    """What is held keeps its place in the task; only the agent waits. What ends a task comes through."""
    async with a_world() as world, a_pair(world, FEW) as (a, b):
        first = await ask(a, "requester", "@bob/writer", title="One")
        second = await ask(a, "requester", "@bob/writer", title="Two")
        for task in (first, second):
            await in_state(b, task, "sent")
            await act(b, task, "accept")
            await act(b, task, "submit", parts=(TextPart("draft"),))
            await in_state(a, task, "submitted")
        await b.inbox(WRITER, "writer", False, "", 50, 0)
        b._core.pairs.limits = BreakerLimits(talk=1, talk_a_day=1)
        b._core.pairs._pairs.clear()
        await say(a, OWNER, "requester", "@bob/writer", "so many words")
        await a_stop(b)
        await act(a, first, "revise", reasons=("a secret reason",))
        await in_state(b, first, "revision_requested")
        await act(a, second, "complete", text="well done")
        await in_state(b, second, "completed")
        inbox = await b.inbox(WRITER, "writer", False, "", 50, 0)
        assert [m.type for m in inbox.messages if m.task == first] == ["task_request"]
        assert [m.type for m in inbox.messages if m.task == second] == ["task_request", "task_complete"]
        seen = await b.task(WRITER, first.hex())
        assert seen.summary.state == "revision_requested"
        assert "a secret reason" not in str(seen)
        assert "a secret reason" in str(await b.task(OWNER, first.hex()))
        await refused(b.export_task(WRITER, first.hex()), "conflict", 409)
        stop = await a_stop(b)
        assert [item.type for item in stop.items] == ["message", "revision_request"]
        await b.gates.release_stop(OWNER, stop.id.hex())
        after = await b.inbox(WRITER, "writer", False, inbox.cursor, 50, 0)
        assert [m.type for m in after.messages] == ["message", "revision_request"]
        await b.act(WRITER, first.hex(), TaskAction("submit", parts=(TextPart("longer"),)))
        await in_state(a, first, "resubmitted")

        async def same():
            shown = [[await d.task(OWNER, task.hex()) for task in (first, second)] for d in (a, b)]
            ours, theirs = ([(v.summary.state, [e.hash for e in v.events]) for v in side] for side in shown)
            return ours == theirs

        await until(same)


async def test_no_agent_judges_work_that_is_held():
    """A version that a breaker holds is neither accepted nor sent back unseen; its owner may."""
    async with a_world() as world, a_pair(world, FEW) as (a, b):
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
        await act(b, task, "accept")
        await in_state(a, task, "accepted")
        a._core.pairs.limits = BreakerLimits(talk=1, talk_a_day=1)
        a._core.pairs._pairs.clear()
        await say(b, OWNER, "writer", "@alice/requester", "so many words")
        await a_stop(a)
        await act(b, task, "submit", parts=(TextPart("draft"),))
        await in_state(a, task, "submitted")
        assert (await a.task(REQUESTER, task.hex())).versions == ()
        await refused(a.artifact(REQUESTER, task.hex(), 1, 0), "not-found", 404)
        await refused(a.act(REQUESTER, task.hex(), TaskAction("complete")), "conflict", 409)
        await act(a, task, "complete")
        await in_state(b, task, "completed")


async def test_events_over_the_budget_are_folded_and_wake_nobody():
    """A peer that goes on past what it agreed to is held by that task alone; talk beside it comes through."""
    async with forging() as (forger, _):
        await facing(forger).set_permissions(OWNER, PAIR, MUCH)
        reader = facing(forger)
        link = TaskLink(None, 0, None, Seen(0, None))
        request = await forger.seal(TaskRequest("Title", "", budget=3), link=link)
        task = before = request.envelope.hash
        await forger.deliver(request)
        for n in range(1, 6):
            body = RevisionRequest(1, task, (f"again {n}",))
            event = await forger.seal(body, link=TaskLink(task, n, before, Seen(0, None)))
            before = event.envelope.hash
            await forger.deliver(event)
        view = await reader.task(OWNER, task.hex())
        assert [event.n for event in view.events if event.side == "requester"] == list(range(6))
        page = await reader.inbox(WRITER, "writer", False, "", 50, 0)
        assert [m.type for m in page.messages] == ["task_request", *["revision_request"] * 2]
        stop = await a_stop(reader)
        assert (stop.code, stop.held) == ("task-budget", 3)
        await forger.deliver(await forger.seal(TextMessage("beside it")))
        assert len((await reader.inbox(WRITER, "writer", False, page.cursor, 50, 0)).messages) == 1
        cancel = await forger.seal(TaskCancel(""), link=TaskLink(task, 6, before, Seen(0, None)))
        await forger.deliver(cancel)
        assert (await reader.task(OWNER, task.hex())).summary.state == "cancelled"
        await reader.gates.release_stop(OWNER, stop.id.hex())
        after = await reader.inbox(WRITER, "writer", False, page.cursor, 50, 0)
        assert [m.type for m in after.messages] == ["message", *["revision_request"] * 3, "task_cancel"]


async def test_a_task_with_a_budget_grows_no_further_than_honest_sides_can_bring_it():
    """What a peer signs far beyond what it agreed to is quarantined; what was folded stays."""
    async with forging() as (forger, bob):
        await facing(forger).set_permissions(OWNER, PAIR, MUCH)
        link = TaskLink(None, 0, None, Seen(0, None))
        request = await forger.seal(TaskRequest("Title", "", budget=1), link=link)
        task = before = request.envelope.hash
        await forger.deliver(request)
        for n in range(1, 75):
            body = RevisionRequest(1, task, (f"again {n}",))
            event = await forger.seal(body, link=TaskLink(task, n, before, Seen(0, None)))
            before = event.envelope.hash
            await forger.deliver(event)
        assert set(await codes(bob)) == {"too-many"}
        # The last is bob's own, which confirms what came just below the bound.
        assert len((await bob.task(OWNER, task.hex())).events) == 4 + 64 + 1


async def test_a_task_has_a_budget_where_none_is_given():
    """At the daemon's own number only what ends the task goes out."""
    async with a_world() as world, a_pair(world, FEW) as (a, b):
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
        await act(b, task, "accept")
        for n in range(6):
            await act(b, task, "progress", text=f"part {n}")
        with pytest.raises(DaemonRefusal, match="budget of messages is used up"):
            await act(b, task, "progress", text="once more")
        assert (await b.task(OWNER, task.hex())).budget is None
        await act(b, task, "fail", text="enough")
        await in_state(a, task, "failed")


async def test_what_was_counted_and_held_survives_a_kill(tmp_path):
    """A daemon that starts again refuses, holds and shows as before."""
    async with open_daemon_store(tmp_path / "bob.db") as store, a_world() as world:
        bob = Machine("bob", store, limits=FEW)
        async with a_pair(world, BreakerLimits(), bob) as (a, b):
            for n in range(8):
                await say(a, OWNER, "requester", "@bob/writer", f"number {n}")
            stop = await a_stop(b)
            async with world.running(Machine("carol")) as c:
                await set_up(c, "carol", "coder")

            async def both():
                return [one for one in await b.gates.stops(OWNER) if one.held == 2]

            await until(both)
        async with world.running(bob) as b:
            (again,) = await b.gates.stops(OWNER)
            assert (again.id, again.held) == (stop.id, 2)
            await refused(say(b, OWNER, "writer", "@alice/requester", "hello"), "pair-limit")
            await b.gates.release_stop(OWNER, again.id.hex())
            assert len((await b.inbox(WRITER, "writer", False, "", 50, 0)).messages) == 8
        async with world.running(bob) as b:
            assert await b.gates.stops(OWNER) == ()
            await say(b, OWNER, "writer", "@alice/requester", "hello")


async def test_a_batch_of_fifty_different_tasks_trips_nothing():
    """Fifty at once, each accepted, reported on, submitted and completed by programs: nobody is asked."""
    async with a_world() as world, a_pair(world) as (a, b):
        tasks = []
        for n in range(50):
            new = NewTask("requester", "@bob/writer", f"Review file {n}", "Look for mistakes.")
            sent = await a.create_task(REQUESTER, new)
            tasks.append(sent.task)
        await got(b, "writer", 50)
        for task in tasks:
            await b.act(WRITER, task.hex(), TaskAction("accept"))
            await b.act(WRITER, task.hex(), TaskAction("progress", text="working"))
            await b.act(WRITER, task.hex(), TaskAction("submit", parts=(TextPart("fine"),)))
        for task in tasks:
            await in_state(a, task, "submitted")
            await a.act(REQUESTER, task.hex(), TaskAction("complete"))
        for task in tasks:
            await in_state(b, task, "completed")
        assert await a.gates.stops(OWNER) == ()
        assert await b.gates.stops(OWNER) == ()
        new = NewTask("requester", "@bob/writer", "One more", "")
        assert (await a.create_task(REQUESTER, new)).task is not None


async def test_receipts_acknowledgements_and_confirmations_count_nothing():
    """Only what is said counts, once at each end; a `task_seen` and a receipt do not, and wake nobody."""
    async with a_world() as world, a_pair(world) as (a, b):
        sent = await say(a, REQUESTER, "requester", "@bob/writer", "hello")
        (message,) = await got(b, "writer", 1)
        await b.acknowledge(WRITER, message.id.hex())
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
        await act(b, task, "accept")

        async def confirmed():
            view = await b.task(OWNER, task.hex())
            delivered = (await a.message(OWNER, sent.message.hex())).delivery.rung in REACHED
            return delivered and "task_seen" in [event.type for event in view.events]

        await until(confirmed)
        for daemon, mine, peer in ((a, "requester", "@bob/writer"), (b, "writer", "@alice/requester")):
            core = daemon._core
            owner = (await core.store.accounts_named((peer[1:].split("/")[0],))).popitem()[1].record.account
            flow = Flow(core.agent(mine), type(core.agent(mine))(owner, peer.split("/")[1]))
            counted = await core.store.exchanges(flow, Instant(0), 50)
            assert [one.talk for one in counted] == [True, True, False]


async def test_what_an_agent_sends_was_led_to_by_what_it_read():
    """Named, or else read last from the one it writes to; the owner's own word begins."""
    async with a_world() as world, a_pair(world) as (a, b):
        await say(a, OWNER, "requester", "@bob/writer", "first")
        assert (await lead(b, await say(b, WRITER, "writer", "@alice/requester", "unread"))) == (0, ())
        (first,) = await got(b, "writer", 1)
        answer = await say(b, WRITER, "writer", "@alice/requester", "answer")
        assert await lead(b, answer) == (1, (first.id,))
        named = await say(b, WRITER, "writer", "@alice/requester", "more", "", answer.message.hex())
        assert await lead(b, named) == (2, (first.id, answer.message))
        assert await lead(b, await say(b, OWNER, "writer", "@alice/requester", "mine")) == (0, ())
        owners = await say(b, OWNER, "writer", "@alice/requester", "yes", first.id.hex())
        assert await lead(b, owners) == (1, (first.id,))
        await got(a, "requester", 5)
        new = NewTask("requester", "@bob/writer", "Work", "", cause=answer.message.hex())
        task = await a.create_task(REQUESTER, new)
        assert (await lead(a, task))[0] == 2
        await in_state(b, task.task, "sent")
        accepted = await act(b, task.task, "accept")
        assert await lead(b, accepted) == (3, (first.id, answer.message, task.task))
        world.clock.ahead_ms += 61 * MINUTE_MS
        assert (await lead(b, await say(b, WRITER, "writer", "@alice/requester", "later")))[0] == 0


async def test_nobody_uses_up_the_hops_of_what_is_said_to_somebody_else():
    """A peer that claims many hops is held itself; what our agent then tells another begins anew."""
    async with forging() as (forger, _):
        reader = facing(forger)
        await reader._owner.create_agent(OWNER, NewAgent("critic"))
        await forger.deliver(await forger.seal(TextMessage("look"), hop=15))
        await reader.inbox(WRITER, "writer", False, "", 50, 0)
        assert (await lead(reader, await say(reader, WRITER, "writer", "@bob/critic", "hello")))[0] == 0
        answer = await say(reader, WRITER, "writer", "@alice/requester", "seen")
        assert (await lead(reader, answer))[0] == 16
        await refused(
            say(reader, WRITER, "writer", "@alice/requester", "more", "", answer.message.hex()),
            "hop-limit",
            409,
        )
        await forger.deliver(await forger.seal(TextMessage("and again"), hop=16))
        assert (await a_stop(reader)).code == "hop-limit"


async def lead(daemon, sent):
    """Hop and cause of what was sent."""
    content = decode_content((await daemon._core.store.sealed([sent.message]))[sent.message].content)
    return content.hop, content.cause


async def test_an_owner_who_lets_a_task_pass_the_gate_has_decided():
    """What passed between the two before counts no more, for either direction."""
    async with a_world() as world, a_pair(world, FEW) as (a, b):
        await b.set_permissions(OWNER, PAIR, GrantChange(human_gate=True))
        for n in range(5):
            await say(b, WRITER, "writer", "@alice/requester", f"number {n}")
        await got(a, "requester", 5)
        task = await ask(a, "requester", "@bob/writer")

        async def waits():
            return await b.gates.held_tasks(OWNER)

        (held,) = await until(waits)
        assert (held.task, held.code, held.why) == (task, "", "")
        await b.gates.release(OWNER, task.hex())
        for n in range(6):
            await say(b, WRITER, "writer", "@alice/requester", f"another {n}")
        await refused(say(b, WRITER, "writer", "@alice/requester", "too many"), "pair-limit")


async def test_what_is_stopped_is_the_owners():
    """An agent's credential neither reads it nor decides on it."""
    async with a_world() as world, a_pair(world, FEW) as (a, _):
        for n in range(6):
            await say(a, REQUESTER, "requester", "@bob/writer", f"number {n}")
        await refused(say(a, REQUESTER, "requester", "@bob/writer", "more"), "pair-limit")
        stop = await a_stop(a)
        for call in (
            a.gates.stops(REQUESTER),
            a.gates.release_stop(REQUESTER, stop.id.hex()),
            a.gates.drop_stop(REQUESTER, stop.id.hex()),
        ):
            await refused(call, "owner-only", 403)
        entries = [entry.note.kind for entry in (await a.audit.entries(OWNER, "", "", 50)).entries]
        assert entries.count("breaker") == 1
        assert (await a.status()).waiting.stops == 1
        found = {finding.check: finding for finding in await a.doctor.examine(OWNER)}
        assert found["breakers"].level == "warn"


# --- Limits of one connection -------------------------------------------------------------------------------


async def test_a_connection_may_be_stricter_than_the_rest():
    """What passed before counts by the new numbers; another connection keeps the usual ones."""
    async with a_world() as world, a_pair(world) as (a, b):
        await b.create_agent(OWNER, NewAgent("second"))
        await connect(a, b, "requester", "@bob/second")
        for n in range(2):
            await say(b, OWNER, "writer", "@alice/requester", f"word {n}")
        view = await b.gates.set_breaker_limits(OWNER, PAIR, {"talk": 3, "hops": 2})
        assert (view.limits.talk, view.limits.hops, view.own) == (3, 2, {"talk", "hops"})
        assert view.limits.talk_a_day == DEFAULT_LIMITS.talk_a_day
        await say(b, OWNER, "writer", "@alice/requester", "word 2")
        await refused(say(b, OWNER, "writer", "@alice/requester", "word 3"), "pair-limit")
        for n in range(5):
            await say(b, OWNER, "second", "@alice/requester", f"word {n}")


async def test_a_connection_may_be_laxer_and_is_heard_at_once():
    """What was refused by the usual limit goes on, and the stop that said so is gone."""
    async with a_world() as world, a_pair(world, FEW) as (_, b):
        for n in range(FEW.talk):
            await say(b, OWNER, "writer", "@alice/requester", f"word {n}")
        await refused(say(b, OWNER, "writer", "@alice/requester", "more"), "pair-limit")
        assert len(await b.gates.stops(OWNER)) == 1
        await b.gates.set_breaker_limits(OWNER, PAIR, {"talk": 12})
        assert await b.gates.stops(OWNER) == ()
        await say(b, OWNER, "writer", "@alice/requester", "more")
        await b.gates.set_breaker_limits(OWNER, PAIR, {"talk": None})
        await refused(say(b, OWNER, "writer", "@alice/requester", "and more"), "pair-limit")


async def test_a_peer_is_held_by_the_limits_of_its_connection():
    """Whatever the peer's own daemon allows; what is held stays held when the limit rises."""
    async with forging() as (forger, bob):
        await bob.gates.set_breaker_limits(OWNER, PAIR, {"talk": 2, "hops": 3})
        await forger.deliver(await forger.seal(TextMessage("too far"), hop=3))
        stop = await a_stop(bob)
        assert (stop.code, stop.held) == ("hop-limit", 1)
        await bob.gates.set_breaker_limits(OWNER, PAIR, {"hops": 16})
        assert (await a_stop(bob)).held == 1
        await bob.gates.release_stop(OWNER, stop.id.hex())
        assert await bob.gates.stops(OWNER) == ()


async def test_a_task_has_the_budget_of_its_connection_where_none_is_given():
    """Its own budget counts where the request names one."""
    async with a_world() as world, a_pair(world) as (a, b):
        await a.gates.set_breaker_limits(OWNER, ("requester", "@bob/writer"), {"budget": 4})
        await b.gates.set_breaker_limits(OWNER, PAIR, {"budget": 4})
        task = await ask(a, "requester", "@bob/writer")
        roomy = await ask(a, "requester", "@bob/writer", budget=40)
        for one in (task, roomy):
            await in_state(b, one, "sent")
            await act(b, one, "accept")
        for _ in range(3):
            await act(b, roomy, "progress", text="on")
        with pytest.raises(DaemonRefusal) as caught:
            for _ in range(3):
                await act(b, task, "progress", text="on")
        assert caught.value.code == "not-possible"
        assert "budget" in caught.value.message


@pytest.mark.parametrize("change", [{"hops": 17}, {"hops": 0}, {"talk": 0}, {"events_a_day": 100_001}])
async def test_limits_of_a_connection_are_bounded(change):
    """Nobody sets one that counts nothing, or so large that counting would take the machine's memory."""
    async with a_world() as world, a_pair(world) as (_, b):
        with pytest.raises(DaemonRefusal) as caught:
            await b.gates.set_breaker_limits(OWNER, PAIR, change)
        assert caught.value.code == "bad-value"


async def test_limits_of_a_connection_are_the_owners():
    """An agent neither sees nor sets them."""
    async with a_world() as world, a_pair(world) as (_, b):
        for call in (
            b.gates.breaker_limits(WRITER),
            b.gates.set_breaker_limits(WRITER, PAIR, {"talk": 9}),
        ):
            with pytest.raises(DaemonRefusal) as caught:
                await call
            assert caught.value.code == "owner-only"


async def test_limits_end_with_their_connection_and_survive_a_restart(tmp_path):
    """A daemon that starts again has them; a new connection between the two begins as usual."""
    async with open_daemon_store(tmp_path / "bob.db") as store, a_world() as world:
        bob = Machine("bob", store)
        async with a_pair(world, bob=bob) as (_, b):
            await b.gates.set_breaker_limits(OWNER, PAIR, {"talk": 1, "talk_a_day": 2})
        async with world.running(bob) as b:
            (view,) = (await b.gates.breaker_limits(OWNER))[1]
            assert view.own == {"talk", "talk_a_day"}
            await say(b, OWNER, "writer", "@alice/requester", "one")
            await refused(say(b, OWNER, "writer", "@alice/requester", "two"), "pair-limit")
            await b.end_connection(OWNER, PAIR, "revoked", "")
            (breaker,) = await b._core.store.breakers_tripped(9)
            pair = await b._core.pairs.of(breaker.mine, breaker.peer, b._core.now())
            assert pair.limits == DEFAULT_LIMITS
            assert (await b.gates.breaker_limits(OWNER))[1] == ()


async def test_two_agents_of_one_owner_are_stopped_as_well():
    """They cost the same money."""
    async with a_world() as world, world.running(Machine("bob", limits=FEW)) as b:
        await set_up(b, "bob", "writer")
        await b.create_agent(OWNER, NewAgent("critic"))
        for n in range(6):
            await say(b, OWNER, "writer", "@bob/critic", f"number {n}")
        await refused(say(b, OWNER, "writer", "@bob/critic", "more"), "pair-limit")
        await got(b, "critic", 6)
        await refused(say(b, OWNER, "critic", "@bob/writer", "more"), "pair-limit")
