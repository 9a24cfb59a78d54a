"""Several programs act as one agent: each item is one's at a time, over crashes, silence and restarts."""

from __future__ import annotations

import attrs
import pytest
import trio

from taskferry_apps.daemon.port import Caller, DaemonRefusal, Handing, Hold, Look, TaskAction
from taskferry_apps.daemon.runtimes_port import NewRuntime
from taskferry_protocol.ids import Hash, MessageId, sha256
from taskferry_protocol.messages import TextPart
from taskferry_protocol.records import InboxState, MarkMessages, PutLeases, PutRuntime, StoreMessage
from taskferry_stores.sqlite import open_daemon_store

from .worlds import OWNER, Machine, a_world, ask, connected, in_state, set_up, until

WRITER = Caller(frozenset({"writer"}))
LEASE_MS = 90_000


async def bind(daemon, key="", program="claude-code", agent="writer", **more):
    """A program bound to the writer."""
    return (await daemon.runtimes.bind(OWNER, NewRuntime(agent, program, key, **more))).runtime


async def look(daemon, runtime, limit=50, wait_s=0.0, cursor=""):
    """What a bound program is given."""
    page = await daemon.inbox(WRITER, "writer", True, cursor, limit, wait_s, runtime=runtime.id)
    return page.messages


async def say(a, b, *texts):
    """Messages to the writer, there."""
    before = len(await waiting(b))
    for text in texts:
        await a.send_message(OWNER, "requester", "@bob/writer", text, (), "", "")

    async def all_there():
        return len(await waiting(b)) >= before + len(texts)

    await until(all_there)


async def waiting(daemon):
    """What is in the writer's inbox; nothing of it is marked."""
    return await daemon._core.store.waiting("writer", 500)


async def refused(code, call):
    """A call that is refused with a code."""
    with pytest.raises(DaemonRefusal) as caught:
        await call
    assert caught.value.code == code
    assert caught.value.next_step
    return caught.value


def texts(messages):
    """What was said."""
    return [str(message.payload["text"]) for message in messages]


async def test_two_programs_share_an_inbox_and_no_item():
    """Each item is given to one of them, as often as that one asks; a caller that is not bound sees all."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b), await bind(b)
        assert [one.name, two.name] == ["claude-code", "claude-code-2"]
        await say(a, b, *"abcdef")
        first, second = await look(b, one, 2), await look(b, two)
        assert [texts(first), texts(second)] == [["a", "b"], ["c", "d", "e", "f"]]
        assert texts(await look(b, one)) == ["a", "b"]
        assert {message.lease.fence for message in first} == {1}
        everything = await b.inbox(OWNER, "writer", True, "", 50, 0)
        assert texts(everything.messages) == list("abcdef")
        assert everything.messages[0].lease is None


async def test_programs_that_ask_at_once_get_nothing_twice():
    """Ten programs that look at the same moment, again and again, share the items without an overlap."""
    async with a_world() as world, connected(world) as (a, b):
        programs = [await bind(b) for _ in range(10)]
        await say(a, b, *(f"{n}" for n in range(30)))
        given: list[str] = []

        async def work(runtime):
            for n in range(1, 4):
                page = await look(b, runtime, n)
                given.append(texts(page)[-1])

        async with trio.open_nursery() as nursery:
            for runtime in programs:
                nursery.start_soon(work, runtime)
        assert sorted(given, key=int) == [f"{n}" for n in range(30)]


async def test_a_task_and_its_news_stay_with_one_program():
    """Who has a task is given what comes in it later; who asked for one is given the answers."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b), await bind(b)
        asking, other = await bind(a, agent="requester"), await bind(a, agent="requester")
        task = await ask(a, "requester", "@bob/writer", runtime=asking.id)
        await in_state(b, task, "sent")
        (request,) = await look(b, one)
        assert await look(b, two) == ()
        hold = Hold(one.id, request.lease.fence)
        await b.acknowledge(WRITER, request.id.hex(), hold)
        await b.act(WRITER, task.hex(), TaskAction("accept", hold=hold))
        await b.act(WRITER, task.hex(), TaskAction("submit", parts=(TextPart("text", "v1"),), hold=hold))
        await in_state(a, task, "submitted")
        mine = await a.inbox(OWNER, "requester", True, "", 50, 0, runtime=asking.id)
        of_task = [message.type for message in mine.messages if message.task == task]
        assert of_task == ["task_accept", "artifact_submit"]
        theirs = await a.inbox(OWNER, "requester", True, "", 50, 0, runtime=other.id)
        assert theirs.messages == ()
        await a.act(OWNER, task.hex(), TaskAction("revise", reasons=("More",), hold=Hold(asking.id)))
        await in_state(b, task, "revision_requested")
        assert await look(b, two) == ()
        assert [message.type for message in await look(b, one)] == ["revision_request"]
        # The other program may not speak in it while this one lives, however it puts it.
        late = TaskAction("progress", text="me too", hold=Hold(two.id))
        assert "claude-code" in (await refused("taken-over", b.act(WRITER, task.hex(), late))).message


