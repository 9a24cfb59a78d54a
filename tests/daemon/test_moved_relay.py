"""A relay that answers at a new address, and another one that passes itself off as it."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import attrs

from taskferry_apps.daemon.service import Daemon
from taskferry_apps.relay.core import Policy
from taskferry_protocol.frames import DeliverFrame, Frame, ReadyFrame
from taskferry_protocol.records import Generation, Offset, RelayCursor, SetCursor
from taskferry_stores.memory import MemoryRelayStore
from taskferry_stores.sqlite import open_daemon_store

from .worlds import (
    GENERATION,
    OWNER,
    URL,
    Machine,
    World,
    a_world,
    connected,
    introduce,
    on_rung,
    texts,
    until,
)

MOVED = "ws://moved.test:80"
ALIEN = "ws://alien.test:80"
BOTH = Policy([URL, MOVED])


def _machine(name: str, folder: Path) -> Machine:
    (folder / name).mkdir()
    return Machine(name, folder=folder / name)


async def _say(daemon: Daemon, text: str, rung: str) -> None:
    sent = await daemon.send_message(OWNER, "requester", "@bob/writer", text, (), "", "")
    await on_rung(daemon, sent.message, rung)


async def _decided(daemon: Daemon) -> tuple[bool, str]:
    """Whether there is a session, and why not, once either is known."""

    async def known() -> tuple[bool, str] | None:
        relay = (await daemon.status()).relay
        assert relay is not None
        return (relay.connected, relay.last_error) if relay.connected or relay.last_error else None

    return await until(known)


async def _comes_in(world: World, machine: Machine, relay: str, told: list[str]) -> None:
    async with world.running(machine, relay=relay) as daemon:
        assert await _decided(daemon) == (True, "")

        async def arrived() -> bool:
            return await texts(daemon) == told

        await until(arrived)


async def test_a_moved_relay_goes_on_with_nothing_lost_and_nothing_twice(tmp_path: Path):
    """What waited at the old address comes at the new one, once; restarts there, and the way back, work."""
    async with a_world(policy=BOTH) as world:
        alice, bob = _machine("alice", tmp_path), _machine("bob", tmp_path)
        async with world.running(alice) as a:
            async with world.running(bob) as b:
                await introduce(a, b)
                await _say(a, "before", "delivered")
            await _say(a, "waiting", "relayed")
        async with world.running(alice, relay=MOVED) as a:
            await _say(a, "moved", "relayed")
            for _ in range(2):
                await _comes_in(world, bob, MOVED, ["before", "waiting", "moved"])
            await _say(a, "back", "relayed")
            await _comes_in(world, bob, URL, ["before", "waiting", "moved", "back"])
            await _comes_in(world, bob, MOVED, ["before", "waiting", "moved", "back"])
            async with world.running(bob, relay=MOVED):
                await _say(a, "on", "delivered")
        await _comes_in(world, bob, MOVED, ["before", "waiting", "moved", "back", "on"])


async def test_a_relay_that_names_the_generation_of_another_has_nothing_skipped_there(tmp_path: Path):
    """It says that it stands far ahead, and later an address is new again: all that waits still comes."""

    def ahead(frame: Frame) -> Frame:
        return attrs.evolve(frame, next_offset=10**6) if isinstance(frame, ReadyFrame) else frame

    async with (
        a_world(policy=BOTH) as world,
        a_world(MemoryRelayStore(GENERATION), policy=Policy([ALIEN])) as alien,
    ):
        alice, bob = _machine("alice", tmp_path), _machine("bob", tmp_path)
        async with world.running(alice) as a:
            async with world.running(bob) as b:
                await introduce(a, b)
                await _say(a, "before", "delivered")
            for text in ("one", "two"):
                await _say(a, text, "relayed")
            alien.tamper = ahead
            async with alien.running(bob, relay=ALIEN) as b:
                connected, error = await _decided(b)
                assert not connected
                assert "other-instance" in error
            # It may also say that it knows nothing, and be ahead once it has been believed.
            alien.tamper = None
            await _comes_in(alien, bob, ALIEN, ["before"])
            await bob.store.commit([SetCursor(RelayCursor(ALIEN, GENERATION, Offset(10**6)))])
            # A start elsewhere stands between, which no relay can tell from a copy's.
            bob.take_over = True
            await _comes_in(world, bob, MOVED, ["before", "one", "two"])
            await _say(a, "three", "relayed")
            await _comes_in(world, bob, URL, ["before", "one", "two", "three"])


async def test_offsets_that_no_database_holds_end_the_session_and_not_the_daemon(tmp_path: Path):
    """A relay that lies about where the mailbox stands, at the opening or with mail, is told off."""

    def opening(frame: Frame) -> Frame:
        return attrs.evolve(frame, next_offset=2**64 - 1) if isinstance(frame, ReadyFrame) else frame

    def mail(frame: Frame) -> Frame:
        if not isinstance(frame, DeliverFrame):
            return frame
        return attrs.evolve(frame, entries=(attrs.evolve(frame.entries[0], offset=2**63),))

    async with a_world() as world, open_daemon_store(tmp_path / "bob.db") as store:
        alice, bob = _machine("alice", tmp_path), attrs.evolve(_machine("bob", tmp_path), store=store)
        async with world.running(alice) as a:
            async with world.running(bob) as b:
                await introduce(a, b)
            await _say(a, "waiting", "relayed")
            for lie in (opening, mail):
                world.tamper = lie
                async with world.running(bob) as b:

                    async def told(daemon: Daemon = b) -> bool:
                        relay = (await daemon.status()).relay
                        return relay is not None and "bad-value" in relay.last_error

                    await until(told)
            world.tamper = None
            await _comes_in(world, bob, URL, ["waiting"])


async def test_an_older_copy_of_the_moved_relay_has_nothing_skipped(tmp_path: Path):
    """Its operator did not say that it is one: it gives numbers twice, and all the mail comes."""
    async with a_world(policy=BOTH) as world:
        alice, bob = _machine("alice", tmp_path), _machine("bob", tmp_path)
        async with connected(world, alice, bob) as (a, _):
            await _say(a, "before", "delivered")
            older = copy.deepcopy(world.relay_store)
            for text in ("one", "two", "three"):
                await _say(a, text, "delivered")
        world.stop_relay()
        world.relay_store = older
        await world.start_relay()
        async with world.running(alice, relay=MOVED) as a:
            for text in ("four", "five"):
                await _say(a, text, "relayed")
            await _comes_in(world, bob, MOVED, ["before", "one", "two", "three", "four", "five"])


async def test_an_older_copy_of_a_device_signs_nothing_at_a_new_address(tmp_path: Path):
    """It was taken within a start, so the chain of starts says nothing; what it was sent since does."""
    async with a_world(policy=BOTH) as world:
        alice, bob = _machine("alice", tmp_path), _machine("bob", tmp_path)
        async with world.running(alice) as a:
            async with world.running(bob) as b:
                await introduce(a, b)
                await _say(a, "before", "delivered")
                shutil.copytree(tmp_path / "bob", tmp_path / "older")
                older = attrs.evolve(bob, store=copy.deepcopy(bob.store), folder=tmp_path / "older")
                await _say(a, "since", "delivered")
            async with world.running(older, relay=MOVED) as b:
                connected, error = await _decided(b)
                assert not connected
                assert "other-instance" in error


async def test_a_restored_relay_takes_a_daemon_again_that_had_no_mail_since(tmp_path: Path):
    """The relay still knows what was acknowledged before its copy was made; so does the new cursor."""
    store = MemoryRelayStore(GENERATION)
    async with a_world(store) as world:
        alice, bob = _machine("alice", tmp_path), _machine("bob", tmp_path)
        async with world.running(alice) as a:
            async with world.running(bob) as b:
                await introduce(a, b)
                await _say(a, "before", "delivered")
            world.stop_relay()
            await store.renew_generation(Generation(b"restored".ljust(16)))
            await world.start_relay()
            for _ in range(3):
                await _comes_in(world, bob, URL, ["before"])
