"""Which tasks a worker takes: limits, the owner's word, other workers, and what a dry run says."""

from __future__ import annotations

import pytest
import trio

from taskferry_apps.client import Attachment, Unauthorized
from taskferry_apps.worker.room import RoomTrouble
from taskferry_apps.worker.rules import asked_by
from taskferry_apps.worker.telling import What

ECHO = "print('done')"


async def connection_of(shop):
    """Bob's connection with Alice."""
    (found,) = (await shop.ferry.house.bob.ok("GET", "/connections"))["connections"]
    return found["id"]


async def forbid_start(shop):
    """From now on nothing of Alice's may start without Bob."""
    change = {"id": await connection_of(shop), "auto_trigger": False}
    await shop.ferry.house.bob.ok("POST", "/permissions", change)


async def test_what_may_not_start_without_a_person_is_left(shop):
    """The worker says so once, and the task waits as it was."""
    await forbid_start(shop)
    handle = await shop.send()
    async with shop.working(shop.script(ECHO)):
        await shop.until(lambda: bool(shop.words(What.LEFT)))
    assert "may start without you" in shop.words(What.LEFT)[0]
    assert (await handle.show()).state == "sent"
    assert not list((shop.room / "state").iterdir())


async def test_a_task_that_its_owner_released_is_taken(shop):
    """At the gate, by hand: that is a person's word."""
    house = shop.ferry.house
    change = {"id": await connection_of(shop), "auto_trigger": False, "human_gate": True}
    await house.bob.ok("POST", "/permissions", change)
    handle = await shop.alice.send_task("@bob/writer", "Gated")

    async with shop.working(shop.script(ECHO)):
        with trio.fail_after(30):
            while not (held := (await house.bob.ok("GET", "/gates"))["tasks"]):
                await trio.sleep(0.02)
        await shop.alice.send_message("@bob/writer", "Is there news?")
        await shop.until(
            lambda: "a task of @alice/requester waits for you first" in "".join(shop.words(What.LEFT))
        )
        await house.bob.ok("POST", "/gates/release", {"id": handle.id})
        assert (await handle.result(40)).text == "done"
    assert len(held) == 1
    assert len(shop.words(What.LEFT)) == 1


async def answer(shop, word):
    """Bob's answer to the worker's question, and the question."""
    with trio.fail_after(30):
        while True:
            asked = (await shop.ferry.house.bob.ok("GET", "/approvals", state="asked"))["approvals"]
            if asked:
                await shop.ferry.house.bob.ok("POST", f"/approvals/{asked[0]['id']}/{word}", {})
                return asked[0]
            await trio.sleep(0.02)


async def test_with_ask_the_owner_decides(shop):
    """The question names command, peer and title; after a yes the task is done."""
    await forbid_start(shop)
    handle = await shop.send("Ask first")
    async with shop.working(shop.script(ECHO), is_asking=True):
        question = await answer(shop, "approve")
        assert (await handle.result(40)).text == "done"
    assert "@alice/requester: Ask first" in question["what"]
    assert str(shop.folder / "work") in question["what"]


@pytest.mark.parametrize("is_declining", [False, True])
async def test_with_ask_and_a_no_nothing_runs(shop, is_declining):
    """It is left, or declined where that is wanted."""
    handle = await shop.send("Ask first")
    what = What.DECLINED if is_declining else What.LEFT
    async with shop.working(shop.script(ECHO), is_asking=True, is_declining=is_declining):
        await answer(shop, "deny")
        await shop.until(lambda: bool(shop.words(what)))
    state = "declined" if is_declining else "sent"
    assert (await shop.ended(handle, state)).versions == ()


async def test_what_does_not_fit_is_declined_with_the_reason(shop):
    """With --decline-others; the requester reads why, and what fits is taken."""
    bad = [
        await shop.send("A title of some length"),
        await shop.send("Brief", "x" * 100),
        await shop.send("Needs", requirements=["a", "b"]),
        await shop.send("Input", files=[Attachment("a", b"x" * 2_000)]),
    ]
    good = await shop.send("Fine")
    async with shop.working(
        shop.script(ECHO), is_declining=True, longest_title=10, longest_brief=50, most_requirements=1,
        largest_input=1_000,
    ):  # fmt: skip
        await good.result(40)
    said = ("title has 22", "brief has 100", "has 2 requirements", "input has 2000")
    for handle, words in zip(bad, said, strict=True):
        task = await shop.ended(handle, "declined")
        assert words in next(event.note for event in task.events if event.type == "task_decline")


async def test_a_peer_who_is_not_named_is_left(shop):
    """--from takes patterns, and nobody else's tasks."""
    handle = await shop.send()
    async with shop.working(shop.script(ECHO), peers=("@carol/*",)):
        await shop.until(lambda: bool(shop.words(What.LEFT)))
    assert (await handle.show()).state == "sent"
    assert await shop.work(shop.script(ECHO), peers=("@carol/*", "@alice/req*")) == 0


async def test_no_more_than_so_many_a_day(shop):
    """The count survives restarts; what is beyond it waits."""
    first, second, third = [await shop.send(f"Task {n}") for n in range(3)]
    assert await shop.work(shop.script(ECHO), per_day=2) == 0
    async with shop.working(shop.script(ECHO), per_day=2):
        await shop.until(lambda: bool(shop.words(What.LEFT)))
        await second.result(20)
    assert "2 were taken within a day" in shop.words(What.LEFT)[0]
    assert [(await handle.show()).state for handle in (first, second, third)] == [
        "submitted",
        "submitted",
        "sent",
    ]


