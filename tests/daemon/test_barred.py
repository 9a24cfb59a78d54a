"""What was said in a task while its recipient allowed less: set aside, and let in once more is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from taskferry_apps.daemon import barred, effects, quarantine, second_looks
from taskferry_apps.daemon.alarms import RUNS_TWICE
from taskferry_apps.daemon.bonds import Bond, bonds_between
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.port import GrantChange
from taskferry_apps.daemon.second_looks import SecondLooks
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.accounts import revoke_device
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.ids import AgentRef, Hash
from taskferry_protocol.links import Seen, TaskLink
from taskferry_protocol.messages import Body, TaskCancel, TaskRequest, TaskSeen, TextMessage, TextPart
from taskferry_protocol.records import Flow, SettleReceipts
from taskferry_protocol.sealing import Sealed

from .forger import Forger, codes, forger_between, forging
from .worlds import (
    OWNER,
    Machine,
    World,
    a_world,
    act,
    ask,
    connect,
    connected,
    in_state,
    introduce,
    on_rung,
    texts,
    until,
)

FIRST = TaskLink(None, 0, None, Seen(0, None))
PAIR = ("writer", "@alice/requester")
LESS = GrantChange(classes=("message",))
MORE = GrantChange(classes=("artifact", "message", "task"))


async def a_task(forger: Forger, title: str = "Title") -> Hash:
    """A request that came while it was allowed."""
    request = await forger.seal(TaskRequest(title, "Brief"), link=FIRST)
    await forger.deliver(request)
    return request.envelope.hash


async def further(forger: Forger, task: Hash, count: int) -> list[Sealed]:
    """As many words of the requester's, each on the one before; the last one cancels."""
    made: list[Sealed] = []
    for number in range(1, count + 1):
        before = made[-1].envelope.hash if made else task
        body: Body = TaskCancel("no more") if number == count else TaskSeen()
        link = TaskLink(task, number, before, Seen(0, None))
        made.append(await forger.seal(body, link=link))
    return made


async def deliver(forger: Forger, items: Sequence[Sealed]) -> None:
    """All of these, in order."""
    for item in items:
        await forger.deliver(item)


async def look(forger: Forger, looks: SecondLooks | None = None) -> None:
    """What the upkeep does when the owner has said something new."""
    await (looks or SecondLooks(forger.bob)).take_due()


async def state(bob: Daemon, task: Hash) -> str:
    """How a task stands there."""
    return (await bob.task(OWNER, task.hex())).summary.state


async def owed(forger: Forger) -> list[tuple[Hash, str]]:
    """What bob is to say of what has come."""
    return [(item.hash, item.outcome) for item in await forger.bob.store.receipts_owed(500)]


async def noted(forger: Forger) -> int:
    """How much bob keeps in mind."""
    return len(await barred.barred_by(Draft(forger.bob)))


# --- What comes back ----------------------------------------------------------------------------------------


async def fail_on_the_way(world: World, alice: Machine, bob: Machine) -> tuple[Hash, Hash]:
    """A task, and its end that was on its way while bob's owner allowed less."""
    async with world.running(alice) as a:
        async with world.running(bob) as b:
            await introduce(a, b)
            task = await ask(a, "requester", "@bob/writer")
            await in_state(b, task, "sent")
            await act(b, task, "accept")
            await act(b, task, "submit", parts=(TextPart("done"),))
            await in_state(a, task, "submitted")
        word = (await act(a, task, "cancel")).message
        await on_rung(a, word, "relayed")
    await (await world.open_daemon(bob)).set_permissions(OWNER, PAIR, LESS)
    return task, word


async def test_both_ends_agree_again_once_the_owner_allows_it():
    """The sender sees that its word was refused, and then that it has arrived; the task ends at both."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        task, word = await fail_on_the_way(world, alice, bob)
        async with world.running(alice) as a, world.running(bob) as b:
            await on_rung(a, word, "failed")
            assert set(await codes(b)) == {"not-permitted"}
            await in_state(b, task, "submitted")
            await b.set_permissions(OWNER, PAIR, MORE)
            await in_state(b, task, "cancelled")
            await on_rung(a, word, "delivered")
            assert await codes(b) == []


async def test_it_comes_back_after_a_restart_between():
    """The owner's word is on disk: whoever starts next goes by it."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        task, word = await fail_on_the_way(world, alice, bob)
        async with world.running(alice) as a, world.running(bob):
            await on_rung(a, word, "failed")
        await (await world.open_daemon(bob)).set_permissions(OWNER, PAIR, MORE)
        async with world.running(alice) as a, world.running(bob) as b:
            await in_state(b, task, "cancelled")
            await on_rung(a, word, "delivered")


