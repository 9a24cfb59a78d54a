"""What is done on the machine that does not write in a task: the other one is asked, and does it once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import attrs
import pytest
import trio

from taskferry_apps.daemon import asked
from taskferry_apps.daemon.action_port import AskedView
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.port import Caller, DaemonRefusal, GrantChange, TaskAction
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.steps import under_key
from taskferry_protocol.envelope import Envelope
from taskferry_protocol.ids import AgentRef, DeviceId, Hash, Instant
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.messages import (
    ActionOutcome,
    ActionRequest,
    Credential,
    FilePart,
    MessageClass,
    Upshot,
)
from taskferry_stores.memory import MemoryDaemonStore
from taskferry_stores.port import DaemonStore
from tests.daemon.forger import codes, forging
from tests.daemon.test_crashes import CrashingStore, Supervised
from tests.daemon.worlds import OWNER, Machine, World, a_world, act, ask, connect, in_state, set_up, until

from .courier import Courier
from .machines import Pair, a_pair, link_to, log_of

REQUESTER = Caller(frozenset({"requester"}))


async def passed_on(daemon: Daemon, task: Hash, action: TaskAction, caller: Caller = OWNER) -> AskedView:
    """An action that another machine is asked for."""
    told = await daemon.act(caller, task.hex(), action)
    assert isinstance(told, AskedView)
    return told


async def comes_to(daemon: Daemon, request: AskedView, state: str) -> AskedView:
    """Wait until a request is in a state."""

    async def there() -> AskedView | None:
        found = await daemon.actions.one(OWNER, request.task.hex(), request.id.hex(), 0)
        return found if found.state == state else None

    return await until(there)


async def types(daemon: Daemon, task: Hash) -> list[str]:
    """The events of a task as they were taken there, but confirmations."""
    events = (await daemon.task(OWNER, task.hex())).events
    return [event.type for event in events if event.type != "task_seen"]


def to_one_device(envelope: Envelope) -> bool:
    """What one device tells another."""
    return envelope.header.to.device is not None


@attrs.frozen
class Apart:
    """Alice's two machines, both switched off, and Bob's; the first one is the home of a task."""

    world: World
    home: Machine
    other: Machine
    bob: Daemon
    task: Hash


@asynccontextmanager
async def machines_apart() -> AsyncIterator[Apart]:
    """Both machines know the task, which is accepted."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        home, other = Machine("alice"), Machine("alice2")
        async with world.running(home) as first:
            await set_up(first, "alice", "requester")
            await connect(first, bob, "requester", "@bob/writer")
            await link_to(world, first, other)
            task = await ask(first, "requester", "@bob/writer")
            await in_state(bob, task, "sent")
            await act(bob, task, "accept")
            await in_state(first, task, "accepted")
            async with world.running(other) as second:

                async def caught_up() -> bool:
                    if second._core.account is None or await first._sharing.jobs():
                        return False
                    chains = [
                        [event.hash for event in (await daemon.task(OWNER, task.hex())).events]
                        for daemon in (first, second, bob)
                        if (await daemon.tasks(OWNER, "", "", "", "", 9))[0]
                    ]
                    return len(chains) == 3 and chains[0] == chains[1] == chains[2]

                await until(caught_up)
        yield Apart(world, home, other, bob, task)


@attrs.frozen
class Away:
    """The machine that asks, while the home is off."""

    world: World
    machine: Machine
    second: Daemon
    bob: Daemon
    task: Hash


@asynccontextmanager
async def home_away() -> AsyncIterator[Away]:
    """The home of an accepted task is switched off."""
    async with machines_apart() as apart, apart.world.running(apart.other) as second:

        async def connected() -> bool:
            return second._link.connected

        await until(connected)
        yield Away(apart.world, apart.home, second, apart.bob, apart.task)


