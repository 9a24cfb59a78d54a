"""A machine whose clock is wrong for a while: nothing is lost or ended by it, or waits for its time to come.

One without a battery starts in the year in which it was switched off, or in any other, and is put right
minutes or days later.
"""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from taskferry_apps.daemon import instances, link, relay_clock, upkeep
from taskferry_apps.daemon.alarms import CLOCK_OFF
from taskferry_apps.daemon.outbound import give_up_expired
from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_apps.daemon.receipts import Receipts
from taskferry_apps.daemon.relay_clock import PATIENCE_S, RelayClock
from taskferry_apps.daemon.repeating import repeat_expired
from taskferry_apps.relay_client import LinkEnded
from taskferry_protocol.envelope import parse_envelope
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS, MINUTE_MS
from taskferry_protocol.messages import TextMessage, TextPart
from taskferry_protocol.records import AppendEvent, DeferOutbox, EventRecord, Place
from taskferry_protocol.sealing import Sealed

from .forger import codes, forger_between
from .test_doctor import with_clock
from .test_undelivered import troubles
from .worlds import (
    OWNER,
    Clock,
    Machine,
    a_world,
    act,
    allow_tasks,
    ask,
    connected,
    in_state,
    on_rung,
    texts,
    until,
)

HOUR_MS = 60 * MINUTE_MS
YEARS_MS = 14 * 365 * DAY_MS


@asynccontextmanager
async def a_pair():
    """A world, and the machines of Alice and Bob, connected. Bob's has its own clock; no daemon runs."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob", clock=Clock())
        async with connected(world, alice, bob) as (a, b):
            await allow_tasks(a, "requester", b, "@bob/writer")
        yield world, alice, bob


def clock_of(machine: Machine) -> Clock:
    """A machine's own clock."""
    assert machine.clock is not None
    return machine.clock


async def is_connected(daemon):
    """Whether a daemon has a session."""
    return daemon._link.connected


async def say(daemon, text: str):
    """A message from Alice's agent to Bob's."""
    return (await daemon.send_message(OWNER, "requester", "@bob/writer", text, (), "", "")).message


@pytest.mark.parametrize("behind_ms", [10 * MINUTE_MS, 20 * DAY_MS, 56 * 365 * DAY_MS])
async def test_what_comes_while_the_clock_is_behind_is_taken_once_it_is_right(behind_ms):
    """It is of the future by this clock alone: refused for that, it would be lost by nobody's fault."""
    async with a_pair() as (world, alice, bob):
        clock_of(bob).stepped_ms = -behind_ms
        async with world.running(alice) as a, world.running(bob) as b:
            first, second = await say(a, "one"), await say(a, "two")
            await on_rung(a, second, "relayed")
            await until(lambda: is_connected(b))
            assert CLOCK_OFF in (await b.status()).alarms
            # What is refused is refused at once; what waits is not here.
            await wait_all_tasks_blocked(0.05)
            assert await codes(b) == []
            clock_of(bob).stepped_ms = 0
            await on_rung(a, first, "delivered")
            await on_rung(a, second, "delivered")
            assert await texts(b) == ["one", "two"]
            assert CLOCK_OFF not in (await b.status()).alarms


async def test_what_is_of_the_future_by_every_clock_is_refused_at_once():
    """It waits for nobody's clock, and what comes behind it does not wait for it."""
    async with a_pair() as (world, alice, bob):
        ahead = Machine("alice", alice.store, alice.vault, clock=Clock(stepped_ms=HOUR_MS))
        sent = await say(await world.open_daemon(ahead), "from the future")
        async with world.running(alice) as a, world.running(bob) as b:
            await on_rung(a, sent, "failed")
            await on_rung(a, await say(a, "from now"), "delivered")
            assert await texts(b) == ["from now"]


