"""Sessions of one agent share its tasks: each is a program by a name, and is told what it has no more."""

from __future__ import annotations

import os
import signal

import pytest
import trio

from .hosts import HANDSHAKE, MODERN, Ferry, Side, Way

STDIO = Way("stdio", HANDSHAKE)
BOUND = [STDIO, Way("stdio", MODERN), Way("http", HANDSHAKE)]


@pytest.fixture(params=BOUND, ids=str)
def bound_way(request: pytest.FixtureRequest) -> Way:
    """The ways on which there are sessions."""
    found = request.param
    assert isinstance(found, Way)
    return found


async def programs(side: Side) -> dict[str, str]:
    """What is bound to the agents: state by name."""
    return {row["name"]: row["status"] for row in (await side.api.ok("GET", "/runtimes"))["runtimes"]}


async def until_programs(side: Side, wanted: dict[str, str]) -> None:
    """Wait until those are bound, and no others."""
    with trio.fail_after(20):
        while await programs(side) != wanted:
            await trio.sleep(0.02)


async def test_a_session_is_a_program_while_it_lives(ferry: Ferry, bound_way: Way) -> None:
    """From its first tool to its end, named after its host and place; busy while it works on a task."""
    place = "-work" if bound_way.transport == "stdio" else ""
    task = await ferry.house.task()
    async with ferry.bob.host(bound_way) as bob:
        assert await programs(ferry.bob) == {}
        me = (await bob.call("whoami"))["program"]
        assert me == f"mcp{place}"
        assert await programs(ferry.bob) == {me: "idle"}
        await bob.until("inbox", lambda facts: task[:8] in str(facts))
        await bob.call("task_respond", task=task, action="accept")
        assert await programs(ferry.bob) == {me: "busy"}
        await bob.call("task_respond", task=task, action="submit", text="done")
        assert await programs(ferry.bob) == {me: "idle"}
    await until_programs(ferry.bob, {})


async def test_two_sessions_share_an_inbox_and_no_task(ferry: Ferry, bound_way: Way) -> None:
    """Both see what nobody has; who acts first has it, and the other is told so, and sees it no more."""
    tasks = [await ferry.house.task() for _ in range(2)]
    async with ferry.bob.host(bound_way) as one, ferry.bob.host(bound_way) as two:
        for model in (one, two):
            await model.until("inbox", lambda facts: all(task[:8] in str(facts) for task in tasks))
        await one.call("task_respond", task=tasks[0], action="accept")
        name = (await one.call("whoami"))["program"]
        for action in ("accept", "decline", "progress", "fail", "submit"):
            more = {"text": "mine"} if action == "submit" else {"message": "mine"}
            words = await two.refused("task_respond", task=tasks[0], action=action, **more)
            assert words.startswith(f"Nothing was done. Another program has this now: {name}.")
            assert "Do no work on it" in words
        acked = await two.call("ack", ids=[tasks[0][:8]])
        assert (acked["processed"], f"program has this now: {name}" in str(acked["failed"])) == (0, True)
        listed = str(await two.call("inbox"))
        assert [task[:8] in listed for task in tasks] == [False, True]
        await two.call("task_respond", task=tasks[1], action="accept")
        await two.call("task_respond", task=tasks[1], action="submit", text="two")
        # A revision is for who has the task, and wakes nobody else.
        mark = (await one.call("inbox"))["mark"]
        await ferry.house.until_state(ferry.house.alice, tasks[1], "submitted")
        await ferry.house.alice.ok("POST", f"/tasks/{tasks[1]}/revision", {"reason": "more"})
        await two.until("inbox", lambda facts: "revision_request" in str(facts))
        assert not (await one.call("wait", mark=mark, seconds=1))["happened"]
        assert tasks[1][:8] not in str(await one.call("inbox"))


async def test_what_a_session_leaves_is_the_next_ones(ferry: Ferry, bound_way: Way) -> None:
    """Accepted by one that then ended; another is shown it, and goes on with it."""
    task = await ferry.house.task()
    async with ferry.bob.host(bound_way) as one:
        await one.until("inbox", lambda facts: task[:8] in str(facts))
        await one.call("task_respond", task=task, action="accept")
        await one.call("whoami")
    # The daemon hears of the end of a program a moment after it.
    await until_programs(ferry.bob, {})
    async with ferry.bob.host(bound_way) as two:
        await two.until(
            "task_respond", lambda facts: facts["version"] == 1, task=task, action="submit", text="v"
        )


async def test_a_late_answer_of_a_session_is_refused_in_words(ferry: Ferry, bound_way: Way) -> None:
    """It was not heard of for longer than its lease, and another program had the task meanwhile."""
    house = ferry.house
    task = await house.task()
    async with ferry.bob.host(bound_way) as bob:
        await bob.until("inbox", lambda facts: task[:8] in str(facts))
        await bob.call("task_respond", task=task, action="accept")
        house.world.clock.ahead_ms += 601_000
        other = (await house.bob.ok("POST", "/runtimes", {"agent": "writer", "program": "other"}))["runtime"]
        await house.bob.ok("POST", f"/runtimes/{other['id']}/take", {"message": task})
        words = await bob.refused("task_respond", task=task, action="submit", text="late")
        assert words.startswith("Nothing was done. Another program has this now: other.")
        await house.bob.ok("DELETE", f"/runtimes/{other['id']}")
        # Having been told, it may take it again.
        assert (await bob.call("task_respond", task=task, action="submit", text="again"))["version"] == 1


async def test_answers_come_to_the_session_that_asked(ferry: Ferry, bound_way: Way) -> None:
    """Of two sessions of the asking agent, the other one is not told of it while the first lives."""
    async with ferry.alice.host(bound_way) as one, ferry.alice.host(bound_way) as two:
        task = (await one.call("task_create", to="@bob/writer", title="Report", brief="Sum it up."))["task"]
        await ferry.house.until_state(ferry.house.bob, task, "sent")
        await ferry.house.bob.ok("POST", f"/tasks/{task}/accept", {})
        await one.until("inbox", lambda facts: task in str(facts))
        assert task not in str(await two.call("inbox"))
        words = await two.refused("task_review", task=task, action="cancel")
        assert "Another program has this now" in words


async def test_requests_without_a_session_are_bound_to_nothing(ferry: Ferry) -> None:
    """Over HTTP the newest protocol has no sessions: every request sees and does everything, as ever."""
    async with ferry.bob.host(Way("http", MODERN)) as bob:
        task = await ferry.house.task()
        await bob.until("inbox", lambda facts: task[:8] in str(facts))
        await bob.call("task_respond", task=task, action="accept")
        assert (await bob.call("whoami"))["program"] == ""
    assert await programs(ferry.bob) == {}


async def test_a_killed_hosts_program_ends_its_session(ferry: Ferry) -> None:
    """kill -9 of the program that hosts start: what it had is free at once."""
    task = await ferry.house.task()
    async with ferry.bob.host(STDIO) as bob:
        await bob.until("inbox", lambda facts: task[:8] in str(facts))
        await bob.call("task_respond", task=task, action="accept")
        os.kill(program_of(ferry.bob), signal.SIGKILL)
        await until_programs(ferry.bob, {})


def program_of(side: Side) -> int:
    """The process of the side's `taskferry mcp`."""
    for place in os.listdir("/proc"):
        try:
            if place.isdigit() and os.readlink(f"/proc/{place}/cwd") == str(side.work.resolve()):
                return int(place)
        except OSError:
            continue
    raise LookupError("no program runs there")