async def test_a_program_that_comes_back_has_its_name_and_its_items():
    """Under its key it is the same one at once, and what its earlier self was told is refused."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b, "session 7"), await bind(b, "session 8")
        await say(a, b, "a")
        (item,) = await look(b, one)
        again = await b.runtimes.bind(WRITER, NewRuntime("writer", "claude-code", "session 7"))
        assert (again.runtime.id, again.runtime.name, again.again) == (one.id, one.name, True)
        assert await look(b, two) == ()
        (same,) = await look(b, again.runtime)
        assert (same.id, same.lease.fence) == (item.id, item.lease.fence + 1)
        old = Hold(one.id, item.lease.fence)
        await refused("taken-over", b.acknowledge(WRITER, item.id.hex(), old))
        await b.acknowledge(WRITER, item.id.hex(), Hold(one.id, same.lease.fence))
        assert await look(b, two) == ()


async def test_what_a_silent_program_had_goes_to_another():
    """After its lease others have it, and the silent one is refused when it wakes; not before."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b), await bind(b)
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
        (request,) = await look(b, one)
        world.clock.ahead_ms = LEASE_MS - 5_000
        await b.runtimes.heartbeat(WRITER, two.id, "busy")
        assert await look(b, two) == ()
        await b.runtimes.heartbeat(WRITER, one.id, "busy")
        world.clock.ahead_ms += LEASE_MS - 5_000
        assert await look(b, two) == ()
        world.clock.ahead_ms += 10_000
        (taken,) = await look(b, two)
        assert (taken.id, taken.lease.fence) == (request.id, request.lease.fence + 1)
        stale = Hold(one.id, request.lease.fence)
        await refused("taken-over", b.acknowledge(WRITER, request.id.hex(), stale))
        await refused("taken-over", b.act(WRITER, task.hex(), TaskAction("accept", hold=stale)))
        await refused("taken-over", b.act(WRITER, task.hex(), TaskAction("accept", hold=Hold(one.id))))
        await refused("taken-over", b.runtimes.give_back(WRITER, one.id, request.id.hex(), None))
        await b.act(WRITER, task.hex(), TaskAction("accept", hold=Hold(two.id, taken.lease.fence)))


async def test_a_silent_program_that_nobody_replaced_goes_on():
    """A lease that ran out while nobody wanted what it holds costs its program nothing."""
    async with a_world() as world, connected(world) as (a, b):
        one = await bind(b)
        await say(a, b, "a")
        (item,) = await look(b, one)
        world.clock.ahead_ms = 10 * LEASE_MS
        assert [found.status for found in await b.runtimes.runtimes(WRITER, "writer")] == ["offline"]
        await b.acknowledge(WRITER, item.id.hex(), Hold(one.id, item.lease.fence))
        assert [found.status for found in await b.runtimes.runtimes(WRITER, "writer")] == ["idle"]


