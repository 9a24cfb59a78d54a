"""Frames that take long to read are read one in a turn, and what is in them is decided on in another."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
import trio

from taskferry_apps.relay import judge
from taskferry_apps.relay.core import Policy
from taskferry_apps.relay.efforts import effort
from taskferry_protocol.cbor import encode
from taskferry_protocol.envelope import read_parcel
from taskferry_protocol.relay_session import RelaySession
from taskferry_protocol.sessions import Acked, ParcelsReceived
from taskferry_stores.memory import MemoryRelayStore

from .conftest import GENERATION, ORIGIN, codes, serving
from .people import person, seal


class Turn(trio.abc.Instrument):
    """What is done in each turn of a task."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Another begins."""
        self.done.append(" ")

    @property
    def turns(self) -> set[str]:
        """Each turn in which anything was done: `r` for a frame that was read, `d` for parcels decided on."""
        return set("".join(self.done).split())


async def test_frames_of_many_small_items_are_read_one_in_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four of them that arrive together: everybody has a turn between two, and before they are decided on."""
    turn = Turn()
    receive = RelaySession.receive

    def receiving(session, data, *, now):
        turn.done.append("r" if len(data) > 8_000 else "")
        return receive(session, data, now=now)

    def reading(value):
        turn.done.append("d")
        return read_parcel(value)

    async with serving(MemoryRelayStore(GENERATION), Policy([ORIGIN])) as world:
        await world.introduce()
        async with world.open(world.alice) as client:
            monkeypatch.setattr(RelaySession, "receive", receiving)
            monkeypatch.setattr(judge, "read_parcel", reading)
            trio.lowlevel.add_instrument(turn)
            dear = encode([[] for _ in range(9_000)])
            pending = [await client.submit([dear]) for _ in range(4)]
            outcomes = [outcome for batch in pending for outcome in await batch.wait()]
            trio.lowlevel.remove_instrument(turn)
            assert codes(tuple(outcomes)) == ["bad-value"] * 4
            assert turn.turns == {"r", "d"}
            letters = [seal(world.alice, world.bob, f"{n}", world.now).parcel for n in range(3)]
            assert codes(await client.send(letters)) == ["accepted"] * 3


class Round(trio.abc.Instrument):
    """How many slow frames are read in each round of the loop."""

    def __init__(self) -> None:
        self.now = 0
        self.rounds: list[int] = []

    def before_io_wait(self, timeout: float) -> None:
        """A round is over."""
        self.rounds.append(self.now)
        self.now = 0


async def test_slow_frames_of_many_links_are_read_one_in_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first of each link, which nobody can know beforehand, everybody waits for one at most."""
    counted, receive = Round(), RelaySession.receive

    def receiving(session, data, *, now):
        counted.now += len(data) > 8_192
        return receive(session, data, now=now)

    async with serving(MemoryRelayStore(GENERATION), Policy([ORIGIN])) as world:
        people = [person(f"owner{n}", n, world.now) for n in range(3, 9)]
        dear = encode([[] for _ in range(9_000)])
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(world.open(who)) for who in people]
            for client in clients:
                await client.send([dear])
            monkeypatch.setattr(RelaySession, "receive", receiving)
            trio.lowlevel.add_instrument(counted)
            async with trio.open_nursery() as nursery:
                for client in clients:
                    nursery.start_soon(client.send, [dear])
                    nursery.start_soon(client.send, [dear])
            trio.lowlevel.remove_instrument(counted)
    assert sum(counted.rounds) >= len(people)
    assert max(counted.rounds) == 1


def test_mail_for_one_device_is_read_quickly() -> None:
    """Everything else takes the general reader, which may find an item in each byte."""
    quick = ParcelsReceived(0, ((b"envelope", b"key", b"sealed"),), 100)
    general = ParcelsReceived(0, ([b"envelope", []],), 100)
    assert effort(bytes(100), [quick]) == 100
    assert effort(bytes(100), [general]) == effort(bytes(100), [Acked(1)]) == effort(bytes(100), []) == 800
