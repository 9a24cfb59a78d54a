"""Reading the longest account logs takes time and room from those for whom they are read, and no others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import attrs
import pytest

from taskferry_apps.relay import account_reads
from taskferry_apps.relay import facts as facts_module
from taskferry_apps.relay.core import Policy
from taskferry_apps.relay.limits import USUAL
from taskferry_apps.relay.turnstile import Busy
from taskferry_apps.relay_client import CallRefused, LinkEnded
from taskferry_protocol.accounts import refold, refold_in_steps, set_agent
from taskferry_protocol.calls import AppendStatements, GetPresence, PutCard, PutInvite
from taskferry_protocol.frame_items import Outcome, Refusal
from taskferry_protocol.ids import AccountId, Instant
from taskferry_stores.memory import MemoryRelayStore

from .conftest import GENERATION, ORIGIN, Clock, World, codes, serving
from .people import Person, connect, person, seal
from .test_community import card_of
from .test_invites import invite

#: The owners here have logs of 1 KB, the long ones of 40.
ROOM = 64_000
LONG = 102
READS = 350


def long_logged(name: str, seed: int, now: Instant) -> Person:
    """An owner who sets the same agent a hundred times over."""
    who = person(name, seed, now)
    for _ in range(LONG - 2):
        statement = set_agent(who.log.state, "agent", [who.keys.id], at=now, by=who.manage)
        who.log = who.log.extend([statement])
    return who


@pytest.fixture
def folded(monkeypatch: pytest.MonkeyPatch) -> Counter[AccountId]:
    """Counts how often each log is folded, in caches too small for the long ones."""
    counted: Counter[AccountId] = Counter()

    def counting(statements):
        log = yield from refold_in_steps(statements)
        counted[log.account] += 1
        return log

    monkeypatch.setattr(account_reads, "refold_in_steps", counting)
    monkeypatch.setattr(facts_module, "STATEMENTS_HELD", ROOM)
    return counted


def policy(reads: int) -> Policy:
    """A relay with its own limit of statements that are read."""
    return Policy([ORIGIN], bounds=attrs.evolve(USUAL, reads=reads))


async def befriend(world: World, *people: Person) -> None:
    """Each of them is connected with each other one."""
    for at, one in enumerate(people):
        for other in people[at + 1 :]:
            async with world.open(other), world.open(one) as client:
                await client.call(connect(one, other, world.now))


def retry_of(outcome: Outcome) -> int:
    """In how many ms a refused parcel may come again."""
    assert isinstance(outcome, Refusal)
    return outcome.detail.retry_after or 0


async def test_honest_pairs_are_not_read_anew_while_two_long_logs_take_turns(
    folded: Counter[AccountId],
) -> None:
    """Two accounts whose logs fill all the room write to each other; others' logs stay where they are."""
    async with serving(MemoryRelayStore(GENERATION), policy(USUAL.reads)) as world:
        await world.introduce()
        mallory, trudy = (long_logged(name, n, world.now) for n, name in ((3, "mallory"), (4, "trudy")))
        await befriend(world, mallory, trudy)
        async with world.open(mallory) as hostile, world.open(world.alice) as client:
            await client.send([seal(world.alice, world.bob, "first", world.now).parcel])
            folded.clear()
            for n in range(10):
                parcels = [seal(mallory, trudy, f"{n}", world.now).parcel]
                assert codes(await hostile.send(parcels)) == ["accepted"]
                parcels = [seal(world.alice, world.bob, f"{n}", world.now).parcel]
                assert codes(await client.send(parcels)) == ["accepted"]
    honest = (world.alice.log.account, world.bob.log.account)
    assert [folded[account] for account in honest] == [0, 0]


async def test_whoever_has_logs_read_without_end_waits_alone(folded: Counter[AccountId]) -> None:
    """Three long logs of which two are held: their owners are told when to come again, others go on."""
    clock = Clock()
    async with serving(MemoryRelayStore(GENERATION), policy(READS), clock) as world:
        await world.introduce()
        names = ("mallory", "trudy", "ursula")
        mallory, trudy, ursula = (long_logged(name, n, world.now) for n, name in enumerate(names, 3))
        await befriend(world, mallory, trudy, ursula)
        await befriend(world, world.alice, mallory)
        clock.ahead_ms += 60_000
        async with world.open(mallory) as hostile, world.open(world.alice) as client:
            folded.clear()
            n, to = 0, trudy
            outcomes: Sequence[Outcome] = ()
            for n in range(12):
                to = (trudy, ursula)[n % 2]
                outcomes = await hostile.send([seal(mallory, to, f"{n}", world.now).parcel])
                parcels = [seal(world.alice, world.bob, f"{n}", world.now).parcel]
                assert codes(await client.send(parcels)) == ["accepted"]
                if codes(tuple(outcomes)) == ["rate-limited"]:
                    break
            assert n
            assert sum(folded.values()) * LONG <= READS + LONG
            # What needs nothing read still goes.
            parcels = [seal(mallory, world.alice, "held", world.now).parcel]
            assert codes(await hostile.send(parcels)) == ["accepted"]
            clock.ahead_ms += retry_of(outcomes[0])
            # A batch that needs many logs has as many of them read as are left to its sender.
            parcels = [seal(mallory, to, "again", world.now).parcel for to in (to, trudy, ursula)]
            assert "accepted" in codes(await hostile.send(parcels))


