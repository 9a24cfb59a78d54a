"""A relay that is away, forgets, refuses or lies: nothing is lost, nothing false is believed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import attrs
import pytest

from taskferry_apps.daemon.anew import _go_back, _offer_to_others
from taskferry_apps.daemon.outbound import PATIENCE, Outbound, Renew
from taskferry_apps.daemon.port import DaemonRefusal, GrantChange, NewAgent
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Detail, Outcome, ParcelAccepted, Refusal
from taskferry_protocol.frames import Frame, ResultFrame
from taskferry_protocol.ids import Hash
from taskferry_protocol.limits import DAY_MS
from taskferry_protocol.messages import TextPart
from taskferry_protocol.records import (
    AckMailbox,
    Direction,
    Generation,
    Offset,
    OutboxRecord,
    Place,
    PutOutbox,
)
from taskferry_stores.memory import MemoryRelayStore

from .test_long_queue import HeldBack
from .worlds import (
    OWNER,
    Machine,
    a_world,
    act,
    ask,
    connect,
    connected,
    in_state,
    introduce,
    on_rung,
    set_up,
    texts,
    until,
)


async def _settle(daemon: Daemon, renew: Renew, entry: OutboxRecord, outcome: Outcome) -> None:
    """Take an entry to a relay that answers so."""
    relay = HeldBack()
    out = Outbound(daemon._core, relay, renew)
    await out.send([entry])
    relay.answer(0, outcome)
    await out.settle()


async def _say(daemon: Daemon, text: str) -> Hash:
    sent = await daemon.send_message(OWNER, "requester", "@bob/writer", text, (), "", "")
    return sent.message


async def test_sending_works_while_the_relay_is_down_and_says_so(autojump_clock):
    """What is sent meanwhile waits as `queued`, with a warning, and arrives in its order once it is back."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with connected(world, alice, bob) as (a, b):
            world.stop_relay()

            async def gone() -> bool:
                status = await a.status()
                return status.relay is not None and not status.relay.connected

            await until(gone)
            sent = [
                await a.send_message(OWNER, "requester", "@bob/writer", f"{n}", (), "", "") for n in range(5)
            ]
            assert all(one.warnings and one.delivery.rung == "queued" for one in sent)
            task = await ask(a, "requester", "@bob/writer")
            assert (await a.task(OWNER, task.hex())).summary.state == "created"
            await world.start_relay()
            await in_state(b, task, "sent")
            await on_rung(a, sent[-1].message, "delivered")
            assert await texts(b) == ["0", "1", "2", "3", "4"]
            assert (await a.task(OWNER, task.hex())).summary.state == "sent"


async def test_a_relay_restored_from_an_empty_copy_is_told_everything_again(autojump_clock):
    """A new generation without accounts or connections: both publish again, and what waited is delivered."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with world.running(alice) as a:
            async with world.running(bob) as b:
                await introduce(a, b)
            lost = await _say(a, "accepted by the relay, and lost with it")
            await on_rung(a, lost, "relayed")
            world.stop_relay()
            world.relay_store = MemoryRelayStore(Generation(b"another-one-here"))
            await world.start_relay()
            async with world.running(bob) as b:
                await on_rung(a, lost, "delivered")
                assert await texts(b) == ["accepted by the relay, and lost with it"]
                task = await ask(a, "requester", "@bob/writer")
                await in_state(b, task, "sent")


async def test_what_was_delivered_is_said_again_to_a_relay_that_lost_the_receipt(autojump_clock):
    """The older copy knows a message as fetched, and no receipt for it: its sender learns of it still."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with world.running(alice) as a:
            async with world.running(bob) as b:
                await introduce(a, b)
            said = await _say(a, "fetched")
            await on_rung(a, said, "relayed")
            device = (await a.devices.overview(OWNER)).devices[0].id
        async with world.running(bob) as b:
            store, theirs = world.relay_store, (await b.devices.overview(OWNER)).devices[0].id

            async def fetched_and_answered() -> bool:
                waits = (await bob.store.stats()).outbox_waiting or await bob.store.receipts_owed(1)
                return not waits and not await store.mailbox(theirs, Offset(0), 1, 1_000_000)

            await until(fetched_and_answered)
            world.stop_relay()
            lost = await store.mailbox(device, Offset(0), 100, 1_000_000)
            await store.commit([AckMailbox(device, lost[-1].offset)])
            await store.renew_generation(Generation(b"another-one-here"))
            await world.start_relay()
            async with world.running(alice) as a:
                await on_rung(a, said, "delivered")
                assert await texts(b) == ["fetched"]


