"""One agent's program that asks without end keeps neither the owner nor other agents' programs waiting."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
import trio
import trio.testing

from taskferry_apps.daemon.api import turns
from taskferry_apps.daemon.port import Caller, DaemonRefusal

from .house import served
from .test_waiting import following


async def test_a_flood_of_one_program_keeps_no_others_request_waiting(house):
    """Sixty messages at once, and one of another agent's: that goes before most of them."""
    await house.alice.ok("POST", "/agents", {"handle": "other"})
    flooding, other = await house.alice.token("requester"), await house.alice.token("other")
    done: list[str] = []

    async def send(program, name: str, n: int) -> None:
        said = {"from": name, "to": "@bob/writer", "text": f"words {n}"}
        await program.post("/messages/send", said)
        done.append(name)

    async with trio.open_nursery() as nursery:
        for n in range(60):
            nursery.start_soon(send, flooding, "requester", n)
        with trio.fail_after(20):
            while not done:
                await trio.lowlevel.checkpoint()
        nursery.start_soon(send, other, "other", 0)
    assert done.index("other") <= 3 * turns.AT_WORK
    assert len(done) == 61


async def test_requests_that_wait_of_one_program_are_few_and_hold_up_no_others(house, monkeypatch):
    """Beyond so many it is told to come again; its other requests go on, and so does everybody else."""
    monkeypatch.setattr(turns, "UNDER_WAY", 6)
    program, other = await house.alice.token("requester"), await house.alice.token("requester")
    answers = []
    with trio.fail_after(10):
        # The acceptance is on its way: whoever waits behind it waits for what never comes.
        while not (inbox := await program.ok("GET", "/inbox"))["messages"]:
            await trio.sleep(0.01)

    async def wait() -> None:
        answers.append(await program.get("/inbox", wait=20, cursor=inbox["cursor"]))

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(wait)
        with trio.fail_after(10):
            while len(answers) < 2:
                await trio.sleep(0.01)
        assert [(answer.status, answer.error["code"]) for answer in answers] == [(429, "busy")] * 2
        assert answers[0].headers["retry-after"] == "1"
        assert (await other.get("/inbox")).status == 200
        assert (await house.alice.get("/inbox")).status == 200
        nursery.cancel_scope.cancel()
    assert (await program.get("/inbox")).status == 200


async def test_streams_are_counted_while_they_last(house, monkeypatch):
    """A program follows as many as it may; one that ends makes room."""
    monkeypatch.setattr(turns, "UNDER_WAY", 3)
    program = await house.alice.token("requester")
    async with served(house.alice) as (_, bound):
        async with AsyncExitStack() as stack:
            for _ in range(3):
                feed = await stack.enter_async_context(following(bound, secret=program.secret))
                assert (await feed.line()).startswith(":")
            refused = await program.get("/inbox")
            assert (refused.status, refused.error["code"]) == (429, "busy")
        with trio.fail_after(10):
            while (await program.get("/inbox")).status != 200:
                await trio.sleep(0.01)


async def test_a_credential_that_is_revoked_while_its_request_waits_does_nothing_more(house):
    """What stands behind the program's other requests is looked at again when its turn has come."""
    program = await house.alice.token("requester")
    core = house.alice.daemon._core
    said = [{"from": "requester", "to": "@bob/writer", "text": f"words {n}"} for n in range(12)]
    answers = []

    async def send(n: int) -> None:
        answers.append(await program.post("/messages/send", said[n]))

    async with trio.open_nursery() as nursery, core.lock:
        for n in range(12):
            nursery.start_soon(send, n)
        await trio.testing.wait_all_tasks_blocked(0.05)
        (token,) = [t for t in (await house.alice.ok("GET", "/tokens"))["tokens"] if not t["revoked_at"]]
        nursery.start_soon(house.alice.call, "DELETE", f"/tokens/{token['id']}")
        await trio.testing.wait_all_tasks_blocked(0.05)
    codes = sorted(answer.status for answer in answers)
    assert codes.count(401) >= 12 - 2 * turns.AT_WORK


async def test_nothing_is_held_of_a_credential_that_asks_nothing():
    """What is counted goes with the last request."""
    counted, caller = turns.Turns(), Caller(frozenset({"a"}))
    with pytest.raises(DaemonRefusal):
        async with AsyncExitStack() as stack:
            for _ in range(turns.UNDER_WAY + 1):
                stack.enter_context(counted.place(caller, "secret"))
    async with counted.turn(caller, "secret") as has_waited:
        assert not has_waited
    assert not counted._under_way
    assert not counted._at_work
    for _ in range(2 * turns.UNDER_WAY):
        counted.place(Caller(None), "owner").__enter__()
    assert not counted._under_way
