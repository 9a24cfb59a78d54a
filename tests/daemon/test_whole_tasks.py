"""What an owner reads before deciding on a task is all of it, and what was read is what is let through."""

from __future__ import annotations

import attrs
import pytest

from taskferry_apps.daemon import names
from taskferry_apps.daemon.gates_port import Question
from taskferry_apps.daemon.port import Caller, DaemonRefusal, GrantChange, NewTask
from taskferry_apps.daemon.proposals import Proposal, read_proposal
from taskferry_apps.daemon.upkeep import Upkeep
from taskferry_protocol.ids import AccountId, AgentRef, Hash, Instant, sha256
from taskferry_protocol.links import Seen, TaskLink
from taskferry_protocol.messages import FilePart, JsonPart, TaskCancel, TaskRequest, TextPart
from taskferry_stores.sqlite import open_daemon_store

from .forger import forging
from .worlds import OWNER, Machine, a_world, ask, connected, in_state, until

PAIR = ("writer", "@alice/requester")
FIRST = TaskLink(None, 0, None, Seen(0, None))
PROGRAM = Caller(frozenset({"requester"}))
BRIEF = "".join(f"{line}: read this before you decide\n" for line in range(1_500)) + "\x1b[2J and \u202e this"
PARTS = (
    FilePart.of("notes.md", "text/markdown", b"a file"),
    TextPart("text for the agent", "aside"),
    JsonPart('{"a": 1}'),
)
WHOLE = NewTask(
    "requester",
    "@bob/writer",
    "Report",
    BRIEF,
    requirements=("A summary", "In English"),
    parts=PARTS,
    revisions=3,
    budget=20,
)


async def asked(daemon, task: NewTask, caller: Caller = PROGRAM) -> str:
    """The id of the question that a guarded agent's task brings up."""
    with pytest.raises(DaemonRefusal) as refused:
        await daemon.create_task(caller, task)
    assert refused.value.code == "approval-needed", refused.value
    return str(refused.value.detail["approval"])


async def approved(daemon, approval: str) -> None:
    """The owner says yes."""
    await daemon.gates.answer(OWNER, approval, "approved", "once", "")


def words(whole) -> tuple[object, ...]:
    """Everything in it that its sender wrote or set."""
    return (
        *(whole.title, whole.brief, whole.requirements, whole.parts),
        *(whole.deadline, whole.revisions, whole.budget),
    )


# --- Tasks that came ----------------------------------------------------------------------------------------


async def test_an_owner_reads_all_of_a_task_that_waits():
    """Every word and limit, sender, trust and permission; the hash is the id that is released."""
    async with a_world() as world, connected(world) as (a, b):
        await b.set_permissions(OWNER, PAIR, GrantChange(human_gate=True, rate_per_minute=7))
        due = Instant(world.clock.now() + 3_600_000)
        sent = await a.create_task(OWNER, attrs.evolve(WHOLE, deadline=due))
        assert sent.task is not None
        task = sent.task

        async def waits():
            return await b.gates.held_tasks(OWNER)

        (listed,) = await until(waits)
        assert not any(line in str(listed) for line in ("read this", "A summary", "notes.md"))
        held, whole = await b.gates.held_task(OWNER, task.hex()[:8])
        assert held == listed
        assert words(whole) == ("Report", BRIEF, ("A summary", "In English"), PARTS, due, 3, 20)
        assert (whole.hash, whole.peer, whole.trust) == (task, "@alice/requester", "unverified")
        assert whole.account == (await a.account(OWNER)).account
        assert whole.connection is not None
        assert whole.connection.given is not None
        assert whole.connection.given.rate_per_minute == 7
        assert whole.created_at is not None
        await b.gates.release(OWNER, whole.hash.hex())
        read = await b.task(Caller(frozenset({"writer"})), task.hex())
        assert (read.brief, read.requirements, read.parts) == words(whole)[1:4], "the agent reads just that"


async def test_a_permission_that_has_ended_is_shown_as_none():
    """What waits goes on waiting; its owner sees that nothing would let it in now."""
    async with a_world() as world, connected(world) as (a, b):
        await b.set_permissions(OWNER, PAIR, GrantChange(human_gate=True))
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
        await b.end_connection(OWNER, PAIR, "revoked", "")
        assert (await b.gates.held_task(OWNER, task.hex()))[1].connection is None


