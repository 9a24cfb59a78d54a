"""Where the owner is asked first: the host may show the way to the owner, and decides nothing itself."""

from __future__ import annotations

import re
from typing import Any

import pytest
import trio
from mcp_types import ElicitRequestParams, ElicitResult

from .hosts import Ferry, Way

TASK = {"to": "@bob/writer", "title": "Report", "brief": "Sum it up."}


class Human:
    """Someone who sits at the host, and gives one answer to whatever is shown."""

    def __init__(self, action: Any) -> None:
        self.action = action
        self.shown: list[str] = []

    async def look(self, _: Any, params: ElicitRequestParams) -> ElicitResult:
        """Take an elicitation."""
        self.shown.append(params.message)
        return ElicitResult(action=self.action)


async def guard(ferry: Ferry) -> None:
    """Alice lets her agent send no task without her word."""
    await ferry.house.alice.ok("POST", "/modes", {"agent": "requester", "mode": "guarded"})


async def asked(ferry: Ferry) -> Any:
    """The question that waits for Alice, as soon as it does."""
    with trio.fail_after(20):
        while True:
            found = (await ferry.house.alice.ok("GET", "/approvals", state="asked"))["approvals"]
            if found:
                return found[0]
            await trio.sleep(0.02)


async def tasks_of(ferry: Ferry) -> int:
    """How many tasks Alice's agent has sent."""
    return len((await ferry.house.alice.ok("GET", "/tasks"))["tasks"])


async def test_a_plain_host_is_told_how_the_owner_decides(ferry: Ferry, way: Way) -> None:
    """The id and the owner's command are named; once she has approved, the same call goes through, once."""
    await guard(ferry)
    async with ferry.alice.host(way) as alice:
        words = await alice.refused("task_create", **TASK)
        found = re.search(r"taskferry approvals show ([0-9a-f]{8})", words)
        assert found is not None
        waited = await alice.call("wait", approval=found[1], seconds=1)
        assert (waited["happened"], waited["state"]) == (False, "asked")
        question = await asked(ferry)
        assert question["id"].startswith(found[1])
        await ferry.house.alice.ok("POST", f"/approvals/{question['id']}/approve", {})
        waited = await alice.call("wait", approval=found[1], seconds=20)
        assert (waited["happened"], waited["state"]) == (True, "approved")
        await alice.call("task_create", **TASK)
        assert await tasks_of(ferry) == 1
        assert "asked first" in await alice.refused("task_create", **TASK)


async def test_a_human_who_is_shown_the_way_approves_nothing_by_answering(ferry: Ferry, way: Way) -> None:
    """`accept` at the host lets the call wait; only the owner's own approval lets it through."""
    await guard(ferry)
    human = Human("accept")
    async with (
        ferry.alice.host(way, elicitation_callback=human.look) as alice,
        trio.open_nursery() as nursery,
    ):
        sent: list[Any] = []

        async def send() -> None:
            sent.append(await alice.call("task_create", **TASK))

        nursery.start_soon(send)
        question = await asked(ferry)
        with trio.fail_after(20):
            while not human.shown:
                await trio.sleep(0.02)
        await trio.sleep(0.3)
        assert not sent
        assert await tasks_of(ferry) == 0
        await ferry.house.alice.ok("POST", f"/approvals/{question['id']}/approve", {})
        with trio.fail_after(20):
            while not sent:
                await trio.sleep(0.02)
    assert "approves nothing" in human.shown[0]
    assert f"taskferry approvals show {question['id'][:8]}" in human.shown[0]
    # Nothing that a peer or the model has written stands in what the human is shown.
    assert TASK["title"] not in human.shown[0]
    assert TASK["to"] not in human.shown[0]
    assert await tasks_of(ferry) == 1


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_human_who_turns_away_ends_the_call(ferry: Ferry, way: Way, action: str) -> None:
    """The model gets the plain answer at once, and nothing is sent."""
    await guard(ferry)
    async with ferry.alice.host(way, elicitation_callback=Human(action).look) as alice:
        with trio.fail_after(10):
            assert "asked first" in await alice.refused("task_create", **TASK)
    assert await tasks_of(ferry) == 0


async def test_an_owner_who_says_no_is_heard(ferry: Ferry, way: Way) -> None:
    """The model is told so, and the same again is refused without asking anew."""
    await guard(ferry)
    async with ferry.alice.host(way) as alice:
        await alice.refused("task_create", **TASK)
        question = await asked(ferry)
        await ferry.house.alice.ok("POST", f"/approvals/{question['id']}/deny", {"answer": "Not that one."})
        words = await alice.refused("task_create", **TASK)
        assert "said no" in words
        assert "Not that one." in words
    assert await tasks_of(ferry) == 0
