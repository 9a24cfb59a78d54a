"""Folding long logs holds nobody up: it is done in small steps, once for all who wait, for whoever pays."""

from __future__ import annotations

from collections.abc import AsyncIterator

import attrs
import pytest
import trio
import trio.testing

from taskferry_apps.relay import account_reads
from taskferry_apps.relay import facts as facts_module
from taskferry_apps.relay.facts import Facts
from taskferry_apps.relay.folding import price
from taskferry_apps.relay.limits import USUAL
from taskferry_apps.relay.reading import RECOVERY, STRANGERS, Reader, Reads
from taskferry_apps.relay_client import CallRefused
from taskferry_protocol.accounts import (
    STEP_BYTES,
    DeviceKeys,
    add_device,
    consent_to_stand,
    recover,
    refold,
    refold_in_steps,
    revoke_device,
    set_agent,
)
from taskferry_protocol.admission import MailboxLimits
from taskferry_protocol.calls import AppendStatements, GetAccount, GetPresence
from taskferry_protocol.errors import EnvelopeRejected
from taskferry_protocol.ids import AccountId, DeviceId, Instant
from taskferry_protocol.records import AppendStatements as StoreStatements
from taskferry_protocol.statements import open_statement
from taskferry_stores.memory import MemoryRelayStore

from .conftest import GENERATION, Clock, codes, serving
from .people import Person, person, seal
from .test_long_logs import LONG, READS, ROOM, befriend, folded, long_logged, policy
from .test_visits import visiting

__all__ = ["folded"]


def with_device(owner: Person, now: Instant) -> tuple[Person, DeviceKeys]:
    """The owner's account with one more device, which serves the same agent."""
    second = DeviceKeys.generate("phone", owner.entropy)
    state = owner.log.state
    consent = consent_to_stand(second, state.account, state.length)
    log = owner.log.extend([add_device(state, second.record, consent, at=now, by=owner.manage)])
    both = sorted([owner.keys.id, second.id])
    log = log.extend([set_agent(log.state, "agent", both, at=now, by=owner.manage)])
    return attrs.evolve(owner, log=log), second


class Rounds(trio.abc.Instrument):
    """Bytes of statements that were folded while one task had its turn, at most."""

    def __init__(self) -> None:
        self.most = self.now = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Another turn begins."""
        self.now = 0

    def count(self, raw: bytes) -> None:
        """A statement was read."""
        self.now += len(raw)
        self.most = max(self.most, self.now)


@pytest.fixture
async def rounds(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rounds]:
    """Counts all that is opened of statements, whatever for."""
    rounds = Rounds()
    for where in ("taskferry_protocol.account_state", "taskferry_apps.audit_logs"):
        monkeypatch.setattr(f"{where}.open_statement", _counting(rounds, open_statement))
    trio.lowlevel.add_instrument(rounds)
    yield rounds
    trio.lowlevel.remove_instrument(rounds)


def _counting(rounds, then):
    def opened(raw, check):
        rounds.count(raw)
        return then(raw, check)

    return opened


async def test_no_task_folds_more_than_a_step_while_others_wait(rounds: Rounds) -> None:
    """A session, mail, one more statement, a branch, a recovery: of the longest log, a step in each turn."""
    store = MemoryRelayStore(GENERATION)
    async with serving(store, policy(USUAL.reads)) as world:
        now = world.now
        mallory = long_logged("mallory", 3, now)
        rounds.most = 0
        async with world.open(world.alice), world.open(mallory):
            pass
    assert 0 < rounds.most <= STEP_BYTES
    async with serving(store, policy(USUAL.reads)) as again, again.open(mallory, log=None) as client:
        new = set_agent(mallory.log.state, "other", [mallory.keys.id], at=now, by=mallory.manage)
        await client.call(AppendStatements(LONG, (new,)))
        assert 0 < rounds.most <= STEP_BYTES
        before = refold(mallory.log.statements[: LONG - 1]).state
        record = (mallory.keys.record, consent_to_stand(mallory.keys, before.account, before.length))
        regained = recover(before, [record], {}, at=now, by=mallory.recovery)
        branch = set_agent(before, "third", [mallory.keys.id], at=now, by=mallory.manage)
        rounds.most = 0
        with pytest.raises(CallRefused):
            await client.call(AppendStatements(LONG - 1, (branch,)))
        await client.call(AppendStatements(LONG - 1, (regained,)))
    assert 0 < rounds.most <= STEP_BYTES


async def test_adding_to_a_long_log_folds_what_is_added_alone(rounds: Rounds) -> None:
    """What the name was before is known; nobody has all of the log read for one more statement."""
    async with serving(MemoryRelayStore(GENERATION), policy(USUAL.reads)) as world:
        mallory = long_logged("mallory", 3, world.now)
        async with world.open(mallory) as client:
            new = set_agent(mallory.log.state, "other", [mallory.keys.id], at=world.now, by=mallory.manage)
            counted: list[bytes] = []
            rounds.count = counted.append  # type: ignore[assignment]
            await client.call(AppendStatements(LONG, (new,)))
    assert set(counted) == {new}


async def test_sessions_at_once_fold_the_same_log_once(folded) -> None:
    """Whoever comes while it is read waits for that, and pays nothing."""
    store = MemoryRelayStore(GENERATION)
    async with serving(store, policy(USUAL.reads)) as world:
        mallory = long_logged("mallory", 3, world.now)
        async with world.open(mallory):
            pass
    clock = Clock()
    facts = Facts(store, MailboxLimits(), Reads(clock.now))
    found: list[object] = []

    async def ask(reader: Reader | None) -> None:
        found.append(await facts.account(mallory.log.account, reader))

    folded.clear()
    async with trio.open_nursery() as nursery:
        for n in range(5):
            nursery.start_soon(ask, Reader(AccountId(bytes([n]) * 32), DeviceId(b"")))
    assert folded == {mallory.log.account: 1}
    assert found == [found[0]] * 5
    assert found[0] is not None


async def test_who_waits_for_a_log_goes_on_when_its_reader_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller who hangs up leaves the others to read it themselves."""
    store = MemoryRelayStore(GENERATION)
    async with serving(store, policy(USUAL.reads)) as world:
        mallory = long_logged("mallory", 3, world.now)
        async with world.open(mallory):
            pass
    facts = Facts(store, MailboxLimits(), Reads(Clock().now))
    first = trio.CancelScope()
    reached = trio.Event()
    usual = refold_in_steps

    def held_up(statements):
        reached.set()
        while not first.cancel_called:
            yield
        return (yield from usual(statements))

    monkeypatch.setattr(account_reads, "refold_in_steps", held_up)

    async def ask_and_go() -> None:
        with first:
            await facts.account(mallory.log.account, None)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_and_go)
            await reached.wait()

            async def ask() -> None:
                assert await facts.account(mallory.log.account, None) is not None

            nursery.start_soon(ask)
            await trio.lowlevel.checkpoint()
            first.cancel()


