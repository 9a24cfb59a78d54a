"""Two workers of one agent, and other programs beside them: each task is one's at a time."""

from __future__ import annotations

import trio

from taskferry_apps.client import AsyncClient
from taskferry_apps.worker.telling import What

ECHO = "print('done')"


def waiting(shop) -> str:
    """A command that says that it has begun, and ends well once it may."""
    go = shop.folder / "go"
    return (
        f"import os, time\nopen('begun', 'w').close()\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.01)\nprint('done')"
    )


async def programs(shop):
    """What is bound to the writer: state by name."""
    rows = (await shop.ferry.house.bob.ok("GET", "/runtimes", agent="writer"))["runtimes"]
    return {row["name"]: row["status"] for row in rows}


async def until_programs(shop, **wanted):
    """Wait until those are bound, and in these states."""
    with trio.fail_after(20):
        while not wanted.items() <= (await programs(shop)).items():
            await trio.sleep(0.02)


async def test_a_worker_is_there_and_busy_while_its_command_runs(shop):
    """Idle before and after, busy with the command, then gone; its name stays over restarts."""
    async with shop.working(shop.script(waiting(shop)), name="two"):
        await until_programs(shop, **{"worker-two": "idle"})
        handle = await shop.send()
        await until_programs(shop, **{"worker-two": "busy"})
        (shop.folder / "go").touch()
        await handle.result(20)
        await until_programs(shop, **{"worker-two": "idle"})
    assert await programs(shop) == {"worker-two": "offline"}
    async with shop.working(shop.script(ECHO), name="two"):
        await until_programs(shop, **{"worker-two": "idle"})
    assert list(await programs(shop)) == ["worker-two"]
    assert "as writer, called worker-two, in" in shop.words(What.STARTED)[-1]
    assert (shop.folder / "workers" / "writer.two" / "state").is_dir()


async def test_what_a_stopped_worker_leaves_another_carries_on(shop):
    """Accepted by one, it is run and submitted by the other; revised, it stays with that one."""
    handle = await shop.send()
    folder = shop.room / "tasks" / handle.id
    async with shop.working(shop.script(waiting(shop))):
        await shop.until((folder / "begun").exists)
    async with shop.working(shop.script(ECHO), name="two"):
        assert (await handle.result(40)).text == "done"
        await handle.revise("Again")
        task = await shop.ended(handle, "resubmitted")
        # The first comes back: it has lost what it held, and says so.
        async with shop.working(shop.script(ECHO)):
            await shop.until(lambda: bool(shop.words(What.LOST)))
    assert shop.words(What.TAKEN_OVER) == ["@alice/requester: Count"]
    assert "Another program has this now: worker-two. What was done here is discarded." in shop.words(
        What.LOST
    )
    assert [event.type for event in task.events].count("task_accept") == 1
    assert not folder.exists()
    assert list((shop.room / "state").iterdir()) == []


async def test_a_worker_that_slept_too_long_discards_its_result(shop):
    """Its lease ran out while its command ran, and another has the task: one version, not the late one."""
    handle = await shop.send()
    folder = shop.room / "tasks" / handle.id
    bob = shop.ferry.bob
    async with (
        shop.working(shop.script(waiting(shop)), lease_s=15),
        AsyncClient(url=bob.url, token=bob.token) as client,
    ):
        await shop.until((folder / "begun").exists)
        async with client.runtime("heir") as heir:
            job = None
            while job is None:
                # As after a sleep of the machine: nothing was heard of it, and its next heartbeat is not due
                # yet. A word of the other side's may wake it all the same: then it sleeps once more.
                shop.ferry.house.world.clock.ahead_ms += 16_000
                job = await anext(aiter(client.work(idle=2, runtime=heir)), None)
            (shop.folder / "go").touch()
            await shop.until(lambda: bool(shop.words(What.LOST)))
            await job.submit("the heir's")
            task = await shop.ended(handle, "submitted")
    assert [version.text for version in task.versions] == ["the heir's"]
    assert not folder.exists()


async def test_a_task_that_another_program_has_is_left_to_it_and_taken_once_it_is_free(shop):
    """A session has accepted it; when that ends, the worker does it, since it may start without a person."""
    handle = await shop.send()
    bob = shop.ferry.bob
    async with AsyncClient(url=bob.url, token=bob.token) as client:
        async with client.runtime("session", lease=15) as session:
            job = await anext(aiter(client.work(idle=20, runtime=session)))
            async with shop.working(shop.script(ECHO), name="early"):
                other = await shop.send("Other")
                assert (await other.result(40)).text == "done"
            await job.accept()
            assert (await handle.show()).versions == ()
        async with shop.working(shop.script(ECHO)):
            assert (await handle.result(40)).text == "done"
    assert shop.words(What.TAKEN_OVER) == ["@alice/requester: Count"]


async def test_a_task_that_its_owner_accepted_by_hand_is_left(shop):
    """No program has had it, so none has left it: whoever accepted it works on it."""
    handle = await shop.send()
    await shop.ferry.house.bob.ok("POST", f"/tasks/{handle.id}/accept", {})
    async with shop.working(shop.script(ECHO), is_asking=False):
        await shop.until(lambda: "by no program that has left it" in "".join(shop.words(What.LEFT)))
    assert (await shop.ended(handle, "accepted")).versions == ()


async def test_two_workers_ask_the_owner_once(shop):
    """The question is the task's and the command's, whoever asks it; one of the two then does it."""
    handle = await shop.send("Ask first")
    command = shop.script(ECHO)
    async with (
        shop.working(command, is_asking=True),
        shop.working(command, is_asking=True, name="two"),
    ):
        await shop.until(lambda: len(shop.words(What.ASKING)) == 2)
        (asked,) = (await shop.ferry.house.bob.ok("GET", "/approvals", state="asked"))["approvals"]
        await shop.ferry.house.bob.ok("POST", f"/approvals/{asked['id']}/approve", {})
        assert (await handle.result(40)).text == "done"
    assert len(shop.words(What.RUNNING)) == 1
