"""What strangers may cost a relay: nobody makes it read or fold another owner's log."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import nullcontext

import attrs
import pytest
import trio

from taskferry_apps.daemon.publishing import fetch_log
from taskferry_apps.relay.core import Policy
from taskferry_apps.relay.hourly import HOUR_MS
from taskferry_apps.relay.limits import USUAL
from taskferry_apps.relay.sign_ups import Allowance, SignUpBudget
from taskferry_apps.relay_client import CallRefused, LinkEnded
from taskferry_protocol.accounts import (
    AccountLog,
    DeviceKeys,
    add_device,
    consent_to_stand,
    recover,
    rename,
    set_agent,
)
from taskferry_protocol.calls import AccountFound, AppendStatements, FindAccount, GetAccount
from taskferry_protocol.errors import EnvelopeRejected
from taskferry_protocol.ids import AccountId, Instant
from taskferry_protocol.records import AccountRecord, LogPage
from taskferry_protocol.sessions import LogExtension
from taskferry_stores.memory import MemoryRelayStore

from .conftest import GENERATION, ORIGIN, Clock, serving
from .people import person


class WatchedStore(MemoryRelayStore):
    """A store that counts how often whole logs are read."""

    def __init__(self) -> None:
        super().__init__(GENERATION)
        self.logs_read = 0
        self.rows_read = 0

    async def statements(self, account: AccountId, start: int, limit: int) -> LogPage | None:
        """A piece of a log, and so many rows more."""
        page = await super().statements(account, start, limit)
        self.rows_read += 0 if page is None else len(page.statements)
        return page

    async def accounts(
        self, accounts: Collection[AccountId], longest: int | None = None
    ) -> Mapping[AccountId, AccountRecord]:
        """Account logs, and one more read."""
        self.logs_read += 1
        return await super().accounts(accounts, longest)

    async def accounts_named(self, names: Collection[str]) -> Mapping[str, AccountRecord]:
        """Account logs, and one more read."""
        self.logs_read += 1
        return await super().accounts_named(names)


@pytest.fixture
async def cold():
    """A relay that holds alice's account and has nothing of it in memory."""
    store = WatchedStore()
    async with serving(store, Policy([ORIGIN])) as before, before.open(before.alice):
        pass
    async with serving(store, Policy([ORIGIN])) as world:
        world.alice = before.alice
        store.logs_read = 0
        yield world


async def turned_away(world, who, log: LogExtension) -> str | None:
    """With which code the relay ends the opening."""
    with pytest.raises(LinkEnded) as caught:
        async with world.open(who, log=log):
            pass
    return caught.value.code


def claims(victim, seed, now):
    """Somebody else's key that says it is a device of the victim's account."""
    return attrs.evolve(victim, keys=person("mallory", seed, now).keys)


async def test_a_key_that_the_account_never_named_reads_no_log(cold):
    """Without news of the log an unknown device is refused by a look at the keys."""
    mallory = claims(cold.alice, 66, cold.now)
    for start, statements in ((2, ()), (0, cold.alice.log.statements), (1, cold.alice.log.statements[1:])):
        assert await turned_away(cold, mallory, LogExtension(start, statements)) == "unknown-device"
    assert await turned_away(cold, mallory, LogExtension(7, ())) == "not-an-extension"
    assert cold.store.logs_read == 0


async def test_many_statements_of_a_stranger_read_no_more_of_a_log_than_is_like_them(cold):
    """Hundreds of a byte each, from anywhere in it, are turned away for the price of a few rows."""
    alice = cold.alice
    for _ in range(60):
        statement = set_agent(alice.log.state, "agent", [alice.keys.id], at=cold.now, by=alice.manage)
        alice.log = alice.log.extend([statement])
    async with cold.open(alice):
        pass
    cold.relay._engine._facts.forget_all()
    mallory = claims(alice, 66, cold.now)
    for start in (0, 1, 30):
        cold.store.rows_read = 0
        assert await turned_away(cold, mallory, LogExtension(start, (b"x",) * 250)) == "bad-cose"
        assert 0 < cold.store.rows_read <= 10
    known = alice.log.statements
    assert await turned_away(cold, mallory, LogExtension(0, (*known, b"x"))) == "bad-cose"
    assert await turned_away(cold, mallory, LogExtension(0, known)) == "unknown-device"
    second = rename(alice.log.state, "mallory", at=cold.now, by=mallory.manage)
    assert await turned_away(cold, mallory, LogExtension(0, (*known, second))) == "not-authorized"


