"""The manage key behind a passphrase: what waits, what goes on, and what a thief of the files gets."""

from __future__ import annotations

from collections.abc import Awaitable

import trio

from taskferry_apps.daemon.keys import decode_keys, encode_keys
from taskferry_apps.daemon.manage import Manage
from taskferry_apps.daemon.port import Caller, DaemonRefusal, GrantChange, NewAgent
from taskferry_apps.daemon.recovery_port import NewRecovery
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.limits import DAY_MS, MINUTE_MS
from taskferry_protocol.passphrases import Effort

from .worlds import OWNER, Machine, a_world, connected, introduce, set_up, until

WORDS = "correct horse battery"


def cheaply(daemon: Daemon) -> Daemon:
    """With a passphrase that costs little to try, so that a test is quick."""
    daemon.manage = Manage(daemon._core, Effort(1, 8_192))
    return daemon


async def code(call: Awaitable[object]) -> str:
    """The code that a call is refused with, "" if it is not."""
    try:
        await call
    except DaemonRefusal as refused:
        return refused.code if WORDS not in f"{refused.message} {refused.next_step}" else "tells the words"
    return ""


async def test_locked_owner_acts_wait_and_the_rest_goes_on():
    """Messages, tasks and the weekly change of keys need no passphrase; approving and changing things do."""
    async with a_world() as world:
        alice_machine = Machine("alice")
        async with world.running(alice_machine) as daemon, world.running(Machine("bob")) as bob:
            alice = cheaply(daemon)
            await introduce(alice, bob)
            await alice.manage.set_passphrase(OWNER, WORDS, "")
            assert (await alice.status()).manage == "locked"
            bond = (await alice.connections(OWNER, "accepted", ""))[0].id.hex()
            for call in (
                alice.create_agent(OWNER, NewAgent("second")),
                alice.set_permissions(OWNER, bond, GrantChange(rate_per_minute=5)),
                alice.end_connection(OWNER, bond, "revoked", ""),
            ):
                assert await code(call) == "locked"
            await alice.send_message(OWNER, "requester", "@bob/writer", "hello", (), "", "")
            before = (await alice._core.own_log()).state.length
            world.clock.ahead_ms = 8 * DAY_MS
            await alice._owner.keep_keys_fresh(connected=True)
            assert (await alice._core.own_log()).state.length == before + 1
            assert await code(alice.manage.unlock(OWNER, "another passphrase", 5)) == "wrong-passphrase"
            await alice.manage.unlock(OWNER, WORDS, 5)
            assert (await alice.status()).manage == "unlocked"
            await alice.set_permissions(OWNER, bond, GrantChange(rate_per_minute=5))


async def test_an_unlocked_key_is_forgotten_in_time():
    """After its minutes, on demand, and with the process."""
    async with a_world() as world:
        machine = Machine("alice")
        async with world.running(machine) as daemon:
            alice = cheaply(daemon)
            await set_up(alice, "alice", "requester")
            await alice.manage.set_passphrase(OWNER, WORDS, "")
            await alice.manage.unlock(OWNER, WORDS, 5)
            world.clock.ahead_ms = 5 * MINUTE_MS
            assert await code(alice.create_agent(OWNER, NewAgent("late"))) == "locked"
            await alice.manage.unlock(OWNER, WORDS, 5)
            await alice.manage.lock(OWNER)
            assert await code(alice.create_agent(OWNER, NewAgent("late"))) == "locked"
            await alice.manage.unlock(OWNER, WORDS, 5)
        async with world.running(machine) as daemon:
            assert (await daemon.status()).manage == "locked"


async def test_no_key_stays_unlocked_for_years_because_a_clock_was_ahead():
    """The clock is put right by fourteen years, and the passphrase is asked for again."""
    async with a_world() as world, world.running(Machine("alice")) as daemon:
        alice = cheaply(daemon)
        await set_up(alice, "alice", "requester")
        await alice.manage.set_passphrase(OWNER, WORDS, "")
        world.clock.ahead_ms = 5_000 * DAY_MS
        await alice.manage.unlock(OWNER, WORDS, 5)
        world.clock.ahead_ms = 0
        assert await code(alice.create_agent(OWNER, NewAgent("late"))) == "locked"


