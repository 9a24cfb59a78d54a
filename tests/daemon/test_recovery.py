"""An owner who has lost every device takes the account back with the phrase, whatever relay and thief do."""

from __future__ import annotations

import copy
from collections.abc import Callable

import attrs
import pytest
import trio

from taskferry_apps import system
from taskferry_apps.daemon import recovery
from taskferry_apps.daemon.core import SEQUENCE_FLOOR, Core
from taskferry_apps.daemon.draft import Draft
from taskferry_apps.daemon.port import Caller, DaemonRefusal, NewAgent
from taskferry_apps.daemon.recovery_port import NewRecovery
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.phrase import phrase_of, seed_of
from taskferry_protocol.accounts import AccountLog, create, fold, set_agent
from taskferry_protocol.crypto import SigningKey
from taskferry_protocol.devices import DeviceKeys
from taskferry_protocol.errors import RejectCode, RemoteProtocolError
from taskferry_protocol.frames import Frame, ReplyFrame
from taskferry_protocol.ids import AgentRef
from taskferry_protocol.records import AccountRecord, AppendStatements, NameKeys, PutSetting
from taskferry_stores.memory import MemoryRelayStore

from .worlds import GENERATION, OWNER, URL, Machine, World, a_world, connect, set_up, texts, until


def a_core(daemon: Daemon) -> Core:
    """The daemon's inside."""
    return daemon._core


def wanted(phrase: str, **more: object) -> NewRecovery:
    """A recovery on an empty machine."""
    return attrs.evolve(NewRecovery(phrase, "alice", relay=URL, label="new laptop"), **more)  # type: ignore[arg-type]


async def refused(daemon: Daemon, request: NewRecovery) -> str:
    """The code with which a recovery is refused; and nothing of it stays."""
    with pytest.raises(DaemonRefusal) as failure:
        await daemon.recovery.recover(OWNER, request)
    assert request.phrase not in str(failure.value)
    return failure.value.code


async def statements(world: World, owner: str = "alice") -> int:
    """How many statements the relay has of an account."""
    record: AccountRecord = (await world.relay_store.accounts_named((owner,)))[owner]
    return len(record.statements)


async def test_an_owner_comes_back_on_an_empty_machine():
    """The new machine serves the account's agents under the same name; the lost device is put out."""
    async with a_world() as world:
        lost, fresh = Machine("alice"), Machine("alice again")
        async with world.running(lost) as daemon:
            phrase = await set_up(daemon, "alice", "requester")
            before = await daemon.account(OWNER)
        async with world.running(fresh) as daemon:
            back = await daemon.recovery.recover(OWNER, wanted(phrase))
            assert (back.owner, back.account, back.agents) == ("alice", before.account, ("requester",))
            assert back.revoked == ("laptop",)
            after = await daemon.account(OWNER)
            states = {label: status for _, label, status in after.devices}
            assert states == {"laptop": "revoked", "new laptop": "active"}
            await until(lambda: connected(daemon))
            await daemon.create_agent(OWNER, NewAgent("second"))
            (card,) = [found for found in await daemon.agents(OWNER) if found.name == "requester"]
            assert card.handle == "@alice/requester"


async def connected(daemon: Daemon) -> bool:
    """Whether the link is up."""
    relay = (await daemon.status()).relay
    return relay is not None and relay.connected


async def test_a_recovered_machine_goes_on_after_a_restart():
    """What the recovery made stands in store and vault: the next start takes its place at the relay."""
    async with a_world() as world:
        fresh = Machine("alice again")
        async with world.running(Machine("alice")) as daemon:
            phrase = await set_up(daemon, "alice", "requester")
        async with world.running(fresh) as daemon:
            await daemon.recovery.recover(OWNER, wanted(phrase))
        async with world.running(fresh) as daemon:
            await until(lambda: connected(daemon))


