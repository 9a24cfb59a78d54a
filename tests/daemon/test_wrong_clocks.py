"""A machine whose clock is wrong for a while: nothing is lost or ended by it, or waits for its time to come.

One without a battery starts in the year in which it was switched off, or in any other, and is put right
minutes or days later.
"""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from taskferry_apps.daemon import relay_clock
from taskferry_apps.daemon.alarms import CLOCK_OFF
from taskferry_apps.daemon.port import DaemonRefusal
from taskferry_apps.daemon.relay_clock import PATIENCE_S
from taskferry_apps.relay_client import LinkEnded
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS, MINUTE_MS
from taskferry_protocol.messages import TextMessage, TextPart
from taskferry_protocol.records import DeferOutbox

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


async def test_a_word_signed_by_a_clock_that_was_ahead_is_brought_when_its_time_has_come():
    """A relay takes nothing of the future: without that word nothing that follows would count, for good."""
    async with a_pair() as (world, alice, bob):
        async with world.running(alice) as a, world.running(bob) as b:
            task = await ask(a, "requester", "@bob/writer")
            await in_state(b, task, "sent")
        clock_of(bob).stepped_ms = 3 * HOUR_MS
        early = (await act(await world.open_daemon(bob), task, "accept")).message
        clock_of(bob).stepped_ms = 0
        async with world.running(alice) as a, world.running(bob) as b:
            await on_rung(b, early, "failed")
            (trouble,) = await troubles(b, task)
            assert "signed by a clock that was ahead" in trouble
            await act(b, task, "submit", parts=(TextPart("done"),))
            world.clock.ahead_ms += 4 * HOUR_MS
            clock_of(bob).ahead_ms += 4 * HOUR_MS
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