async def test_statements_of_a_stranger_read_no_log(cold):
    """What a stranger signs as the next statement, or as another branch, is judged by its signer first."""
    alice = cold.alice
    mallory = claims(alice, 66, cold.now)
    first = AccountLog(alice.log.statements[:1], alice.log.state_at(1), alice.log.heads[:1])
    news = rename(alice.log.state, "mallory", at=cold.now, by=mallory.manage)
    branch = rename(first.state, "mallory", at=cold.now, by=mallory.manage)
    longer = alice.log.extend([rename(alice.log.state, "b", at=cold.now, by=alice.manage)])
    late = rename(longer.state, "c", at=cold.now, by=alice.manage)
    other = person("carol", 8, cold.now).log.statements
    cases = [
        (2, (news,), "not-authorized"),
        (1, (branch,), "not-authorized"),
        (0, (alice.log.statements[0], branch), "not-authorized"),
        (2, (late,), "bad-sequence"),
        (2, (alice.log.statements[1],), "bad-sequence"),
        (2, (other[1],), "wrong-account"),
        (0, other, "wrong-account"),
        (2, (b"garbage",), "bad-cose"),
        (2, (news[:-1] + bytes([news[-1] ^ 1]),), "bad-signature"),
    ]
    for start, statements, code in cases:
        assert await turned_away(cold, mallory, LogExtension(start, statements)) == code
    assert cold.store.logs_read == 0


async def test_a_new_device_brings_the_statement_that_names_it(cold):
    """An owner's key vouches for a device that the relay has not heard of."""
    alice = cold.alice
    keys = DeviceKeys.generate("phone", alice.entropy)
    consent = consent_to_stand(keys, alice.log.account, 2)
    statement = add_device(alice.log.state, keys.record, consent, at=cold.now, by=alice.manage)
    phone = attrs.evolve(alice, keys=keys)
    async with cold.open(phone, log=LogExtension(2, (statement,))) as client:
        assert client.ready.log.length == 3


async def test_who_recovers_an_account_on_another_branch_gets_in(cold):
    """The recovery key is among those that the log has named, so its branch is judged, and wins."""
    alice = cold.alice
    keys = DeviceKeys.generate_managing("new", alice.entropy)
    first = AccountLog(alice.log.statements[:1], alice.log.state_at(1), alice.log.heads[:1])
    consent = consent_to_stand(keys, alice.log.account, 1)
    statement = recover(first.state, [(keys.record, consent)], {}, at=cold.now, by=alice.recovery)
    phone = attrs.evolve(alice, keys=keys)
    async with cold.open(phone, log=LogExtension(1, (statement,))) as client:
        assert client.ready.log.length == 2


async def test_looking_an_account_up_reads_a_page_of_it(cold):
    """Statements are served as they lie in the store, from the index asked for."""
    alice = cold.alice
    async with cold.open(cold.bob) as client:
        cold.store.logs_read = 0
        account, every = alice.log.account, alice.log.statements
        assert await client.call(GetAccount(account)) == AccountFound(account, 0, every)
        assert await client.call(GetAccount(account, 1)) == AccountFound(account, 1, every[1:])
        assert await client.call(FindAccount("alice", 1)) == AccountFound(account, 1, every[1:])
        assert await client.call(GetAccount(account, 2**63)) == AccountFound(account, 2**63, ())
    assert cold.store.logs_read == 0