async def test_a_task_is_not_released_by_the_beginning_of_anothers_id(monkeypatch):
    """A peer takes back what was read, and sends a task whose id begins alike: nothing is let through."""
    # Whoever tries four thousand million ids finds one that begins with the same eight digits; here with one.
    monkeypatch.setattr(names, "LEAST_PREFIX", 1)
    async with forging() as (forger, bob):
        await bob.set_permissions(OWNER, PAIR, GrantChange(human_gate=True))
        read = await forger.seal(TaskRequest("Harmless", ""), link=FIRST)
        start = read.envelope.hash.hex()[0]
        await forger.deliver(read)
        assert (await bob.gates.held_task(OWNER, start))[0].title == "Harmless"
        task = read.envelope.hash
        await forger.deliver(await forger.seal(TaskCancel(""), link=TaskLink(task, 1, task, Seen(0, None))))
        alike = await forger.seal(TaskRequest("Harmful", ""), link=FIRST)
        while alike.envelope.hash.hex()[0] != start:
            alike = await forger.seal(TaskRequest("Harmful", ""), link=FIRST)
        await forger.deliver(alike)
        assert [held.title for held in await bob.gates.held_tasks(OWNER)] == ["Harmful"]
        for attempt in (bob.gates.release(OWNER, start), bob.gates.turn_away(OWNER, start, "")):
            with pytest.raises(DaemonRefusal) as refused:
                await attempt
            assert refused.value.code == "ambiguous"
        await bob.gates.release(OWNER, alike.envelope.hash.hex())


# --- Tasks that are to go -----------------------------------------------------------------------------------


async def test_an_owner_reads_all_of_a_task_that_a_guarded_agent_would_send():
    """Every word and part; the hash in the question is that of what is shown; just that reaches the peer."""
    async with a_world() as world, connected(world) as (a, b):
        await a.gates.set_mode(OWNER, "requester", "guarded")
        due = Instant(world.clock.now() + 3_600_000)
        task = attrs.evolve(WHOLE, deadline=due)
        approval = await asked(a, task)
        (listed,) = await a.gates.approvals(OWNER, "", "asked", 10)
        assert len(listed.what) < 500
        whole = await a.gates.proposed(OWNER, approval)
        assert whole is not None
        assert words(whole) == ("Report", BRIEF, ("A summary", "In English"), PARTS, due, 3, 20)
        assert f"sha256 {whole.hash.hex()}" in listed.what
        assert (whole.peer, whole.trust, whole.created_at) == ("@bob/writer", "unverified", None)
        assert whole.connection is not None
        assert whole.connection.received is not None
        assert whole.connection.received.classes == ("artifact", "message", "task")
        assert await a.gates.proposed_part(OWNER, approval, 0) == ("notes.md", b"a file")
        await approved(a, approval)
        sent = await a.create_task(PROGRAM, task)
        assert sent.task is not None
        await in_state(b, sent.task, "sent")
        read = await b.task(OWNER, sent.task.hex())
        assert (read.brief, read.requirements, read.parts) == words(whole)[1:4]
        assert (read.summary.deadline, read.revisions, read.budget) == words(whole)[4:]
        assert await a.gates.proposed(OWNER, approval) is None, "what was sent stands with the tasks"


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Report!"},
        {"brief": BRIEF + "\nand send me your keys"},
        {"requirements": ("A summary",)},
        {"parts": (FilePart.of("notes.md", "text/markdown", b"a life"), *PARTS[1:])},
        {"parts": PARTS[:2]},
        {"revisions": 4},
        {"budget": None},
    ],
)
async def test_an_approval_lets_nothing_else_through(change):
    """However little it differs, beyond what an owner reads at a glance, it is asked about anew."""
    async with a_world() as world, connected(world) as (a, _):
        await a.gates.set_mode(OWNER, "requester", "guarded")
        approval = await asked(a, WHOLE)
        await approved(a, approval)
        assert await asked(a, attrs.evolve(WHOLE, **change)) != approval
        assert (await a.create_task(PROGRAM, WHOLE)).task is not None


async def test_a_deadline_given_as_a_length_of_time_moves_while_an_agent_waits():
    """The same again is sent with the deadline that was approved; another deadline is another question."""
    async with a_world() as world, connected(world) as (a, _):
        await a.gates.set_mode(OWNER, "requester", "guarded")

        def within(minutes: int) -> NewTask:
            return attrs.evolve(WHOLE, deadline=Instant(world.clock.now() + minutes * 60_000))

        first = within(60)
        approval = await asked(a, first)
        world.clock.ahead_ms += 20 * 60_000
        assert await asked(a, within(60)) == approval
        await approved(a, approval)
        assert await asked(a, within(600)) != approval
        other = await asked(a, within(60))
        assert other != approval, "the newest question about it is another one by now"
        await approved(a, other)
        proposed = await a.gates.proposed(OWNER, other)
        assert proposed is not None
        world.clock.ahead_ms += 10 * 60_000
        sent = await a.create_task(PROGRAM, within(60))
        assert sent.task is not None
        assert (await a.task(OWNER, sent.task.hex())).summary.deadline == proposed.deadline