@pytest.mark.parametrize("way", ["unbound", "gave_back", "silent"])
async def test_whoever_waits_is_handed_what_comes_free(way):
    """A program that waits is woken when another ends, gives back, or falls silent."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b), await bind(b)
        await say(a, b, "a")
        (item,) = await look(b, one)
        if way == "silent":
            world.clock.ahead_ms = LEASE_MS - 200
            await b.runtimes.heartbeat(WRITER, two.id, "idle")
        found = []

        async def wait():
            found.extend(await look(b, two, wait_s=20, cursor="99999"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            if way == "unbound":
                await b.runtimes.unbind(WRITER, one.id)
            elif way == "gave_back":
                await b.runtimes.give_back(WRITER, one.id, item.id.hex(), item.lease.fence)
        assert texts(found) == ["a"]
        assert found[0].lease.fence > item.lease.fence


async def test_what_comes_free_is_paged_without_a_gap():
    """Two items of a task that comes free, older than a program's place, are both given, one a page."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b), await bind(b)
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
        await look(b, one)
        await b.act(WRITER, task.hex(), TaskAction("accept", hold=Hold(one.id)))
        await a.act(OWNER, task.hex(), TaskAction("cancel"))
        await in_state(b, task, "cancelled")
        await say(a, b, "x", "y", "z")
        page = await b.inbox(WRITER, "writer", True, "", 50, 0, runtime=two.id)
        assert texts(page.messages) == ["x", "y", "z"]
        await b.runtimes.unbind(WRITER, one.id)
        given, cursor = [], page.cursor
        while (page := await b.inbox(WRITER, "writer", True, cursor, 1, 0, runtime=two.id)).messages:
            given += [message.type for message in page.messages]
            cursor = page.cursor
        assert {"task_request", "task_cancel"} <= set(given)


async def test_what_a_program_has_stays_its_own_while_the_machine_sleeps():
    """Nobody could be heard in that time; from then on its lease counts on, and ends."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b), await bind(b)
        await say(a, b, "a", "b")
        first, second = await look(b, one)
        world.clock.ahead_ms = LEASE_MS // 2
        world.clock.stepped_ms = 8 * 3_600_000
        assert await look(b, two) == ()
        await b.acknowledge(WRITER, first.id.hex(), Hold(one.id, first.lease.fence))
        world.clock.ahead_ms += LEASE_MS + 1_000
        assert [message.id for message in await look(b, two)] == [second.id]


async def test_who_left_while_the_clock_was_wrong_does_not_come_back_with_it():
    """A step of the clock makes nobody live who was unbound, or whose time was over."""
    async with a_world() as world, connected(world) as (_, b):
        one, two = await bind(b, "one"), await bind(b, "two")
        world.clock.ahead_ms = LEASE_MS + 1_000
        world.clock.stepped_ms = 3_600_000
        await b.runtimes.unbind(WRITER, one.id)
        await bind(b, "three")
        live = [seen.status != "offline" for seen in await b.runtimes.runtimes(OWNER, "writer")]
        assert live == [True, False, False]
        assert two.id in {seen.id for seen in await b.runtimes.runtimes(OWNER, "writer")}


async def test_a_clock_that_was_set_back_keeps_nothing_for_who_is_gone():
    """A program that was killed holds what it had for one lease, and not until its old time has come."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b), await bind(b)
        await say(a, b, "a")
        await look(b, one)
        world.clock.stepped_ms = -24 * 3_600_000
        assert await look(b, two) == ()
        world.clock.ahead_ms = LEASE_MS + 1_000
        assert texts(await look(b, two)) == ["a"]


async def left_unprocessed(a, b, count):
    """So many messages that the writer has read, and not marked as processed."""
    await say(a, b, "old")
    (item,) = await waiting(b)
    (record,) = (await b._core.store.messages((item.hash,)))[item.hash]
    digests = [sha256(b"%d" % n) for n in range(count)]
    rows = [
        attrs.evolve(record, hash=Hash(digest), id=MessageId(digest[:16]), inbox=InboxState.READ)
        for digest in digests
    ]
    await b._core.store.commit([StoreMessage(row, b"", b"") for row in rows])
    await b.acknowledge(WRITER, item.hash.hex())