async def test_the_files_hold_no_manage_key():
    """What is kept has the locked key alone; it opens by the passphrase, and survives being written again."""
    async with a_world() as world:
        machine = Machine("alice")
        async with world.running(machine) as daemon:
            alice = cheaply(daemon)
            await set_up(alice, "alice", "requester")
            seed = alice._core.manage.seed
            await alice.manage.set_passphrase(OWNER, WORDS, "")
            ring = machine.vault.ring
            assert ring is not None
            raw = encode_keys(ring)
            assert seed.hex().encode() not in raw
            again = decode_keys(raw, "the file")
            assert again == ring
            assert again.locked_manage is not None
            opened = again.locked_manage.open(WORDS)
            assert opened is not None
            assert opened.seed == seed
            assert again.locked_manage.open("another passphrase") is None


async def test_a_passphrase_is_changed_and_taken_away_by_itself_alone():
    """The one in use is asked for; an unlocked key is no excuse."""
    async with a_world() as world, world.running(Machine("alice")) as daemon:
        alice = cheaply(daemon)
        await set_up(alice, "alice", "requester")
        assert await code(alice.manage.unlock(OWNER, WORDS, 5)) == "not-locked"
        assert await code(alice.manage.set_passphrase(OWNER, "short", "")) == "bad-value"
        await alice.manage.set_passphrase(OWNER, WORDS, "")
        await alice.manage.unlock(OWNER, WORDS, 5)
        assert await code(alice.manage.set_passphrase(OWNER, "", "")) == "wrong-passphrase"
        assert await code(alice.manage.set_passphrase(OWNER, "x" * 20, "guess")) == "wrong-passphrase"
        await alice.manage.set_passphrase(OWNER, "x" * 20, WORDS)
        assert (await alice.status()).manage == "locked"
        await alice.manage.set_passphrase(OWNER, "", "x" * 20)
        assert (await alice.status()).manage == "open"
        await alice.create_agent(OWNER, NewAgent("second"))


async def test_only_the_owner_unlocks():
    """An agent's credential neither locks nor unlocks, with the right words either."""
    async with a_world() as world, world.running(Machine("alice")) as daemon:
        alice, agent = cheaply(daemon), Caller(frozenset({"requester"}))
        await set_up(alice, "alice", "requester")
        await alice.manage.set_passphrase(OWNER, WORDS, "")
        for call in (
            alice.manage.unlock(agent, WORDS, 5),
            alice.manage.lock(agent),
            alice.manage.set_passphrase(agent, "", WORDS),
        ):
            assert await code(call) == "owner-only"


async def test_recovery_in_place_needs_no_passphrase():
    """Who has forgotten it has the recovery phrase: the device is restated, and its key stays locked."""
    async with a_world() as world, world.running(Machine("alice")) as daemon:
        alice = cheaply(daemon)
        phrase = await set_up(alice, "alice", "requester")
        await alice.manage.set_passphrase(OWNER, WORDS, "")
        await recovered(alice, phrase)
        assert (await alice.status()).manage == "locked"
        await alice.manage.unlock(OWNER, WORDS, 5)
        await alice.create_agent(OWNER, NewAgent("second"))


async def recovered(daemon: Daemon, phrase: str) -> None:
    """The account taken back where it is, and the link up again."""
    await daemon.recovery.recover(OWNER, NewRecovery(phrase))

    async def connected() -> bool:
        relay = (await daemon.status()).relay
        await trio.lowlevel.checkpoint()
        return relay is not None and relay.connected

    await until(connected)


async def test_a_withdrawal_waits_for_the_passphrase_and_leaves_all_as_it_was():
    """Nothing is ended before the key is there that says so; then all of it is."""
    async with a_world() as world, connected(world) as (_, bob):
        secret, _ = await bob.create_token(OWNER, ("writer",), "program")
        await bob.manage.set_passphrase(OWNER, WORDS, "")
        assert await code(bob.withdraw_agent(OWNER, "writer")) == "locked"
        assert len(await bob.connections(OWNER, "accepted", "")) == 1
        assert await bob.caller_for(secret) is not None
        await bob.manage.unlock(OWNER, WORDS, 5)
        assert await bob.withdraw_agent(OWNER, "writer") == 1
        assert await bob.caller_for(secret) is None
