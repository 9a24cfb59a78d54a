"""A task from request to completion between two daemons and a relay."""

from __future__ import annotations

import pytest

from taskferry_apps.daemon.port import Caller, DaemonRefusal, NewAgent, NewTask, TaskAction
from taskferry_protocol.handoff import verify_handoff
from taskferry_protocol.messages import TextPart
from taskferry_stores.memory import MemoryDaemonStore, MemoryRelayStore
from taskferry_stores.sqlite import open_daemon_store, open_relay_store

from .worlds import (
    GENERATION,
    OWNER,
    SECRET,
    Machine,
    a_world,
    act,
    allow_tasks,
    ask,
    connect,
    connected,
    in_state,
    set_up,
    until,
)


@pytest.fixture(params=["memory", "sqlite"])
async def stores(request, tmp_path):
    """A relay's store and two daemons', of one kind."""
    if request.param == "memory":
        yield MemoryRelayStore(GENERATION), MemoryDaemonStore(), MemoryDaemonStore()
        return
    async with (
        open_relay_store(tmp_path / "relay.db", generation=GENERATION) as relay,
        open_daemon_store(tmp_path / "alice.db") as alice,
        open_daemon_store(tmp_path / "bob.db") as bob,
    ):
        yield relay, alice, bob


async def test_a_task_is_done_with_one_revision_and_both_sides_agree(stores):
    """Request, accept, submit, revise, submit, complete: same state, versions and chains at both ends."""
    relay_store, alice_store, bob_store = stores
    async with a_world(relay_store) as world:
        alice, bob = Machine("alice", alice_store), Machine("bob", bob_store)
        async with connected(world, alice, bob) as (a, b):
            task = await ask(a, "requester", "@bob/writer")
            await in_state(b, task, "sent")
            await act(b, task, "accept", text="on it")
            await in_state(a, task, "accepted")
            first = await act(b, task, "submit", parts=(TextPart("draft"),))
            assert first.version == 1
            await in_state(a, task, "submitted")
            await act(a, task, "revise", reasons=("longer",))
            await in_state(b, task, "revision_requested")
            second = await act(b, task, "submit", parts=(TextPart("longer draft"),))
            assert second.version == 2
            await in_state(a, task, "resubmitted")
            await act(a, task, "complete", text="thanks")
            await in_state(b, task, "completed")

            async def delivered():
                view = await a.task(OWNER, task.hex())
                return (
                    view
                    if all(e.delivery is None or e.delivery.rung == "delivered" for e in view.events)
                    else None
                )

            mine = await until(delivered)
            theirs = await b.task(OWNER, task.hex())
            assert mine.summary.state == theirs.summary.state == "completed"
            assert [v.hash for v in mine.versions] == [v.hash for v in theirs.versions]
            assert [e.hash for e in mine.events if e.type != "task_seen"] == [
                e.hash for e in theirs.events if e.type != "task_seen"
            ]
            report = verify_handoff(await a.export_task(OWNER, task.hex()))
            assert report.view.state == "completed"
            assert report.receipts
            with pytest.raises(DaemonRefusal) as refused:
                await act(a, task, "cancel")
            assert refused.value.code == "not-possible"
            assert refused.value.detail["state"] == "completed"


async def test_two_agents_of_one_owner_work_for_each_other_without_a_connection():
    """A task between two agents of one daemon has both its sides there, and goes its whole way."""
    async with a_world() as world:
        alice = Machine("alice")
        async with world.running(alice) as a:
            await set_up(a, "alice", "requester")
            await a.create_agent(OWNER, NewAgent("writer"))
            task = await ask(a, "requester", "@alice/writer")

            async def arrived():
                return (await a.inbox(OWNER, "writer", True, "", 10, 0)).messages

            (request,) = await until(arrived)
            assert request.type == "task_request"
            await act(a, task, "accept", mine="writer")
            await act(a, task, "submit", mine="writer", parts=(TextPart("done"),))
            await in_state(a, task, "submitted")
            await act(a, task, "complete", mine="requester")
            await in_state(a, task, "completed")