@pytest.mark.parametrize("handing", [Handing.TAKEN, Handing.SHOWN])
async def test_what_comes_behind_thousands_that_nobody_put_away_is_given(handing):
    """An agent that marks nothing as processed goes on hearing of what is new, and so do others of it."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b), await bind(b)
        await left_unprocessed(a, b, 2_100)
        cursor = ""
        while (page := await b.inbox(WRITER, "writer", True, cursor, 200, 0, runtime=one.id)).messages:
            cursor = page.cursor
        await a.send_message(OWNER, "requester", "@bob/writer", "new", (), "", "")
        page = await b.inbox(WRITER, "writer", True, cursor, 50, 20, runtime=one.id, handing=Handing.SHOWN)
        assert texts(page.messages) == ["new"]
        page = await b.inbox(WRITER, "writer", True, "", 50, 20, runtime=two.id, handing=handing)
        assert texts(page.messages) == ["new"]


@pytest.mark.parametrize("handing", [Handing.TAKEN, Handing.SHOWN])
async def test_a_look_reads_what_it_gives_however_much_others_have(monkeypatch, handing):
    """What another program has, and what this one was told of, is not gone through."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b), await bind(b)
        await left_unprocessed(a, b, 300)
        cursor = ""
        while (page := await b.inbox(WRITER, "writer", True, cursor, 200, 0, runtime=one.id)).messages:
            cursor = page.cursor
        await say(a, b, "new")
        counted, waiting = [], b._core.store.waiting

        async def counting(*words, **more):
            found = await waiting(*words, **more)
            counted.append(len(found))
            return found

        monkeypatch.setattr(b._core.store, "waiting", counting)
        page = await b.inbox(WRITER, "writer", True, "", 50, 0, runtime=two.id, handing=handing)
        assert texts(page.messages) == ["new"]
        page = await b.inbox(WRITER, "writer", True, cursor, 50, 0, runtime=one.id, handing=handing)
        assert sum(counted) <= 2


async def test_whoever_left_is_not_heard():
    """After unbinding, neither its heartbeats nor its answers count, until it binds again."""
    async with a_world() as world, connected(world) as (a, b):
        one = await bind(b, "session 7")
        await say(a, b, "a")
        (item,) = await look(b, one)
        await b.runtimes.unbind(WRITER, one.id)
        await refused("unknown-runtime", b.runtimes.heartbeat(WRITER, one.id, "idle"))
        await refused("unknown-runtime", look(b, one))
        await refused("unknown-runtime", b.acknowledge(WRITER, item.id.hex(), Hold(one.id, 1)))
        assert (await bind(b, "session 7")).id == one.id
        assert texts(await look(b, one)) == ["a"]


async def test_leases_outlive_the_daemon(tmp_path):
    """What was handed out before the daemon died is nobody else's afterwards, and fences go on."""
    async with a_world() as world:
        async with open_daemon_store(tmp_path / "bob.db") as store:
            bob = Machine("bob", store=store)
            async with connected(world, bob=bob) as (a, b):
                one, two = await bind(b, "one"), await bind(b, "two")
                await say(a, b, "a", "b")
                (item,) = await look(b, one, 1)
        # Nobody could be heard while it was down, and that is held against nobody.
        world.clock.ahead_ms = 3 * LEASE_MS
        async with (
            open_daemon_store(tmp_path / "bob.db") as store,
            world.running(Machine("bob", store=store, vault=bob.vault)) as b,
        ):
            assert texts(await look(b, two)) == ["b"]
            (same,) = await look(b, one)
            assert (same.id, same.lease.fence) == (item.id, item.lease.fence)
            await b.acknowledge(WRITER, item.id.hex(), Hold(one.id, item.lease.fence))