@pytest.mark.parametrize("ahead_ms", [10 * MINUTE_MS, YEARS_MS])
async def test_while_the_clock_is_ahead_nothing_is_signed_ended_or_taken(ahead_ms):
    """No task is over and nothing sent is given up by it; then all goes on as if nothing was."""
    async with a_pair() as (world, alice, bob):
        b = await world.open_daemon(bob)
        deadline = Instant(world.clock.now() + 5 * MINUTE_MS)
        task = await ask(b, "writer", "@alice/requester", deadline=deadline)
        waits = (await b.send_message(OWNER, "writer", "@alice/requester", "before", (), "", "")).message
        clock_of(bob).stepped_ms = ahead_ms
        async with world.running(alice) as a, world.running(bob) as b:
            sent = await say(a, "one")
            await until(lambda: is_connected(b))
            await until(lambda: knows_the_time(b))
            with pytest.raises(DaemonRefusal) as refusal:
                await b.send_message(OWNER, "writer", "@alice/requester", "too early", (), "", "")
            assert refusal.value.code == "clock-off"
            await wait_all_tasks_blocked(0.05)
            assert [row.state for row in (await b.tasks(OWNER, "", "", "", "", 50))[0]] == ["created"]
            assert (await b.message(OWNER, waits.hex())).delivery.rung == "queued"
            assert await texts(b) == []
            clock_of(bob).stepped_ms = 0
            await on_rung(b, waits, "delivered")
            await on_rung(a, sent, "delivered")
            await in_state(a, task, "sent")
            assert (await b.status()).alarms == ()


async def knows_the_time(daemon) -> bool:
    """Whether the relay has said what time it is."""
    return daemon._core.clock.ahead_ms is not None


async def test_a_clock_that_leapt_while_the_machine_was_off_ends_nothing_before_the_relay_was_asked():
    """A month away may be fourteen years of a wrong clock: the relay knows."""
    async with a_pair() as (world, alice, bob):
        b = await world.open_daemon(bob)
        waits = (await b.send_message(OWNER, "writer", "@alice/requester", "before", (), "", "")).message
        world.stop_relay()
        clock_of(bob).stepped_ms = YEARS_MS
        async with world.running(bob) as b:
            await wait_all_tasks_blocked(0.05)
            assert (await b.message(OWNER, waits.hex())).delivery.rung == "queued"
            with pytest.raises(DaemonRefusal, match="away for more than a month"):
                await b.send_message(OWNER, "writer", "@alice/requester", "too early", (), "", "")
            clock_of(bob).stepped_ms = 0
            await world.start_relay()
            async with world.running(alice):
                await on_rung(b, waits, "delivered")


async def test_a_month_away_without_any_relay_is_believed_after_a_while(autojump_clock):
    """What has expired is said, though no relay ever comes back."""
    async with a_pair() as (world, _, bob):
        b = await world.open_daemon(bob)
        waits = (await b.send_message(OWNER, "writer", "@alice/requester", "before", (), "", "")).message
        world.stop_relay()
        clock_of(bob).stepped_ms = 200 * DAY_MS
        async with world.running(bob) as b:
            began = trio.current_time()
            with trio.fail_after(2 * PATIENCE_S):
                while (await b.message(OWNER, waits.hex())).delivery.rung != "expired":
                    await trio.sleep(1)
            assert trio.current_time() - began >= PATIENCE_S


async def test_what_was_put_off_by_a_clock_that_was_ahead_goes_when_it_is_right():
    """It was to be sent again in fourteen years."""
    async with a_pair() as (world, alice, bob):
        b = await world.open_daemon(bob)
        waits = (await b.send_message(OWNER, "writer", "@alice/requester", "hello", (), "", "")).message
        entry = (await bob.store.outbox((waits,)))[waits]
        await bob.store.commit([DeferOutbox(entry.hash, 1, Instant(world.clock.now() + YEARS_MS))])
        async with world.running(alice), world.running(bob) as b:
            await on_rung(b, waits, "delivered")