async def test_what_comes_back_comes_oldest_first_and_its_sender_is_told():
    """A chain that was set aside is whole again, and each of it is confirmed."""
    async with forging() as (forger, bob):
        task = await a_task(forger)
        await bob.set_permissions(OWNER, PAIR, LESS)
        words = await further(forger, task, 4)
        await deliver(forger, words)
        assert await codes(bob) == ["not-permitted"] * 4
        await bob.set_permissions(OWNER, PAIR, MORE)
        await look(forger)
        assert (await codes(bob), await state(bob, task)) == ([], "cancelled")
        said = await owed(forger)
        assert [item for item in said if item[1] == "applied"][1:] == [
            (word.envelope.hash, "applied") for word in words
        ]


async def test_a_request_comes_back_with_what_was_said_of_it_since():
    """It is open at the requester's all the while: then it is here, too, and waits for the owner as any."""
    async with forging() as (forger, bob):
        await bob.set_permissions(OWNER, PAIR, GrantChange(classes=("message",), human_gate=True))
        task = await a_task(forger)
        assert (await bob.tasks(OWNER, "", "", "", "", 10))[0] == ()
        await bob.set_permissions(OWNER, PAIR, MORE)
        await look(forger)
        assert [item.task for item in await bob.gates.held_tasks(OWNER)] == [task]


async def test_what_the_rate_refused_comes_back_by_a_higher_one():
    """A rate that was lowered while a burst was on its way leaves no gap."""
    async with forging() as (forger, bob):
        task = await a_task(forger)
        await bob.set_permissions(OWNER, PAIR, GrantChange(rate_per_minute=1))
        await deliver(forger, await further(forger, task, 4))
        assert set(await codes(bob)) == {"rate-limited"}
        await bob.set_permissions(OWNER, PAIR, GrantChange(rate_per_minute=60))
        await look(forger)
        assert (await codes(bob), await state(bob, task)) == ([], "cancelled")


# --- What does not ------------------------------------------------------------------------------------------


async def test_what_stands_in_no_task_was_refused_for_good():
    """Its sender has been told so, and may have said it again since."""
    async with forging() as (forger, bob):
        await bob.set_permissions(OWNER, PAIR, GrantChange(classes=("task",)))
        await forger.deliver(await forger.seal(TextMessage("let me in")))
        await bob.set_permissions(OWNER, PAIR, MORE)
        await look(forger)
        assert (await codes(bob), await texts(bob)) == (["not-permitted"], [])


async def test_what_the_new_permission_leaves_out_as_well_stays_out():
    """Another word of the owner's lets in what it allows, and nothing beside it."""
    async with forging() as (forger, bob):
        task = await a_task(forger)
        await bob.set_permissions(OWNER, PAIR, LESS)
        await deliver(forger, await further(forger, task, 2))
        for change in (GrantChange(rate_per_minute=30), GrantChange(classes=("artifact", "message"))):
            await bob.set_permissions(OWNER, PAIR, change)
            await look(forger)
            assert (await codes(bob), await state(bob, task)) == (["not-permitted"] * 2, "sent")
        await bob.set_permissions(OWNER, PAIR, MORE)
        await look(forger)
        assert (await codes(bob), await state(bob, task)) == ([], "cancelled")


