"""Messages that are sent at the same time share a commit, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from taskferry_apps.daemon.lasting import request_begins, something_lasts
from taskferry_apps.daemon.port import DaemonRefusal, NewAgent
from taskferry_apps.daemon.steps import under_key
from taskferry_protocol.breakers import BreakerLimits
from taskferry_protocol.ids import AgentRef
from taskferry_protocol.records import CountExchange, DaemonChange, DaemonResult
from taskferry_stores.errors import StoreFull
from taskferry_stores.memory import MemoryDaemonStore

from .test_breakers import a_pair
from .worlds import OWNER, Machine, a_world, set_up

FEW = BreakerLimits(talk=6, talk_a_day=20, events=8, events_a_day=40, repeats=3, budget=8)


class Counting(MemoryDaemonStore):
    """A store that says how many messages each commit held, and may be full."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[int] = []
        self.full = False
        self.at_read: Callable[[], None] | None = None

    async def sequences(self, targets: Collection[AgentRef]) -> Mapping[AgentRef, int]:
        """Read, after what a test wants to happen then."""
        if self.at_read is not None:
            self.at_read()
            self.at_read = None
        return await super().sequences(targets)

    async def commit(self, changes: Sequence[DaemonChange]) -> tuple[DaemonResult, ...]:
        """Count, then commit, or find no room."""
        talk = sum(isinstance(change, CountExchange) and not change.exchange.inbound for change in changes)
        if talk:
            if self.full:
                raise StoreFull("no space is left")
            self.sent.append(talk)
        return await super().commit(changes)


async def send(daemon, outcomes, name, mine, peer, text):
    """Send a message; its id, or the refusal's code, stands under `name` afterwards."""
    try:
        sent = await daemon.send_message(OWNER, mine, peer, text, (), "", "")
    except DaemonRefusal as refused:
        outcomes[name] = refused.code
    except StoreFull:
        outcomes[name] = "full"
    else:
        outcomes[name] = sent.message


async def all_at_once(daemon, calls):
    """Let these calls wait for the lock together, then have them done."""
    async with trio.open_nursery() as nursery, daemon._core.lock:
        for call in calls:
            nursery.start_soon(call)
        await wait_all_tasks_blocked()


@pytest.fixture
async def crew():
    """A daemon with six agents that may talk to a seventh, and its store."""
    store = Counting()
    async with a_world() as world, world.running(Machine("alice", store=store)) as daemon:
        await set_up(daemon, "alice", "reader")
        for number in range(6):
            await daemon.create_agent(OWNER, NewAgent(f"agent{number}"))
        store.sent.clear()
        yield daemon, store


def calls_of(daemon, outcomes, count=6):
    """A message of each agent to the reader."""
    return [
        partial(send, daemon, outcomes, number, f"agent{number}", "@alice/reader", f"words of {number}")
        for number in range(count)
    ]


async def test_messages_that_wait_together_share_a_commit(crew):
    """Six agents send at once: one commit, six messages, each with an id of its own."""
    daemon, store = crew
    outcomes: dict[object, object] = {}
    await all_at_once(daemon, calls_of(daemon, outcomes))
    assert store.sent == [6]
    assert len(set(outcomes.values())) == 6
    page = await daemon.messages(OWNER, "", "", 50)
    assert {message.id for message in page.messages} >= set(outcomes.values())


async def test_one_that_is_refused_leaves_nothing_behind(crew):
    """Among good ones, one to nobody and one of no agent are refused alone."""
    daemon, store = crew
    outcomes: dict[object, object] = {}
    bad = [
        partial(send, daemon, outcomes, "nobody", "agent0", "@mallory/agent", "hello"),
        partial(send, daemon, outcomes, "self", "agent1", "@alice/agent1", "hello"),
    ]
    await all_at_once(daemon, [bad[0], *calls_of(daemon, outcomes), bad[1]])
    assert outcomes.pop("self") == "bad-value"
    assert isinstance(outcomes.pop("nobody"), str)
    assert sum(store.sent) == 6
    assert not any(isinstance(outcome, str) for outcome in outcomes.values())