async def test_peers_follow_and_the_thiefs_device_is_turned_away():
    """Bob pinned Alice; her next machine takes his message, and the lost one no longer gets a session."""
    async with a_world() as world:
        lost, bob_machine = Machine("alice"), Machine("bob")
        async with world.running(bob_machine) as bob:
            await set_up(bob, "bob", "writer")
            async with world.running(lost) as daemon:
                phrase = await set_up(daemon, "alice", "requester")
                await connect(daemon, bob, "requester", "@bob/writer")
            stolen_store = copy.deepcopy(lost.store)
            # As after a restored backup: the history is there, the keys are not.
            restored = Machine("alice again", store=lost.store)
            async with world.running(restored) as alice:
                back = await alice.recovery.recover(OWNER, NewRecovery(phrase, label="new laptop"))
                assert back.connections == 1
                await bob.send_message(OWNER, "writer", "@alice/requester", "are you there?", (), "", "")

                async def arrived() -> bool:
                    return "are you there?" in await texts(alice, "requester")

                await until(arrived)
                await alice.send_message(OWNER, "requester", "@bob/writer", "I am", (), "", "")

                async def answered() -> bool:
                    return "I am" in await texts(bob, "writer")

                await until(answered)
            thief = Machine("thief", vault=lost.vault, store=stolen_store)
            async with world.running(thief) as stolen:

                async def turned_away() -> bool:
                    status = (await stolen.status()).relay
                    return status is not None and "device-gone" in status.last_error

                await until(turned_away)
            status = await bob.status()
            assert not status.alarms or all("recovery" in alarm for alarm in status.alarms)


async def test_what_waited_in_a_backup_ends_as_unknown():
    """The lost device signed it, and it may have been delivered since: nobody sends it a second time."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        lost = Machine("alice")
        async with world.running(lost) as daemon:
            phrase = await set_up(daemon, "alice", "requester")
            await connect(daemon, bob, "requester", "@bob/writer")
            world.stop_relay()
            sent = await daemon.send_message(OWNER, "requester", "@bob/writer", "waiting", (), "", "")
        await world.start_relay()
        async with world.running(Machine("fresh", store=lost.store)) as alice:
            await alice.recovery.recover(OWNER, NewRecovery(phrase))
            delivery = (await alice.message(OWNER, sent.message.hex())).delivery
            assert delivery is not None
            assert (delivery.rung, delivery.code) == ("expired", "device-gone")
            await until(lambda: connected(alice))
            assert "waiting" not in await texts(bob, "writer")


async def test_the_same_device_never_uses_a_number_twice():
    """A machine put back with its old keys counts on above anything that it may have sent since."""
    async with a_world() as world, world.running(Machine("bob")) as bob:
        await set_up(bob, "bob", "writer")
        machine = Machine("alice")
        async with world.running(machine) as alice:
            await set_up(alice, "alice", "requester")
            await connect(alice, bob, "requester", "@bob/writer")
        floor = system.now()
        await machine.store.commit([PutSetting(SEQUENCE_FLOOR, floor.to_bytes(8, "big"))])
        async with world.running(machine) as alice:
            await alice.send_message(OWNER, "requester", "@bob/writer", "I am back", (), "", "")
            peer = AgentRef((await bob.account(OWNER)).account, "writer")
            assert (await machine.store.sequences((peer,)))[peer] == floor + 1

            async def arrived() -> bool:
                return "I am back" in await texts(bob, "writer")

            await until(arrived)


async def test_who_is_no_owner_takes_nothing_back():
    """An agent's credential reaches no recovery, whatever it sends."""
    async with a_world() as world, world.running(Machine("alice")) as daemon:
        for call in (
            daemon.recovery.recover(Caller(frozenset({"requester"})), wanted("x")),
            daemon.recovery.check(Caller(frozenset({"requester"})), "x"),
            daemon.recovery.renew(Caller(frozenset({"requester"})), "x", "y"),
        ):
            with pytest.raises(DaemonRefusal) as failure:
                await call
            assert failure.value.code == "owner-only"


