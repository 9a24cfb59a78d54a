"""What changes between a decision and its commit: nobody gets back what the commit has not written yet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from taskferry_apps.relay.core import Policy
from taskferry_protocol.accounts import set_agent
from taskferry_protocol.calls import PutConnection
from taskferry_protocol.ids import AgentRef, ConversationId
from taskferry_protocol.messages import ConnectionEnded, Content
from taskferry_protocol.records import Flow, RateRecord, RelayChange, RelayResult, StoreEnvelope
from taskferry_protocol.sealing import Address

from .conftest import ORIGIN, PausedStore, World, codes, serving
from .people import connect, seal, seal_content


class SlowMail(PausedStore):
    """A store that is busy with mail alone: everything else is written at once; and who looks may wait."""

    def __init__(self) -> None:
        super().__init__()
        self.look = trio.Event()
        self.look.set()

    async def commit(self, changes: Sequence[RelayChange]) -> tuple[RelayResult, ...]:
        """Wait for the gate if there is mail."""
        if any(isinstance(change, StoreEnvelope) for change in changes):
            return await super().commit(changes)
        return await super(PausedStore, self).commit(changes)

    async def rates(self, flows: Collection[Flow]) -> Mapping[Flow, RateRecord]:
        """What is stored now, told once one may look."""
        found = await super().rates(flows)
        await self.look.wait()
        return found


@asynccontextmanager
async def a_slow_disk() -> AsyncIterator[World]:
    """A relay with two owners who have not joined yet, whose mail waits for `store.gate`."""
    async with serving(SlowMail(), Policy([ORIGIN])) as world:
        desk = set_agent(world.bob.log.state, "desk", [world.bob.keys.id], at=world.now, by=world.bob.manage)
        world.bob.log = world.bob.log.extend([desk])
        yield world


def request(world: World) -> bytes:
    """Alice's request to Bob's other agent, with which hers is not connected."""
    address = Address(
        from_=world.alice.agent,
        to=AgentRef(world.bob.log.account, "desk"),
        seq=world.alice.next_seq(AgentRef(world.bob.log.account, "desk")),
        log=world.alice.log.position,
        to_log=world.bob.log.position,
    )
    content = Content(ConnectionEnded(b"an end", ""), conv=ConversationId(bytes(16)))
    return seal_content(world.alice, world.bob, content, address, world.now).parcel


async def sent_around(
    world: World, call: PutConnection, first: Sequence[bytes], second: Sequence[bytes], *, late: bool
) -> list[list[str]]:
    """What becomes of two batches, where the call is made once the first is on its way to the disk.

    The disk is done after the second was decided on, or, if that is `late`, while it is looked up.
    """
    assert isinstance(world.store, SlowMail)
    found: dict[int, list[str]] = {}
    async with world.open(world.bob) as other, world.open(world.alice) as client:
        await client.call(call)
        world.store.gate = trio.Event()

        async def send(batch: int, parcels: Sequence[bytes]) -> None:
            found[batch] = codes(await client.send(parcels))

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send, 1, first)
                await wait_all_tasks_blocked()
                await other.call(call)
                if late:
                    world.store.look = trio.Event()
                nursery.start_soon(send, 2, second)
                await wait_all_tasks_blocked()
                if not late:
                    # Its answer comes behind the decision.
                    await client.call(call)
                world.store.gate.set()
                await wait_all_tasks_blocked()
                world.store.look.set()
    return [found[1], found[2]]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("many", [1, 3])
async def test_a_rate_on_its_way_to_the_disk_is_not_given_back(many: int, *, late: bool) -> None:
    """Saying again what connects two agents, while mail is being written, brings none of the rate back."""
    async with a_slow_disk() as world:
        parcels = [seal(world.alice, world.bob, f"{n}", world.now).parcel for n in range(2 * many)]
        call = connect(world.alice, world.bob, world.now, rate=many)
        found = await sent_around(world, call, parcels[:many], parcels[many:], late=late)
        assert found == [["accepted"] * many, ["rate-limited"] * many]


@pytest.mark.parametrize("late", [False, True])
async def test_requests_on_their_way_to_the_disk_count(*, late: bool) -> None:
    """Nor does it make a relay forget how often somebody has asked."""
    async with a_slow_disk() as world:
        asked = [request(world) for _ in range(5)]
        call = connect(world.alice, world.bob, world.now)
        found = await sent_around(world, call, asked[:3], asked[3:], late=late)
        assert found == [["accepted"] * 3, ["contact-limit"] * 2]


async def test_what_comes_again_while_it_is_being_written_is_no_more_than_it_was():
    """A sender whose link broke before the answer offers the same again, and is not told to wait for it."""
    async with a_slow_disk() as world:
        assert isinstance(world.store, SlowMail)
        parcels = [seal(world.alice, world.bob, f"{n}", world.now).parcel for n in range(3)]
        found: list[list[str]] = []
        async with world.open(world.bob), world.open(world.alice) as client:
            await client.call(connect(world.alice, world.bob, world.now, rate=3))
            world.store.gate = trio.Event()

            async def send() -> None:
                found.append(codes(await client.send(parcels)))

            with trio.fail_after(20):
                async with trio.open_nursery() as nursery:
                    for _ in range(2):
                        nursery.start_soon(send)
                        await wait_all_tasks_blocked()
                    world.store.gate.set()
        assert found == [["accepted"] * 3] * 2
        assert not world.relay._engine._judge._pending
        held = await world.store.usage([world.bob.keys.id])
        assert held[world.bob.keys.id].count == 3
