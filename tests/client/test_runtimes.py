"""Several programs of one agent: other tasks for each, and nothing from who has a task no more."""

from __future__ import annotations

from datetime import UTC, datetime

import anyio
import pytest

from taskferry_apps.client import Conflict, TakenOver
from taskferry_apps.client.binding import Binding, beaten
from taskferry_apps.client.calls import inbox
from taskferry_apps.client.results import Lease

from .scripted import AT, Script, ok, refusal
from .stories import tell

BOUND = {
    "runtime": {
        **dict.fromkeys(("agent", "program", "status"), "x"),
        **dict.fromkeys(("since", "bound_at", "seen_at", "expires_at"), AT),
        "id": "b2",
        "name": "worker",
    },
    "heartbeat_s": 30,
}
PAGE = {"messages": [], "cursor": "1", "more": False, "held": []}


async def test_two_programs_share_an_agents_tasks(ferry, kind):
    """Each task is one program's alone; at the end of a block the others may have what was left."""

    async def story() -> None:
        async with ferry.alice.client(kind) as alice, ferry.bob.client(kind) as bob:
            asked = {(await alice.send_task("@bob/writer", title)).id for title in ("A", "B")}
            while len((await bob.inbox(wait=5, header_only=True)).messages) < 2:
                pass
            async with bob.runtime("worker") as one:
                async with bob.runtime("worker") as two:
                    mine = await anext(aiter(bob.work(idle=20, runtime=one)))
                    other = await anext(aiter(bob.work(idle=20, runtime=two)))
                    assert {mine.id, other.id} == asked
                    assert mine.lease.runtime == one.id != two.id
                    states = {found.name: found.status for found in (await bob.whoami()).runtimes}
                    assert states == {one.name: "busy", two.name: "busy"}
                    await two.idle()
                    await mine.accept()
                    await mine.submit("Done")
                    assert [job async for job in bob.work(idle=1, runtime=one)] == []
                again = await anext(aiter(bob.work(idle=20, runtime=one)))
                assert again.id == other.id
                with pytest.raises(TakenOver):
                    await other.accept()
            assert {found.status for found in (await bob.whoami()).runtimes} <= {"offline"}

    await tell(kind, story)


async def test_what_a_program_gives_back_comes_to_another_and_not_to_itself(ferry, kind):
    """A task that is not for it, and a message; whoever is bound to nothing has nothing to give back."""

    async def story() -> None:
        async with ferry.alice.client(kind) as alice, ferry.bob.client(kind) as bob:
            asked = await alice.send_task("@bob/writer", "Not for everyone")
            await alice.send_message("@bob/writer", "Hello")
            while len((await bob.inbox(wait=5, header_only=True)).messages) < 2:
                pass
            async with bob.runtime("one") as one, bob.runtime("two") as two:
                job = await anext(aiter(bob.work(idle=20, runtime=one)))
                await job.release()
                with pytest.raises(TakenOver):
                    await job.accept()
                (mail,) = (await bob.inbox(runtime=one)).messages
                assert mail.text == "Hello"
                await bob.release(mail.id, mail.lease)
                assert (await bob.inbox(runtime=one)).messages == ()
                given = (await bob.inbox(runtime=two, take=False)).messages
                assert [(item.type, item.lease) for item in given] == [
                    ("task_request", None),
                    ("message", None),
                ]
                again = await anext(aiter(bob.work(idle=20, runtime=two)))
                assert again.id == job.id == asked.id
            async for loose in bob.work(idle=20):
                with pytest.raises(Conflict):
                    await loose.release()
                break

    await tell(kind, story)


async def test_answers_come_to_the_program_that_asked(ferry, kind):
    """Of two programs of the asking agent, the one that sent the task is given what comes of it."""

    async def story() -> None:
        async with (
            ferry.alice.client(kind) as alice,
            ferry.bob.client(kind) as bob,
            alice.runtime("one", "key") as one,
            alice.runtime("two") as two,
        ):
            asked = await alice.send_task("@bob/writer", "Count", runtime=two)
            job = await anext(aiter(bob.work(idle=20)))
            await job.accept()
            while asked.id not in {item.task_id for item in (await alice.inbox(runtime=two)).messages}:
                await anyio.sleep(0.05)
            assert asked.id not in {item.task_id for item in (await alice.inbox(runtime=one)).messages}

    await tell(kind, story)


async def test_a_program_that_is_heard_no_more_loses_its_task(ferry, kind):
    """Killed, it sends no heartbeat: after its lease another has its task, and its fence is refused."""
    house = ferry.house
    body = {"agent": "writer", "program": "killed"}
    killed = (await house.bob.ok("POST", "/runtimes", body))["runtime"]["id"]
    task = await house.task()
    page = await house.bob.ok("GET", "/inbox", agent="writer", unprocessed="true", wait=10, runtime=killed)
    (item,) = [item for item in page["messages"] if item["task_id"] == task]
    lease = Lease(killed, item["lease"]["fence"], datetime.fromtimestamp(0, UTC))

    async def early() -> None:
        async with ferry.bob.client(kind) as bob, bob.runtime("heir") as me:
            assert [job async for job in bob.work(idle=1, runtime=me)] == []

    async def late() -> None:
        async with ferry.bob.client(kind) as bob, bob.runtime("heir") as me:
            job = await anext(aiter(bob.work(idle=20, runtime=me)))
            assert (job.id, job.lease.fence) == (task, lease.fence + 1)
            with pytest.raises(TakenOver):
                await bob.acknowledge(item["id"], lease)
            await job.accept()

    await tell(kind, early)
    house.world.clock.ahead_ms += 91_000
    await tell(kind, late)


def test_who_is_not_known_any_more_is_bound_again():
    """A call or a heartbeat that the daemon does not know binds the program anew, and is made again."""
    me = Binding("writer", "worker", "k", "b1")
    gone = refusal(404, "unknown-runtime")
    script = Script([gone, ok(BOUND), ok(PAGE), gone, ok(BOUND), ok({"ok": True})])
    plans = (inbox("writer", runtime=me), beaten(me))

    def both():
        for plan in plans:
            yield from plan

    script.play(both())
    assert (me.id, me.name, me.times) == ("b2", "worker", 2)
    paths = [request.path for request in script.sent]
    assert paths[:3] == ["/inbox", "/runtimes", "/inbox"]
    assert script.sent[2].query["runtime"] == "b2"
    assert paths[3:] == ["/runtimes/b2/heartbeat", "/runtimes", "/runtimes/b2/heartbeat"]
    assert (script.sent[1].body or {})["key"] == "k"


def test_a_heartbeat_that_fails_is_tried_again_soon():
    """The program goes on: what it is refused, it hears by its own calls."""
    assert Script([refusal(401, "unauthorized")]).play(beaten(Binding("writer", "worker", id="b1"))) == 5.0


async def test_what_a_block_raises_comes_out_as_it_is(ferry, kind):
    """The background of a block does not dress up its errors, and the program is unbound all the same."""

    async def story() -> None:
        async with ferry.bob.client(kind) as bob:
            with pytest.raises(KeyError):
                async with bob.runtime("worker"):
                    raise KeyError("mine")
            assert (await bob.whoami()).runtimes == ()

    await tell(kind, story)