@pytest.mark.parametrize("ahead_ms", [3 * HOUR_MS, 29 * DAY_MS])
async def test_a_word_signed_by_a_clock_that_was_ahead_is_brought_when_its_time_has_come(ahead_ms):
    """A relay takes nothing of the future: without that word nothing that follows would count, for good."""
    async with a_pair() as (world, alice, bob):
        async with world.running(alice) as a, world.running(bob) as b:
            task = await ask(a, "requester", "@bob/writer")
            await in_state(b, task, "sent")
        clock_of(bob).stepped_ms = ahead_ms
        early = (await act(await world.open_daemon(bob), task, "accept")).message
        clock_of(bob).stepped_ms = 0
        async with world.running(alice) as a, world.running(bob) as b:
            await on_rung(b, early, "failed")
            (trouble,) = await troubles(b, task)
            assert "signed by a clock that was ahead" in trouble
            await act(b, task, "submit", parts=(TextPart("done"),))
            world.clock.ahead_ms += ahead_ms + HOUR_MS
            clock_of(bob).ahead_ms += ahead_ms + HOUR_MS
            await b._upkeep.round()
            await in_state(a, task, "submitted")


async def test_a_relay_whose_own_clock_was_behind_is_asked_again(monkeypatch):
    """It says the time when a session begins: one that is held would never hear that it was put right."""
    monkeypatch.setattr(relay_clock, "ASK_AGAIN_S", 0.2)
    async with a_pair() as (world, alice, bob):
        with_clock(world, 10 * MINUTE_MS)
        async with world.running(alice) as a, world.running(bob) as b:
            await until(lambda: is_connected(a))
            assert CLOCK_OFF in (await a.status()).alarms
            world.tamper = None
            await until(lambda: is_right(a))
            await on_rung(a, await say(a, "hello"), "delivered")
            assert await texts(b) == ["hello"]


async def is_right(daemon):
    """Whether the relay and this daemon agree what time it is."""
    return daemon._core.clock.is_right


