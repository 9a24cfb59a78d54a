"""The limits of a relay: how they are set, and what comes of whoever goes beyond one."""

from __future__ import annotations

from contextlib import ExitStack, suppress

import attrs
import pytest
import trio
import trio.testing

from taskferry_apps.relay import senders
from taskferry_apps.relay.core import Policy
from taskferry_apps.relay.doors import Doors
from taskferry_apps.relay.limits import USUAL, RelayLimits, limit_rows, mailbox_limits
from taskferry_apps.relay.look_ups import LookUps
from taskferry_apps.relay.outbox import BYTES, FRAMES, Outbox
from taskferry_apps.relay.senders import Senders
from taskferry_apps.relay_client import CallRefused, LinkEnded
from taskferry_apps.settings import SettingsError, load_relay
from taskferry_protocol.admission import MailboxLimits
from taskferry_protocol.calls import GetAccount, PutCard
from taskferry_protocol.cbor import decode
from taskferry_protocol.frame_items import Refusal
from taskferry_protocol.ids import AccountId, DeviceId, Instant
from taskferry_protocol.records import AckMailbox, StoreEnvelope
from taskferry_stores.memory import MemoryRelayStore
from taskferry_stores.port import StoreFull
from taskferry_stores.rules import APPLICATIONS, UNUSED_TICKETS
from taskferry_stores.sqlite import open_relay_store

from .conftest import GENERATION, ORIGIN, World, codes, serving, take
from .people import connect, person, seal

ACCOUNT = AccountId(bytes(32))
NOON = Instant(1_700_000_000_000)


def bounded(**limits: int) -> Policy:
    """A relay with some limits of its own."""
    own = attrs.evolve(USUAL, **limits)
    return Policy([ORIGIN], limits=mailbox_limits(own), bounds=own)


# --- how they are set


def test_an_operator_sets_some_and_is_shown_where_each_comes_from():
    """By the environment; what is fixed and what is left out are shown as such."""
    settings = load_relay({}, {"TASKFERRY_RELAY_LIMITS": "sends=6000, accounts=50"})
    assert (settings.limits.sends, settings.limits.accounts, settings.limits.visits) == (
        6_000,
        50,
        USUAL.visits,
    )
    rows = {row.limit.name: row for row in limit_rows(settings.limits, settings.sources["limits"])}
    assert rows["sends"].source == "environment TASKFERRY_RELAY_LIMITS"
    assert (rows["visits"].source, rows["waiting"].source) == ("default", "fixed")


@pytest.mark.parametrize(
    "text",
    [
        *("sends", "sends=", "sends=-1", "sends=1", "sends=9999999999999999", "sends=6000,sends=7000"),
        *("waiting=10", "unheard-of=1", "sends=١٠٠", "stranger-entries=1000,mailbox-entries=100"),
    ],
)
def test_what_cannot_be_a_limit_is_refused_before_the_relay_starts(text):
    """With the name, and what would do."""
    with pytest.raises(SettingsError, match="limits") as refused:
        load_relay({}, {"TASKFERRY_RELAY_LIMITS": text})
    assert "it must be" in str(refused.value)


def test_every_limit_says_why_and_the_usual_ones_are_the_protocols_own():
    """None is without a reason; the ones that decide on mail are those that the decision has by itself."""
    assert all(row.limit.why.endswith(".") for row in limit_rows(USUAL, "x"))
    assert mailbox_limits(USUAL) == MailboxLimits()
    for field in attrs.fields(RelayLimits):
        span = field.metadata["span"]
        assert span is None or span[0] <= field.default <= span[1]


def test_limits_that_the_store_keeps_are_the_ones_that_are_shown():
    """Two layers name the same number; neither may be changed alone."""
    assert (USUAL.tickets, USUAL.tickets) == (UNUSED_TICKETS, APPLICATIONS)


# --- sessions


def test_what_waits_for_one_who_does_not_listen_is_few_frames_and_few_bytes():
    """Either bound ends it, and taking from it makes room."""
    small, large = Outbox(), Outbox()
    small.extend([b"x"] * FRAMES)
    large.extend([bytes(BYTES)])
    assert (small.is_full, large.is_full) == (False, False)
    small.extend([b"x"])
    large.extend([b"x"])
    assert (small.is_full, large.is_full) == (True, True)
    small.take()
    assert large.take() == [bytes(BYTES)]
    assert (small.is_full, large.is_full, len(large)) == (False, False, 1)