async def test_the_home_does_what_is_asked_on_the_other_machine(autojump_clock):
    """Said at once that it was passed on; done there by the same rules; seen by all, and once."""
    async with a_pair() as pair:
        task = await ask(pair.first, "requester", "@bob/writer")
        await in_state(pair.bob, task, "sent")
        await act(pair.bob, task, "accept")
        await in_state(pair.second, task, "accepted")
        shown = await pair.second.task(OWNER, task.hex())
        assert (shown.acts_on, "cancel" in shown.actions, shown.requests) == ("laptop", True, ())
        request = await passed_on(pair.second, task, TaskAction("cancel", text="no longer needed"))
        assert (request.state, request.device, request.action) == ("waiting", "laptop", "cancel")
        done = await comes_to(pair.second, request, "done")
        await in_state(pair.bob, task, "cancelled")
        events = (await pair.bob.task(OWNER, task.hex())).events
        assert [event.note for event in events if event.hash == done.event] == ["no longer needed"]
        await in_state(pair.second, task, "cancelled")
        assert await types(pair.bob, task) == ["task_request", "task_accept", "task_cancel"]
        (kept,) = (await pair.second.task(OWNER, task.hex())).requests
        assert (kept.id, kept.state) == (request.id, "done")
        assert (await pair.first.task(OWNER, task.hex())).requests == ()


async def test_an_artifact_goes_the_same_way(autojump_clock):
    """The worker's other machine hands the files over; what does not fit is refused at once."""
    async with a_pair() as pair:
        change = GrantChange(human_gate=False, task_budget=5)
        await pair.first.set_permissions(OWNER, ("requester", "@bob/writer"), change)

        async def permitted() -> bool:
            (bond,) = await pair.bob.connections(OWNER, "accepted", "")
            return bond.received is not None and bond.received.task_budget == 5

        await until(permitted)
        task = await ask(pair.bob, "writer", "@alice/requester")
        await in_state(pair.first, task, "sent")
        await act(pair.first, task, "accept")
        await in_state(pair.bob, task, "accepted")

        async def bound() -> bool:
            return (await pair.second.task(OWNER, task.hex())).acts_on == "laptop"

        await until(bound)
        with pytest.raises(DaemonRefusal) as refused:
            large = FilePart.of("big.bin", "application/octet-stream", bytes(262_000))
            await passed_on(pair.second, task, TaskAction("submit", parts=(large,)))
        assert refused.value.code == "too-large"
        assert "your device laptop" in refused.value.message
        assert (await pair.second.task(OWNER, task.hex())).requests == ()
        file = FilePart.of("report.md", "text/markdown", b"# Report\n" * 5_000)
        request = await passed_on(pair.second, task, TaskAction("submit", text="draft", parts=(file,)))
        await comes_to(pair.second, request, "done")
        await in_state(pair.bob, task, "submitted")
        _, _, content = await pair.bob.artifact(OWNER, task.hex(), 1, 0)
        assert content == b"# Report\n" * 5_000
        (home,) = [id for id in (await log_of(pair.second)).state.devices if id != pair.device]
        await pair.second.devices.revoke(OWNER, home.hex(), "lost", lose=True)
        with pytest.raises(DaemonRefusal) as refused:
            await pair.second.act(OWNER, task.hex(), TaskAction("fail", text="lost"))
        assert "laptop acted in this task and was put out" in refused.value.message


async def test_what_the_home_refuses_comes_back_with_code_and_sentence(autojump_clock):
    """The other machine did not know yet that the task had ended."""
    async with a_pair() as pair:
        task = await ask(pair.first, "requester", "@bob/writer")
        await in_state(pair.second, task, "sent")
        courier = Courier(pair.second, lambda envelope: envelope.header.cls is MessageClass.TASK)
        pair.world.tamper = courier.tamper
        await act(pair.first, task, "cancel")
        request = await passed_on(pair.second, task, TaskAction("cancel"))
        refused = await comes_to(pair.second, request, "refused")
        assert (refused.code, refused.event) == ("not-possible", None)
        assert refused.text == "The task has ended: it is cancelled."
        await in_state(pair.bob, task, "cancelled")
        assert await types(pair.bob, task) == ["task_request", "task_cancel"]


async def test_what_is_not_possible_here_is_not_even_asked(autojump_clock):
    """The refusal is the home's own, and no request is left behind."""
    async with a_pair() as pair:
        task = await ask(pair.first, "requester", "@bob/writer")
        await in_state(pair.second, task, "sent")
        with pytest.raises(DaemonRefusal) as refused:
            await pair.second.act(OWNER, task.hex(), TaskAction("revise", reasons=("more",)))
        assert refused.value.code == "not-possible"
        assert (await pair.second.task(OWNER, task.hex())).requests == ()


