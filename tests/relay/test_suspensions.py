"""An operator suspends an account: at once, with a reason, and nothing that was accepted is lost."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from taskferry_apps.relay.account_office import AccountOffice, NoAccount
from taskferry_apps.relay.core import Policy
from taskferry_apps.relay.presence import Presence
from taskferry_apps.relay.suspensions import Suspensions
from taskferry_apps.relay_client import CallRefused, LinkEnded
from taskferry_protocol.accounts import revoke_device
from taskferry_protocol.calls import GetAccount, GetCard, PutCard
from taskferry_protocol.cards import Card, Visibility, sign_card
from taskferry_protocol.frame_items import Refusal
from taskferry_protocol.ids import DeviceId
from taskferry_protocol.records import Order
from taskferry_protocol.records.operations import SuspensionList
from taskferry_protocol.sessions import LogExtension
from taskferry_stores.memory import MemoryRelayStore

from .conftest import GENERATION, ORIGIN, codes, mails, serving, take
from .people import person, read_text, seal

REASON = "spam was reported by three owners"


def office(world):
    """The operator's hands, as another process has them."""
    return AccountOffice(world.store, world.clock.now, "command line")


async def ended(client):
    """How the relay ends a session."""
    with trio.fail_after(10), pytest.raises(LinkEnded) as end:
        while True:
            await client.deliveries()
    return end.value


async def refused_session(world, who, **options):
    """With what a session is refused."""
    with trio.fail_after(10), pytest.raises(LinkEnded) as end:
        async with world.open(who, **options):
            pass
    return end.value


async def test_live_sessions_end_with_code_and_reason(friends):
    """The session that is open hears it within moments, though another process has written it down."""
    async with friends.open(friends.alice) as alice:
        await office(friends).suspend("alice", REASON)
        end = await ended(alice)
    assert (end.code, end.retry_after) == ("suspended", 300_000)
    assert REASON in end.text


async def test_no_new_session_until_the_release(friends):
    """A further session gets the same answer; the others are served as before; a release lets it in again."""
    await office(friends).suspend("@alice", REASON)
    await friends.relay.suspensions.refresh()
    refusal = await refused_session(friends, friends.alice)
    assert (refusal.code, refusal.retry_after) == ("suspended", 300_000)
    async with friends.open(friends.bob):
        pass
    assert await office(friends).release("alice")
    await friends.relay.suspensions.refresh()
    async with friends.open(friends.alice):
        pass
    assert not await office(friends).release("alice")


async def test_strangers_do_not_learn_of_it(friends):
    """Whoever is no device of the account hears that, and neither the reason nor that there is one."""
    await office(friends).suspend("alice", REASON)
    await friends.relay.suspensions.refresh()
    mallory = person("mallory", 9, friends.now)
    mallory.log = friends.alice.log
    refusal = await refused_session(friends, mallory)
    assert refusal.code == "unknown-device"
    assert REASON not in refusal.text


async def test_mail_that_was_accepted_is_kept_and_delivered_after_the_release(friends):
    """What waited before, and what the suspended one had sent, arrives; neither is thrown away."""
    async with friends.open(friends.alice) as alice, friends.open(friends.bob) as bob:
        await alice.send([seal(friends.alice, friends.bob, "from alice", friends.now).parcel])
        await bob.send([seal(friends.bob, friends.alice, "for alice", friends.now).parcel])
    await office(friends).suspend("alice", REASON)
    await friends.relay.suspensions.refresh()
    async with friends.open(friends.bob) as bob:
        (entry,) = mails(await take(bob, 1))
        assert read_text(friends.bob, entry) == "from alice"
    await office(friends).release("alice")
    await friends.relay.suspensions.refresh()
    async with friends.open(friends.alice) as alice:
        (entry,) = mails(await take(alice, 1))
        assert read_text(friends.alice, entry) == "for alice"


async def test_new_mail_for_it_is_refused_with_the_code(friends):
    """The sender hears `suspended` on the field `to`; what was accepted before is accepted again."""
    before = seal(friends.bob, friends.alice, "before", friends.now)
    async with friends.open(friends.bob) as bob:
        await bob.send([before.parcel])
        await office(friends).suspend("alice", REASON)
        await friends.relay.suspensions.refresh()
        outcomes = await bob.send([before.parcel, seal(friends.bob, friends.alice, "x", friends.now).parcel])
    assert codes(outcomes) == ["accepted", "suspended"]
    assert isinstance(outcomes[1], Refusal)
    assert outcomes[1].detail.field == "to"
    assert REASON not in outcomes[1].detail.text