def test_sessions_are_counted_by_the_network_of_one_customer():
    """Of IPv6 by /64; whoever leaves makes room; this machine is not counted."""
    doors = Doors(2)
    with ExitStack() as stack:
        enter = lambda peer: stack.enter_context(doors.entered(peer))  # noqa: E731
        assert [enter("2001:db8::1"), enter("2001:db8::2"), enter("2001:db8::3")] == [True, True, False]
        assert enter("2001:db8:0:1::1")
        assert [enter("127.0.0.1") for _ in range(5)] == [True] * 5
        assert doors.fullest == 2
    assert doors.fullest == 0
    with doors.entered("2001:db8::3") as may_stay:
        assert may_stay


async def test_one_session_too_many_of_an_address_is_told_so(store):
    """Before anything of it is read; once another has gone there is room again."""
    async with serving(store, bounded(sessions_per_address=1)) as world:
        async with world.open(world.alice):
            with pytest.raises(LinkEnded) as refused:
                async with world.open(world.bob):
                    pass
            assert (refused.value.code, refused.value.retry_after) == ("too-many", 10_000)
        # The relay learns of a goodbye later than whoever said it.
        with trio.fail_after(10):
            while not await _is_let_in(world):
                await trio.sleep(0.01)


async def _is_let_in(world: World) -> bool:
    with suppress(LinkEnded):
        async with world.open(world.bob):
            return True
    return False


async def test_calls_that_change_something_have_a_rate_too(store):
    """Each is a write to the disk; looking things up goes on beside."""
    async with serving(store, bounded(changes=3)) as world, world.open(world.alice) as client:
        for _ in range(3):
            with pytest.raises(CallRefused):
                await client.call(PutCard(b"no card"))
        with pytest.raises(CallRefused, match="rate-limited") as refused:
            await client.call(PutCard(b"no card"))
        assert refused.value.refusal.detail.retry_after
        await client.call(GetAccount(world.alice.log.account, 0))


def test_many_devices_of_an_account_may_call_no_more_than_a_few():
    """What one is refused takes nothing from the others, and visitors, who have no account, share nothing."""
    counted = LookUps(bounded(lookups=10).bounds)
    question = GetAccount(ACCOUNT, 0)

    def passed(device: int, account: AccountId | None = ACCOUNT) -> int:
        asked = [counted.count(account, DeviceId(bytes([device])), question, NOON) for _ in range(25)]
        return asked.count(None)

    assert [passed(device) for device in range(6)] == [10, 10, 10, 10, 0, 0]
    assert passed(7, AccountId(b"o" * 32)) == 10
    assert [passed(device, None) for device in range(8, 14)] == [10] * 6


# --- mail


def test_an_accounts_sends_are_refused_beyond_a_minutes_and_again_allowed():
    """The last batch may overdraw, and is paid for before the next."""
    counted = Senders(60)
    assert counted.wait_ms(ACCOUNT, NOON) == 0
    counted.spend(ACCOUNT, 70, NOON)
    wait = counted.wait_ms(ACCOUNT, NOON)
    assert 10_000 <= wait <= 12_000
    assert counted.wait_ms(ACCOUNT, Instant(NOON + wait)) == 0
    assert counted.wait_ms(AccountId(b"o" * 32), NOON) == 0


async def test_a_sender_beyond_the_relays_rate_is_told_when_to_come_again(store):
    """Whatever the recipient grants; another account's mail goes on."""
    async with serving(store, bounded(sends=60)) as world:
        await world.introduce()
        alice, bob = world.alice, world.bob
        async with world.open(alice) as first, world.open(bob) as second:
            parcels = [seal(alice, bob, f"{n}", world.now).parcel for n in range(61)]
            assert set(codes(await first.send(parcels))) == {"accepted"}
            (refused,) = await first.send([seal(alice, bob, "more", world.now).parcel])
            assert isinstance(refused, Refusal)
            assert refused.code == "rate-limited"
            assert refused.detail.retry_after
            assert codes(await second.send([seal(bob, alice, "hello", world.now).parcel])) == ["accepted"]


class BusyStore(MemoryRelayStore):
    """A store whose disk a test holds up; it notes how large commits are, and is full if it is told so."""

    def __init__(self):
        super().__init__(GENERATION)
        self.gate = trio.Event()
        self.gate.set()
        self.full = False
        self.commits = []

    async def commit(self, changes):
        """Wait for the gate; refuse mail while the disk is full."""
        await self.gate.wait()
        if self.full and any(isinstance(change, StoreEnvelope) for change in changes):
            raise StoreFull("no space")
        self.commits.append(changes)
        return await super().commit(changes)


@attrs.define
class Handing:
    """A link of an account's, seen from the engine."""

    account: AccountId
    device: DeviceId
    outcomes: list[str] = attrs.field(factory=list)

    def answer(self, batch, outcomes):
        """Note them."""
        self.outcomes.extend(codes(outcomes))