async def test_a_request_waits_for_a_home_that_is_away(autojump_clock):
    """It is done when the home comes back, once, though it was typed again and both were killed meanwhile."""
    async with home_away() as apart:
        request = await passed_on(apart.second, apart.task, TaskAction("cancel", text="enough"))
        again = await passed_on(apart.second, apart.task, TaskAction("cancel", text="enough"))
        assert again.id == request.id
        found = await apart.second.actions.one(OWNER, apart.task.hex(), request.id.hex()[:8], 0.05)
        assert found.state == "waiting"
        async with apart.world.running(apart.machine):
            await in_state(apart.bob, apart.task, "cancelled")
        async with apart.world.running(apart.machine):
            await comes_to(apart.second, request, "done")
        assert await types(apart.bob, apart.task) == ["task_request", "task_accept", "task_cancel"]


async def test_a_request_that_came_too_late_does_nothing(autojump_clock):
    """After a day it is shown as overdue, and the home says that its time was over."""
    async with home_away() as apart:
        request = await passed_on(apart.second, apart.task, TaskAction("cancel"))
        apart.world.clock.ahead_ms += DAY_MS
        shown = await apart.second.actions.one(OWNER, apart.task.hex(), request.id.hex(), 0)
        assert (shown.state, shown.code) == ("overdue", "expired")
        async with apart.world.running(apart.machine) as first:
            refused = await comes_to(apart.second, request, "refused")
            assert refused.code == "expired"
            assert (await first.task(OWNER, apart.task.hex())).summary.state == "accepted"


async def test_a_home_that_is_put_out_answers_nothing_more(autojump_clock):
    """The request is lost, and this machine goes on in the home's place by itself."""
    async with home_away() as apart:
        request = await passed_on(apart.second, apart.task, TaskAction("cancel"))
        (home,) = [id for id in (await log_of(apart.second)).state.devices if id != apart.second._core.device]
        await apart.second.devices.revoke(OWNER, home.hex(), "lost", lose=True)
        shown = await apart.second.actions.one(OWNER, apart.task.hex(), request.id.hex(), 0)
        assert shown.state == "lost"
        await act(apart.second, apart.task, "cancel")
        await in_state(apart.bob, apart.task, "cancelled")


async def test_only_so_many_requests_wait(monkeypatch: pytest.MonkeyPatch, autojump_clock):
    """More are refused, with what can be done about it."""
    monkeypatch.setattr("taskferry_apps.daemon.actions.MOST_WAITING", 1)
    async with home_away() as apart:
        await passed_on(apart.second, apart.task, TaskAction("cancel", text="one"))
        with pytest.raises(DaemonRefusal) as refused:
            await passed_on(apart.second, apart.task, TaskAction("cancel", text="two"))
        assert (refused.value.code, refused.value.status) == ("too-many", 429)
        assert "laptop" in refused.value.next_step


def test_rows_are_bounded_and_none_that_waits_is_dropped():
    """However many ended before it."""
    now = Instant(10 * DAY_MS)
    rows = {
        Hash(bytes([n]) * 32): asked.Asked(
            Hash(bytes([n]) * 32),
            DeviceId(b"d" * 32),
            Hash(b"t" * 32),
            "writer",
            "cancel",
            Hash(b"s" * 32),
            Instant(now - n),
            Instant(now + DAY_MS),
            asked.AskedState.WAITING if n > 170 else asked.AskedState.DONE,
            None if n > 170 else now,
        )
        for n in range(200)
    }
    kept = asked._read(asked._write(rows, now))
    assert len(kept) == 100
    assert {hash for hash, row in rows.items() if row.waits(now)} <= kept.keys()
    assert asked._read(asked._write(kept, Instant(now + 9 * DAY_MS))) == {}


