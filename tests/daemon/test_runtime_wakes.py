"""Wakes of several programs of one agent: each by what it has, the idle ones by what nobody has."""

from __future__ import annotations

import json
from contextlib import aclosing, asynccontextmanager

import pytest
import trio
import trio.testing

from taskferry_apps.daemon.port import Caller, DaemonRefusal
from taskferry_protocol.ids import Instant
from taskferry_protocol.records import Order, PruneEvents

from .test_runtimes import LEASE_MS, WRITER, bind, left_unprocessed, look, say
from .worlds import OWNER, a_world, act, allow_tasks, ask, connected, in_state, until


class Watcher:
    """Collects the wakes of one program."""

    def __init__(self, daemon, runtime):
        self.daemon, self.runtime = daemon, runtime
        self.wakes = []
        self.refused = ""

    async def run(self, after):
        """Follow until cancelled, or refused."""
        try:
            async with aclosing(self.daemon.wakes(WRITER, after, "writer", self.runtime.id)) as feed:
                async for event in feed:
                    self.wakes.append((event.id, json.loads(event.text)))
        except DaemonRefusal as refused:
            self.refused = refused.code

    @property
    def counts(self):
        """How many needs each wake had."""
        return [facts["count"] for _, facts in self.wakes]

    async def woken(self, times):
        """Wait until it was woken so often, and see that it is not woken again."""

        async def enough():
            return len(self.wakes) >= times

        await until(enough)
        await still()
        assert len(self.wakes) == times, self.wakes


async def still():
    """Wait until nobody does anything."""
    await trio.testing.wait_all_tasks_blocked(0.1)


@asynccontextmanager
async def watching(daemon, *runtimes, after=None):
    """Watchers that follow while the block lasts."""
    start = await daemon.feed_start(after)
    watchers = [Watcher(daemon, runtime) for runtime in runtimes]
    async with trio.open_nursery() as nursery:
        for watcher in watchers:
            nursery.start_soon(watcher.run, start)
        await still()
        yield watchers
        nursery.cancel_scope.cancel()


async def busy(daemon, runtime, word="busy"):
    """What a program says of itself."""
    await daemon.runtimes.heartbeat(WRITER, runtime.id, word)


async def test_what_one_program_has_wakes_no_other():
    """A new task wakes both; what comes in it later wakes the one that has taken it."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b), await bind(b)
        async with watching(b, one, two) as (first, second):
            task = await ask(a, "requester", "@bob/writer")
            await first.woken(1)
            await second.woken(1)
            (request,) = await look(b, one)
            await b.acknowledge(WRITER, request.id.hex())
            await act(b, task, "accept")
            await in_state(a, task, "accepted")
            await act(a, task, "cancel")
            await in_state(b, task, "cancelled")
            await first.woken(2)
            await second.woken(1)
            assert first.wakes[1][1]["needs"][0]["type"] == "task_cancel"


@pytest.mark.parametrize("way", ["silent", "unbound", "gave_back"])
async def test_what_a_program_had_that_is_gone_wakes_the_others(way):
    """It was read long ago, and is told once to whoever may take it; to nobody while its holder lives."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b), await bind(b)
        await say(a, b, "a", "b")
        given = await look(b, one)
        async with watching(b, one, two) as (first, second):
            assert second.wakes == []
            if way == "silent":
                world.clock.ahead_ms = LEASE_MS - 10_000
                await busy(b, two, "idle")
                world.clock.ahead_ms = LEASE_MS + 10
                b._core.feed.ring()
            elif way == "unbound":
                await b.runtimes.unbind(WRITER, one.id)
            else:
                await b.runtimes.give_back(WRITER, one.id, given[0].id.hex(), given[0].lease.fence)
            await second.woken(1)
            assert second.counts == [1 if way == "gave_back" else 2]
            # Its own giving back is no news to whoever gave it back.
            assert first.wakes == []
            assert first.refused == ("unknown-runtime" if way == "unbound" else "")
            assert len(await look(b, two)) == second.counts[0]


async def test_a_later_watch_wakes_nobody_by_what_it_gave_back_itself():
    """It would not be given that; the others are woken, whenever they begin to watch."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b), await bind(b)
        await say(a, b, "a")
        (item,) = await look(b, one)
        await b.runtimes.give_back(WRITER, one.id, item.id.hex(), item.lease.fence)
        for after in (0, None):
            async with watching(b, one, two, after=after) as (first, second):
                await second.woken(1)
                assert first.wakes == []
        assert await look(b, one) == ()


async def test_what_is_left_behind_thousands_of_items_wakes_the_others():
    """However much the agent has not put away: what a program had that is gone is the newest of it."""
    async with a_world() as world, connected(world) as (a, b):
        await left_unprocessed(a, b, 2_100)
        one, two = await bind(b), await bind(b)
        await a.send_message(OWNER, "requester", "@bob/writer", "new", (), "", "")

        async def come():
            return len(await b._core.store.waiting("writer", 3_000)) == 2_101

        await until(come)
        (new,) = await b._core.store.waiting("writer", 1, order=Order.NEWEST_FIRST)
        await b.runtimes.take(WRITER, one.id, new.hash.hex(), only_left=False)
        async with watching(b, two) as (second,):
            await b.runtimes.unbind(WRITER, one.id)
            await second.woken(1)


async def test_a_holder_that_falls_silent_is_noticed_without_any_news():
    """Nothing happens but that its time is over."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b), await bind(b)
        await say(a, b, "a")
        await look(b, one)
        world.clock.ahead_ms = LEASE_MS - 1_000
        await busy(b, two, "idle")
        async with watching(b, two) as (second,):
            # On a busy machine it may have fallen silent by now.
            assert second.wakes == [] or world.clock.now() >= one.expires_at
            await second.woken(1)