@pytest.mark.parametrize("kind", ["blocked", "revoked"])
async def test_a_connection_that_was_ended_brings_nothing_back(kind):
    """Neither what was barred in it nor what came while it was over; a new one begins with what is new."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with connected(world, alice, bob):
            pass
        forger, offline = await forger_between(world, alice, bob), await world.open_daemon(bob)
        task = await a_task(forger)
        words = await further(forger, task, 4)
        await offline.set_permissions(OWNER, PAIR, LESS)
        await deliver(forger, words[:2])
        await offline.end_connection(OWNER, PAIR, kind, "", None)
        await deliver(forger, words[2:])
        before = await codes(offline)
        assert len(before) == 4
        if kind == "blocked":
            await offline.gates.unblock(OWNER, PAIR)
        async with world.running(alice) as a, world.running(bob) as b:
            await until(lambda: ended(a))
            await connect(a, b, "requester", "@bob/writer")
            await b.set_permissions(OWNER, PAIR, MORE)
            await SecondLooks(b._core).take_due()
            assert (await codes(b), await state(b, task)) == (before, "sent")
        assert await noted(forger) == 0


async def ended(daemon: Daemon) -> bool:
    """Whether it has heard that its connection is over."""
    return not await daemon.connections(OWNER, "accepted", "")


async def test_what_a_device_said_that_was_put_out_since_stays_out():
    """It is judged by the log of now; and shown for what it is now."""
    async with forging() as (forger, bob):
        task = await a_task(forger)
        await bob.set_permissions(OWNER, PAIR, LESS)
        await deliver(forger, await further(forger, task, 1))
        log = await forger.alice.own_log()
        draft = Draft(forger.bob)
        gone = revoke_device(
            log.state,
            forger.alice.device,
            "stolen",
            at=forger.clock.now(),
            by=forger.alice.manage,
        )
        draft.take_log(await forger.bob.logs.get(log.account), log.extend([gone]))
        await draft.commit()
        await bob.set_permissions(OWNER, PAIR, MORE)
        await look(forger)
        assert (await codes(bob), await state(bob, task)) == (["device-gone"], "sent")
        assert await noted(forger) == 0


async def test_what_is_over_its_time_stays_out():
    """A word that no relay would carry any more is not let in by hand, either."""
    async with forging() as (forger, bob):
        task = await a_task(forger)
        await bob.set_permissions(OWNER, PAIR, LESS)
        await deliver(forger, await further(forger, task, 1))
        forger.clock.ahead_ms += 2 * 3_600_000
        assert await noted(forger) == 0
        await bob.set_permissions(OWNER, PAIR, MORE)
        await look(forger)
        assert (await codes(bob), await state(bob, task)) == (["expired"], "sent")


async def test_a_budget_of_open_tasks_holds_for_what_comes_back():
    """Three requests were left out; of those the owner's two are let in."""
    async with forging() as (forger, bob):
        await bob.set_permissions(OWNER, PAIR, LESS)
        for title in ("one", "two", "three"):
            await a_task(forger, title)
        await bob.set_permissions(
            OWNER, PAIR, GrantChange(classes=("artifact", "message", "task"), task_budget=2)
        )
        await look(forger)
        rows, _ = await bob.tasks(OWNER, "", "", "", "", 10)
        assert {row.title for row in rows} == {"one", "two"}
        assert (await codes(bob), await noted(forger)) == (["not-permitted"], 1)


async def test_nothing_comes_back_while_a_copy_of_this_machine_is_at_work():
    """It waits until this is the only one again."""
    async with forging() as (forger, bob):
        task = await a_task(forger)
        await bob.set_permissions(OWNER, PAIR, LESS)
        await deliver(forger, await further(forger, task, 2))
        await bob.set_permissions(OWNER, PAIR, MORE)
        forger.bob.suspended = RUNS_TWICE
        await look(forger)
        assert (await codes(bob), await state(bob, task)) == (["not-permitted"] * 2, "sent")
        forger.bob.suspended = ""
        await look(forger)
        assert (await codes(bob), await state(bob, task)) == ([], "cancelled")


async def test_what_the_peer_allows_is_no_word_of_the_owners():
    """A peer that signs one grant after another has nothing looked at again."""
    async with forging() as (forger, _):
        pair = AgentRef(forger.bob.own, "writer"), AgentRef(forger.alice.own, "requester")
        (bond,) = await bonds_between(forger.bob.store, *pair)
        by = {mine: [one for one in bond.record.grants if one.grantor == mine] for mine in pair}
        without_peers, without_own = (
            Bond(attrs.evolve(bond.record, grants=tuple(by[whose]))) for whose in pair
        )
        assert all(by.values())
        assert barred.said(without_peers) == barred.said(bond) != barred.said(without_own)


# --- Those who would profit ---------------------------------------------------------------------------------