async def test_a_relay_whose_own_clock_was_ahead_holds_up_no_mail_once_it_is_right(monkeypatch):
    """What it let through from the future is refused then, and what is behind it is taken."""
    monkeypatch.setattr(relay_clock, "ASK_AGAIN_S", 0.2)
    async with a_pair() as (world, alice, bob):
        forger = await forger_between(world, alice, bob)
        forger.bob.clock.compare(Instant(world.clock.now() + 2 * HOUR_MS))
        early = await forger.seal(TextMessage("early"), id_at=Instant(world.clock.now() + HOUR_MS // 2))
        with pytest.raises(LinkEnded):
            await forger.deliver(early)
        assert await codes(await world.open_daemon(bob)) == []
        forger.bob.clock.compare(world.clock.now())
        await forger.deliver(early)
        assert await codes(await world.open_daemon(bob)) == ["bad-time"]


async def test_by_a_clock_that_is_years_behind_nothing_is_signed():
    """It has expired before the relay sees it; what was signed before goes with the right clock."""
    async with a_pair() as (world, alice, bob):
        b = await world.open_daemon(bob)
        waits = (await b.send_message(OWNER, "writer", "@alice/requester", "before", (), "", "")).message
        clock_of(bob).stepped_ms = -YEARS_MS
        async with world.running(alice), world.running(bob) as b:
            await until(lambda: knows_the_time(b))
            with pytest.raises(DaemonRefusal, match="more than a month behind") as refusal:
                await b.send_message(OWNER, "writer", "@alice/requester", "too late", (), "", "")
            assert refusal.value.code == "clock-off"
            clock_of(bob).stepped_ms = 0
            await on_rung(b, waits, "delivered")


async def test_by_a_clock_that_is_hardly_behind_mail_of_one_that_is_hardly_ahead_is_taken(autojump_clock):
    """Neither is wrong enough for anybody to say so: it waits for as long as the two are too far apart."""
    async with a_pair() as (world, alice, bob):
        forger = await forger_between(world, alice, bob)
        forger.bob.clock.compare(Instant(world.clock.now() + 30_000))
        early = Instant(world.clock.now() + 5 * MINUTE_MS + 20_000)
        began = trio.current_time()
        await forger.deliver(await forger.seal(TextMessage("early"), id_at=early))
        assert 19 < trio.current_time() - began < 21
        b = await world.open_daemon(bob)
        assert (await codes(b), await texts(b)) == ([], ["early"])


async def test_what_waits_for_the_clock_is_taken_as_soon_as_its_time_has_come(autojump_clock):
    """A second more for each would add up: one peer's mail would hold up all others' for hours."""
    clock = Clock()
    relay_clock_ = RelayClock(clock.now)
    relay_clock_.compare(Instant(clock.now() + 10 * MINUTE_MS))
    began = trio.current_time()
    for early_ms in range(1, 200):
        await relay_clock_.wait_for(Instant(clock.now() + 5 * MINUTE_MS + early_ms % 3))
    assert trio.current_time() - began < 2


async def _accepted_unheard(world, alice, bob):
    """Bob's daemon without a relay, a task of Alice's, and his acceptance, which has not left his machine."""
    async with world.running(alice) as a, world.running(bob) as b:
        task = await ask(a, "requester", "@bob/writer")
        await in_state(b, task, "sent")
    b = await world.open_daemon(bob)
    word = (await act(b, task, "accept")).message
    return b, task, word


async def test_a_word_that_a_clock_that_was_ahead_has_given_up_is_brought_when_the_clock_is_right():
    """It was to be brought in fourteen years: nothing that followed counted until then."""
    async with a_pair() as (world, alice, bob):
        b, task, word = await _accepted_unheard(world, alice, bob)
        clock_of(bob).stepped_ms = YEARS_MS
        await b._upkeep.round()
        await on_rung(b, word, "expired")
        # Brought once by that clock, too, and not there in time.
        assert b._core.clock.ahead_ms is None
        clock_of(bob).stepped_ms = 0
        async with world.running(alice) as a, world.running(bob) as b:
            await on_rung(b, word, "delivered")
            await in_state(a, task, "accepted")


async def test_a_word_that_is_due_while_nothing_is_signed_is_brought_afterwards():
    """The relay says that the clock is wrong just as it is to be brought: it is not given up for that."""
    async with a_pair() as (world, alice, bob):
        b, task, word = await _accepted_unheard(world, alice, bob)
        world.clock.ahead_ms += 31 * DAY_MS
        clock_of(bob).ahead_ms += 31 * DAY_MS
        await give_up_expired(b._core)
        b._core.clock.compare(Instant(world.clock.now() - HOUR_MS))
        await repeat_expired(b._core)
        async with world.running(alice) as a, world.running(bob) as b:
            await on_rung(b, word, "delivered")
            await in_state(a, task, "accepted")


async def test_a_relay_that_was_wrong_and_is_gone_keeps_nobody_from_writing(autojump_clock):
    """What it said of the time stands no longer than a little while after its last session."""
    async with a_pair() as (world, _, bob):
        with_clock(world, 10 * MINUTE_MS)
        async with world.running(bob) as b:
            await until(lambda: knows_the_time(b))
            world.stop_relay()
            await trio.sleep(PATIENCE_S / 2)
            with pytest.raises(DaemonRefusal, match="ahead of"):
                await b.send_message(OWNER, "writer", "@alice/requester", "soon", (), "", "")
            await trio.sleep(PATIENCE_S)
            waits = (await b.send_message(OWNER, "writer", "@alice/requester", "now", (), "", "")).message
            assert (await b.message(OWNER, waits.hex())).delivery.rung == "queued"
            # The alarm stands: its owner may know better.
            assert CLOCK_OFF in (await b.status()).alarms


async def test_no_relay_keeps_anything_from_its_end_for_longer_than_mail_lives(autojump_clock):
    """After a month of running all that could expire by mistake has had its time, by whatever clock."""
    clock = Clock()
    relay_clock_ = RelayClock(clock.now)
    for _ in range(29):
        relay_clock_.compare(Instant(clock.now() - HOUR_MS))
        await trio.sleep(DAY_MS / 1_000)
        assert relay_clock_.is_in_question
    await trio.sleep(DAY_MS / 1_000)
    relay_clock_.compare(Instant(clock.now() - HOUR_MS))
    assert not relay_clock_.is_in_question
    # Nothing is signed all the same: the relay takes none of it.
    assert relay_clock_.is_off
    relay_clock_.compare(clock.now())
    relay_clock_.compare(Instant(clock.now() - HOUR_MS))
    assert relay_clock_.is_in_question


async def test_receipts_that_are_owed_while_nothing_is_signed_are_said_afterwards():
    """The clock is set back by a month while a session lasts: its peer still hears what came of its mail."""
    async with a_pair() as (world, alice, bob), world.running(alice) as a:
        sent = await say(a, "one")
        await on_rung(a, sent, "relayed")
        forger = await forger_between(world, alice, bob)
        entry = (await alice.store.sealed((sent,)))[sent]
        forger.bob.clock.compare(world.clock.now())
        await forger.deliver(Sealed(parse_envelope(entry.envelope), entry.key, entry.content))
        clock_of(bob).stepped_ms = -40 * DAY_MS
        b = await world.open_daemon(bob)
        b._core.clock.compare(world.clock.now())
        await Receipts(b._core).say()
        assert await bob.store.receipts_owed(9)
        clock_of(bob).stepped_ms = 0
        async with world.running(bob):
            await on_rung(a, sent, "delivered")


async def test_a_clock_that_is_set_back_by_a_month_ends_the_session():
    """What came in it could not be answered, and would be set aside for good."""
    async with a_pair() as (world, alice, bob), world.running(alice), world.running(bob) as b:
        await until(lambda: is_right(b))
        clock_of(bob).stepped_ms = -40 * DAY_MS
        b._core.outgoing.ring()
        await until(lambda: is_held(b))
        clock_of(bob).stepped_ms = 0
        sent = (await b.send_message(OWNER, "writer", "@alice/requester", "hello", (), "", "")).message
        await on_rung(b, sent, "delivered")


async def is_held(daemon):
    """Whether its session takes and sends nothing."""
    return "this machine's clock" in (await daemon._link.status()).last_error


async def test_while_the_clock_is_in_question_the_feed_is_kept_small(monkeypatch):
    """A relay that says another time every minute has no table grow."""
    monkeypatch.setattr(upkeep, "FEED_LINES", 3)
    async with a_pair() as (world, _, bob):
        with_clock(world, 10 * MINUTE_MS)
        async with world.running(bob) as b:
            await until(lambda: knows_the_time(b))
            for n in range(6):
                await bob.store.commit([AppendEvent(EventRecord("agent", "writer", (), f"{n}", Instant(n)))])
            b._core.due.ring()

            async def is_small():
                return len((await bob.store.events(Place(0), 100)).items) <= 3

            await until(is_small)


async def test_once_the_clock_is_right_nothing_is_signed_before_the_relay_took_this_for_no_older_copy(
    monkeypatch,
):
    """A session that is held counts as one; what follows it begins as at every start."""
    found, stand_alone = [], instances.stand_alone
    async with a_pair() as (world, _, bob):
        clock_of(bob).stepped_ms = HOUR_MS
        async with world.running(bob) as b:
            await until(lambda: is_connected(b))

            async def look(core):
                found.append(b._link.connected)
                await stand_alone(core)

            monkeypatch.setattr(link, "stand_alone", look)
            clock_of(bob).stepped_ms = 0

            async def keep(*, connected):
                found.append(connected)

            with monkeypatch.context() as patch:
                patch.setattr(b._owner, "keep_keys_fresh", keep)
                await b._upkeep.round()

            async def was_asked():
                return found if len(found) > 1 else None

            assert await until(was_asked) == [False, False]