async def test_a_suspended_owner_still_puts_a_stolen_device_out(friends):
    """Statements that come with a session are taken before it is refused."""
    await office(friends).suspend("alice", REASON)
    await friends.relay.suspensions.refresh()
    alice = friends.alice
    stolen = DeviceId(alice.keys.signing.public)
    statement = revoke_device(alice.log.state, stolen, "stolen", at=friends.now, by=alice.recovery)
    after = alice.log.extend([statement])
    refusal = await refused_session(friends, alice, log=LogExtension(0, after.statements))
    assert refusal.code == "device-gone"
    async with friends.open(friends.bob) as bob:
        answer = await bob.call(GetAccount(alice.log.account, 0))
        assert len(answer.statements) == after.position.length


async def test_a_relay_that_starts_knows_who_is_suspended(store):
    """What was written down before the start counts for the first session."""
    async with serving(store, Policy([ORIGIN])) as before:
        await before.introduce()
        await office(before).suspend("alice", REASON)
    async with serving(store, Policy([ORIGIN])) as world:
        world.alice = before.alice
        assert (await refused_session(world, world.alice)).code == "suspended"


async def test_what_cannot_be_is_refused_and_changes_nothing(friends):
    """No such account, no reason, one that is too long or turns text around."""
    desk = office(friends)
    for who in ("nobody", "", "@", "../alice", "a" * 33, "0" * 64, "ALICE"):
        with pytest.raises(NoAccount):
            await desk.suspend(who, REASON)
    for reason in ("", "  \n", "x" * 201, "a\u202eb", "a\x1b[2J"):
        with pytest.raises(ValueError, match="characters"):
            await desk.suspend("alice", reason)
    assert (await friends.store.overview()).suspended == 0


async def test_it_is_found_by_id_and_former_name_and_stands_in_the_audit_log(friends):
    """By its whole id as well; both acts are written down with who did it."""
    desk = office(friends)
    await desk.suspend(friends.alice.log.account.hex(), REASON)
    found = await desk.find("alice")
    assert found.line.suspension is not None
    assert found.line.suspension.reason == REASON
    await desk.release("@alice")
    for kind in ("suspended", "released"):
        rows = await friends.store.audit_rows(kind, None, 10, Order.NEWEST_FIRST)
        assert len(rows.items) == 1


async def test_a_public_card_is_not_shown_to_strangers(friends):
    """Who is connected still has it, to whom it was known before."""
    alice = friends.alice
    card = Card(alice.agent, 1, friends.now, alice.log.position, "Alice", visibility=Visibility.PUBLIC)
    carol = person("carol", 3, friends.now)
    async with friends.open(alice) as client:
        await client.call(PutCard(sign_card(card, alice.manage)))
    async with friends.open(carol) as stranger, friends.open(friends.bob) as friend:
        assert await stranger.call(GetCard(alice.agent))
        await office(friends).suspend("alice", REASON)
        await friends.relay.suspensions.refresh()
        with pytest.raises(CallRefused, match="unknown-agent"):
            await stranger.call(GetCard(alice.agent))
        assert await friend.call(GetCard(alice.agent))


class SlowStore(MemoryRelayStore):
    """A store whose list of suspensions, once asked for, comes when a test lets it."""

    def __init__(self) -> None:
        super().__init__(GENERATION)
        self.gate: trio.Event | None = None

    async def suspensions(self, known: int | None) -> SuspensionList | None:
        """As it was when it was asked for."""
        found, gate = await super().suspensions(known), self.gate
        if gate is not None:
            await gate.wait()
        return found


async def test_an_answer_that_comes_late_lifts_nothing():
    """What was read before a suspension, and arrives after it, does not stand against it."""
    store = SlowStore()
    async with serving(store, Policy([ORIGIN])) as world:
        await world.introduce()
        late = Suspensions(store, Presence())
        await office(world).suspend("bob", REASON)
        store.gate = gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(late.refresh)
            await trio.testing.wait_all_tasks_blocked()
            store.gate = None
            await office(world).suspend("alice", REASON)
            await late.refresh()
            gate.set()
        assert world.alice.log.account in late
