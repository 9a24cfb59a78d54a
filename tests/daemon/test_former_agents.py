"""The next agent of a name is another: it reads nothing of the former one's, and the owner reads both."""

from __future__ import annotations

import pytest
import trio

from taskferry_apps.daemon.anew import begin_anew
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.gates_port import Question
from taskferry_apps.daemon.history_port import MessageSearch, TaskSearch
from taskferry_apps.daemon.port import Caller, NewAgent, TaskAction
from taskferry_apps.daemon.receipts import Receipts
from taskferry_apps.daemon.served import settle_served
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol import accounts
from taskferry_protocol.accounts import AccountLog
from taskferry_protocol.handoff import verify_handoff
from taskferry_protocol.ids import Hash
from taskferry_protocol.messages import TextPart
from taskferry_protocol.records import DropOutbox, Generation, Offset, RelayCursor, Rung, SetRung
from tests.devices.courier import Courier

from .forger import forging
from .test_gates import gated, waits
from .test_withdrawn_agents import WRITER, made_anew, refused
from .worlds import (
    OWNER,
    Machine,
    a_world,
    act,
    allow_tasks,
    ask,
    connect,
    connected,
    in_state,
    on_rung,
    texts,
    until,
)


async def lived(alice: Daemon, bob: Daemon) -> tuple[Hash, Hash]:
    """Bob's writer has said and done something; a task, and a message to it."""
    sent = await alice.send_message(OWNER, "requester", "@bob/writer", "the secret plan", (), "", "")
    task = await ask(alice, "requester", "@bob/writer")
    await in_state(bob, task, "sent")
    await act(bob, task, "accept")
    await act(bob, task, "submit", parts=(TextPart("secret work"),))
    await in_state(alice, task, "submitted")
    await bob.gates.ask(WRITER, Question("writer", "shell", "make"))
    return task, sent.message


async def parted(alice: Daemon, bob: Daemon) -> None:
    """Withdrawn and made anew, and the peer has heard of it."""
    await made_anew(bob)

    async def heard():
        return not await alice.connections(OWNER, "accepted", "")

    await until(heard)


async def again(alice: Daemon, bob: Daemon) -> None:
    """The same, and connected anew."""
    await parted(alice, bob)
    await connect(alice, bob, "requester", "@bob/writer")
    await allow_tasks(bob, "writer", alice, "@alice/requester")


async def test_an_agents_credential_shows_nothing_of_the_former_agent():
    """No message, task, work, export, search or line of the feed, by whichever way it is asked for."""
    async with a_world() as world, connected(world) as (alice, bob):
        task, message = await lived(alice, bob)
        await made_anew(bob)
        assert (await bob.inbox(WRITER, "writer", False, "", 50, 0)).messages == ()
        assert (await bob.messages(WRITER, "", "", 50)).messages == ()
        assert (await bob.tasks(WRITER, "", "", "", "", 50))[0] == ()
        assert (await bob.history.tasks(WRITER, TaskSearch(), "", 50)).tasks == ()
        assert (await bob.history.messages(WRITER, MessageSearch(), "", 50)).messages == ()
        assert (await bob.history.tasks(WRITER, TaskSearch("report"), "", 50)).tasks == ()
        assert (await bob.history.messages(WRITER, MessageSearch("secret"), "", 50)).messages == ()
        assert await bob.connections(WRITER, "", "") == ()
        assert await bob.gates.approvals(WRITER, "", "", 50) == ()
        await refused(bob.message(WRITER, message.hex()), "not-found")
        await refused(bob.acknowledge(WRITER, message.hex()), "not-found")
        await refused(bob.task(WRITER, task.hex()), "not-found")
        await refused(bob.act(WRITER, task.hex(), TaskAction("fail", text="cannot")), "not-found")
        await refused(bob.artifact(WRITER, task.hex(), 1, 0), "not-found")
        await refused(bob.export_task(WRITER, task.hex()), "not-found")
        kinds = []
        with trio.move_on_after(0.5):
            async for event in bob.events(WRITER, 0, ""):
                kinds.append(event.kind)
        assert set(kinds) <= {"agent", "connection"}, kinds


