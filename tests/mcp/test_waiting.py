"""Waiting: told to the host while it lasts, ended at once, and nothing is lost by it."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from taskferry_apps.mcp import waiting

from .hosts import Ferry, Way


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Polls of a second, so that there are several."""
    monkeypatch.setattr(waiting, "_POLL_S", 1)


@pytest.mark.usefixtures("impatient")
async def test_a_long_wait_says_that_it_goes_on(ferry: Ferry, way: Way) -> None:
    """Progress notifications come, growing; then it ends when its time is over, and says so."""
    told: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        assert total == 4
        assert message
        told.append(progress)

    async with ferry.bob.host(way) as bob:
        await bob.call("inbox")
        result = await bob.client.call_tool("taskferry_wait", {"seconds": 4}, progress_callback=on_progress)
        assert result.structured_content["happened"] is False
    assert len(told) >= 3
    assert told == sorted(told)


async def test_a_wait_that_is_cancelled_ends_and_loses_nothing(ferry: Ferry, way: Way) -> None:
    """What comes meanwhile is in the inbox, unprocessed, and the next wait from the same mark sees it."""
    async with ferry.bob.host(way) as bob:
        mark = (await bob.call("inbox"))["mark"]
        with trio.move_on_after(0.5) as given_up:
            await bob.call("wait", seconds=600)
        assert given_up.cancelled_caught
        task = await ferry.house.task()
        waited = await bob.call("wait", seconds=20, mark=mark)
        assert waited["happened"]
        assert task[:8] in waited["what"]
        assert task[:8] in str(await bob.call("inbox"))


async def test_waits_that_are_cancelled_make_room_for_others(ferry: Ferry, way: Way) -> None:
    """They end in the daemon, too: as many as a session carries are given up, and the next call is served."""
    async with ferry.bob.host(way) as bob:
        with trio.move_on_after(1) as given_up:
            async with trio.open_nursery() as nursery:
                for _ in range(16):
                    nursery.start_soon(partial(bob.call, "wait", seconds=600, mark="999999"))
        assert given_up.cancelled_caught
        with trio.fail_after(10):
            while (await bob.client.call_tool("taskferry_whoami", {})).is_error:
                await trio.sleep(0.05)


async def test_a_wait_ends_when_it_happens(ferry: Ferry, way: Way) -> None:
    """Whoever waits for a task is woken by its change; a change before the wait counts, too."""
    task = await ferry.house.task()
    async with ferry.bob.host(way) as bob:
        shown = await bob.call("show", id=task)
        await ferry.house.alice.ok("POST", f"/tasks/{task}/cancel", {"reason": "enough"})
        waited = await bob.call("wait", task=task, mark=shown["mark"], seconds=20)
        while waited["state"] != "cancelled":
            # That Alice was told of its arrival is a change, too.
            assert waited["happened"] is True
            waited = await bob.call("wait", task=task, mark=waited["mark"], seconds=20)
        assert waited["happened"] is True
        async with trio.open_nursery() as nursery:
            woken: list[dict[str, object]] = []

            async def wait(mark: str) -> None:
                woken.append(await bob.call("wait", mark=mark, seconds=20))

            nursery.start_soon(wait, (await bob.call("inbox"))["mark"])
            body = {"from": "requester", "to": "@bob/writer", "text": "hello"}
            await ferry.house.alice.ok("POST", "/messages/send", body)
        assert woken[0]["happened"] is True


async def test_only_one_thing_is_waited_for(ferry: Ferry, way: Way) -> None:
    """A task or an approval."""
    async with ferry.bob.host(way) as bob:
        assert "not for both" in await bob.refused("wait", task="0" * 8, approval="0" * 8)


async def test_a_daemon_that_stops_ends_waits_in_good_order(ferry: Ferry) -> None:
    """The model is answered before the daemon goes, not cut off."""
    async with ferry.bob.host(Way("stdio", "2025-11-25")) as bob:
        await bob.call("inbox")
        async with trio.open_nursery() as nursery:
            outcome: list[object] = []

            async def wait() -> None:
                result = await bob.client.call_tool("taskferry_wait", {"seconds": 600})
                outcome.append((result.is_error, result.content[0]))

            nursery.start_soon(wait)
            await trio.sleep(0.3)
            ferry.bob.bound.draining.set()
            with trio.fail_after(10):
                while not outcome:
                    await trio.sleep(0.02)