@pytest.mark.parametrize(
    "outcome", [ParcelAccepted(1), Refusal(RejectCode.TOO_LARGE), Refusal(RejectCode.CONTACT_LIMIT)]
)
async def test_what_is_delivered_stays_so_whatever_becomes_of_offering_it_again(outcome, autojump_clock):
    """Offered again for another device's sake, it leaves the outbox with the relay's answer, and no word."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with connected(world, alice, bob) as (a, _):
            said = await _say(a, "delivered")
            await on_rung(a, said, "delivered")
            world.stop_relay()
            (row,) = (await alice.store.messages((said,)))[said]
            entry = OutboxRecord(said, row.peer, row.seq, row.cls, b"", a._core.now(), row.expires_at)
            await alice.store.commit([PutOutbox(entry)])
            before = await alice.store.events(Place(0), 500)

            async def renew(account: bytes, refusal: Refusal) -> bool:
                raise AssertionError(refusal)

            await _settle(a, renew, entry, outcome)
            assert (await alice.store.outbox((said,))) == {}
            await on_rung(a, said, "delivered")
            assert await alice.store.events(Place(0), 500) == before


async def test_nothing_is_offered_again_that_no_other_device_may_lack(autojump_clock):
    """Between owners of one device each, what is confirmed is with everybody who was to have it."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with connected(world, alice, bob) as (a, _):
            await on_rung(a, await _say(a, "delivered"), "delivered")
            world.stop_relay()
            await _go_back(a._core, Direction.OUT, _offer_to_others)
            assert await alice.store.outbox_due(a._core.now(), 100, 1_000_000) == ()


async def test_what_was_tried_often_is_wrapped_for_new_devices_all_the_same(autojump_clock):
    """Refusals for other reasons use up no tries at wrapping it again: without one it waits in vain."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with connected(world, alice, bob) as (a, _):
            world.stop_relay()
            said = await _say(a, "refused often")
            renewed: list[bytes] = []

            async def renew(account: bytes, refusal: Refusal) -> bool:
                renewed.append(account)
                return True

            kept = (await alice.store.outbox((said,)))[said]
            often = attrs.evolve(kept, attempts=PATIENCE)
            await alice.store.commit([PutOutbox(often)])
            await _settle(a, renew, often, Refusal(RejectCode.STALE_LOG, Detail()))
            after = (await alice.store.outbox((said,)))[said]
            assert renewed == [kept.to.account]
            assert after.attempts == PATIENCE + 1
            assert after.parcel != kept.parcel
            assert after.next_attempt_at > kept.next_attempt_at


@pytest.mark.parametrize("code", [RejectCode.NOT_CONNECTED, RejectCode.NOT_AN_EXTENSION])
async def test_what_was_paced_for_long_is_published_for_all_the_same(code, autojump_clock):
    """Refusals that only asked to wait use up no tries at telling a restored relay again what it forgot."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with connected(world, alice, bob) as (a, _):
            world.stop_relay()
            said = await _say(a, "paced for an hour")
            kept = (await alice.store.outbox((said,)))[said]
            paced = attrs.evolve(kept, attempts=PATIENCE)
            await alice.store.commit([PutOutbox(paced)])
            relay = HeldBack()
            out = Outbound(a._core, relay, _no_news)
            for number, waits in enumerate((True, False)):
                await out.send([(await alice.store.outbox((said,)))[said]])
                relay.answer(number, Refusal(code, Detail()))
                await out.settle()
                assert bool(await alice.store.outbox((said,))) is waits
            assert (await a.message(OWNER, said.hex())).code == code.value


async def _no_news(account: bytes, refusal: Refusal) -> bool:
    raise AssertionError(refusal)


def _once(change: Callable[[ResultFrame], Frame]) -> Callable[[Frame], Frame]:
    """A lie about the next result, and the truth from then on."""
    done: list[Frame] = []

    def tamper(frame: Frame) -> Frame:
        if isinstance(frame, ResultFrame) and not done:
            done.append(frame)
            return change(frame)
        return frame

    return tamper


def _refusing(refusal: Refusal) -> Callable[[Frame], Frame]:
    return _once(lambda frame: attrs.evolve(frame, outcomes=tuple(refusal for _ in frame.outcomes)))


