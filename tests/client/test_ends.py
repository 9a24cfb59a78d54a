"""How waits end: in time, cancelled, with a closed client, or because nothing will ever come."""

from __future__ import annotations

import math

import anyio
import pytest

from taskferry_apps.client import (
    ClientClosed,
    NotAllowed,
    NotDelivered,
    NotPossible,
    TaskEnded,
    TimedOut,
)
from taskferry_apps.client.plans import Ties
from taskferry_apps.client.waiting import result

from .scripted import AT, Script, a_task, ok
from .stories import tell


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_closing_ends_what_is_under_way(ferry, backend):
    """A long-poll, a feed and a wait that are open when the client closes end at once, with ClientClosed."""
    ended: list[str] = []

    async def story() -> None:
        client = ferry.alice.client(backend)
        task = await client.send_task("@bob/writer", "Never done")

        async def until_closed(what: str, act) -> None:
            with pytest.raises(ClientClosed):
                await act()
            ended.append(what)

        async def follow() -> None:
            async for _ in client.events():
                pass

        async def look() -> None:
            while True:
                await client.inbox(wait=60)

        async with anyio.create_task_group() as group:
            group.start_soon(until_closed, "inbox", look)
            group.start_soon(until_closed, "events", follow)
            group.start_soon(until_closed, "wait", task.wait)
            # Long enough for all of them to hang at the daemon, which is all that this is about.
            await anyio.wait_all_tasks_blocked()
            with anyio.fail_after(10):
                await client.aclose()
        await until_closed("later", client.agents)
        await client.aclose()

    await tell(backend, story)
    assert sorted(ended) == ["events", "inbox", "later", "wait"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_a_cancelled_call_leaves_the_client_whole(ferry, backend):
    """A program that gives up a wait goes on with the same client, and finds what came meanwhile."""

    async def story() -> None:
        async with (
            ferry.alice.client(backend) as alice,
            ferry.bob.client(backend) as bob,
            bob.events() as events,
        ):
            for _ in range(5):
                with anyio.move_on_after(0.05) as scope:
                    await bob.inbox(wait=60)
                assert scope.cancelled_caught
                with anyio.move_on_after(0.05):
                    await anext(events)
            sent = await alice.send_message("@bob/writer", "still there?")
            (item,) = (await bob.inbox(wait=20)).messages
            assert item.id == sent.message_id
            while (await anext(events)).message_id != sent.message_id:
                pass

    await tell(backend, story)


async def test_a_wait_that_times_out_loses_nothing(ferry, kind):
    """TimedOut says where the task stands; another client finds the result by the task's id."""

    async def story() -> None:
        async with ferry.alice.client(kind) as alice:
            task = await alice.send_task("@bob/writer", "Slow")
            with pytest.raises(TimedOut, match="Nothing is lost"):
                await task.result(1)
        async with ferry.bob.client(kind) as bob:
            async for job in bob.work(idle=20):
                await job.accept()
                await job.submit("Late")
                break
        async with ferry.alice.client(kind) as alice:
            assert (await alice.task(task.id[:12]).result(20)).text == "Late"

    await tell(kind, story)


async def test_a_task_without_a_result_is_told_as_such(ferry, kind):
    """Declined, failed, cancelled: TaskEnded with state and the other side's words; nothing is left to do."""

    async def story() -> None:
        async with ferry.alice.client(kind) as alice, ferry.bob.client(kind) as bob:
            ends = {"declined": "Not my field", "failed": "It broke"}
            asked = {state: await alice.send_task("@bob/writer", state) for state in ends}
            async for job in bob.work(idle=20):
                if job.task.title == "declined":
                    await job.decline(ends["declined"])
                else:
                    await job.accept()
                    await job.fail(ends["failed"])
                if job.task.title == "failed":
                    break
            for state, task in asked.items():
                with pytest.raises(TaskEnded, match=ends[state]) as caught:
                    await task.result(20)
                assert (caught.value.state, caught.value.reason) == (state, ends[state])
                assert caught.value.task == task.id
            gone = await alice.send_task("@bob/writer", "cancelled")
            await gone.cancel("Changed my mind")
            with pytest.raises(TaskEnded) as caught:
                await gone.result(20)
            assert caught.value.state == "cancelled"
            with pytest.raises(NotPossible) as refused:
                await gone.complete()
            assert (refused.value.state, refused.value.actions) == ("cancelled", ())
            kinds = {item.type for item in (await alice.inbox()).messages}
            assert not kinds & {"task_decline", "task_fail"}

    await tell(kind, story)


async def test_an_agent_may_not_do_what_is_the_owners(ferry, kind):
    """An agent's credential shows its own agent and connections, and does not act as another."""

    async def story() -> None:
        async with ferry.alice.client(kind) as alice, ferry.bob.client(kind, agent="nobody") as bob:
            me = await alice.whoami()
            assert (me.owner, [agent.name for agent in me.agents]) == ("alice", ["requester"])
            assert [one.peer for one in await alice.connections(state="accepted")] == ["@bob/writer"]
            with pytest.raises(NotAllowed):
                await bob.send_message("@alice/requester", "as somebody else")

    await tell(kind, story)


@pytest.mark.parametrize(("rung", "code"), [("failed", "not-permitted"), ("expired", "")])
def test_what_was_not_delivered_is_not_waited_for(rung, code):
    """A request that came back, or of which nobody knows, ends the wait: its worker cannot work on it."""
    task = a_task()
    lost = {**task["events"][0], "delivery": {"rung": rung, "at": AT, "code": code, "history": []}}  # type: ignore[index]
    script = Script([ok(task), ok({**task, "events": [lost]})])
    with pytest.raises(NotDelivered) as caught:
        script.play(result("aa"), Ties(30.0))
    assert (caught.value.rung, caught.value.code) == (rung, code)


def test_each_look_says_what_was_seen_last():
    """A wait is a chain of bounded long-polls, each with the mark of the last answer."""
    script = Script([ok(a_task(mark=mark)) for mark in "abc"], slow_s=20)
    with pytest.raises(TimedOut):
        script.play(result("aa", 50), Ties(30.0))
    assert [request.query.get("mark") for request in script.sent] == [None, "a", "b"]
    waits = [int(request.query.get("wait", "0")) for request in script.sent]
    assert waits == [0, 30, math.ceil(50 - 40)]