async def test_looking_accounts_up_has_a_rate(cold):
    """Who asks faster than any daemon needs to is told when to come back."""
    async with cold.open(cold.bob) as client:
        with pytest.raises(CallRefused) as caught:
            for _ in range(USUAL.lookups + 100):
                await client.call(GetAccount(cold.alice.log.account, 2))
        refusal = caught.value.refusal
        assert refusal.code == "rate-limited"
        assert refusal.detail.retry_after is not None
        cold.clock.ahead_ms += 1_000
        assert await client.call(FindAccount("alice", 2)) == AccountFound(cold.alice.log.account, 2, ())


async def test_coming_in_anew_is_no_way_around_the_rate(cold):
    """A device that has looked up as much as it may has nothing left in its next session either."""
    async with cold.open(cold.bob) as client:
        with pytest.raises(CallRefused):
            for _ in range(USUAL.lookups + 100):
                await client.call(GetAccount(cold.alice.log.account, 2))
    async with cold.open(cold.bob) as client:
        with pytest.raises(CallRefused) as caught:
            for _ in range(USUAL.lookups // 2):
                await client.call(GetAccount(cold.alice.log.account, 2))
        assert caught.value.refusal.code == "rate-limited"
    async with cold.open(cold.alice) as client:
        await client.call(GetAccount(cold.alice.log.account, 2))


async def test_a_log_is_had_from_a_relay_that_wants_to_be_asked_less_often(cold):
    """A daemon waits as it was told to and asks again: no log is taken for one that nobody shows."""
    account, every = cold.alice.log.account, cold.alice.log.statements
    async with cold.open(cold.bob) as client:
        with pytest.raises(CallRefused):
            while True:
                await client.call(GetAccount(account, 2))
        with trio.fail_after(20):
            assert await fetch_log(client, account, 0) == every


async def test_one_address_may_begin_few_accounts_in_an_hour(store):
    """Every try of a stranger counts, whatever comes of it; who is known comes and goes as before."""
    clock = Clock()
    clock.ahead_ms = HOUR_MS - clock.now() % HOUR_MS
    async with serving(store, Policy([ORIGIN], sign_ups=Allowance.of(2)), clock) as world:
        async with world.open(world.alice):
            pass
        carol = person("carol", 3, world.now)
        broken = LogExtension(0, (*carol.log.statements, b"garbage"))
        assert await turned_away(world, carol, broken) == "bad-cose"
        with pytest.raises(LinkEnded) as caught:
            async with world.open(world.bob):
                pass
        assert caught.value.code == "rate-limited"
        assert caught.value.retry_after is not None
        assert 0 < caught.value.retry_after <= HOUR_MS
        async with world.open(world.alice):
            pass
        clock.ahead_ms += HOUR_MS
        async with world.open(world.bob):
            pass


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
    ],
)
def test_addresses_are_counted_by_customer(one, other, same):
    """An IPv6 customer holds a whole /64, and is one all the same."""
    budget = SignUpBudget(Allowance.of(1))
    budget.spend(one, Instant(0))
    with pytest.raises(EnvelopeRejected) if same else nullcontext():
        budget.spend(other, Instant(0))


def test_this_machine_is_not_counted():
    """The owner's own daemons, and what stands behind a proxy that runs here, are not strangers."""
    budget = SignUpBudget(Allowance.of(1))
    for _ in range(5):
        budget.spend("127.0.0.1", Instant(0))


async def test_an_account_is_told_that_it_has_claimed_too_many_names(world):
    """Renaming without end would take every name for ever."""
    log = world.alice.log
    async with world.open(world.alice) as client:
        for n in range(15):
            log = log.extend([rename(log.state, f"alice{n}", at=world.now, by=world.alice.manage)])
            await client.call(AppendStatements(log.position.length - 1, log.statements[-1:]))
        more = rename(log.state, "one-more", at=world.now, by=world.alice.manage)
        with pytest.raises(CallRefused) as caught:
            await client.call(AppendStatements(log.position.length, (more,)))
        assert caught.value.refusal.code == "too-many"