async def test_another_phrase_finds_no_account():
    """The relay shows a log only to the key that may take it back, so a guess learns not even of a name."""
    async with a_world() as world:
        async with world.running(Machine("alice")) as daemon:
            await set_up(daemon, "alice", "requester")
        count = await statements(world)
        async with world.running(Machine("other")) as daemon:
            other = phrase_of(system.entropy(32))
            assert await refused(daemon, wanted(other)) == "unknown-account"
            assert await refused(daemon, wanted(other, owner="nobody")) == "unknown-account"
            assert await refused(daemon, wanted("word " * 24)) == "bad-phrase"
            assert await refused(daemon, wanted(other, account="12")) == "bad-value"
            assert await refused(daemon, wanted(other, relay="ftp://relay.test")) == "bad-value"
            assert await refused(daemon, wanted(other, relay="")) == "missing-field"
            assert not (await daemon.status()).set_up
        assert await statements(world) == count


async def test_a_relay_that_is_away_costs_nothing_and_the_next_try_works():
    """Without the relay nothing is signed; the same words work once it is back."""
    async with a_world() as world:
        async with world.running(Machine("alice")) as daemon:
            phrase = await set_up(daemon, "alice", "requester")
        world.stop_relay()
        async with world.running(Machine("fresh")) as daemon:
            assert await refused(daemon, wanted(phrase)) == "relay-unreachable"
            await world.start_relay()
            assert (await daemon.recovery.recover(OWNER, wanted(phrase))).owner == "alice"


async def test_a_recovery_that_was_cut_off_goes_on():
    """The relay has taken the statement and the machine dies before it commits: asking again finishes it."""
    async with a_world() as world:
        async with world.running(Machine("alice")) as daemon:
            phrase = await set_up(daemon, "alice", "requester")
        fresh = Machine("fresh")
        async with world.running(fresh) as daemon:
            core = a_core(daemon)

            async def die(*_: object) -> None:
                raise RuntimeError("the power fails")

            commit, core.store.commit = core.store.commit, die  # type: ignore[method-assign,assignment]
            with pytest.raises(RuntimeError):
                await daemon.recovery.recover(OWNER, wanted(phrase))
            core.store.commit = commit  # type: ignore[method-assign]
        count = await statements(world)
        async with world.running(fresh) as daemon:
            assert not (await daemon.status()).set_up
            await daemon.recovery.recover(OWNER, wanted(phrase))
            await until(lambda: connected(daemon))
        assert await statements(world) == count


async def test_a_device_that_is_kept_stays_with_its_agents():
    """`keep` restates a device as it was; it serves on, and learns of the new one from the relay."""
    async with a_world() as world, world.running(Machine("alice")) as old:
        phrase = await set_up(old, "alice", "requester")
        async with world.running(Machine("fresh")) as daemon:
            assert await refused(daemon, wanted(phrase, keep=("desktop",))) == "not-found"
            back = await daemon.recovery.recover(OWNER, wanted(phrase, keep=("laptop",)))
            assert back.revoked == ()
            log = await a_core(daemon).own_log()
            assert len(log.state.agents["requester"]) == 2
            await until(lambda: connected(daemon))
        await until(lambda: connected(old))


@pytest.mark.parametrize("code", [RejectCode.TOO_LARGE, RejectCode.TOO_MANY])
async def test_more_than_a_recovery_has_room_for_is_refused_before_anything_is_written(code, monkeypatch):
    """With a code, a sentence and the next step; no key is kept, and the relay has no statement.

    So it is in one statement, and in a log that is nearly full.
    """
    async with a_world() as world, world.running(Machine("alice")) as old:
        phrase = await set_up(old, "alice", "requester")
        fresh = Machine("fresh")
        async with world.running(fresh) as daemon:
            before = await statements(world)

            def no_room(*_: object, **__: object) -> AccountLog:
                raise RemoteProtocolError(code, "one more than is allowed")

            with monkeypatch.context() as patch:
                patch.setattr(recovery, "restate", no_room)
                with pytest.raises(DaemonRefusal) as failure:
                    await daemon.recovery.recover(OWNER, wanted(phrase, keep=("laptop",)))
            assert (failure.value.code, failure.value.detail) == (code.value, {"field": "keep"})
            assert "Keep fewer machines" in failure.value.next_step
            assert (fresh.vault.ring, await statements(world)) == (None, before)
            await daemon.recovery.recover(OWNER, wanted(phrase))


