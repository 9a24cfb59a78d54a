"""The worker's side: what it is given, again after a crash, and what is not its business."""

from __future__ import annotations

import anyio
import pytest

from taskferry_apps.client import ApprovalNeeded, DaemonAway, NotAllowed, NotPossible, Refused
from taskferry_apps.client.plans import Send, Ties, carried_out
from taskferry_apps.client.working import Desk

from .scripted import AT, Script, a_task, ok
from .stories import tell


async def test_a_job_that_was_cut_off_is_given_again(ferry, kind):
    """A program that ends in the middle finds its job at the next start, and the steps it took stay taken."""

    async def story() -> None:
        async with ferry.alice.client(kind) as alice:
            task = await alice.send_task("@bob/writer", "Twice begun")
        async with ferry.bob.client(kind) as bob:
            async for job in bob.work(idle=20):
                assert (await job.accept()).state == "accepted"
                break
        async with ferry.bob.client(kind) as bob:
            async for job in bob.work(idle=20):
                assert (job.id, job.task.state) == (task.id, "accepted")
                assert await job.accept() is None, "that was done before"
                await job.submit("Done")
                break
        async with ferry.bob.client(kind) as bob:
            # It was handed in, so there is nothing to do, though nobody had put the request away.
            assert [job async for job in bob.work(idle=1)] == []
            assert (await bob.inbox()).messages == ()

    await tell(kind, story)


def test_a_look_that_was_cut_off_is_taken_again():
    """Cancelled, or cut off, anywhere between the inbox and the job: the next try gives that job."""
    item = {
        **dict.fromkeys(("direction", "from", "to", "conversation", "title", "state", "trust", "code"), ""),
        **dict.fromkeys(("received_at", "delivery")),
        "id": "m1",
        "type": "task_request",
        "task_id": "aa",
        "created_at": AT,
        "auto_start": False,
    }
    page = {"messages": [item], "cursor": "1", "more": False, "held": []}
    desk = Desk("writer")
    with pytest.raises(DaemonAway):
        Script([ok(page), DaemonAway("gone")]).play(desk.next_work(), Ties(0.0))
    half = carried_out(desk.next_work(), Ties(0.0))
    step = next(half)
    while not isinstance(step, Send):
        step = half.send(0.0)
    half.close()
    found = Script([ok(a_task(role="worker", actions=["accept"]))]).play(desk.next_work(), Ties(0.0))
    assert found.task.id == "aa"
    # It is done with, and the daemon is told, once the next one is asked for.
    last = Script([ok({"ok": True}), ok({**page, "messages": []})])
    assert last.play(desk.next_work(idle=0), Ties(0.0)) is None
    assert [request.path for request in last.sent] == ["/messages/m1/ack", "/inbox"]
    assert last.sent[1].query["cursor"] == "1"


async def test_what_is_no_work_stays_in_the_inbox(ferry, kind):
    """Messages are somebody else's; a task that ended before anybody looked is put away without a job."""

    async def story() -> None:
        async with ferry.alice.client(kind) as alice, ferry.bob.client(kind) as bob:
            await (await alice.send_task("@bob/writer", "Too late")).cancel("Not needed")
            await alice.send_message("@bob/writer", "Hello", payload={"n": 1})
            while len((await bob.inbox(wait=5)).messages) < 3:
                pass
            assert [job async for job in bob.work(idle=1)] == []
            (left,) = (await bob.inbox(header_only=True)).messages
            assert (left.type, left.sender, left.payload) == ("message", "@alice/requester", None)
            whole = await bob.message(left.id)
            assert (whole.text, left.state) == ("Hello", "read")
            await bob.acknowledge(left.id)
            await bob.acknowledge(left.id)
            assert (await bob.inbox()).messages == ()
            assert (await bob.inbox(processed=True, limit=1)).more

    await tell(kind, story)


async def test_a_job_that_ended_under_way_says_so(ferry, kind):
    """Cancelled while it is worked on: the next step is refused with the state, and the desk goes on."""

    async def story() -> None:
        async with ferry.alice.client(kind) as alice, ferry.bob.client(kind) as bob:
            first = await alice.send_task("@bob/writer", "First")
            done: list[str] = []
            async for job in bob.work(idle=20):
                done.append(job.task.title)
                await job.accept()
                if job.id == first.id:
                    await first.cancel()
                    while not (await job.show(wait=5, mark=job.task.mark)).final:
                        pass
                    with pytest.raises(NotPossible) as refused:
                        await job.submit("Too late")
                    assert refused.value.state == "cancelled"
                    await alice.send_task("@bob/writer", "Second")
                else:
                    await job.submit("In time")
                    break
            assert done == ["First", "Second"]

    await tell(kind, story)


async def test_a_guarded_agent_asks_its_owner_and_goes_on(ferry, kind):
    """The refusal names the question; once the owner has said yes, exactly the same goes through, once."""
    house = ferry.house
    await house.alice.ok("POST", "/modes", {"agent": "requester", "mode": "guarded"})

    async def story() -> None:
        async with ferry.alice.client(kind) as alice:
            with pytest.raises(ApprovalNeeded) as asked:
                await alice.send_task("@bob/writer", "May I?")
            (waiting,) = await alice.approvals(state="asked")
            assert asked.value.approval == waiting.id
            questions.append(waiting.id)
            found = await alice.approval(waiting.id, wait=20)
            while not found.is_approved:
                found = await alice.approval(waiting.id, wait=20)
            await alice.send_task("@bob/writer", "May I?")
            with pytest.raises(NotAllowed):
                await alice.send_task("@bob/writer", "And this?")
            own = await alice.ask_approval("shell", "make deploy", why="A release")
            questions.append(own.id)
            found = own
            while not found.is_approved:
                found = await alice.approval(own.id, wait=20)
            assert (await alice.use_approval(own.id, "shell", "make deploy")).state == "used"
            with pytest.raises(Refused):
                await alice.use_approval(own.id, "shell", "make deploy")

    questions: list[str] = []

    async def owner() -> None:
        answered = 0
        while answered < 2:
            if len(questions) > answered:
                await house.alice.ok("POST", f"/approvals/{questions[answered]}/approve", {})
                answered += 1
            await anyio.sleep(0.01)

    async with anyio.create_task_group() as group:
        group.start_soon(owner)
        await tell(kind, story)


async def test_an_agent_asks_for_a_connection(ferry, kind):
    """What an agent asks for waits for the other owner, and shows among its connections."""
    await ferry.house.bob.ok("POST", "/agents", {"handle": "second"})

    async def story() -> None:
        async with ferry.alice.client(kind) as alice:
            step = await alice.request_connection("@bob/second", "Please")
            assert step.state == "requested_out"
            (found,) = await alice.connections(state="requested_out")
            assert (found.id, found.peer, found.mine) == (step.id, "@bob/second", "@alice/requester")
            (old,) = await alice.connections(state="accepted")
            assert old.received is not None
            assert "task" in old.received.classes
            page = await alice.tasks(role="requester")
            assert (page.tasks, page.more) == ((), False)

    await tell(kind, story)