async def test_no_more_than_so_many_at_once(shop):
    """With two places, two run, and the third is not even accepted."""
    handles = [await shop.send(f"Task {n}") for n in range(3)]
    go = shop.folder / "go"
    wait = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\nprint('done')"
    async with shop.working(shop.script(wait), concurrency=2):
        await shop.until(lambda: len(shop.words(What.RUNNING)) == 2)
        # They are accepted side by side, so that either may be heard of first.
        for handle in handles[:2]:
            await shop.ended(handle, "accepted")
        assert [(await handle.show()).state for handle in handles] == ["accepted", "accepted", "sent"]
        go.touch()
        for handle in handles:
            assert (await handle.result(20)).text == "done"


async def test_a_dry_run_changes_nothing(shop):
    """It says what would be taken and why something would not; no folder, no state, nothing read."""
    await shop.send("Small")
    big = await shop.send("Much too long")
    assert await shop.work(shop.script(ECHO), is_dry=True, longest_title=10, is_declining=True) == 0
    assert shop.words(What.WOULD_ACCEPT) == ["@alice/requester: Small"]
    assert shop.words(What.WOULD_DECLINE) == [
        "@alice/requester: Much too long; its title has 13 characters, more than 10"
    ]
    assert not (shop.folder / "workers").exists()
    assert (await big.show()).state == "sent"
    found = await shop.ferry.house.bob.ok("GET", "/messages", agent="writer")
    assert {item["state"] for item in found["messages"] if item["type"] == "task_request"} == {"unread"}


async def test_a_dry_run_measures_as_the_worker_does(shop):
    """What it reads from the request's message is what the worker reads from the task, to the byte."""
    report = shop.folder / "report.bin"
    report.write_bytes(bytes(range(256)))
    handle = await shop.send(
        "Sizes", "Zähle.", requirements=["Knapp", "Genau"], text="Größe", json={"a": [1, "ü"]}, files=[report]
    )
    task = await handle.show()
    asked = asked_by(task)
    for limits in (
        {"longest_title": len(task.title)},
        {"longest_brief": asked.chars},
        {"most_requirements": asked.requirements},
        {"largest_input": asked.input_bytes},
    ):
        assert await shop.work(shop.script(ECHO), is_dry=True, **limits) == 0
        ((name, most),) = limits.items()
        assert await shop.work(shop.script(ECHO), is_dry=True, **{name: most - 1}) == 0
    assert len(shop.words(What.WOULD_ACCEPT)) == len(shop.words(What.LEFT)) == 4


async def test_a_second_worker_of_the_same_folder_is_refused(shop, monkeypatch):
    """It says which folder, and what to do."""
    monkeypatch.setattr("taskferry_apps.worker.room._PATIENCE_S", 0.1)
    async with shop.working(shop.script(ECHO)):
        await shop.until(lambda: bool(shop.words(What.STARTED)))
        with pytest.raises(RoomTrouble, match=r"Another worker is running with the folder .* --directory"):
            await shop.work(shop.script(ECHO))


async def test_two_workers_of_one_agent_share_its_tasks(shop):
    """Each task is run by one of them alone, the one whose acceptance took effect."""
    handles = [await shop.send(f"Task {n}") for n in range(6)]
    runs = shop.folder / "runs"
    runs.mkdir()
    code = (
        f"import os\nopen({str(runs)!r} + '/' + os.environ['TASKFERRY_TASK_ID'], 'x').close()\nprint('done')"
    )
    command = shop.script(code)
    async with (
        shop.working(command, concurrency=3),
        shop.working(command, concurrency=3, folder=shop.folder / "other"),
    ):
        for handle in handles:
            task = await shop.ended(handle, "submitted", "failed")
            assert task.state == "submitted"
            assert [event.type for event in task.events].count("task_accept") == 1
    assert len(list(runs.iterdir())) == 6


async def test_what_is_no_task_for_it_stays_in_the_inbox(shop):
    """Messages are somebody else's business."""
    await shop.alice.send_message("@bob/writer", "Hello")
    handle = await shop.send()
    assert await shop.work(shop.script(ECHO)) == 0
    await handle.result(20)
    found = await shop.ferry.house.bob.ok("GET", "/inbox", agent_id="writer", unprocessed="true")
    assert [item["type"] for item in found["messages"]] == ["message"]


async def test_api_is_refused_with_the_owners_credential(shop):
    """A peer's words must not reach what only the owner may do."""
    with pytest.raises(RoomTrouble, match="the owner's credential"):
        await shop.work(shop.script(ECHO), token=shop.ferry.house.bob.secret, gives_api=True)


async def test_a_revoked_credential_ends_the_worker(shop):
    """It says so at once instead of trying for ever."""
    (made,) = [item for item in (await shop.ferry.house.bob.ok("GET", "/tokens"))["tokens"] if item["agents"]]
    async with trio.open_nursery() as nursery:

        async def work() -> None:
            with pytest.raises(ExceptionGroup) as ended:
                await shop.work(shop.script(ECHO), most=None)
            assert ended.group_contains(Unauthorized)

        nursery.start_soon(work)
        await shop.until(lambda: bool(shop.words(What.STARTED)))
        await shop.ferry.house.bob.ok("DELETE", f"/tokens/{made['id']}")
        await shop.alice.send_message("@bob/writer", "Wake up")