async def test_a_full_disk_is_told_to_everybody_and_nothing_is_sent(crew):
    """What could not be committed was not sent by anyone; afterwards all of it can be."""
    daemon, store = crew
    outcomes: dict[object, object] = {}
    store.full = True
    await all_at_once(daemon, calls_of(daemon, outcomes))
    assert set(outcomes.values()) == {"full"}
    store.full = False
    await all_at_once(daemon, calls_of(daemon, outcomes))
    assert store.sent == [6]


async def test_what_lasts_is_noted_for_those_whose_message_it_is(crew):
    """One leads and is refused, others are sent by its commit: it is told that nothing of its own lasts."""
    daemon, _ = crew
    lasts: dict[object, bool] = {}
    outcomes: dict[object, object] = {}

    async def request(name, call):
        request_begins()
        await call()
        lasts[name] = something_lasts()

    bad = partial(send, daemon, outcomes, "leader", "agent0", "@mallory/agent", "hello")
    calls = dict(enumerate(calls_of(daemon, outcomes)))
    await all_at_once(
        daemon, [partial(request, name, call) for name, call in ({"leader": bad} | calls).items()]
    )
    assert lasts == {"leader": False} | dict.fromkeys(calls, True)


async def test_whoever_leads_and_gives_up_leaves_the_others_to_go_on(crew):
    """The one that fills the draft for all is cancelled half-way: the others are sent, and it is not."""
    daemon, store = crew
    outcomes: dict[object, object] = {}
    first, *others = calls_of(daemon, outcomes)
    gone = trio.CancelScope()

    async def give_up():
        with gone:
            await first()

    async with trio.open_nursery() as nursery, daemon._core.lock:
        nursery.start_soon(give_up)
        await wait_all_tasks_blocked()
        for call in others:
            nursery.start_soon(call)
        await wait_all_tasks_blocked()
        store.at_read = gone.cancel
    assert gone.cancelled_caught
    assert set(outcomes) == {1, 2, 3, 4, 5}
    assert store.sent == [5]


async def test_whoever_has_gone_before_its_turn_sends_nothing(crew):
    """While one fills the draft for all, another gives up that is behind it: all but that one are sent."""
    daemon, store = crew
    outcomes: dict[object, object] = {}
    *others, last = calls_of(daemon, outcomes)
    gone = trio.CancelScope()

    async def give_up():
        with gone:
            await last()

    async with trio.open_nursery() as nursery, daemon._core.lock:
        for call in others:
            nursery.start_soon(call)
        await wait_all_tasks_blocked()
        nursery.start_soon(give_up)
        await wait_all_tasks_blocked()

        def leave():
            gone.cancel()

        store.at_read = leave
    assert gone.cancelled_caught
    assert store.sent == [5]
    assert set(outcomes) == {0, 1, 2, 3, 4}


async def test_a_request_that_comes_again_finds_what_it_sent_in_company(crew):
    """Each of many requests under keys is recorded as its own, whoever led the commit."""
    daemon, _ = crew
    outcomes: dict[object, object] = {}

    async def keyed(number, call):
        with under_key(OWNER, f"key {number}".replace(" ", "-"), bytes((number,)) * 32):
            await call()

    await all_at_once(
        daemon, [partial(keyed, number, call) for number, call in enumerate(calls_of(daemon, outcomes))]
    )
    before = dict(outcomes)
    await all_at_once(
        daemon, [partial(keyed, number, call) for number, call in enumerate(calls_of(daemon, outcomes))]
    )
    assert outcomes == before


async def test_no_crowd_of_messages_gets_past_a_breaker():
    """Sent one after another or all at once, as many go to a peer as its breaker allows."""
    async with a_world() as world, a_pair(world, FEW) as (alice, _):
        outcomes: dict[object, object] = {}
        await all_at_once(
            alice,
            [
                partial(send, alice, outcomes, number, "requester", "@bob/writer", f"thought {number}" * 9)
                for number in range(20)
            ],
        )
        allowed = [outcome for outcome in outcomes.values() if not isinstance(outcome, str)]
        assert len(allowed) == FEW.talk
        assert set(outcomes.values()) - set(allowed) == {"pair-limit"}