async def test_a_busy_program_hears_of_what_nobody_has_when_it_is_idle():
    """An idle one is woken at once; what a busy one has itself wakes it even so."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b), await bind(b)
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
        await look(b, one)
        await busy(b, one)
        async with watching(b, one, two) as (first, second):
            await say(a, b, "new")
            await second.woken(1)
            assert first.wakes == []
            await act(a, task, "cancel")
            await first.woken(1)
            await busy(b, one, "idle")
            await first.woken(2)
            assert [need["type"] for _, facts in first.wakes for need in facts["needs"]] == [
                "task_cancel",
                "message",
            ]


async def test_what_was_put_off_is_told_by_the_next_watch():
    """A watch that ends while its program is busy has told no place beyond what it has still to tell."""
    async with a_world() as world, connected(world) as (a, b):
        one = await bind(b)
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
        await look(b, one)
        await busy(b, one)
        async with watching(b, one) as (first,):
            await say(a, b, "put off")
            await act(a, task, "cancel")
            await first.woken(1)
            place, facts = first.wakes[0]
        await b.acknowledge(WRITER, facts["needs"][0]["message_id"])
        await busy(b, one, "idle")
        async with watching(b, one, after=place) as (again,):
            await again.woken(1)
            assert again.counts == [1]
            assert again.wakes[0][1]["needs"][0]["type"] == "message"


async def test_what_was_read_before_a_put_off_wake_is_not_announced():
    """Another program took it in the meantime."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b), await bind(b)
        await busy(b, one)
        async with watching(b, one) as (first,):
            await say(a, b, "new")
            await look(b, two)
            await busy(b, one, "idle")
            await still()
            assert first.wakes == []


async def test_a_task_that_failed_to_arrive_wakes_the_program_that_asked_for_it():
    """What is in no inbox is somebody's as well: whoever asked is told, and the other one is not."""
    async with a_world() as world, connected(world) as (a, b):
        # Alice allows Bob one task at a time, so her daemon says that the second has come to nothing.
        await allow_tasks(a, "requester", b, "@bob/writer", 1)
        await in_state(a, await ask(b, "writer", "@alice/requester"), "sent")
        one, two = await bind(b), await bind(b)
        async with watching(b, one, two) as (first, second):
            await ask(b, "writer", "@alice/requester", runtime=one.id)
            await first.woken(1)
            assert first.wakes[0][1]["needs"][0]["kind"] == "delivery"
            assert second.wakes == []
            await say(a, b, "for both")
            await second.woken(1)
            place = second.wakes[0][0]
            assert place > first.wakes[0][0]
            # That one was told; should it go, what is in no inbox is told to the other.
            await b.runtimes.unbind(WRITER, one.id)
            await second.woken(2)
            assert second.wakes[1][1]["needs"][0]["kind"] == "delivery"


async def test_what_is_unread_is_told_when_the_feed_has_forgotten_it():
    """A place before all that is left of the feed costs nothing, and what another one has is not told."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b), await bind(b)
        await say(a, b, "a")
        await look(b, one)
        await say(a, b, "b", "c")
        await b._core.commit((PruneEvents(Instant(2**50), 0, 10_000),))
        await busy(b, two)
        async with watching(b, two, after=0) as (second,):
            assert second.wakes == []
            await busy(b, two, "idle")
            await second.woken(1)
            assert second.counts == [2]


async def test_a_watch_is_no_sign_of_life():
    """It lives beside its program; that one's lease runs out all the same."""
    async with a_world() as world, connected(world) as (_, b):
        one = await bind(b)
        async with watching(b, one):
            (seen,) = await b.runtimes.runtimes(OWNER, "writer")
            assert seen.expires_at == one.expires_at


async def test_a_program_is_found_by_id_or_name_and_by_its_own_agents_alone():
    """Whoever may not act as the agent is told what everybody is told of no program."""
    async with a_world() as world, connected(world) as (_, b):
        one = await bind(b)
        for text in (one.id, one.name):
            assert (await b.runtimes.named(WRITER, "writer", text)).id == one.id
        for caller, text in ((Caller(frozenset({"other"})), one.id), (WRITER, "nobody")):
            with pytest.raises(DaemonRefusal) as refused:
                await b.runtimes.named(caller, "", text)
            assert refused.value.code == "unknown-runtime"
