"""Agents ask, owners answer, each answer is good for what was asked and nothing else; and modes of agents."""

from __future__ import annotations

from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from taskferry_apps.daemon import approvals
from taskferry_apps.daemon.gates_port import Question
from taskferry_apps.daemon.port import Caller, DaemonRefusal, NewAgent, NewTask, TaskAction
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.messages import TextPart
from taskferry_protocol.records import ApprovalState
from taskferry_stores.sqlite import open_daemon_store

from .worlds import OWNER, Machine, a_world, act, ask, connected, in_state, set_up, until

WRITER, OTHER = Caller(frozenset({"writer"})), Caller(frozenset({"other"}))
SHELL = Question("writer", "shell", "rm -rf build", "to build afresh")


@asynccontextmanager
async def alone():
    """Bob's daemon with two agents, and the clock."""
    async with a_world() as world, world.running(Machine("b")) as b:
        await set_up(b, "bob", "writer")
        await b.create_agent(OWNER, NewAgent("other"))
        yield world, b


async def code(call) -> str:
    """Why something is refused."""
    with pytest.raises(DaemonRefusal) as refused:
        await call
    return refused.value.code


async def allow(daemon: Daemon, question: Question = SHELL, scope: str = "once") -> str:
    """The id of what the writer asked and the owner approved."""
    asked = await daemon.gates.ask(WRITER, question)
    await daemon.gates.answer(OWNER, asked.id.hex(), "approved", scope, "")
    return asked.id.hex()


async def use(daemon: Daemon, approval: str, caller: Caller = WRITER, **other: str) -> str:
    """The state after using an approval for what SHELL says, or something `other`."""
    fields = {"action": "shell", "what": "rm -rf build", "task": ""} | other
    return (await daemon.gates.use(caller, approval, **fields)).state


async def test_an_agent_asks_waits_and_uses_what_was_approved_once():
    """The wait ends with the answer; the second use is refused."""
    async with alone() as (_, b):
        asked = await b.gates.ask(WRITER, SHELL)
        assert (asked.state, asked.what, asked.why) == ("asked", "rm -rf build", "to build afresh")
        async with trio.open_nursery() as nursery:

            async def answer():
                await b.gates.answer(OWNER, asked.id.hex()[:8], "approved", "once", "Go on.")

            nursery.start_soon(answer)
            with trio.fail_after(10):
                answered = await b.gates.approval(WRITER, asked.id.hex(), 30)
        assert (answered.state, answered.by, answered.answer) == ("approved", "owner", "Go on.")
        assert await use(b, asked.id.hex()) == "used"
        assert await code(use(b, asked.id.hex())) == "not-approved"


async def test_a_denial_is_an_answer_and_allows_nothing():
    """It stays denied."""
    async with alone() as (_, b):
        asked = await b.gates.ask(WRITER, SHELL)
        await b.gates.answer(OWNER, asked.id.hex(), "denied", "once", "No.")
        assert (await b.gates.approval(WRITER, asked.id.hex(), 30)).state == "denied"
        assert await code(use(b, asked.id.hex())) == "not-approved"
        assert await code(b.gates.answer(OWNER, asked.id.hex(), "approved", "once", "")) == "conflict"


async def test_no_agents_credential_answers_whatever_it_sends():
    """Neither its own question nor another agent's, by whole id or by its beginning."""
    async with alone() as (_, b):
        asked = await b.gates.ask(WRITER, SHELL)
        for caller in (WRITER, OTHER, Caller(frozenset({"writer", "other"})), Caller(frozenset())):
            for named in (asked.id.hex(), asked.id.hex()[:8], "0" * 64):
                assert await code(b.gates.answer(caller, named, "approved", "task", "")) == "owner-only"
        assert (await b.gates.approval(WRITER, asked.id.hex(), 0)).state == "asked"


@pytest.mark.parametrize(
    "other", [{"action": "deletions"}, {"what": "rm -rf /"}, {"what": "rm -rf build "}, {"what": ""}]
)
async def test_an_approval_is_good_for_nothing_else_than_was_asked(other):
    """Another class or another word, and it is refused and stays unused."""
    async with alone() as (_, b):
        approval = await allow(b)
        assert await code(use(b, approval, **other)) == "not-what-was-asked"
        assert await use(b, approval) == "used"