async def test_a_log_that_changes_while_it_is_folded_is_not_taken_for_what_it_is_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A revocation that is committed between two steps counts."""
    store = MemoryRelayStore(GENERATION)
    async with serving(store, policy(USUAL.reads)) as world:
        owner, second = with_device(person("mallory", 3, world.now), world.now)
        async with world.open(owner):
            pass
    facts = Facts(store, MailboxLimits(), Reads(Clock().now))
    log = owner.log
    revoked = log.extend([revoke_device(log.state, second.id, "", at=Instant(0), by=owner.manage)])
    usual = refold_in_steps
    times = []

    def interrupted(statements):
        times.append(len(statements))
        if len(times) == 1:
            facts.account_changed(log.account, revoked, "")
            facts._accounts.drop(log.account)
        return (yield from usual(statements))

    monkeypatch.setattr(account_reads, "refold_in_steps", interrupted)
    await store.commit(
        [
            StoreStatements(
                log.account,
                "mallory",
                log.position,
                len(log.heads),
                revoked.after(len(log.heads)),
                revoked.position,
            )
        ]
    )
    held = await facts.account(log.account, None)
    assert held is not None
    assert len(times) == 2
    assert held.log.position == revoked.position


async def test_long_logs_are_read_few_at_a_time_and_keep_no_short_one_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many sessions need one; a short one is read meanwhile."""
    monkeypatch.setattr(account_reads, "LANES", ((20, 4), (4_096, 2)))
    monkeypatch.setattr(facts_module, "STATEMENTS_HELD", ROOM)
    store = MemoryRelayStore(GENERATION)
    async with serving(store, policy(USUAL.reads)) as world:
        long = [long_logged(f"owner{n}", n, world.now) for n in range(3, 9)]
        for who in (*long, world.alice):
            async with world.open(who):
                pass
    facts = Facts(store, MailboxLimits(), Reads(Clock().now))
    gate = trio.Event()
    under_way: list[int] = []
    usual = refold_in_steps

    def held_up(statements):
        if len(statements) == LONG:
            under_way.append(1)
            while not gate.is_set():
                yield
            under_way.pop()
        return (yield from usual(statements))

    monkeypatch.setattr(account_reads, "refold_in_steps", held_up)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for who in long:
                nursery.start_soon(facts.account, who.log.account, None)
            while len(under_way) < 2:
                await trio.lowlevel.checkpoint()
            assert await facts.account(world.alice.log.account, None) is not None
            assert len(under_way) == 2
            gate.set()


def test_a_statement_is_paid_for_by_its_length() -> None:
    """A recovery of many devices takes as long as twenty rotations of keys."""
    assert price([bytes(200)] * 3) == 3
    assert price([bytes(6_400)]) == 20