async def test_the_same_request_under_a_key_is_asked_once_even_after_a_crash(autojump_clock):
    """The answer was lost, the request comes again under its key, and the first one is told."""
    async with home_away() as apart:
        ids: list[Hash] = []

        async def is_let_go() -> bool:
            return not await apart.second._core.store.sealed(ids[:1])

        for _ in range(2):
            with under_key(OWNER, "key", b"digest"):
                ids.append((await passed_on(apart.second, apart.task, TaskAction("cancel"))).id)
            # What the relay has, and is no part of the history, is not kept.
            await until(is_let_go)
        async with apart.world.running(apart.machine):
            await in_state(apart.bob, apart.task, "cancelled")
        with under_key(OWNER, "key", b"digest"):
            ids.append((await passed_on(apart.second, apart.task, TaskAction("cancel"))).id)
        assert len(set(ids)) == 1


async def test_a_replayed_request_is_carried_out_once(autojump_clock):
    """A relay that hands it over again and again, and its answer too, brings about nothing."""
    async with a_pair() as pair:
        task = await ask(pair.first, "requester", "@bob/writer")
        await in_state(pair.bob, task, "sent")
        await act(pair.bob, task, "accept")
        await in_state(pair.second, task, "accepted")
        home = Courier(pair.first, to_one_device)
        pair.world.tamper = home.tamper
        request = await passed_on(pair.second, task, TaskAction("cancel"))

        async def held() -> bool:
            return bool(home.kept)

        await until(held)
        (mail,) = home.kept
        pair.world.tamper = None
        for _ in range(3):
            await home.hand_over(mail)
        await comes_to(pair.second, request, "done")
        await home.hand_over(mail)
        await in_state(pair.bob, task, "cancelled")
        assert await types(pair.bob, task) == ["task_request", "task_accept", "task_cancel"]
        # Handed to the machine that asked, it is for somebody else.
        other = Courier(pair.second, to_one_device)
        await other.hand_over(mail)
        assert await types(pair.bob, task) == ["task_request", "task_accept", "task_cancel"]


async def test_an_agents_credential_gains_nothing_by_the_detour(autojump_clock):
    """What its owner has set at home counts, whatever is set on the machine where it asks."""
    async with a_pair() as pair:
        task = await ask(pair.first, "requester", "@bob/writer")
        await in_state(pair.second, task, "sent")
        await pair.second.gates.set_mode(OWNER, "requester", "open")
        await pair.first.gates.set_mode(OWNER, "requester", "read-only")
        request = await passed_on(pair.second, task, TaskAction("cancel"), REQUESTER)
        refused = await comes_to(pair.second, request, "refused")
        assert refused.code == "read-only"
        assert await types(pair.first, task) == ["task_request"]
        other = Caller(frozenset({"somebody"}))
        with pytest.raises(DaemonRefusal) as unseen:
            await pair.second.actions.one(other, task.hex(), request.id.hex(), 0)
        assert unseen.value.code == "not-found"
        with pytest.raises(DaemonRefusal):
            await pair.second.act(other, task.hex(), TaskAction("cancel"))
        await pair.second.gates.set_mode(OWNER, "requester", "read-only")
        with pytest.raises(DaemonRefusal) as here:
            await pair.second.act(REQUESTER, task.hex(), TaskAction("cancel"))
        assert here.value.code == "read-only"
        request = await passed_on(pair.second, task, TaskAction("cancel"))
        await comes_to(pair.second, request, "done")


async def test_a_machine_that_may_not_manage_does_not_speak_for_the_owner(autojump_clock):
    """Whoever has it in hand is believed no more than the agent that it serves."""
    async with a_pair(manage=False) as pair:
        task = await ask(pair.first, "requester", "@bob/writer")
        await in_state(pair.second, task, "sent")
        await pair.first.gates.set_mode(OWNER, "requester", "read-only")
        request = await passed_on(pair.second, task, TaskAction("cancel"))
        assert (await comes_to(pair.second, request, "refused")).code == "read-only"
        await pair.first.gates.set_mode(OWNER, "requester", "guarded")
        request = await passed_on(pair.second, task, TaskAction("cancel", text="as the agent"))
        await comes_to(pair.second, request, "done")


async def _post(pair: Pair, sender: Daemon, to: Daemon, body: ActionRequest | ActionOutcome) -> None:
    core = sender._core
    async with core.lock:
        draft = Draft(core)
        own = core.own
        await draft.post_quietly(body, AgentRef(own, ""), AgentRef.to_device(own, to._core.device))
        await draft.commit()