async def test_using_an_approval_tells_nothing_of_others_tasks():
    """A task of another agent's and one that nobody has are answered alike, by prefix and in full."""
    async with a_world() as world, connected(world) as (a, b):
        await b.create_agent(OWNER, NewAgent("other"))
        task = (await ask(a, "requester", "@bob/writer")).hex()
        await in_state(b, bytes.fromhex(task), "sent")
        approval = (await b.gates.ask(OTHER, attrs.evolve(SHELL, agent="other"))).id.hex()
        await b.gates.answer(OWNER, approval, "approved", "once", "")
        for named in (task, task[:8], "0" * 64, "0" * 8):
            assert await code(use(b, approval, OTHER, task=named)) == "not-what-was-asked"
        assert await use(b, approval, OTHER) == "used"


async def test_an_old_approval_does_not_answer_a_new_question():
    """The same question asked again has another id, waits for its own answer, and the used one stays used."""
    async with alone() as (_, b):
        old = await allow(b)
        await use(b, old)
        again = await b.gates.ask(WRITER, SHELL)
        assert again.id.hex() != old
        assert again.state == "asked"
        assert await code(use(b, again.id.hex())) == "not-approved"
        assert await code(use(b, old)) == "not-approved"


async def test_an_approval_of_one_agent_is_not_anothers():
    """Others do not see it, and cannot use it."""
    async with alone() as (_, b):
        approval = await allow(b)
        assert await code(b.gates.approval(OTHER, approval, 0)) == "not-found"
        assert await code(use(b, approval, OTHER)) == "not-found"
        assert await b.gates.approvals(OTHER, "", "", 50) == ()
        assert await code(b.gates.ask(OTHER, SHELL)) == "not-yours"


async def test_a_question_is_over_with_its_time_answered_or_not():
    """Nobody can answer or use it then, and nobody waits for it longer."""
    async with alone() as (world, b):
        short = Question("writer", "shell", "rm -rf build", lifetime_s=60)
        asked = (await b.gates.ask(WRITER, short)).id.hex()
        approved = await allow(b, short)
        world.clock.ahead_ms += 60_000
        for named in (asked, approved):
            with trio.fail_after(5):
                assert (await b.gates.approval(WRITER, named, 30)).state == "expired"
            assert await code(use(b, named)) == "not-approved"
        assert await code(b.gates.answer(OWNER, asked, "approved", "once", "")) == "conflict"


async def test_an_approval_for_a_task_lasts_as_long_as_its_task():
    """It is used again and again, for that task alone, until the task ends."""
    async with a_world() as world, connected(world) as (a, b):
        task, other = [await ask(a, "requester", "@bob/writer") for _ in range(2)]
        await in_state(b, other, "sent")
        named = task.hex()
        approval = await allow(b, Question("writer", "shell", "rm -rf build", task=named), "task")
        assert await use(b, approval, task=named) == "approved"
        assert await use(b, approval, task=named) == "approved"
        assert await code(use(b, approval, task=other.hex())) == "not-what-was-asked"
        assert await code(use(b, approval)) == "not-what-was-asked"
        await act(a, task, "cancel")
        await in_state(b, task, "cancelled")
        assert await code(use(b, approval, task=named)) == "not-approved"
        loose = (await b.gates.ask(WRITER, SHELL)).id.hex()
        assert await code(b.gates.answer(OWNER, loose, "approved", "task", "")) == "bad-value"


async def test_what_the_owner_has_decided_ahead_is_answered_at_once():
    """Always and never per class and agent; everything else is asked."""
    async with alone() as (_, b):
        await b.gates.set_policy(OWNER, "writer", "local-files", "always")
        await b.gates.set_policy(OWNER, "writer", "shell", "never")
        files = await b.gates.ask(WRITER, Question("writer", "local-files", "read notes.md"))
        assert (files.state, files.by) == ("approved", "policy")
        assert (await b.gates.ask(WRITER, SHELL)).state == "denied"
        assert (await b.gates.ask(WRITER, Question("writer", "mail", "to bob"))).state == "asked"
        assert (await b.gates.ask(OTHER, Question("other", "shell", "ls"))).state == "asked"
        (mode,) = await b.gates.modes(WRITER)
        assert (mode.policies["shell"], mode.policies["mail"]) == ("never", "ask")
        for call in (
            b.gates.set_policy(WRITER, "writer", "shell", "always"),
            b.gates.set_mode(WRITER, "writer", "open"),
        ):
            assert await code(call) == "owner-only"