async def test_calls_that_have_logs_read_are_paid_for_by_their_caller(folded: Counter[AccountId]) -> None:
    """Who is there is asked of long logs without end: refused, with the time to wait; others still get it."""
    clock = Clock()
    async with serving(MemoryRelayStore(GENERATION), policy(READS), clock) as world:
        await world.introduce()
        names = ("mallory", "trudy", "ursula")
        mallory, trudy, ursula = (long_logged(name, n, world.now) for n, name in enumerate(names, 3))
        await befriend(world, mallory, trudy, ursula)
        clock.ahead_ms += 60_000
        question = GetPresence((trudy.agent, ursula.agent, mallory.agent))
        async with world.open(mallory) as hostile, world.open(world.alice) as client:
            folded.clear()
            with pytest.raises(CallRefused) as refused:
                for _ in range(12):
                    await hostile.call(question)
            assert refused.value.refusal.code == "rate-limited"
            assert refused.value.refusal.detail.retry_after
            assert sum(folded.values()) * LONG <= READS + LONG
            await client.call(GetPresence((world.bob.agent,)))


async def test_statements_that_leave_a_log_in_its_middle_are_paid_for(folded: Counter[AccountId]) -> None:
    """Each has the log folded up to there: an owner who offers them without end is told to wait."""
    async with serving(MemoryRelayStore(GENERATION), policy(READS)) as world:
        mallory = long_logged("mallory", 3, world.now)
        before = refold(mallory.log.statements[: LONG - 1])
        statement = set_agent(before.state, "other", [mallory.keys.id], at=world.now, by=mallory.manage)
        said = []
        async with world.open(mallory) as hostile:
            for _ in range(6):
                with pytest.raises(CallRefused) as refused:
                    await hostile.call(AppendStatements(LONG - 1, (statement,)))
                said.append(refused.value.refusal.code.value)
    assert said[0] == "forked"
    assert said[-1] == "rate-limited"


async def test_sessions_that_have_logs_read_are_paid_for(folded: Counter[AccountId]) -> None:
    """Long-logged owners who come and go without end are told to come back later; others come in."""
    clock = Clock()
    async with serving(MemoryRelayStore(GENERATION), policy(READS), clock) as world:
        await world.introduce()
        people = [long_logged(f"owner{n}", n, world.now) for n in range(3, 6)]
        for who in people:
            async with world.open(who):
                pass
        with pytest.raises(LinkEnded) as ended:
            for n in range(30):
                async with world.open(people[n % 3]):
                    pass
        assert ended.value.code == "rate-limited"
        assert ended.value.retry_after
        async with world.open(world.alice) as client:
            parcels = [seal(world.alice, world.bob, "hi", world.now).parcel]
            assert codes(await client.send(parcels)) == ["accepted"]


async def test_strangers_who_look_at_pages_have_no_log_read_without_end(folded: Counter[AccountId]) -> None:
    """Long-logged owners in the directory, or behind invites, pay for having logs read; others are shown."""
    async with serving(MemoryRelayStore(GENERATION), policy(READS)) as world:
        people = [long_logged(f"owner{n}", n, world.now) for n in range(3, 6)]
        codes_of = {who.name: bytes([n]) * 16 for n, who in enumerate(people)}
        for who in (world.alice, *people):
            async with world.open(who) as client:
                await client.call(PutCard(card_of(who, world.now)))
                if who in people:
                    await client.call(PutInvite(invite(who, world.now, id=codes_of[who.name])))
        folded.clear()
        for _ in range(12):
            page = await world.relay.directory.find("", "", "", None)
            assert "@alice/agent" in [listing.handle for listing in page.listings]
        assert sum(folded.values()) * LONG <= len(people) * (READS + LONG)
        busy = 0
        for _ in range(12):
            for who in people:
                try:
                    assert await world.relay.invites.show(codes_of[who.name]) is not None
                except Busy:
                    busy += 1
        assert busy
        assert sum(folded.values()) * LONG <= len(people) * (READS + LONG)