async def test_a_device_asks_nothing_for_an_agent_that_it_does_not_serve(autojump_clock):
    """A name in a request gives nobody the agent."""
    async with a_pair() as pair:
        task = await ask(pair.first, "requester", "@bob/writer")
        await in_state(pair.second, task, "sent")
        until_then = Instant(pair.world.clock.now() + 1_000)
        body = ActionRequest(task, "cancel", "nobody", Credential.OWNER, until_then)
        await _post(pair, pair.second, pair.first, body)
        request = await passed_on(pair.second, task, TaskAction("cancel"))
        await comes_to(pair.second, request, "done")
        assert await types(pair.first, task) == ["task_request", "task_cancel"]


async def test_only_the_device_that_was_asked_says_what_came_of_it(autojump_clock):
    """A third machine of the owner's, stolen or mistaken, ends no request of another's."""
    async with home_away() as apart:
        third = Machine("alice3")
        await link_to(apart.world, apart.second, third, label="third")
        async with apart.world.running(third) as liar:

            async def linked() -> bool:
                return liar._core.account is not None and liar._link.connected

            await until(linked)
            request = await passed_on(apart.second, apart.task, TaskAction("cancel"))
            core = liar._core
            async with core.lock:
                draft = Draft(core)
                lie = ActionOutcome(request.id, Upshot.DONE, Hash(bytes(32)), "cancelled")
                to = AgentRef.to_device(core.own, apart.second._core.device)
                await draft.post_quietly(lie, AgentRef(core.own, ""), to)
                await draft.commit()

            async def refused() -> bool:
                return [item.code for item in await apart.second.quarantine(OWNER, "", 9)] == [
                    "not-authorized"
                ]

            await until(refused)
            shown = await apart.second.actions.one(OWNER, apart.task.hex(), request.id.hex(), 0)
            assert shown.state == "waiting"


async def test_a_peer_asks_for_nothing(autojump_clock):
    """A request, or an answer, from another account is quarantined, whatever it says."""
    async with forging() as (forger, bob):
        task = Hash(b"t" * 32)
        body = ActionRequest(task, "accept", "writer", Credential.OWNER, Instant(2**52))
        for lie in (body, ActionOutcome(task, Upshot.DONE)):
            await forger.deliver(await forger.seal(lie, from_="", to=""))
        assert await codes(bob) == ["not-authorized", "not-authorized"]


@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after it"])
@pytest.mark.parametrize("whose", ["home", "asker"])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
async def test_a_crash_at_any_commit_loses_and_repeats_nothing(
    at: int, whose: str, after: bool, autojump_clock
):
    """Whichever of the two machines dies, and whenever: one event, and its outcome where it was asked."""
    async with machines_apart() as apart, trio.open_nursery() as nursery:
        victim, lucky = (apart.home, apart.other) if whose == "home" else (apart.other, apart.home)
        assert isinstance(victim.store, MemoryDaemonStore)
        store = CrashingStore(victim.store, at, after=after)
        dying = Supervised(apart.world, attrs.evolve(victim, store=cast(DaemonStore, store)), store)
        steady_store = CrashingStore(cast(MemoryDaemonStore, lucky.store), 10_000, after=False)
        steady = Supervised(
            apart.world, attrs.evolve(lucky, store=cast(DaemonStore, steady_store)), steady_store
        )
        nursery.start_soon(dying.run)
        nursery.start_soon(steady.run)

        async def cancel(daemon: Daemon) -> object:
            with under_key(OWNER, "key", b"digest"):
                return await daemon.act(OWNER, apart.task.hex(), TaskAction("cancel"))

        async def done(daemon: Daemon) -> bool:
            view = await daemon.task(OWNER, apart.task.hex())
            return [request.state for request in view.requests] == ["done"]

        await (dying if whose == "asker" else steady).reach(done, cancel)
        await in_state(apart.bob, apart.task, "cancelled")
        assert await types(apart.bob, apart.task) == ["task_request", "task_accept", "task_cancel"]
        assert store._left <= 0
        nursery.cancel_scope.cancel()