async def test_what_was_decided_ahead_and_taken_back_is_good_for_nothing():
    """What a policy answered ends with it; with `never` ends also what the owner had approved before."""
    async with alone() as (_, b):
        await b.gates.set_policy(OWNER, "writer", "shell", "always")
        by_policy = (await b.gates.ask(WRITER, SHELL)).id.hex()
        await b.gates.set_policy(OWNER, "writer", "shell", "ask")
        assert await code(use(b, by_policy)) == "not-approved"
        by_owner = await allow(b)
        await b.gates.set_policy(OWNER, "writer", "shell", "never")
        assert await code(use(b, by_owner)) == "not-approved"
        await b.gates.set_policy(OWNER, "writer", "shell", "ask")
        assert await use(b, by_owner) == "used"


async def test_questions_are_bounded():
    """So many wait at once, so many come in a minute; beyond that comes an error with a code."""
    async with alone() as (world, b):
        for number in range(30):
            await b.gates.ask(WRITER, Question("writer", "shell", f"ls {number}"))
        assert await code(b.gates.ask(WRITER, SHELL)) == "rate-limited"
        world.clock.ahead_ms += 60_000
        for number in range(2):
            await b.gates.ask(WRITER, Question("writer", "shell", f"ls -l {number}"))
        assert await code(b.gates.ask(WRITER, SHELL)) == "too-many"
        assert (await b.gates.ask(OTHER, Question("other", "shell", "ls"))).state == "asked"


async def test_questions_and_answers_survive_a_restart(tmp_path):
    """What was approved before a kill can be used after it, once."""
    async with open_daemon_store(tmp_path / "b.db") as store, a_world() as world:
        bob = Machine("b", store)
        async with world.running(bob) as b:
            await set_up(b, "bob", "writer")
            approval = await allow(b)
        async with world.running(bob) as b:
            assert await use(b, approval) == "used"
        async with world.running(bob) as b:
            assert await code(use(b, approval)) == "not-approved"


# --- Modes --------------------------------------------------------------------------------------------------


async def test_a_read_only_agent_reads_and_sends_nothing():
    """Its credential sees what comes and sends neither word nor task nor request; its owner's does."""
    async with a_world() as world, connected(world) as (a, b):
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
        await b.gates.set_mode(OWNER, "writer", "read-only")
        page = await b.inbox(WRITER, "writer", True, "", 50, 0)
        assert task in [message.task for message in page.messages]
        await b.acknowledge(WRITER, task.hex())
        for call in (
            b.send_message(WRITER, "writer", "@alice/requester", "hello", (), "", ""),
            b.create_task(WRITER, NewTask("writer", "@alice/requester", "t", "")),
            b.act(WRITER, task.hex(), TaskAction("accept")),
            b.request_connection(WRITER, "writer", "@alice/second", ""),
        ):
            assert await code(call) in {"read-only", "unknown-agent"}
        await act(b, task, "accept")
        await b.gates.set_mode(OWNER, "writer", "open")
        await b.act(WRITER, task.hex(), TaskAction("submit", parts=(TextPart("x"),)))


async def test_a_guarded_agent_asks_before_it_hands_on_work():
    """The owner sees what is to be sent; exactly that goes through once, and nothing else does."""
    async with a_world() as world, connected(world) as (a, b):
        await a.gates.set_mode(OWNER, "requester", "guarded")
        caller = Caller(frozenset({"requester"}))
        task = NewTask("requester", "@bob/writer", "Report", "Write it.")
        with pytest.raises(DaemonRefusal) as refused:
            await a.create_task(caller, task)
        assert refused.value.code == "approval-needed"
        approval = str(refused.value.detail["approval"])
        (asked,) = await a.gates.approvals(OWNER, "", "asked", 10)
        assert asked.id.hex() == approval
        assert "@bob/writer" in asked.what
        assert "Report" in asked.what
        with pytest.raises(DaemonRefusal) as refused:
            await a.create_task(caller, task)
        assert refused.value.detail["approval"] == approval, "the same question is not asked twice"
        await a.gates.answer(OWNER, approval, "approved", "once", "")
        assert await code(a.create_task(caller, NewTask("requester", "@bob/writer", "Report", "Wire it.")))
        sent = await a.create_task(caller, task)
        assert sent.task is not None
        await in_state(b, sent.task, "sent")
        assert await code(a.create_task(caller, task)) == "approval-needed"
        assert (await a.gates.approval(OWNER, approval, 0)).state == ApprovalState.USED
        await a.send_message(caller, "requester", "@bob/writer", "words are free", (), "", "")