async def test_lease_and_mark_are_one_commit(monkeypatch):
    """An item counts as given exactly where its lease is kept: whatever dies in between, both or neither."""
    async with a_world() as world, connected(world) as (a, b):
        one = await bind(b)
        await say(a, b, "a")
        store, commits = b._core.store, []
        commit = store.commit

        async def watched(changes):
            commits.append(list(changes))
            return await commit(changes)

        monkeypatch.setattr(store, "commit", watched)
        await look(b, one)
        kinds = [{type(change) for change in changes} for changes in commits]
        assert [kind for kind in kinds if PutLeases in kind] == [
            kind for kind in kinds if MarkMessages in kind
        ]
        assert sum(PutLeases in kind for kind in kinds) == 1


async def test_a_flood_of_heartbeats_writes_next_to_nothing(monkeypatch):
    """A program that says a thousand times that it lives costs the disk a line a second."""
    async with a_world() as world, world.running(Machine("alice")) as a:
        await set_up(a, "alice", "writer")
        one = await bind(a)
        store = a._core.store
        writes: list[PutRuntime] = []
        commit = store.commit

        async def watched(changes):
            writes.extend(change for change in changes if isinstance(change, PutRuntime))
            return await commit(changes)

        monkeypatch.setattr(store, "commit", watched)
        began = world.clock.now()
        for _ in range(1_000):
            await a.runtimes.heartbeat(WRITER, one.id, "idle")
        assert len(writes) <= 2 + (world.clock.now() - began) // 1_000


async def test_headers_alone_are_not_read():
    """Whoever is given the headers has been offered the item; only the content makes it read."""
    async with a_world() as world, connected(world) as (a, b):
        await say(a, b, "a")
        await b.inbox(WRITER, "writer", True, "", 50, 0, look=Look.HEADERS)
        (item,) = await waiting(b)
        assert (item.offered, item.read) == (True, False)
        await b.message(WRITER, item.hash.hex())
        (item,) = await waiting(b)
        assert item.read


async def test_too_many_programs_are_refused_and_none_is_put_out():
    """One agent has only so many live programs; who has a key comes back all the same."""
    async with a_world() as world, world.running(Machine("alice")) as a:
        await set_up(a, "alice", "writer")
        first = await bind(a, "first")
        for _ in range(31):
            await bind(a)
        error = await refused("too-many", bind(a))
        assert error.status == 409
        assert (await bind(a, "first")).id == first.id
        assert len(await a.runtimes.runtimes(OWNER, "writer")) == 32


async def presence(daemon):
    """How the writer is, and since when."""
    (agent,) = await daemon.agents(OWNER)
    return agent.status, agent.since, agent.runtimes


async def test_an_agent_is_busy_idle_or_offline_by_what_its_programs_say():
    """One that is busy makes it busy; silence makes it offline, since its last sign of life."""
    async with a_world() as world, world.running(Machine("alice")) as a:
        await set_up(a, "alice", "writer")
        assert await presence(a) == ("offline", None, 0)
        one = await bind(a)
        await bind(a)
        assert (await presence(a))[0::2] == ("idle", 2)
        busy = (await a.runtimes.heartbeat(WRITER, one.id, "busy")).runtime
        assert await presence(a) == ("busy", busy.since, 2)
        world.clock.ahead_ms = 2 * LEASE_MS
        status, since, live = await presence(a)
        assert (status, live) == ("offline", 0)
        assert since is not None
        assert since <= world.clock.now() - LEASE_MS


async def test_when_an_agent_was_last_run_outlives_the_daemon():
    """A program that does not bind is known by its credential, also later; an owner's look is no run."""
    async with a_world() as world:
        machine = Machine("alice")
        async with world.running(machine) as a:
            await set_up(a, "alice", "writer")
            await a.inbox(OWNER, "writer", True, "", 50, 0)
            assert await presence(a) == ("offline", None, 0)
            await a.inbox(WRITER, "writer", True, "", 50, 0)
            ran = (await presence(a))[1]
            assert ran is not None
            await a._upkeep.tidy()
        async with world.running(machine) as a:
            assert await presence(a) == ("offline", ran, 0)