async def test_a_flood_of_one_account_does_not_keep_anothers_mail_waiting(monkeypatch):
    """However many links it floods by, a commit has so many of its parcels, and whatever others sent."""
    monkeypatch.setattr(senders, "WAITING_OF_ONE", 32)
    store = BusyStore()
    async with serving(store, Policy([ORIGIN])) as world:
        await world.introduce()
        mallory, bob, alice = person("mallory", 9, world.now), world.bob, world.alice
        async with world.open(mallory) as client:
            await client.call(connect(mallory, bob, world.now))
        flood = Handing(mallory.log.account, mallory.identity.device)
        honest = Handing(alice.log.account, alice.identity.device)
        batches = [[decode(seal(mallory, bob, "x", world.now).parcel) for _ in range(8)] for _ in range(32)]
        letter = decode(seal(alice, bob, "hello", world.now).parcel)
        take_in = world.relay._engine.take
        store.gate = trio.Event()
        store.commits.clear()
        async with trio.open_nursery() as nursery:
            for number, batch in enumerate(batches):
                nursery.start_soon(take_in, flood, [(number, batch)])
            await trio.testing.wait_all_tasks_blocked(0.05)
            nursery.start_soon(take_in, honest, [(0, [letter])])
            await trio.testing.wait_all_tasks_blocked(0.05)
            store.gate.set()
        with trio.fail_after(20):
            while len(flood.outcomes) < 256:
                await trio.sleep(0.01)
        assert set(flood.outcomes + honest.outcomes) == {"accepted"}
        mail = [[c.device for c in changes if isinstance(c, StoreEnvelope)] for changes in store.commits]
        assert max(devices.count(flood.device) for devices in mail) <= 32 + 8
        first, second = [devices for devices in mail if devices][:2]
        assert honest.device in first + second


async def test_a_full_disk_still_takes_what_makes_room():
    """Acknowledgements go to disk while somebody tries to send without end."""
    store = BusyStore()
    async with serving(store, Policy([ORIGIN])) as world:
        await world.introduce()
        alice, bob = world.alice, world.bob
        async with world.open(alice) as first, world.open(bob) as second:
            await first.send([seal(alice, bob, "before", world.now).parcel])
            (entry,) = await take(second, 0) or await second.deliveries()
            store.full = True
            store.commits.clear()
            await second.ack(entry.offset)
            with trio.fail_after(10):
                while not any(isinstance(c, AckMailbox) for changes in store.commits for c in changes):
                    assert codes(await first.send([seal(alice, bob, "x", world.now).parcel])) == ["internal"]


async def test_all_devices_of_an_account_share_its_room():
    """With four times as many devices each mailbox holds a quarter."""
    limits = MailboxLimits(size=1_000, account_size=4_000)
    account = person("alice", 1, NOON).log.state
    assert limits.most_of(account) >= 1_000
    many = attrs.evolve(limits, account_size=500)
    assert many.most_of(account) == 500


# --- the disk


async def test_a_relay_with_as_many_accounts_as_it_takes_says_so(store):
    """Those who are there come in as before."""
    async with serving(store, bounded(accounts=2)) as world:
        await world.introduce()
        with pytest.raises(LinkEnded) as refused:
            async with world.open(person("carol", 3, world.now)):
                pass
        assert refused.value.code == "signup-refused"
        async with world.open(world.alice):
            pass


async def test_an_account_has_so_many_connections_and_no_more(store):
    """Ended ones count; the same one again is nothing new."""
    async with serving(store, bounded(connections_of_account=1)) as world:
        await world.introduce()
        carol = person("carol", 3, world.now)
        async with world.open(carol), world.open(world.alice) as client:
            with pytest.raises(CallRefused, match="too-many"):
                await client.call(connect(world.alice, carol, world.now))


async def test_a_database_that_may_not_grow_refuses_mail_until_some_is_fetched(tmp_path):
    """With the code of a full disk; what is acknowledged makes room."""
    async with (
        open_relay_store(tmp_path / "relay.db", generation=GENERATION, most_bytes=2 * 1_048_576) as store,
        serving(store, Policy([ORIGIN])) as world,
    ):
        await world.introduce()
        alice, bob = world.alice, world.bob
        async with world.open(alice) as first:
            outcomes = ["accepted"]
            sent = 0
            while outcomes == ["accepted"]:
                outcomes = codes(await first.send([seal(alice, bob, "x" * 50_000, world.now).parcel]))
                sent += 1
                assert sent < 60
            assert outcomes == ["internal"]
            async with world.open(bob) as second:
                await take(second, sent - 1)
            with trio.fail_after(20):
                while codes(await first.send([seal(alice, bob, "after", world.now).parcel])) != ["accepted"]:
                    await trio.sleep(0.05)