async def test_the_owner_reads_both_and_is_told_which_is_which():
    """What was the former agent's stands under its name and number, and can be asked for by that."""
    async with a_world() as world, connected(world) as (alice, bob):
        task, message = await lived(alice, bob)
        before = verify_handoff(await bob.export_task(OWNER, task.hex()))
        await again(alice, bob)
        second = await ask(alice, "requester", "@bob/writer")
        await in_state(bob, second, "sent")
        shown = {view.id: view.mine for view in (await bob.messages(OWNER, "", "", 50)).messages}
        assert (shown[message], shown[second]) == ("@bob/writer~1", "@bob/writer")
        rows, _ = await bob.tasks(OWNER, "", "", "", "", 50)
        assert {row.id: row.mine for row in rows} == {task: "@bob/writer~1", second: "@bob/writer"}
        for name, only in (("writer~1", task), ("@bob/writer~1", task), ("writer", second)):
            rows, _ = await bob.tasks(OWNER, name, "", "", "", 50)
            assert [row.id for row in rows] == [only]
            found = await bob.history.tasks(OWNER, TaskSearch(agent=name), "", 50)
            assert [row.id for row in found.tasks] == [only]
        assert message in {view.id for view in (await bob.messages(OWNER, "writer~1", "", 50)).messages}
        assert (await bob.task(OWNER, task.hex())).summary.mine == "@bob/writer~1"
        assert (await bob.artifact(OWNER, task.hex(), 1, 0))[2] == b"secret work"
        exported = verify_handoff(await bob.export_task(OWNER, task.hex()))
        assert exported.connection is not None
        assert exported.connection == before.connection
        (talk,) = [
            one
            for one in (await bob.history.conversations(OWNER, "writer~1", "", "", 50)).conversations
            if one.task == task
        ]
        assert talk.mine == "@bob/writer~1"
        counted = await bob.history.counts(OWNER)
        assert (sum(counted.states.values()), counted.waiting_for_me) == (1, 1)
        assert {row.id for row in await bob.history.under_way(OWNER, 50)} == {second}


async def test_nobody_acts_in_a_former_agents_task_and_nothing_is_said_to_it():
    """Neither its owner nor its peer, who is told that it is not taken."""
    async with a_world() as world, connected(world) as (alice, bob):
        task, _ = await lived(alice, bob)
        await again(alice, bob)
        await refused(bob.act(OWNER, task.hex(), TaskAction("fail", text="cannot")), "unknown-agent")
        before = await texts(bob)
        sent = await act(alice, task, "revise", reasons=("shorter",))
        await on_rung(alice, sent.message, "failed")
        assert await texts(bob) == before
        assert (await bob.tasks(WRITER, "", "", "", "", 50))[0] == ()


async def test_a_task_between_two_agents_of_one_owner_is_over_for_both_with_the_former_one():
    """Nobody waits for an answer that nobody can give, and no page offers what would be refused."""
    async with a_world() as world, connected(world) as (_, bob):
        await bob.create_agent(OWNER, NewAgent("asker"))
        task = await ask(bob, "asker", "@bob/writer")
        await in_state(bob, task, "sent")
        assert (await bob.history.counts(OWNER)).states
        await made_anew(bob)
        assert not (await bob.history.counts(OWNER)).states
        assert await bob.history.under_way(OWNER, 50) == ()
        assert (await bob.task(OWNER, task.hex())).actions == ()


async def test_mail_to_the_former_agent_that_comes_late_is_not_the_next_ones():
    """It was sealed before, and a relay has kept it back until both are connected again."""
    async with a_world() as world, connected(world) as (alice, bob):
        courier = Courier(bob, lambda envelope: envelope.header.cls.value in {"message", "task"})
        world.tamper = courier.tamper
        sent = await alice.send_message(OWNER, "requester", "@bob/writer", "the secret plan", (), "", "")
        task = await ask(alice, "requester", "@bob/writer")

        async def kept():
            return len(courier.kept) == 2

        await until(kept)
        world.tamper = None
        await again(alice, bob)
        await courier.deliver()
        assert (await bob.inbox(WRITER, "writer", False, "", 50, 0)).messages == ()
        assert {item.code for item in await bob.quarantine(OWNER, "", 50)} == {"unknown-agent"}
        for message in (sent.message, task):
            await on_rung(alice, message, "failed")


async def test_what_a_peer_could_not_say_to_the_former_agent_is_not_offered_to_the_next():
    """It was refused while there was none, and the peer is connected with the next one."""
    async with a_world() as world, connected(world) as (alice, bob):
        task, _ = await lived(alice, bob)
        courier = Courier(bob, lambda envelope: envelope.header.cls.value == "task")
        world.tamper = courier.tamper
        sent = await act(alice, task, "revise", reasons=("shorter",))
        await on_rung(alice, sent.message, "relayed")
        refused_then = SetRung(sent.message, "requester", Rung.FAILED, "not-connected", world.clock.now())
        await alice._core.store.commit([refused_then, DropOutbox((sent.message,))])
        await again(alice, bob)
        await on_rung(alice, sent.message, "failed")
        assert await alice._core.store.outbox([sent.message]) == {}


