"""A relay that asks for time gets it: nothing is sent again before, and it is sent soon after."""

from __future__ import annotations

import attrs
import pytest
import trio

from taskferry_apps.daemon.port import GrantChange
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.errors import RejectCode
from taskferry_protocol.frame_items import Detail, Refusal
from taskferry_protocol.frames import Frame, GoawayFrame, ReadyFrame, ReplyFrame, ResultFrame
from taskferry_protocol.ids import Hash, Instant
from taskferry_protocol.records import OutboxRecord

from .test_relay_faults import _quiet, _say
from .worlds import OWNER, URL, Machine, a_world, introduce, on_rung, set_up, texts, until

#: More than a daemon waits of its own accord, in any case.
ASKED_MS = 590_000
#: What is added against a crowd that comes back all at once is nothing here: the worlds' jitter is 0.
NUDGES = 20
#: Real time, in which a daemon comes back by itself several times.
WAIT_MS = 1_500


@attrs.define
class Refusing:
    """Refuses everything with a wait, until it is told to let it through; then it counts the answers."""

    refusal: Refusal
    through: bool = False
    answers: int = 0

    def __call__(self, frame: Frame) -> Frame:
        """What becomes of a frame of the relay's."""
        if not isinstance(frame, ResultFrame):
            return frame
        if self.through:
            self.answers += 1
            return frame
        return attrs.evolve(frame, outcomes=tuple(self.refusal for _ in frame.outcomes))


async def _settled(a: Daemon, b: Daemon) -> None:
    """Both are connected, and neither owes the other anything more."""
    await introduce(a, b)
    # A message goes behind the receipts that were owed before it.
    await on_rung(a, Hash(await _say(a, "before")), "delivered")
    await _quiet(a)
    await _quiet(b)


async def _nudge(daemon: Daemon) -> None:
    """Have the daemon look whether anything is to be sent, again and again."""
    for _ in range(NUDGES):
        daemon._core.outgoing.ring()
        await trio.sleep(0.005)


async def _refused(machine: Machine, message: Hash) -> Instant:
    """When a message that the relay refused is to be sent again."""

    async def entry() -> OutboxRecord | None:
        (found,) = (await machine.store.outbox((message,))).values()
        return found if found.attempts else None

    return (await until(entry)).next_attempt_at


@pytest.mark.parametrize("code", [RejectCode.RATE_LIMITED, RejectCode.MAILBOX_FULL, RejectCode.INTERNAL])
async def test_a_message_refused_for_a_time_is_not_sent_before(code, autojump_clock):
    """By the clock: not a moment earlier, nor what follows it to the same agent; then both, in order."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with world.running(alice) as a:
            async with world.running(bob) as b:
                await _settled(a, b)
            liar = world.tamper = Refusing(Refusal(code, Detail(retry_after=ASKED_MS)))
            asked_at = world.clock.now()
            message = Hash(await _say(a, "first"))
            assert await _refused(alice, message) >= asked_at + ASKED_MS
            liar.through = True
            second = await _say(a, "second")
            await _nudge(a)
            world.clock.ahead_ms += ASKED_MS - 20_000
            await _nudge(a)
            assert liar.answers == 0
            shown = await a.message(OWNER, message.hex())
            assert shown.delivery is not None
            assert shown.delivery.rung == "queued"
            world.clock.ahead_ms += 20_000
            await _nudge(a)
            await on_rung(a, second, "relayed")
            async with world.running(bob) as b:
                await on_rung(a, second, "delivered")
                assert await texts(b) == ["before", "first", "second"]


async def test_a_relay_cannot_silence_a_daemon_for_ever(autojump_clock):
    """Whatever it asks for, ten minutes are given."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with world.running(alice) as a:
            async with world.running(bob) as b:
                await _settled(a, b)
            world.tamper = Refusing(Refusal(RejectCode.RATE_LIMITED, Detail(retry_after=10**12)))
            message = Hash(await _say(a, "patience"))
            assert await _refused(alice, message) <= world.clock.now() + 600_000


async def test_a_publication_refused_for_a_time_is_not_repeated_before(autojump_clock):
    """A grant that the relay has no time for is published after the wait, and not at each look."""
    async with a_world() as world:
        alice, bob = Machine("alice"), Machine("bob")
        async with world.running(alice) as a, world.running(bob) as b:
            await _settled(a, b)
            replies = 0
            busy = Refusal(RejectCode.RATE_LIMITED, Detail(retry_after=ASKED_MS))

            def tamper(frame: Frame) -> Frame:
                nonlocal replies
                if not isinstance(frame, ReplyFrame):
                    return frame
                replies += 1
                return attrs.evolve(frame, outcome=busy) if replies == 1 else frame

            world.tamper = tamper
            await b.set_permissions(OWNER, ("writer", "@alice/requester"), GrantChange(rate_per_minute=7))

            async def asked() -> bool:
                return replies > 0

            await until(asked)
            await _nudge(b)
            world.clock.ahead_ms += ASKED_MS - 10_000
            await _nudge(b)
            assert replies == 1
            world.clock.ahead_ms += 10_000
            await _nudge(b)

            async def again() -> bool:
                return replies > 1

            await until(again)


@pytest.mark.parametrize("known", [True, False])
async def test_a_relay_that_sends_a_daemon_away_is_left_alone_for_so_long(known, autojump_clock):
    """`goaway` with a wait, at set-up or later: no session is opened before, and one is opened after."""
    async with a_world() as world, world.running(Machine("alice")) as a:
        opened: list[float] = []

        def tamper(frame: Frame) -> Frame:
            if not isinstance(frame, ReadyFrame):
                return frame
            opened.append(trio.current_time())
            return GoawayFrame(RejectCode.RATE_LIMITED, "later", WAIT_MS) if len(opened) == 1 else frame

        async def connected() -> bool:
            status = await a.status()
            return len(opened) > 1 and status.relay is not None and status.relay.connected

        if known:
            await set_up(a, "alice", "requester")
            world.stop_relay()
            world.tamper = tamper
            await world.start_relay()
        else:
            world.tamper = tamper
            assert not (await a.set_up(OWNER, "alice", URL, "laptop")).name_claimed
        await until(connected)
        assert opened[1] - opened[0] >= WAIT_MS / 1000