async def test_a_thiefs_branch_is_cut_off():
    """With `kept` the log goes on before what a thief signed, and the relay and peers follow."""
    async with a_world() as world:
        machine = Machine("alice")
        async with world.running(machine) as daemon:
            phrase = await set_up(daemon, "alice", "requester")
            await until(lambda: connected(daemon))
            kept = (await daemon.account(OWNER)).length
            await daemon.create_agent(OWNER, NewAgent("planted"))
        async with world.running(Machine("fresh")) as daemon:
            assert await refused(daemon, wanted(phrase, kept=99)) == "bad-value"
            back = await daemon.recovery.recover(OWNER, wanted(phrase, kept=kept))
            assert back.agents == ("requester",)
            await until(lambda: connected(daemon))
        assert await statements(world) == kept + 1


async def test_a_fork_is_healed_on_the_owners_own_machine():
    """Where relay and machine hold two branches, recovering in place wins over both, with the same device."""
    async with a_world() as world:
        machine = Machine("alice")
        async with world.running(machine) as daemon:
            phrase = await set_up(daemon, "alice", "requester")
            await until(lambda: connected(daemon))
            core = a_core(daemon)
            log = await core.own_log()
            thieves = set_agent(log.state, "evil", [core.device], at=core.now(), by=core.manage)
            world.stop_relay()
            await daemon.create_agent(OWNER, NewAgent("mine"))
        relay = await other_relay([*log.statements, thieves])
        async with a_world(relay) as world, world.running(machine) as daemon:

            async def held() -> bool:
                status = await daemon.status()
                return any("another history" in alarm for alarm in status.alarms) or (
                    status.relay is not None and "forked" in status.relay.last_error
                )

            await until(held)
            back = await daemon.recovery.recover(OWNER, NewRecovery(phrase))
            assert back.device == a_core(daemon).device
            assert back.agents == ("requester",)
            await until(lambda: connected(daemon))
            assert await statements(world) == len(log.statements) + 1


async def other_relay(log: list[bytes]) -> MemoryRelayStore:
    """A relay's store that was told another branch of Alice's log."""
    store, folded = MemoryRelayStore(GENERATION), fold(log)
    state = folded.state
    keys = {state.recovery} | set(state.devices) | set(state.manage_keys())
    await store.commit(
        [
            AppendStatements(folded.account, state.name, None, 0, folded.statements, folded.position),
            NameKeys(folded.account, frozenset(keys)),
        ]
    )
    return store


# --- A relay that lies


def showing(*shown: bytes) -> Callable[[Frame], Frame]:
    """Tamper that puts other statements into a visitor's answers."""

    def tamper(frame: Frame) -> Frame:
        match frame:
            case ReplyFrame(outcome=dict() as outcome) if "statements" in outcome:
                at = outcome["from"]
                assert isinstance(at, int)
                return attrs.evolve(frame, outcome={**outcome, "statements": [*shown[at:]]})
            case _:
                return frame

    return tamper


async def test_a_relay_that_shows_another_account_is_refused():
    """Another log, though it holds together and has the name asked for, is not taken back by this phrase."""
    async with a_world() as world:
        async with world.running(Machine("alice")) as daemon:
            phrase = await set_up(daemon, "alice", "requester")
            account = (await daemon.account(OWNER)).account
        count = await statements(world)
        theirs = SigningKey.from_seed(system.entropy(32))
        keys = DeviceKeys.generate_managing("x", system.entropy)
        other = create("alice", keys, theirs, at=system.now())
        mallory = create("mallory", keys, SigningKey.from_seed(seed_of(phrase)), at=system.now())
        async with world.running(Machine("fresh")) as daemon:
            world.tamper = showing(other)
            assert await refused(daemon, wanted(phrase)) == "wrong-phrase"
            assert await refused(daemon, wanted(phrase, account=account.hex())) == "other-account"
            world.tamper = showing(mallory)
            assert await refused(daemon, wanted(phrase)) == "other-account"
            world.tamper = showing()
            assert await refused(daemon, wanted(phrase)) == "bad-log"
            world.tamper = showing(other[:-1] + bytes([other[-1] ^ 1]))
            assert await refused(daemon, wanted(phrase)) == "bad-log"
            world.tamper = None
            assert not (await daemon.status()).set_up
        assert await statements(world) == count