async def test_the_same_again_has_its_effect_once():
    """A relay that repeats what was barred, before and after it came back, changes nothing."""
    async with forging() as (forger, bob):
        task = await a_task(forger)
        await bob.set_permissions(OWNER, PAIR, LESS)
        words = await further(forger, task, 2)
        await deliver(forger, [*words, *words])
        assert (await codes(bob), await noted(forger)) == (["not-permitted"] * 2, 2)
        await bob.set_permissions(OWNER, PAIR, MORE)
        await look(forger)
        await deliver(forger, words)
        await look(forger)
        assert (await codes(bob), await state(bob, task)) == ([], "cancelled")
        held = (await forger.bob.store.task_events((task,)))[task]
        assert len([event for event in held if event.side == "requester"]) == 3
        last = words[-1].envelope.hash
        assert {outcome for hash, outcome in await owed(forger) if hash == last} == {"quarantined", "applied"}


async def test_what_comes_back_keeps_to_the_rate_and_takes_no_room_from_what_is_new():
    """Two a minute of the old, and the two a minute of the new as ever."""
    async with forging() as (forger, bob):
        task = await a_task(forger)
        await bob.set_permissions(OWNER, PAIR, LESS)
        await deliver(forger, await further(forger, task, 5))
        slow = GrantChange(classes=("artifact", "message", "task"), rate_per_minute=2)
        await bob.set_permissions(OWNER, PAIR, slow)
        looks = SecondLooks(forger.bob)
        forger.clock.ahead_ms += 120_000
        flow = Flow(AgentRef(forger.alice.own, "requester"), AgentRef(forger.bob.own, "writer"))
        left_of_it = await forger.bob.store.rates((flow,))
        await look(forger, looks)
        assert len(await codes(bob)) == 3
        assert await forger.bob.store.rates((flow,)) == left_of_it
        await deliver(forger, [await forger.seal(TextMessage(f"new {number}")) for number in range(2)])
        assert len(await texts(bob)) == 2
        for left in (1, 0):
            forger.clock.ahead_ms += 61_000
            await look(forger, looks)
            assert len(await codes(bob)) == left
        assert await state(bob, task) == "cancelled"


async def test_of_a_flood_only_so_much_is_kept_in_mind(monkeypatch):
    """Beyond that it is refused for good, as what stands in no task; what is over makes room."""
    monkeypatch.setattr(barred, "MOST_ITEMS", 3)
    async with forging() as (forger, bob):
        task = await a_task(forger)
        await bob.set_permissions(OWNER, PAIR, LESS)
        words = await further(forger, task, 8)
        await deliver(forger, words[:6])
        assert await noted(forger) == 3
        forger.clock.ahead_ms += 2 * 3_600_000
        await deliver(
            forger, [await forger.seal(TaskCancel("late"), link=TaskLink(task, 1, task, Seen(0, None)))]
        )
        assert await noted(forger) == 1


async def test_large_words_do_not_fill_more_than_their_share(monkeypatch):
    """Their bytes count as well."""
    async with forging() as (forger, bob):
        await bob.set_permissions(OWNER, PAIR, LESS)
        first = await forger.seal(TaskRequest("one", "x" * 2_000), link=FIRST)
        monkeypatch.setattr(barred, "MOST_BYTES", 2 * len(first.envelope.raw))
        await forger.deliver(first)
        for title in ("two", "three"):
            await forger.deliver(await forger.seal(TaskRequest(title, "x" * 2_000), link=FIRST))
        assert await noted(forger) == 1


async def test_noise_does_not_drive_out_what_may_come_back(monkeypatch):
    """Where the quarantine is full, talk that was refused goes before what is barred."""
    monkeypatch.setattr(quarantine, "MOST_ITEMS", 3)
    async with forging() as (forger, bob):
        task = await a_task(forger)
        await bob.set_permissions(OWNER, PAIR, GrantChange(classes=()))
        await deliver(forger, await further(forger, task, 2))
        for number in range(5):
            await forger.deliver(await forger.seal(TextMessage(f"noise {number}")))
        await bob.set_permissions(OWNER, PAIR, MORE)
        await look(forger)
        assert (await codes(bob), await state(bob, task)) == (["not-permitted"], "cancelled")


