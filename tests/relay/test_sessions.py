"""Who gets a session, who loses it, and what a client that lies comes to."""

from __future__ import annotations

import attrs
import pytest
import trio
import trio.testing

from taskferry_apps.relay.core import Policy
from taskferry_apps.relay.entrance import SignUp
from taskferry_apps.relay_client import Identity, LinkEnded, open_relay
from taskferry_protocol.accounts import (
    DeviceKeys,
    add_device,
    consent_to_stand,
    rename,
    revoke_device,
    set_agent,
)
from taskferry_protocol.calls import AppendStatements
from taskferry_protocol.frame_items import Cursor, ParcelAccepted, Refusal
from taskferry_protocol.frames import AckFrame, HelloFrame, PingFrame, encode_frame, encode_send
from taskferry_protocol.ids import AccountId
from taskferry_protocol.sessions import ClientSession, LogExtension

from .conftest import ORIGIN, PausedStore, mails, serving, take
from .people import Person, person, read_text, seal


async def refused_with(world, who: Person, **how) -> str | None:
    """The code that a session of this person is refused with."""
    with trio.fail_after(10):
        try:
            async with world.open(who, **how):
                return None
        except LinkEnded as ended:
            return ended.code


async def test_an_owner_joins_by_statements_and_comes_back_without(world):
    """The first session brings the log; later ones need not."""
    async with world.open(world.alice) as client:
        assert client.ready.log == world.alice.log.position
    async with world.open(world.alice, log=LogExtension(2)) as client:
        assert client.ready.log == world.alice.log.position


async def test_another_origin_is_refused(world):
    """A relay that forwards the session of another is found out."""
    assert await refused_with(world, world.alice, origin="ws://evil.test:80") == "wrong-origin"


async def test_a_closed_relay_takes_no_strangers(store):
    """Only accounts that are known get in."""
    async with serving(store, Policy([ORIGIN], SignUp.CLOSED)) as world:
        assert await refused_with(world, world.alice) == "signup-refused"


async def test_a_name_belongs_to_its_first_claimant_for_ever(world):
    """A second account of the same name is refused, even after the first was renamed."""
    alice = world.alice
    async with world.open(alice) as client:
        statement = rename(alice.log.state, "alicia", at=world.now, by=alice.manage)
        await client.call(AppendStatements(2, (statement,)))
    assert await refused_with(world, person("alice", 55, world.now)) == "name-taken"
    assert await refused_with(world, person("alicia", 56, world.now)) == "name-taken"


async def test_another_account_than_the_statements_make_is_refused(world):
    """Nobody joins under an account id that is not theirs."""
    stranger = person("mallory", 13, world.now)
    transport = await world.network.dial()
    with pytest.raises(LinkEnded) as caught:
        await open_as(transport, AccountId(b"n" * 32), stranger)
    assert caught.value.code == "wrong-account"


async def open_as(transport, account: AccountId, who: Person) -> None:
    """Open a session that names another account."""
    identity = Identity(account, who.keys.signing)
    async with open_relay(transport, identity, origin=ORIGIN, log=who.extension):
        pass


async def test_a_device_of_no_account_is_refused(world):
    """A key that does not stand in the log gets no session."""
    async with world.open(world.alice):
        pass
    stranger = attrs.evolve(world.alice, keys=DeviceKeys.generate("x", world.alice.entropy))
    assert await refused_with(world, stranger) == "unknown-device"


async def test_statements_that_do_not_follow_are_refused(world):
    """Statements from an index that the relay does not reach."""
    assert await refused_with(world, world.alice, log=LogExtension(1)) == "not-an-extension"


async def test_a_second_session_replaces_the_first(friends):
    """The device's first session is told so, and mail goes to the second."""
    async with friends.open(friends.bob) as first, friends.open(friends.bob) as second:
        with trio.fail_after(5):
            ended = await first.wait_ended()
        assert ended.code == "replaced"
        async with friends.open(friends.alice) as alice:
            await alice.send([seal(friends.alice, friends.bob, "hi", friends.now).parcel])
        (entry,) = mails(await take(second, 1))
        assert read_text(friends.bob, entry) == "hi"