async def test_what_the_former_agent_could_not_say_is_not_said_by_the_next():
    """Its own words were refused, and the next one is connected with that peer."""
    async with a_world() as world, connected(world) as (alice, bob):
        task, _ = await lived(alice, bob)
        courier = Courier(alice, lambda envelope: envelope.header.cls.value == "task")
        world.tamper = courier.tamper
        sent = await act(bob, task, "fail", text="cannot")
        await on_rung(bob, sent.message, "relayed")
        changes = [SetRung(sent.message, "writer", Rung.FAILED, "not-connected", world.clock.now())]
        await bob._core.store.commit([*changes, DropOutbox((sent.message,))])
        await parted(alice, bob)
        await connect(bob, alice, "writer", "@alice/requester")
        await on_rung(bob, sent.message, "failed")
        assert await bob._core.store.outbox([sent.message]) == {}


async def test_a_late_receipt_for_the_former_agent_counts_for_what_it_sent():
    """The owner still hears that it arrived."""
    async with a_world() as world, connected(world) as (_, bob):
        courier = Courier(bob, lambda envelope: envelope.header.cls.value == "receipt")
        world.tamper = courier.tamper
        sent = await bob.send_message(OWNER, "writer", "@alice/requester", "hello", (), "", "")

        async def kept():
            return bool(courier.kept)

        await until(kept)
        await made_anew(bob)
        await on_rung(bob, sent.message, "relayed")
        await courier.deliver()
        await on_rung(bob, sent.message, "delivered")


async def test_what_an_agent_had_that_a_replaced_history_alone_knows_is_not_the_next_ones():
    """It was made in a branch of the log that counts no more, and one of its name is made in the other."""
    async with forging() as (forger, _):
        core = forger.bob
        own = await core.own_log()

        def serving(log: AccountLog, agent: str) -> AccountLog:
            return log.extend(
                [accounts.set_agent(log.state, agent, (core.device,), at=core.now(), by=core.manage)]
            )

        async def take(held: AccountLog, log: AccountLog) -> None:
            draft = Draft(core)
            draft.replace_log(held, log, held.shared_with(log))
            await settle_served(draft, held, log)
            await draft.commit()

        facing = Daemon(core, pytest.fail, b"", None)
        lost, stands = serving(own, "scout"), serving(own, "other")
        await take(own, lost)
        await facing.send_message(OWNER, "scout", "@bob/writer", "the secret plan", (), "", "")
        await take(lost, stands)
        await take(stands, serving(stands, "scout"))
        assert [agent.name for agent in await facing.agents(OWNER)] == ["other", "scout", "writer"]
        assert (await facing.messages(Caller(frozenset({"scout"})), "", "", 50)).messages == ()
        (kept,) = (await facing.messages(OWNER, "scout~1", "", 50)).messages
        assert kept.mine == "@bob/scout~1"


async def test_every_former_agent_of_a_name_is_told_apart():
    """However often the name is given anew, also after a restart."""
    machine = Machine("bob")
    async with a_world() as world:
        async with connected(world, bob=machine) as (alice, bob):
            _, first = await lived(alice, bob)
            await again(alice, bob)
            sent = await alice.send_message(OWNER, "requester", "@bob/writer", "second", (), "", "")

            async def came():
                return "second" in await texts(bob)

            await until(came)
            await made_anew(bob)
        async with world.running(machine) as bob:
            shown = {view.id: view.mine for view in (await bob.messages(OWNER, "", "", 50)).messages}
            assert (shown[first], shown[sent.message]) == ("@bob/writer~1", "@bob/writer~2")
            assert (await bob.messages(WRITER, "", "", 50)).messages == ()


async def test_nothing_is_said_by_a_former_agent_to_a_relay_that_has_forgotten_all():
    """What it was sent is owed an answer no more, and what it sent is told to nobody anew."""
    async with a_world() as world, connected(world) as (alice, bob):
        await lived(alice, bob)
        await made_anew(bob)
        core = bob._core
        await begin_anew(core, RelayCursor("another", Generation(bytes(16)), Offset(0)))
        receipts = Receipts(core)
        core.owes_receipts = True
        await receipts.say()
        assert [owed for owed in await core.store.receipts_owed(50) if owed.mine.name == "writer~1"] == []
        out = await core.store.outbox_due(core.now(), 50, 1_000_000)
        assert not [entry for entry in out if entry.cls == "receipt"]


async def test_a_task_of_a_former_agent_waits_for_nobody():
    """Neither for its owner's word at the gate, nor for the agent's turn."""
    async with a_world() as world, gated(world) as (alice, bob):
        task = await ask(alice, "requester", "@bob/writer")
        await waits(bob, task)
        (before,) = (await bob.tasks(OWNER, "", "", "", "", 50))[0]
        assert (before.waiting_for, before.at_gate) == ("me", True)
        await made_anew(bob)
        (after,) = (await bob.tasks(OWNER, "", "", "", "", 50))[0]
        assert (after.waiting_for, after.at_gate) == ("", False)