async def test_what_the_quarantine_had_no_room_for_is_forgotten(monkeypatch):
    """It does not come back, and stands in nobody's way."""
    async with forging() as (forger, bob):
        task = await a_task(forger)
        await bob.set_permissions(OWNER, PAIR, LESS)
        words = await further(forger, task, 2)
        await forger.deliver(words[0])
        monkeypatch.setattr(quarantine, "MOST_ITEMS", 1)
        await forger.deliver(words[1])
        await bob.set_permissions(OWNER, PAIR, MORE)
        await look(forger)
        assert (await codes(bob), await noted(forger)) == ([], 0)


async def test_one_that_closes_its_chain_is_kept_for_that():
    """It came back, and names what bob never said: it is in quarantine for that from then on."""
    async with forging() as (forger, bob):
        task = await a_task(forger)
        await act(bob, task, "accept")
        await bob.set_permissions(OWNER, PAIR, LESS)
        lie = TaskLink(task, 1, task, Seen(1, Hash(b"x" * 32)))
        await forger.deliver(await forger.seal(TaskCancel("you said so"), link=lie))
        await bob.set_permissions(OWNER, PAIR, MORE)
        await look(forger)
        assert (await codes(bob), await state(bob, task)) == (["unknown-seen"], "accepted")
        assert [outcome for _, outcome in await owed(forger)][-1] == "quarantined"


@pytest.mark.parametrize(
    ("fault", "code"),
    [(RemoteProtocolError(RejectCode.TOO_MANY, "full"), "too-many"), (ZeroDivisionError(), "not-permitted")],
)
async def test_one_that_cannot_be_taken_stands_before_nothing(monkeypatch, fault, code):
    """Whether it is its own fault or this program's: those behind it come back all the same."""
    async with forging() as (forger, bob):
        tasks = [await a_task(forger, title) for title in ("poison", "good")]
        await bob.set_permissions(OWNER, PAIR, LESS)
        for task in tasks:
            await deliver(forger, await further(forger, task, 1))
        await bob.set_permissions(OWNER, PAIR, MORE)
        real = effects.apply

        async def breaking(arrival: Any) -> None:
            await real(arrival)
            if arrival.content.link.task == tasks[0]:
                raise fault

        monkeypatch.setattr(second_looks, "apply", breaking)
        await look(forger)
        assert await codes(bob) == [code]
        assert [await state(bob, task) for task in tasks] == ["sent", "cancelled"]
        assert await noted(forger) == 0


class PowerCut(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("at", range(1, 5))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_daemon_that_ends_between_goes_on_where_it_was(monkeypatch, at, after):
    """Before a commit or right after it: all comes back, each once, and is said once."""
    async with forging() as (forger, bob):
        task = await a_task(forger)
        await bob.set_permissions(OWNER, PAIR, LESS)
        words = await further(forger, task, 4)
        await deliver(forger, words)
        await bob.set_permissions(OWNER, PAIR, MORE)
        store, left = forger.bob.store, at
        commit = store.commit

        async def cut(changes: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                if after:
                    await commit(changes)
                raise PowerCut
            return await commit(changes)

        monkeypatch.setattr(store, "commit", cut)
        with pytest.raises(PowerCut):
            await look(forger)
        monkeypatch.setattr(store, "commit", commit)
        await look(forger)
        assert (await codes(bob), await state(bob, task), await noted(forger)) == ([], "cancelled", 0)
        applied = [hash for hash, outcome in await owed(forger) if outcome == "applied"]
        assert sorted(applied) == sorted([task, *(word.envelope.hash for word in words)])


async def test_the_outcome_that_is_said_again_is_the_last_one():
    """A relay that was put back asks what became of it: not what was said first."""
    async with forging() as (forger, bob):
        task = await a_task(forger)
        await bob.set_permissions(OWNER, PAIR, LESS)
        (word,) = await further(forger, task, 1)
        await forger.deliver(word)
        await bob.set_permissions(OWNER, PAIR, MORE)
        await look(forger)
        everything = await forger.bob.store.receipts_owed(500)
        await forger.bob.store.commit([SettleReceipts(tuple(item.place for item in everything))])
        await forger.deliver(word)
        assert await owed(forger) == [(word.envelope.hash, "applied")]
