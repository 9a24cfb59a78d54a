"""A long outbox goes to the relay without waiting for one answer after another, and each answer counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from taskferry_apps.daemon import outbound, together
from taskferry_apps.daemon.inbound import Inbound
from taskferry_apps.daemon.outbound import Outbound
from taskferry_apps.daemon.port import NewAgent
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.relay_client import LinkEnded, Pending
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Detail, Notice, Outcome, ParcelAccepted, Refusal, Window
from taskferry_protocol.frames import Frame, ReadyFrame, ResultFrame
from taskferry_protocol.ids import AccountId, Hash
from taskferry_protocol.records import (
    DaemonChange,
    DaemonResult,
    DeferOutbox,
    Offset,
    OutboxState,
    PutOutbox,
    RelayCursor,
)
from taskferry_stores.port import DaemonStore

from .test_together import Counting, calls_of
from .worlds import GENERATION, OWNER, URL, Machine, a_world, connected, introduce, set_up, until

FULL = 2


class HeldBack:
    """A session whose relay answers when, and what, the test says."""

    def __init__(self) -> None:
        self.batches: list[tuple[tuple[bytes, ...], Pending]] = []
        self.room = FULL * 2

    def fitting(self, parcels: Sequence[bytes]) -> int:
        """How many would be taken now."""
        return min(len(parcels), self.room)

    async def submit(self, parcels: Sequence[bytes]) -> Pending:
        """Take what there is room for as one batch."""
        await trio.lowlevel.checkpoint()
        pending = Pending(self.fitting(parcels))
        self.room -= pending.count
        self.batches.append((tuple(parcels[: pending.count]), pending))
        return pending

    def answer(self, number: int, *outcomes: Outcome) -> None:
        """Say what became of a batch; each parcel was accepted where nothing is given."""
        parcels, pending = self.batches[number]
        self.room += len(parcels)
        pending.settle(outcomes or tuple(map(ParcelAccepted, range(len(parcels)))))


async def _no_news(account: bytes, refusal: Refusal) -> bool:
    raise AssertionError(refusal)


async def _no_log(account: AccountId, start: int) -> Sequence[bytes]:
    raise AssertionError(account)


@attrs.frozen
class Queue:
    """Five messages that wait, and what takes them to the relay."""

    daemon: Daemon
    store: DaemonStore
    said: tuple[Hash, ...]
    relay: HeldBack
    out: Outbound

    async def send_due(self) -> list[Hash]:
        """Send what is due, as the link does; what the relay took of it."""
        due = await self.out.due()
        if not due:
            return []
        await self.out.send(due)
        return [entry.hash for entry in due][: len(self.relay.batches[-1][0])]

    async def states(self) -> list[str]:
        """How far each message is."""
        held = await self.store.messages(self.said)
        return [str(held[hash][0].rung) for hash in self.said]


@pytest.fixture
async def queue(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Queue]:
    """Batches of two, and a relay that the daemon itself does not reach."""
    monkeypatch.setattr(outbound, "BATCH", FULL)
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with connected(world, alice, bob) as (a, b):
            devices = [(await one.devices.overview(OWNER)).devices[0].id for one in (a, b)]

            async def quiet() -> bool:
                stores = (alice.store, bob.store)
                waits = [(await one.stats()).outbox_waiting or await one.receipts_owed(1) for one in stores]
                mail = [await world.relay_store.mailbox(one, Offset(0), 1, 1_000_000) for one in devices]
                return not any(waits) and not any(mail)

            await until(quiet)
            world.stop_relay()

            async def gone() -> bool:
                status = await a.status()
                return status.relay is not None and not status.relay.connected

            await until(gone)
            said = [
                (await a.send_message(OWNER, "requester", "@bob/writer", f"{n}", (), "", "")).message
                for n in range(5)
            ]
            relay = HeldBack()
            yield Queue(a, alice.store, tuple(said), relay, Outbound(a._core, relay, _no_news))


async def test_after_a_full_batch_the_next_goes_along(queue):
    """Two batches are under way at once, each message in one of them, and no more until one is answered."""
    assert await queue.send_due() == [*queue.said[:2]]
    assert await queue.send_due() == [*queue.said[2:4]]
    assert await queue.send_due() == []
    queue.relay.answer(0)
    await queue.out.settle()
    assert await queue.states() == ["relayed"] * 2 + ["queued"] * 3
    assert await queue.send_due() == [queue.said[4]]


async def test_what_is_no_full_batch_is_waited_for(queue):
    """After the last of a queue nothing goes along: what comes meanwhile is sent together."""
    for _ in range(2):
        await queue.send_due()
    for number in range(2):
        queue.relay.answer(number)
    await queue.out.settle()
    assert await queue.send_due() == [queue.said[4]]
    more = await queue.daemon.send_message(OWNER, "requester", "@bob/writer", "more", (), "", "")
    assert await queue.send_due() == []
    queue.relay.answer(2)
    await queue.out.settle()
    assert await queue.send_due() == [more.message]


async def test_answers_that_are_there_are_committed_together(queue):
    """The second answer comes first: it waits for the first, and both are one commit."""
    for _ in range(2):
        await queue.send_due()
    async with trio.open_nursery() as nursery:
        queue.relay.answer(1)
        nursery.start_soon(queue.out.settle)
        await wait_all_tasks_blocked()
        assert await queue.states() == ["queued"] * 5
        queue.relay.answer(0)
    assert await queue.states() == ["relayed"] * 4 + ["queued"]
    assert not queue.out.awaits


@pytest.mark.parametrize("again", [False, True], ids=["accepted", "refused"])
async def test_a_notice_that_overtakes_the_answer_counts(queue, again):
    """What the relay has given up before its answer is heard is over, whatever the answer then says."""
    await queue.send_due()
    inbound = Inbound(queue.daemon._core, _no_log)
    for hash in (queue.said[0], queue.said[4]):
        at = RelayCursor(URL, GENERATION, Offset(1_000))
        await inbound.take(Notice(1_000, hash, RejectCode.EXPIRED), at)
    # What it was not handed goes on waiting.
    assert await queue.states() == ["expired"] + ["queued"] * 4
    queue.relay.answer(0, *((Refusal(RejectCode.RATE_LIMITED, Detail()),) * 2 if again else ()))
    await queue.out.settle()
    assert await queue.states() == ["expired", "queued" if again else "relayed"] + ["queued"] * 3
    assert queue.said[0] not in await queue.store.outbox(queue.said)


async def test_a_refusal_counts_for_its_own_message_alone(queue):
    """The first of a batch is to wait, the last of the next is refused for good: the others are relayed."""
    for _ in range(2):
        await queue.send_due()
    queue.relay.answer(0, Refusal(RejectCode.RATE_LIMITED, Detail(retry_after=60_000)), ParcelAccepted(1))
    queue.relay.answer(1, ParcelAccepted(2), Refusal(RejectCode.TOO_LARGE))
    await queue.out.settle()
    assert await queue.states() == ["queued", "relayed", "relayed", "failed", "queued"]
    held = await queue.store.outbox(queue.said)
    assert held[queue.said[0]].attempts == 1
    assert await queue.send_due() == []  # the fifth does not overtake the first, which waits for its time


async def test_what_the_relay_had_when_the_session_ended_is_sent_again(queue):
    """One batch answered and one not, when the relay hangs up: what was not committed is due again."""
    for _ in range(2):
        await queue.send_due()
    queue.relay.answer(0)
    await queue.out.settle()
    queue.relay.batches[1][1].fail(LinkEnded(None, "the relay hung up"))
    with pytest.raises(LinkEnded):
        await queue.out.settle()
    fresh = Outbound(queue.daemon._core, queue.relay, _no_news)
    assert [entry.hash for entry in await fresh.due()] == [*queue.said[2:4]]
    held = await queue.store.outbox(queue.said)
    assert [held[hash].state for hash in queue.said[2:]] == [OutboxState.WAITING] * 3


async def test_an_answer_is_committed_before_the_session_that_brought_it_is_over(queue):
    """The relay answers the first of two batches and hangs up: that answer counts, whoever has the lock."""
    for _ in range(2):
        await queue.send_due()
    gone = trio.CancelScope()

    async def settle() -> None:
        with gone:
            await queue.out.settle()

    async with trio.open_nursery() as nursery, queue.daemon._core.lock:
        queue.relay.answer(0)
        nursery.start_soon(settle)
        await wait_all_tasks_blocked()
        queue.relay.batches[1][1].fail(LinkEnded(None, "the relay hung up"))
        gone.cancel()
        await wait_all_tasks_blocked()
    assert await queue.states() == ["relayed"] * 2 + ["queued"] * 3


@pytest.mark.parametrize("is_believed", [True, False])
async def test_a_log_is_asked_for_once_for_all_that_it_is_new_to(queue, is_believed):
    """Bob has another device: whatever is refused for it, the relay is asked once, and one commit follows."""
    asked: list[bytes] = []

    async def renew(account, refusal):
        asked.append(account)
        return is_believed

    queue.out._renew = renew
    before = await queue.store.outbox(queue.said)
    commits = noting_commits(queue.store)
    for _ in range(2):
        await queue.send_due()
    stale = Refusal(RejectCode.STALE_LOG, Detail(statements=(), start=3))
    queue.relay.answer(1, stale, stale)
    queue.relay.answer(0, stale, ParcelAccepted(0))
    await queue.out.settle()
    assert asked == [before[queue.said[0]].to.account]
    after = await queue.store.outbox(queue.said)
    wrapped = [after[hash].parcel != before[hash].parcel for hash in queue.said]
    assert wrapped == [is_believed, False, is_believed, is_believed, False]
    assert [after[hash].attempts for hash in queue.said] == [1, 0, 1, 1, 0]
    assert sum(isinstance(change, (PutOutbox, DeferOutbox)) for change in commits[-1]) == 3


def noting_commits(store: DaemonStore) -> list[Sequence[DaemonChange]]:
    """What is committed from now on."""
    commits: list[Sequence[DaemonChange]] = []
    commit = store.commit

    async def noted(changes: Sequence[DaemonChange]) -> tuple[DaemonResult, ...]:
        commits.append(tuple(changes))
        return await commit(changes)

    store.commit = noted  # type: ignore[method-assign]
    return commits


async def test_nothing_goes_along_where_the_relay_has_no_room(queue):
    """The answer that makes room is committed first, and what did not fit goes next, in order."""
    queue.relay.room = 1
    assert await queue.send_due() == [queue.said[0]]
    assert await queue.send_due() == []
    queue.relay.answer(0)
    await queue.out.settle()
    assert await queue.states() == ["relayed"] + ["queued"] * 4
    queue.relay.room = 3
    assert await queue.send_due() == [*queue.said[1:3]]
    assert await queue.send_due() == [queue.said[3]]


async def test_a_relay_that_never_stays_for_long_empties_the_queue_all_the_same(monkeypatch):
    """One that takes a parcel at a time, and hangs up after two answers, gets a little further each time."""
    monkeypatch.setattr(outbound, "BATCH", FULL)
    answers = 0

    def fleeting(frame: Frame) -> Frame:
        nonlocal answers
        if isinstance(frame, ReadyFrame):
            answers = 0
            return attrs.evolve(frame, window=Window(1, 1_000_000))
        if isinstance(frame, ResultFrame):
            answers += 1
            if answers > FULL:
                raise trio.EndOfChannel
        return frame

    async with a_world() as world, world.running(Machine("alice")) as a:
        async with world.running(Machine("bob")) as b:
            await introduce(a, b)
            await until_quiet(a)
        world.stop_relay()
        said = [
            (await a.send_message(OWNER, "requester", "@bob/writer", f"{n}", (), "", "")).message
            for n in range(6)
        ]
        world.tamper = fleeting
        await world.start_relay()

        async def relayed() -> bool:
            held = await a._core.store.messages(said)
            return all(held[hash][0].rung == "relayed" for hash in said)

        await until(relayed)


async def until_quiet(daemon: Daemon) -> None:
    """Wait until nothing of a daemon's waits to be sent or said."""

    async def quiet() -> bool:
        store = daemon._core.store
        return not ((await store.stats()).outbox_waiting or await store.receipts_owed(1))

    await until(quiet)


async def test_a_crowd_of_senders_takes_one_place_at_the_lock(monkeypatch):
    """Whoever else needs the lock, to commit answers or to take mail, waits for one commit of theirs."""
    monkeypatch.setattr(together, "MOST", 1)
    store = Counting()
    outcomes: dict[object, object] = {}
    turns: list[int] = []
    async with a_world() as world, world.running(Machine("alice", store=store)) as daemon:
        await set_up(daemon, "alice", "reader")
        for number in range(6):
            await daemon.create_agent(OWNER, NewAgent(f"agent{number}"))
        store.sent.clear()

        async def another() -> None:
            async with daemon._core.lock:
                turns.append(len(store.sent))

        async with trio.open_nursery() as nursery, daemon._core.lock:
            for call in calls_of(daemon, outcomes):
                nursery.start_soon(call)
            await wait_all_tasks_blocked()
            nursery.start_soon(another)
            await wait_all_tasks_blocked()
    assert len(store.sent) == len(outcomes) == 6
    assert turns == [1]