async def test_a_guarded_agent_asks_before_it_connects_and_a_no_is_a_no():
    """A denial is told to the agent that tries the same again."""
    async with a_world() as world, connected(world) as (a, b):
        await b.create_agent(OWNER, NewAgent("second"))
        await a.gates.set_mode(OWNER, "requester", "guarded")
        caller = Caller(frozenset({"requester"}))
        with pytest.raises(DaemonRefusal) as refused:
            await a.request_connection(caller, "requester", "@bob/second", "hello")
        approval = str(refused.value.detail["approval"])
        await a.gates.answer(OWNER, approval, "denied", "once", "Not with them.")
        with pytest.raises(DaemonRefusal) as refused:
            await a.request_connection(caller, "requester", "@bob/second", "hello")
        assert (refused.value.code, refused.value.next_step) == ("denied", "Not with them.")
        # A request of the owner's own needs nobody's leave.
        await a.request_connection(OWNER, "requester", "@bob/second", "hello")


async def test_a_guarded_agent_does_not_approve_itself_by_policy():
    """Where delegation is always allowed, its own question is answered at once, and opens no way out."""
    async with a_world() as world, connected(world) as (a, _):
        await a.gates.set_mode(OWNER, "requester", "guarded")
        await a.gates.set_policy(OWNER, "requester", "delegation", "always")
        caller = Caller(frozenset({"requester"}))
        task = NewTask("requester", "@bob/writer", "Report", "Write it.")
        assert await code(a.create_task(caller, task)) == "approval-needed"
        (asked,) = await a.gates.approvals(caller, "", "", 10)
        same = Question("requester", "delegation", asked.what)
        assert (await a.gates.ask(caller, same)).state == "approved"
        assert await code(a.create_task(caller, task)) == "approval-needed"


async def test_a_guarded_agents_tasks_wait_whatever_was_granted():
    """With the grant's gate off, the mode holds."""
    async with a_world() as world, connected(world) as (a, b):
        await b.gates.set_mode(OWNER, "writer", "guarded")
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
        assert [held.task for held in await b.gates.held_tasks(OWNER)] == [task]
        assert await code(b.task(WRITER, task.hex())) == "not-found"


async def test_a_guarded_agent_waits_for_the_owner_also_with_its_own_kin():
    """A task between two agents of one owner: who asks sees it, who is asked does not yet."""
    async with alone() as (_, b):
        await b.gates.set_mode(OWNER, "writer", "guarded")
        task = await ask(b, "other", "@bob/writer", title="Within the house")

        async def waits():
            return await b.gates.held_tasks(OWNER)

        (held,) = await until(waits)
        assert (held.task, held.peer) == (task, "@bob/other")
        assert await code(b.task(WRITER, task.hex())) == "not-found"
        assert (await b.task(OTHER, task.hex())).summary.title == "Within the house"
        await b.gates.release(OWNER, task.hex())
        await b.act(WRITER, task.hex(), TaskAction("accept", mine="writer"))
        await in_state(b, task, "accepted")


async def test_delegation_may_be_forbidden_alone():
    """Never: no task of its own; everything else is as the mode says."""
    async with a_world() as world, connected(world) as (a, _):
        await a.gates.set_policy(OWNER, "requester", "delegation", "never")
        caller = Caller(frozenset({"requester"}))
        task = NewTask("requester", "@bob/writer", "Report", "Write it.")
        assert await code(a.create_task(caller, task)) == "not-allowed"
        await a.send_message(caller, "requester", "@bob/writer", "words are free", (), "", "")


async def test_a_flood_of_answered_questions_hides_none_that_waits(monkeypatch):
    """However many another agent has had answered since: it is listed, and found by its prefix."""
    monkeypatch.setattr(approvals, "MOST_LISTED", 3)
    async with alone() as (_, b):
        await b.gates.set_policy(OWNER, "other", "shell", "always")
        asked = await b.gates.ask(WRITER, SHELL)
        for number in range(5):
            await b.gates.ask(OTHER, Question("other", "shell", f"ls {number}", "to look"))
        waiting = await b.gates.approvals(OWNER, "", "asked", 50)
        assert [view.id for view in waiting] == [asked.id]
        await b.gates.answer(OWNER, asked.id.hex()[:8], "denied", "once", "No.")
        assert await b.gates.approvals(OWNER, "", "asked", 50) == ()