# --- who pays


def test_one_device_leaves_the_others_of_its_account_what_they_need() -> None:
    """It has half; a log that costs more goes into its own debt; strangers and recoveries are apart."""
    clock = Clock()
    reads = Reads(lambda: Instant(1_700_000_000_000 + clock.ahead_ms), 100)
    account = AccountId(bytes(32))
    stolen, other = Reader(account, DeviceId(b"stolen")), Reader(account, DeviceId(b"other"))
    reads.check(stolen)
    reads.spend(stolen, 5_000)
    with pytest.raises(EnvelopeRejected):
        reads.check(stolen)
    reads.check(other)
    reads.spend(other, 50)
    third = Reader(account, DeviceId(b"third"))
    with pytest.raises(EnvelopeRejected):
        reads.check(third)
    for apart in (STRANGERS, RECOVERY):
        reads.check(Reader(account, apart))
        reads.spend(Reader(account, apart), 5_000)
        with pytest.raises(EnvelopeRejected):
            reads.check(Reader(account, apart))
    clock.ahead_ms = 10_000
    reads.check(third)


async def test_a_stolen_device_does_not_keep_its_owner_from_putting_it_out(folded) -> None:
    """It has long logs read without end; the owner's other device comes in, sends, and revokes it."""
    clock = Clock()
    async with serving(MemoryRelayStore(GENERATION), policy(READS), clock) as world:
        await world.introduce()
        owner, second = with_device(world.alice, world.now)
        stolen = attrs.evolve(owner, keys=second)
        names = ("mallory", "trudy", "ursula")
        long = [long_logged(name, n, world.now) for n, name in enumerate(names, 3)]
        async with world.open(owner):
            pass
        await befriend(world, owner, *long)
        clock.ahead_ms += 60_000
        async with world.open(stolen) as thief:
            with pytest.raises(CallRefused) as refused:
                for _ in range(12):
                    await thief.call(GetPresence(tuple(who.agent for who in long)))
            assert refused.value.refusal.code == "rate-limited"
            world.relay._engine._facts.forget_all()
            async with world.open(owner) as client:
                parcels = [seal(owner, long[0], "hi", world.now).parcel]
                assert codes(await client.send(parcels)) == ["accepted"]
                gone = revoke_device(owner.log.state, second.id, "", at=world.now, by=owner.manage)
                await client.call(AppendStatements(len(owner.log.statements), (gone,)))


async def test_a_visitor_has_no_log_read_without_end(folded) -> None:
    """Whoever holds recovery keys of several long logs pays for each of them."""
    async with serving(MemoryRelayStore(GENERATION), policy(READS)) as world:
        people = [long_logged(f"owner{n}", n, world.now) for n in range(3, 6)]
        for who in people:
            async with world.open(who):
                pass
        folded.clear()
        said = set()
        for n in range(30):
            who = people[n % 3]
            async with visiting(world, who.recovery) as client:
                try:
                    await client.call(GetAccount(who.log.account))
                except CallRefused as refused:
                    said.add(refused.refusal.code.value)
        assert said == {"rate-limited"}
        assert sum(folded.values()) * LONG <= len(people) * (READS + LONG)


async def test_statements_that_are_refused_are_paid_for(folded) -> None:
    """Each has signatures verified: whoever adds what does not fit, without end, is told to wait."""
    async with serving(MemoryRelayStore(GENERATION), policy(READS)) as world:
        mallory = person("mallory", 3, world.now)
        async with world.open(mallory) as client:
            state = mallory.log.state
            fine = set_agent(state, "other", [mallory.keys.id], at=world.now, by=mallory.manage)
            said = []
            for _ in range(60):
                with pytest.raises(CallRefused) as refused:
                    await client.call(AppendStatements(2, (fine, fine)))
                said.append(refused.value.refusal.code.value)
    assert (said[0], said[-1]) == ("bad-sequence", "rate-limited")


async def test_recoveries_without_end_are_paid_for_too(folded) -> None:
    """Nobody else's reading holds one up; the holder of the key waits for the last ones."""
    async with serving(MemoryRelayStore(GENERATION), policy(READS)) as world:
        mallory = long_logged("mallory", 3, world.now)
        said = []
        async with world.open(mallory) as client:
            keep = LONG - 1
            for n in range(8):
                before = refold(mallory.log.statements[:keep]).state
                record = (mallory.keys.record, b"")
                new = recover(before, [record], {}, at=Instant(world.now + n), by=mallory.recovery)
                try:
                    await client.call(AppendStatements(keep, (new,)))
                    said.append("taken")
                except CallRefused as refused:
                    said.append(refused.refusal.code.value)
    assert said[0] == "taken"
    assert said[-1] == "rate-limited"
