"""A peer whose last machine is put out keeps nobody from telling the others what is new."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from taskferry_apps.daemon.delivery import delivery_words
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.port import CardChange, DaemonRefusal, NewTask
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.views import Delivery
from taskferry_protocol import accounts
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.ids import AgentRef, Hash, Instant
from taskferry_protocol.records import OweReceipt, ReceiptOwed
from tests.devices.machines import a_pair

from .worlds import OWNER, Machine, a_world, act, ask, connect, connected, set_up, until


async def test_a_peer_that_has_no_device_any_more_stops_no_news_of_ours():
    """Its owner put the last one out: keys are changed and cards signed as before, and others told."""
    async with (
        a_world() as world,
        world.running(Machine("alice")) as alice,
        world.running(Machine("bob")) as bob,
        world.running(Machine("carol")) as carol,
    ):
        await set_up(alice, "alice", "requester")
        await set_up(bob, "bob", "writer")
        await set_up(carol, "carol", "reader")
        await connect(alice, bob, "requester", "@bob/writer")
        await connect(alice, carol, "requester", "@carol/reader")
        await bob.devices.revoke(OWNER, bob._core.device.hex(), "the end", lose=True)

        async def both():
            return len(await alice.connections(OWNER, "accepted", "")) == 2

        await until(both)
        assert not (await bob._core.own_log()).state.active_devices()
        await know_log_of(alice, bob)
        await alice.edit_agent(OWNER, "requester", CardChange(tagline="Asks"))
        await alice.devices.rotate(OWNER)

        async def told():
            length = len((await alice._core.own_log()).statements)
            log = await carol._core.logs.get(alice._core.own)
            (connection,) = await carol.connections(OWNER, "accepted", "")
            is_new = connection.card is not None and connection.card.version == 2
            return is_new and log is not None and len(log.statements) == length

        await until(told)


async def refusal(call: Awaitable[object]) -> DaemonRefusal:
    """What a call is refused with."""
    with pytest.raises(DaemonRefusal) as refused:
        await call
    assert "Nothing was sent" in refused.value.message
    return refused.value


async def waiting(daemon: Daemon) -> set[Hash]:
    """What is in the outbox."""
    return {entry.hash for entry in await daemon._core.store.outbox_expired(Instant(2**53 - 1), 100)}


async def know_log_of(daemon: Daemon, other: Daemon) -> None:
    """The one has heard of all that the other has signed, as the relay shows it to whoever asks."""
    log = await other._core.own_log()
    async with daemon._core.lock:
        draft = Draft(daemon._core)
        held = await draft.log(log.account)
        assert held is not None
        draft.replace_log(held, log, held.state.length, log.state.name)
        await draft.commit()


async def test_a_sender_is_told_what_of_the_recipient_is_gone():
    """No machine at all, or none for that agent: who sends hears which, and nothing is queued."""
    async with a_world() as world, connected(world) as (alice, bob):
        task = await ask(alice, "requester", "@bob/writer")
        async with bob._core.lock:
            draft = Draft(bob._core)
            state = (await draft.own_log()).state
            withdrawn = accounts.set_agent(state, "writer", (), at=draft.now, by=bob._core.manage)
            await bob._owner.extend(draft, withdrawn)
            await draft.commit()
        await know_log_of(alice, bob)
        before = await waiting(alice)
        sending = [
            lambda: alice.send_message(OWNER, "requester", "@bob/writer", "hello", (), "", ""),
            lambda: alice.create_task(OWNER, NewTask("requester", "@bob/writer", "Report", "Write it.")),
        ]
        for send in sending:
            told = await refusal(send())
            assert (told.code, told.status) == ("unknown-recipient", 404)
            assert "@bob has no agent writer any more" in told.message
            assert "Ask @bob" in told.next_step
        await bob.devices.revoke(OWNER, bob._core.device.hex(), "the end", lose=True)
        await know_log_of(alice, bob)
        for send in sending:
            told = await refusal(send())
            assert (told.code, told.status) == ("device-gone", 409)
            assert "@bob has no machine any more" in told.message
            assert "Ask @bob" in told.next_step
        assert (await act(alice, task, "cancel")).state == "cancelled"
        assert await waiting(alice) <= before


async def test_who_sends_from_a_machine_that_was_put_out_is_told_so():
    """By the account's own log it is refused; by the relay's word alone it is queued, with a note."""
    async with a_pair() as pair:
        await pair.first.devices.revoke(OWNER, pair.device.hex(), "lost", lose=False)

        async def turned_away():
            return pair.second._link.refused is RejectCode.DEVICE_GONE

        await until(turned_away)
        sent = await pair.second.send_message(OWNER, "requester", "@bob/writer", "hello", (), "", "")
        assert (sent.delivery.rung, "was put out of your account" in sent.warnings[0]) == ("queued", True)
        assert "taskferry device link" in sent.warnings[0]
        await know_log_of(pair.second, pair.first)
        told = await refusal(pair.second.send_message(OWNER, "requester", "@bob/writer", "again", (), "", ""))
        assert (told.code, told.status) == ("device-gone", 409)
        assert "This machine is none of your account's any more" in told.message


@pytest.mark.parametrize(
    ("rung", "code", "words"),
    [
        ("failed", "device-gone", "@bob has no machine any more"),
        ("failed", "unknown-recipient", "no machine of @bob serves @bob/writer any more"),
        ("expired", "device-gone", "The machine that sent it was put out"),
        ("expired", "expired", "whether it was delivered is not known"),
        ("failed", "too-large", "Failed: too-large."),
    ],
)
def test_the_end_of_a_message_is_told_in_words(rung: str, code: str, words: str) -> None:
    """Where a machine is gone, what became of a message names it; any other code stands as it is."""
    assert words in delivery_words(Delivery(rung, Instant(1_700_000_000_000), code), "@bob/writer", None)


async def test_a_receipt_that_nobody_can_be_sent_uses_up_no_number():
    """Should the peer come back, no gap shows that no message is behind; nothing is kept of it."""
    async with a_world() as world, connected(world) as (alice, bob):
        await bob.devices.revoke(OWNER, bob._core.device.hex(), "the end", lose=True)
        await know_log_of(alice, bob)
        core, peer = alice._core, AgentRef(bob._core.own, "writer")

        async def all_said() -> bool:
            return not await core.store.receipts_owed(1)

        await until(all_said)
        before = await core.store.sequences((peer,))
        async with core.lock:
            draft = Draft(core)
            owed = ReceiptOwed(Hash(bytes(32)), core.agent("requester"), peer, "applied", "", draft.now)
            draft.add(OweReceipt(owed))
            await draft.commit()
        core.outgoing.ring()
        await until(all_said)
        assert await core.store.sequences((peer,)) == before