async def test_an_agent_that_has_not_read_the_revision_does_not_answer_it():
    """A version sent before the revision was read is kept, and the state waits for one that answers."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with connected(world, alice, bob) as (a, b):
            task = await ask(a, "requester", "@bob/writer")
            await in_state(b, task, "sent")
            await act(b, task, "accept")
            await act(b, task, "submit", parts=(TextPart("one"),))
            await in_state(a, task, "submitted")
            await act(a, task, "revise", reasons=("more",))
            await in_state(b, task, "revision_requested")
            writer = Caller(frozenset({"writer"}))
            unread = TaskAction("submit", parts=(TextPart("two"),))
            assert (await b.act(writer, task.hex(), unread)).state == "revision_requested"
            await b.inbox(writer, "writer", True, "", 50, 0)
            assert (await b.act(writer, task.hex(), unread)).state == "resubmitted"


async def test_an_agents_credential_reaches_its_own_things_and_no_others():
    """Tokens act for their agents alone, and a revoked one for nobody."""
    async with a_world() as world:
        alice = Machine("alice")
        async with world.running(alice) as a:
            await set_up(a, "alice", "requester")
            await a.create_agent(OWNER, NewAgent("other"))
            secret, token = await a.create_token(OWNER, ["requester"], "for tests")
            caller = await a.caller_for(secret)
            assert caller == Caller(frozenset({"requester"}))
            assert [agent.name for agent in await a.agents(caller)] == ["requester"]
            for refused_call in (
                a.inbox(caller, "other", True, "", 10, 0),
                a.create_agent(caller, NewAgent("third")),
                a.tokens(caller),
            ):
                with pytest.raises(DaemonRefusal) as refused:
                    await refused_call
                assert refused.value.status == 403
            await a.revoke_token(OWNER, token.id)
            assert await a.caller_for(secret) is None
            assert await a.caller_for(SECRET) == OWNER


async def test_a_task_for_which_the_peer_allows_none_is_refused_at_once_and_leaves_nothing():
    """Whoever asked for the connection takes answers alone: the agent is told so, and what to do."""
    async with a_world() as world, world.running(Machine("alice")) as a, world.running(Machine("bob")) as b:
        await set_up(a, "alice", "requester")
        await set_up(b, "bob", "writer")
        await connect(a, b, "requester", "@bob/writer")
        with pytest.raises(DaemonRefusal) as refused:
            await ask(b, "writer", "@alice/requester")
        assert (refused.value.code, refused.value.status) == ("not-permitted", 403)
        assert "writer may start no task with" in str(refused.value)
        assert refused.value.next_step == "Ask the owner of @alice/requester to allow more."
        assert (await b.tasks(OWNER, "", "", "", "", 50))[0] == ()
        await allow_tasks(a, "requester", b, "@bob/writer", 1)
        await in_state(a, await ask(b, "writer", "@alice/requester"), "sent")


async def test_an_owner_is_not_asked_about_a_task_that_the_peer_does_not_take():
    """A guarded agent learns at once that it cannot be sent; nothing waits for its owner."""
    async with a_world() as world, world.running(Machine("alice")) as a, world.running(Machine("bob")) as b:
        await set_up(a, "alice", "requester")
        await set_up(b, "bob", "writer")
        await connect(a, b, "requester", "@bob/writer")
        await b.gates.set_mode(OWNER, "writer", "guarded")
        with pytest.raises(DaemonRefusal) as refused:
            await b.create_task(
                Caller(frozenset({"writer"})), NewTask("writer", "@alice/requester", "Report", "Write it.")
            )
        assert refused.value.code == "not-permitted"
        assert await b.gates.approvals(OWNER, "", "asked", 10) == ()