@pytest.mark.parametrize(
    "code", [RejectCode.INTERNAL, RejectCode.RATE_LIMITED, RejectCode.MAILBOX_FULL, RejectCode.NOT_CONNECTED]
)
async def test_a_refusal_that_may_pass_is_tried_again(code, autojump_clock):
    """Busy, full, or a relay that forgot the connection: the message waits and then arrives, once."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with connected(world, alice, bob) as (a, b):
            await _quiet(a)
            world.tamper = _refusing(Refusal(code, Detail(retry_after=1)))
            message = await _say(a, "patience")
            await on_rung(a, message, "delivered")
            assert await texts(b) == ["patience"]


async def _quiet(daemon: Daemon) -> None:
    """Wait until nothing waits to be sent or said, so that the next result is for what the test sends."""

    async def empty() -> bool:
        stats = await daemon._core.store.stats()
        return not stats.outbox_waiting and not stats.receipts_owed

    await until(empty)


async def test_a_final_refusal_is_shown_with_its_code(autojump_clock):
    """What the relay will never take ends as `failed`, and the agent sees why."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with world.running(alice) as a:
            async with world.running(bob) as b:
                await introduce(a, b)
                await _quiet(a)
            world.tamper = _refusing(Refusal(RejectCode.TOO_LARGE))
            message = await _say(a, "refused")
            await on_rung(a, message, "failed")
            shown = await a.message(OWNER, message.hex())
            assert shown.code == "too-large"


async def test_a_key_that_the_relay_substitutes_is_not_sealed_for(autojump_clock):
    """Statements that do not extend the pinned log raise an alarm; the message is not wrapped for them."""
    async with a_world() as world:
        alice, bob, eve = Machine("alice"), Machine("bob"), Machine("eve")
        async with world.running(alice) as a, world.running(bob) as b, world.running(eve) as e:
            await introduce(a, b)
            await set_up(e, "eve", "writer")
            await _quiet(a)
            theirs = (await eve.store.accounts_named(("eve",)))["eve"].record.statements
            lie = Refusal(RejectCode.STALE_LOG, Detail(statements=theirs, start=0))
            world.tamper = _refusing(lie)
            message = await _say(a, "for bob alone")
            await on_rung(a, message, "delivered")
            assert await texts(b) == ["for bob alone"]
            assert any("@bob" in alarm for alarm in (await a.status()).alarms)


async def test_a_changed_key_is_learned_and_the_message_wrapped_again(autojump_clock):
    """Bob changes his key while alice is away; what she then sends to him still opens."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with world.running(bob) as b:
            async with world.running(alice) as a:
                await introduce(a, b)
                await _quiet(a)
            world.clock.ahead_ms += 8 * DAY_MS
        async with world.running(bob) as b:

            async def rotated() -> bool:
                return bob.vault.ring is not None and bool(bob.vault.ring.former)

            await until(rotated)
            async with world.running(alice) as a:
                message = await _say(a, "hello again")
                await on_rung(a, message, "delivered")
                assert await texts(b) == ["hello again"]


async def test_what_is_refused_as_stale_is_wrapped_again_and_sent_again(autojump_clock):
    """A stale-log refusal without news: the same envelope goes out again, and arrives once."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with connected(world, alice, bob) as (a, b):
            await _quiet(a)
            length = (await b.account(OWNER)).length
            lie = Refusal(RejectCode.STALE_LOG, Detail(statements=(), start=length))
            world.tamper = _refusing(lie)
            message = await _say(a, "wrapped again")
            await on_rung(a, message, "delivered")


async def test_a_name_that_is_taken_is_said_and_another_can_be_chosen(autojump_clock):
    """The second @alice is not let in; set up again with another name, it is."""
    async with a_world() as world:
        one, two = Machine("one"), Machine("two")
        async with world.running(one) as a, world.running(two) as b:
            await set_up(a, "alice", "requester")
            with pytest.raises(DaemonRefusal) as refused:
                await b.set_up(OWNER, "alice", "ws://relay.test:80", "laptop")
            assert refused.value.code == "name-taken"
            assert not (await b.status()).set_up
            second = await b.set_up(OWNER, "alicia", "ws://relay.test:80", "laptop")
            assert second.name_claimed
            await b.create_agent(OWNER, NewAgent("writer"))
            await connect(a, b, "requester", "@alicia/writer")


async def test_a_cancel_and_a_submission_that_cross_come_out_the_same_at_both_ends(autojump_clock):
    """Both act while the relay is away; afterwards both show the task cancelled, and the work superseded."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with connected(world, alice, bob) as (a, b):
            task = await ask(a, "requester", "@bob/writer")
            await in_state(b, task, "sent")
            await act(b, task, "accept")
            await in_state(a, task, "accepted")
            world.stop_relay()
            await act(b, task, "submit", parts=(TextPart("too late"),))
            await act(a, task, "cancel", text="changed my mind")
            await world.start_relay()
            await in_state(b, task, "cancelled")

            async def settled():
                views = [await side.task(OWNER, task.hex()) for side in (a, b)]
                hashes = [[event.hash for event in view.events] for view in views]
                return views if hashes[0] == hashes[1] and len(views[0].versions) == 1 else None

            mine, theirs = await until(settled)
            assert mine.summary.state == theirs.summary.state == "cancelled"
            assert [v.status for v in mine.versions] == [v.status for v in theirs.versions] == ["superseded"]


async def test_a_deadline_that_passed_is_said_by_the_requesters_daemon(autojump_clock):
    """Once its mailbox is drained past the deadline, the requester's daemon signs the expiry."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with connected(world, alice, bob) as (a, b):
            task = await ask(a, "requester", "@bob/writer", deadline=world.clock.now() + 1_000)
            await in_state(b, task, "sent")
            await in_state(b, task, "expired")
            await in_state(a, task, "expired")