async def test_a_revoked_device_is_cut_off_at_once(friends):
    """The statement that revokes it ends its session, and it gets no other."""
    alice = friends.alice
    spare = DeviceKeys.generate("spare", alice.entropy)
    log = alice.log
    added = add_device(
        log.state,
        spare.record,
        consent_to_stand(spare, log.account, log.state.length),
        at=friends.now,
        by=alice.manage,
    )
    log = log.extend([added])
    other = attrs.evolve(alice, keys=spare, log=log)
    async with friends.open(alice) as manager, friends.open(other) as cut_off:
        revoked = revoke_device(log.state, spare.id, "lost", at=friends.now, by=alice.manage)
        await manager.call(AppendStatements(3, (revoked,)))
        with trio.fail_after(5):
            ended = await cut_off.wait_ended()
        assert ended.code == "device-gone"
    assert await refused_with(friends, other) == "device-gone"


async def test_mail_reaches_every_device_of_an_agent(friends):
    """Each device has a mailbox of its own."""
    bob = friends.bob
    spare = DeviceKeys.generate("spare", bob.entropy)
    consent = consent_to_stand(spare, bob.log.account, bob.log.state.length)
    log = bob.log.extend([add_device(bob.log.state, spare.record, consent, at=friends.now, by=bob.manage)])
    both = [bob.keys.id, spare.id]
    bob.log = log.extend([set_agent(log.state, "agent", both, at=friends.now, by=bob.manage)])
    other = attrs.evolve(bob, keys=spare)
    async with (
        friends.open(bob) as first,
        friends.open(other) as second,
        friends.open(friends.alice) as alice,
    ):
        await alice.send([seal(friends.alice, bob, "to both", friends.now).parcel])
        for client, who in ((first, bob), (second, other)):
            (entry,) = mails(await take(client, 1))
            assert read_text(who, entry) == "to both"


