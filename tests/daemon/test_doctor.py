"""What a daemon finds when it looks at itself, with each thing wrong in turn."""

from __future__ import annotations

import attrs
import pytest
from trio.testing import wait_all_tasks_blocked

from taskferry_apps.daemon import doctor
from taskferry_apps.daemon.alarms import CLOCK_OFF, of_machine
from taskferry_apps.daemon.doctor_port import Finding, Level
from taskferry_apps.daemon.port import Caller, DaemonRefusal
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.accounts import rename
from taskferry_protocol.frames import Frame, ReadyFrame
from taskferry_protocol.ids import Instant
from taskferry_protocol.limits import DAY_MS

from .forger import forging
from .test_peers import a_second_claim
from .worlds import OWNER, Machine, World, a_world, introduce, set_up, until


async def findings(daemon: Daemon) -> dict[str, Finding]:
    """What was found, by check."""
    return {finding.check: finding for finding in await daemon.doctor.examine(OWNER)}


async def connected(daemon: Daemon) -> None:
    """Wait for a session."""

    async def there() -> bool:
        relay = (await daemon.status()).relay
        return relay is not None and relay.connected

    await until(there)


def with_clock(world: World, behind_ms: int) -> None:
    """A relay whose clock is that far behind."""

    def tamper(frame: Frame) -> Frame:
        if isinstance(frame, ReadyFrame):
            return attrs.evolve(frame, now=Instant(frame.now - behind_ms))
        return frame

    world.tamper = tamper


async def test_a_daemon_without_an_account_says_how_to_begin():
    """What there is to see is seen, and the first step is said."""
    async with a_world() as world, world.running(Machine("a")) as daemon:
        found = await findings(daemon)
        assert found["account"].level is Level.FAIL
        assert "taskferry setup" in found["account"].remedy
        assert found["database"].level is Level.OK


async def test_all_is_well_with_a_daemon_that_is_connected():
    """Every check is there, and none of them complains."""
    async with a_world() as world, world.running(Machine("a")) as daemon:
        await set_up(daemon, "alice", "requester")
        found = await findings(daemon)
        assert {finding.level for finding in found.values()} == {Level.OK}, found
        assert "has the same" in found["account log"].text


@pytest.mark.parametrize(
    ("off_ms", "level", "side"),
    [
        (60_000, Level.WARN, "ahead of"),
        (600_000, Level.FAIL, "ahead of"),
        (-600_000, Level.FAIL, "behind"),
    ],
)
async def test_a_clock_that_is_off_is_said(off_ms, level, side):
    """By how much, and on which side of the relay's."""
    async with a_world() as world:
        with_clock(world, off_ms)
        async with world.running(Machine("a")) as daemon:
            await set_up(daemon, "alice", "requester")
            await connected(daemon)
            clock = (await findings(daemon))["clock"]
            assert clock.level is level
            assert side in clock.text
            assert clock.remedy
            # Whoever asks for nothing but the status is told as well, and an agent's program is.
            alarms = (await daemon.status()).alarms
            assert (alarms == (CLOCK_OFF,)) is (level is Level.FAIL)
            # It cannot be dismissed: it goes with its cause.
            listed = await daemon.alarms.alarms(OWNER)
            assert [one.text for one in listed] == list(alarms)
            assert all("until the clock is right" in one.until for one in listed)
            assert of_machine(alarms) == alarms


async def test_a_relay_that_is_away_and_what_waits_for_it_are_said():
    """What waits too long is wrong: it would expire."""
    async with a_world() as world:
        alice, bob = Machine("a"), Machine("b")
        async with world.running(alice) as a, world.running(bob) as b:
            await introduce(a, b)
        world.stop_relay()
        async with world.running(alice) as a:
            await a.send_message(OWNER, "requester", "@bob/writer", "hello", (), "", "")
            found = await findings(a)
            assert found["relay"].level is Level.FAIL
            assert found["outbox"].level is Level.OK
            assert found["account log"].level is found["clock"].level is Level.WARN
            world.clock.ahead_ms += doctor.OLD_MS + DAY_MS
            assert (await findings(a))["outbox"].level is Level.FAIL


async def test_an_identity_in_question_and_an_alarm_are_wrong():
    """They stand until the owner has decided."""
    async with forging() as (forger, bob):
        await a_second_claim(forger)
        found = await findings(bob)
        assert found["identities"].level is found["alarms"].level is Level.FAIL
        assert "taskferry peer show @alice" in found["identities"].remedy
        assert found["quarantine"].level is Level.WARN


async def test_a_relay_with_another_history_of_this_account_is_said():
    """The last statement that the relay shows is not the last one held here."""
    async with a_world() as world:
        alice = Machine("a")
        async with world.running(alice) as daemon:
            await set_up(daemon, "alice", "requester")
            core = daemon._core
            log = await core.own_log()
            fork = log.extend([rename(log.state, "alice", at=core.now(), by=core.manage)])
            # Whoever still publishes what set-up made would publish this, too.
            await wait_all_tasks_blocked(0.05)
            core.logs.put(fork)
            assert (await findings(daemon))["account log"].level is Level.WARN
            core.logs.put(attrs.evolve(log, statements=(*log.statements[:-1], b"something else")))
            assert (await findings(daemon))["account log"].level is Level.FAIL


async def test_a_program_is_not_told():
    """How the owner's daemon is, is the owner's."""
    async with a_world() as world, world.running(Machine("a")) as daemon:
        with pytest.raises(DaemonRefusal) as refused:
            await daemon.doctor.examine(Caller(frozenset({"requester"})))
        assert refused.value.code == "owner-only"