async def test_what_was_never_delivered_is_shown_as_expired(autojump_clock):
    """Bob never comes back: after its life the message's delivery is not known, and the agent sees that."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with connected(world, alice, bob) as (a, _):
            await _quiet(a)
        async with world.running(alice) as a:
            message = await _say(a, "anybody there?")
            await on_rung(a, message, "relayed")
        world.clock.ahead_ms += 15 * DAY_MS
        async with world.running(alice) as a:
            await on_rung(a, message, "expired")


async def test_an_ended_connection_lets_nothing_through(autojump_clock):
    """After bob revokes, alice is refused at once, and is told why."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with connected(world, alice, bob) as (a, b):
            await b.end_connection(OWNER, ("writer", "@alice/requester"), "revoked", "enough")

            async def ended() -> bool:
                return bool(await a.connections(OWNER, "ended", ""))

            await until(ended)
            with pytest.raises(DaemonRefusal) as refused:
                await _say(a, "hello?")
            assert refused.value.code == "not-connected"


async def test_a_withdrawn_permission_reaches_the_peer(autojump_clock):
    """Bob takes no more messages; alice's daemon knows, and says so to her agent."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with connected(world, alice, bob) as (a, b):
            await b.set_permissions(OWNER, ("writer", "@alice/requester"), GrantChange(classes=("task",)))

            async def known() -> bool:
                (connection,) = await a.connections(OWNER, "accepted", "")
                return connection.received is not None and connection.received.version == 2

            await until(known)
            with pytest.raises(DaemonRefusal) as refused:
                await _say(a, "hello?")
            assert refused.value.code == "not-permitted"


async def test_an_event_refused_for_want_of_permission_goes_out_once_it_is_allowed(autojump_clock):
    """The relay refuses a submission; bob is shown that it failed, and it arrives after alice allows it."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with world.running(alice) as a:
            async with world.running(bob) as b:
                await introduce(a, b)
                task = await ask(a, "requester", "@bob/writer")
                await in_state(b, task, "sent")
                await act(b, task, "accept")
                await in_state(a, task, "accepted")
                world.stop_relay()
                work = await act(b, task, "submit", parts=(TextPart("done"),))
            # Bob's machine is off until the relay knows the narrower grant, which goes out first.
            await a.set_permissions(OWNER, ("requester", "@bob/writer"), GrantChange(classes=("task",)))
            await world.start_relay()
            await _quiet(a)
            async with world.running(bob) as b:
                await on_rung(b, work.message, "failed")
                await a.set_permissions(
                    OWNER, ("requester", "@bob/writer"), GrantChange(classes=("task", "artifact"))
                )
                await in_state(a, task, "submitted")
                await on_rung(b, work.message, "delivered")


async def test_a_sender_is_told_that_its_peer_is_away(autojump_clock):
    """Nobody runs bob's daemon: alice's agent hears it with the answer to its message."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with world.running(alice) as a:
            async with world.running(bob) as b:
                await introduce(a, b)
                sent = await a.send_message(OWNER, "requester", "@bob/writer", "hello", (), "", "")
                assert sent.warnings == ()

            numbers = count()

            async def away() -> bool:
                # What the relay said last counts for a moment, so no two of these say the same.
                text = f"hello {next(numbers)}"
                sent = await a.send_message(OWNER, "requester", "@bob/writer", text, (), "", "")
                return any("@bob/writer is not connected" in warning for warning in sent.warnings)

            await until(away)


@pytest.mark.parametrize("relay", ["", "relay.example", "ftp://relay.example", "https://"])
async def test_an_address_that_is_none_is_refused_before_anything_is_made(relay, autojump_clock):
    """A relay's address is checked first; no account exists afterwards."""
    async with a_world() as world, world.running(Machine("alice")) as a:
        with pytest.raises(DaemonRefusal) as refused:
            await a.set_up(OWNER, "alice", relay, "laptop")
        assert refused.value.detail == {"field": "relay"}
        assert not (await a.status()).set_up