LIES = {
    "an ack of what was never delivered": (encode_frame(AckFrame(99)), "bad-value"),
    "a batch out of turn": (encode_send(7, [b"\xf6"]), "bad-value"),
    "no frame at all": (b"\xff\xff", "malformed"),
    "a frame out of its turn": (b"\x82\x04\xa0", "unexpected-frame"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_client_that_breaks_the_rules_is_sent_away(friends, lie):
    """It gets the code, and nobody else notices."""
    data, code = LIES[lie]
    async with friends.open(friends.alice) as alice, friends.open(friends.bob) as bob:
        alice._put([data])
        with trio.fail_after(5):
            assert (await alice.wait_ended()).code == code
        async with friends.open(friends.alice) as alice:
            await alice.send([seal(friends.alice, friends.bob, "still here", friends.now).parcel])
        assert len(await take(bob, 1)) == 1


async def test_what_came_before_a_fault_is_carried(friends):
    """Frames that arrived together are taken in order, up to the one that breaks the rules."""
    parcels = [seal(friends.alice, friends.bob, f"{n}", friends.now).parcel for n in range(3)]
    async with friends.open(friends.alice) as alice, friends.open(friends.bob) as bob:
        alice._put([*[encode_send(n, [parcel]) for n, parcel in enumerate(parcels)], b"\xff\xff"])
        assert [read_text(friends.bob, mail) for mail in mails(await take(bob, 3))] == ["0", "1", "2"]
        with trio.fail_after(5):
            assert (await alice.wait_ended()).code == "malformed"


async def test_each_of_many_frames_that_arrive_together_has_its_own_result(friends):
    """Decided on together, accepted and refused ones are told apart, batch by batch."""
    texts = [f"{n}" for n in range(120)]
    good = [seal(friends.alice, friends.bob, text, friends.now).parcel for text in texts]
    forged = bytearray(good[50])
    forged[-200] ^= 1
    batches = [*([parcel] for parcel in good[:50]), [bytes(forged)], *([parcel] for parcel in good[51:])]
    async with friends.open(friends.alice) as alice, friends.open(friends.bob) as bob:
        pending = [await alice.submit(batch) for batch in batches]
        with trio.fail_after(10):
            outcomes = [(await one.wait())[0] for one in pending]
        refused = outcomes.pop(50)
        assert isinstance(refused, Refusal)
        assert refused.code == "bad-signature"
        assert outcomes == [ParcelAccepted(place) for place in range(1, 120)]
        assert [read_text(friends.bob, mail) for mail in mails(await take(bob, 119))] == [
            text for text in texts if text != "50"
        ]


async def test_more_than_the_window_ends_the_session():
    """Whoever sends on without waiting for results is sent away."""
    store = PausedStore()
    async with serving(store, Policy([ORIGIN])) as world:
        await world.introduce()
        parcels = [seal(world.alice, world.bob, f"{n}", world.now).parcel for n in range(1280)]
        async with world.open(world.alice) as alice:
            store.gate = trio.Event()
            alice._put([encode_send(n, parcels[256 * n : 256 * n + 256]) for n in range(5)])
            with trio.fail_after(10):
                assert (await alice.wait_ended()).code == "window-exceeded"
            store.gate.set()


async def test_a_cursor_beyond_the_mailbox_is_refused(friends):
    """Nobody acknowledges what was never given out."""
    cursor = Cursor(friends.store.generation, 5)
    assert await refused_with(friends, friends.bob, cursor=cursor) == "bad-value"


async def test_a_cursor_of_another_generation_starts_over(friends):
    """After a restore the mailbox comes from its start."""
    async with friends.open(friends.alice) as alice:
        await alice.send([seal(friends.alice, friends.bob, "hi", friends.now).parcel])
    async with friends.open(friends.bob, cursor=Cursor(bytes(16)[:15] + b"x", 700)) as bob:
        assert not bob.ready.continued
        assert len(await take(bob, 1)) == 1


async def test_whoever_does_not_listen_may_not_talk(friends):
    """Pings without end are not heard any more once their answers are not taken."""
    transport = await friends.network.dial()
    hello = HelloFrame(
        bytes(32), friends.alice.agent.account, friends.alice.keys.id, "memory", ("memory",), ORIGIN
    )
    session = ClientSession(
        hello=hello, key=friends.alice.keys.signing, log=friends.alice.extension, now=friends.now
    )
    await transport.send(session.greeting)
    for frame in session.receive(await transport.receive(), now=friends.now).frames:
        await transport.send(frame)
    await transport.receive()
    sent = 0
    with trio.move_on_after(1) as scope:
        while True:
            await transport.send(encode_frame(PingFrame(1)))
            sent += 1
            scope.deadline = trio.current_time() + 0.3
    assert sent < 3_000
    async with friends.open(friends.bob) as bob:
        assert bob.ready


async def test_a_silent_client_is_sent_away(friends):
    """After 25 seconds without a word the session ends."""
    async with friends.open(friends.bob) as bob:
        friends.clock.ahead_ms += 30_000
        with trio.fail_after(5):
            assert (await bob.wait_ended()).code == "timeout"


async def test_who_waits_for_an_answer_hears_of_it_when_the_session_is_cancelled():
    """A session that its owner cancels answers nobody any more, and says so to those who wait elsewhere."""
    store = PausedStore()
    async with serving(store, Policy([ORIGIN])) as world:
        await world.introduce()
        heard: list[str] = []

        async def send(client, parcel) -> None:
            with pytest.raises(LinkEnded) as ended:
                await client.send([parcel])
            heard.append(ended.value.text)

        with trio.fail_after(10):
            async with trio.open_nursery() as waiting:
                with trio.CancelScope() as scope:
                    async with world.open(world.alice) as alice:
                        store.gate = trio.Event()
                        parcel = seal(world.alice, world.bob, "hi", world.now).parcel
                        waiting.start_soon(send, alice, parcel)
                        await trio.testing.wait_all_tasks_blocked()
                        scope.cancel()
                        await trio.sleep_forever()
        assert heard == ["closed here"]
        store.gate.set()
