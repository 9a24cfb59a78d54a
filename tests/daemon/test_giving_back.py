"""What a program gives back is anybody's, whoever had it, and whoever asks."""

from __future__ import annotations

from taskferry_apps.daemon.port import Caller, NewAgent

from .test_runtimes import WRITER, bind, look, say, texts, waiting
from .worlds import OWNER, a_world, ask, connected, in_state


async def test_what_no_program_had_is_held_by_none_after_it_is_given_back():
    """A program that gives back what it only saw takes nothing from the others by that."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b), await bind(b)
        await say(a, b, "a")
        (item,) = await waiting(b)
        await b.runtimes.give_back(WRITER, one.id, item.hash.hex(), None)
        assert texts(await look(b, two)) == ["a"]


async def test_what_was_given_back_for_one_that_is_gone_is_anybodys():
    """A fence never goes back: who had an item before cannot answer for it afterwards."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b), await bind(b)
        await say(a, b, "a")
        (item,) = await look(b, one)
        await b.runtimes.unbind(WRITER, one.id)
        await b.runtimes.give_back(WRITER, two.id, item.id.hex(), None)
        three = await bind(b)
        (again,) = await look(b, three)
        assert again.lease.fence > item.lease.fence
        assert texts(await look(b, two)) == []


async def test_a_requesters_program_gives_its_task_back_where_both_agents_are_one_owners():
    """The task stands in both agents' lists; the program that gives it back says which is meant."""
    async with a_world() as world, connected(world) as (_, b):
        await b.create_agent(OWNER, NewAgent("reader"))
        task = await ask(b, "reader", "@bob/writer")
        await in_state(b, task, "sent")
        both = Caller(frozenset({"writer", "reader"}))
        mine = await bind(b, agent="reader")
        lease = await b.runtimes.take(both, mine.id, task.hex(), only_left=False)
        await b.runtimes.give_back(both, mine.id, task.hex(), lease.fence)
        (again,) = [await b.runtimes.take(both, mine.id, task.hex(), only_left=True)]
        assert again.fence == lease.fence + 1


async def test_what_was_taken_in_an_answer_that_was_lost_is_given_again():
    """Older than the program's place, and its own by now: it asks from the same cursor, and gets it."""
    async with a_world() as world, connected(world) as (a, b):
        one, two = await bind(b), await bind(b)
        await say(a, b, "a")
        await look(b, one)
        await say(a, b, "x")
        page = await b.inbox(WRITER, "writer", True, "", 50, 0, runtime=two.id)
        assert texts(page.messages) == ["x"]
        await b.runtimes.unbind(WRITER, one.id)
        assert texts(await look(b, two, cursor=page.cursor)) == ["a"]
        again = await b.inbox(WRITER, "writer", True, page.cursor, 50, 0, runtime=two.id)
        assert texts(again.messages) == ["a"]
        assert await look(b, two, cursor=again.cursor) == ()
        # Whoever is not bound sees all that is after the place.
        assert (await b.inbox(WRITER, "writer", True, again.cursor, 50, 0)).messages == ()