async def test_a_relay_that_hides_the_end_of_the_log_is_not_followed():
    """A restored backup knows more than the relay shows: the recovery goes on from all of it."""
    async with a_world() as world:
        lost = Machine("alice")
        async with world.running(lost) as daemon:
            phrase = await set_up(daemon, "alice", "requester")
            await daemon.create_agent(OWNER, NewAgent("second"))
            await until(lambda: connected(daemon))
            log = await a_core(daemon).own_log()
        async with world.running(Machine("again", store=lost.store)) as daemon:
            world.tamper = showing(*log.statements[:-1])
            back = await daemon.recovery.recover(OWNER, NewRecovery(phrase))
            assert back.agents == ("requester", "second")
            assert (await a_core(daemon).own_log()).statements[: len(log.statements)] == log.statements


# --- The phrase itself


async def test_the_phrase_is_checked_and_renewed():
    """A phrase can be proved without using it, and another put in force, after which the old one is none."""
    async with a_world() as world:
        coming = phrase_of(system.entropy(32))
        async with world.running(Machine("alice")) as daemon:
            phrase = await set_up(daemon, "alice", "requester")
            await daemon.recovery.check(OWNER, phrase)
            await daemon.recovery.check(OWNER, seed_of(phrase).hex())
            for call in (daemon.recovery.check(OWNER, coming), daemon.recovery.renew(OWNER, coming, phrase)):
                with pytest.raises(DaemonRefusal) as failure:
                    await call
                assert failure.value.code == "wrong-phrase"
            await daemon.recovery.renew(OWNER, phrase, coming)
            await daemon.recovery.check(OWNER, coming)
            length = (await daemon.account(OWNER)).length

            async def published() -> bool:
                return await statements(world) == length

            await until(published)
        async with world.running(Machine("fresh")) as daemon:
            assert await refused(daemon, wanted(phrase)) == "unknown-account"
            assert (await daemon.recovery.recover(OWNER, wanted(coming))).owner == "alice"


async def test_a_long_log_is_taken_back_and_goes_on_after_a_restart():
    """More statements than one page holds: the device is named at the end alone."""
    async with a_world() as world:
        async with world.running(Machine("alice")) as daemon:
            phrase = await set_up(daemon, "alice", "requester")
            core = a_core(daemon)
            log = await core.own_log()
            for number in range(300):
                devices = [core.device] if number % 2 else []
                log = log.extend([set_agent(log.state, "busy", devices, at=core.now(), by=core.manage)])
            async with core.lock:
                draft = Draft(core)
                draft.take_log(await core.own_log(), log)
                await draft.commit()
            core.outgoing.ring()

            async def published() -> bool:
                return await statements(world) == log.state.length

            await until(published)
        fresh = Machine("fresh")
        async with world.running(fresh) as daemon:
            assert (await daemon.recovery.recover(OWNER, wanted(phrase))).agents == ("busy", "requester")
            await until(lambda: connected(daemon))
        async with world.running(fresh) as daemon:
            await until(lambda: connected(daemon))


async def test_visits_wait_for_nobody():
    """A visitor's session ends with its question, and the daemon's own link goes on."""
    async with a_world() as world, world.running(Machine("alice")) as daemon:
        phrase = await set_up(daemon, "alice", "requester")
        await until(lambda: connected(daemon))
        with trio.fail_after(5):
            assert await refused(daemon, wanted(phrase_of(bytes(32)), account="00" * 32)) == "unknown-account"
        assert await connected(daemon)
        assert phrase