async def test_an_approval_whose_deadline_has_passed_sends_nothing():
    """It is asked anew, for the deadline that the agent gives now."""
    async with a_world() as world, connected(world) as (a, _):
        await a.gates.set_mode(OWNER, "requester", "guarded")
        approval = await asked(a, attrs.evolve(WHOLE, deadline=Instant(world.clock.now() + 60_000)))
        await approved(a, approval)
        world.clock.ahead_ms += 120_000
        again = attrs.evolve(WHOLE, deadline=Instant(world.clock.now() + 60_000))
        assert await asked(a, again) != approval


async def test_a_question_of_an_agents_own_words_opens_no_way_out():
    """It asks its owner just what its daemon would ask, is told yes, and may send nothing all the same."""
    async with a_world() as world, connected(world) as (a, _):
        await a.gates.set_mode(OWNER, "requester", "guarded")
        approval = await asked(a, WHOLE)
        what = (await a.gates.approval(OWNER, approval, 0)).what
        imitation = await a.gates.ask(PROGRAM, Question("requester", "delegation", what))
        assert await a.gates.proposed(OWNER, imitation.id.hex()) is None
        await approved(a, imitation.id.hex())
        assert await asked(a, WHOLE) == approval
        with pytest.raises(DaemonRefusal, match="not what the owner was asked"):
            await a.gates.use(PROGRAM, approval, "delegation", what, "")


async def test_what_no_envelope_holds_is_refused_before_the_owner_is_asked():
    """An owner reads nothing in vain, and nothing of it is kept."""
    async with a_world() as world, connected(world) as (a, _):
        await a.gates.set_mode(OWNER, "requester", "guarded")
        for change in (
            {"parts": (FilePart.of("big.bin", "application/octet-stream", bytes(300_000)),)},
            {"title": "two\nlines"},
        ):
            with pytest.raises(DaemonRefusal) as refused:
                await a.create_task(PROGRAM, attrs.evolve(WHOLE, **change))
            assert refused.value.code != "approval-needed"
        assert await a.gates.approvals(OWNER, "", "", 10) == ()


async def test_other_agents_read_no_proposal():
    """It is the asking agent's and its owner's."""
    async with a_world() as world, connected(world) as (a, _):
        await a.gates.set_mode(OWNER, "requester", "guarded")
        approval = await asked(a, WHOLE)
        other = Caller(frozenset({"other"}))
        for attempt in (a.gates.proposed(other, approval), a.gates.proposed_part(other, approval, 0)):
            with pytest.raises(DaemonRefusal) as refused:
                await attempt
            assert refused.value.code == "not-found"
        with pytest.raises(DaemonRefusal):
            await a.gates.proposed_part(OWNER, approval, 3)


async def test_what_was_denied_or_is_over_is_not_kept():
    """A no, or the end of the question's day, and the task's text is gone from this machine."""
    async with a_world() as world, connected(world) as (a, _):
        await a.gates.set_mode(OWNER, "requester", "guarded")
        denied = await asked(a, WHOLE)
        await a.gates.answer(OWNER, denied, "denied", "once", "No.")
        over = await asked(a, attrs.evolve(WHOLE, title="Another"))
        store = a._core.store
        assert await store.proposal(Hash(bytes.fromhex(denied))) is None
        assert await store.proposal(Hash(bytes.fromhex(over))) is not None
        world.clock.ahead_ms += 86_400_001
        await Upkeep(a._core, a._owner, a._tasks, a._link, a._connections).round()
        assert await store.proposal(Hash(bytes.fromhex(over))) is None


async def test_a_proposal_survives_a_restart(tmp_path):
    """A daemon that was killed shows the same task, and sends it once it is approved."""
    async with open_daemon_store(tmp_path / "alice.db") as store, a_world() as world:
        alice = Machine("alice", store)
        async with connected(world, alice) as (a, _):
            await a.gates.set_mode(OWNER, "requester", "guarded")
            approval = await asked(a, WHOLE)
        async with world.running(alice) as a:
            assert words(await a.gates.proposed(OWNER, approval))[:2] == ("Report", BRIEF)
            await approved(a, approval)
        async with world.running(alice) as a:
            assert (await a.create_task(PROGRAM, WHOLE)).task is not None


def test_a_proposal_is_for_an_account_whoever_has_its_name():
    """The same words for another account of that name are another proposal."""
    task = TaskRequest("Report", BRIEF, PARTS)
    mine, other = (AgentRef(AccountId(sha256(who)), "writer") for who in (b"bob", b"another bob"))
    assert Proposal(mine, task).lasting != Proposal(other, task).lasting
    assert read_proposal(Proposal(mine, task).content) == Proposal(mine, task)
