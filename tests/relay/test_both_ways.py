"""A relay that decides by likeness does, told the same, what one does that looks at each envelope by itself.

Whatever a hostile sender writes, signs and mixes, and whatever others change between batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest
import trio

from taskferry_apps.relay import judge
from taskferry_apps.relay.account_office import AccountOffice
from taskferry_apps.relay.core import Policy
from taskferry_apps.relay_answers import Pending
from taskferry_apps.relay_client import CallRefused, LinkEnded, RelayClient
from taskferry_protocol.admission import MailboxLimits
from taskferry_protocol.frame_items import Entry, ParcelAccepted
from taskferry_protocol.ids import Instant
from taskferry_protocol.lanes import Lane
from taskferry_protocol.records import Flow, Offset, Place
from tests.simulation.chance import Chance
from tests.simulation.determinism import run_world

from .conftest import ORIGIN, Clock, World, opened, serving
from .mixtures import Asks, Fetches, Mixer, Sends, Step, Stops, Waits

START = Instant(1_790_000_000_000)
STEPS = 12
LIMITS = MailboxLimits(entries=150, size=400_000, strangers=60, strangers_size=200_000, account_size=300_000)


class Still(Clock):
    """A clock that only a test moves."""

    def now(self) -> Instant:
        """The time."""
        return Instant(START + self.ahead_ms)


async def told(kind: str, folder: Path, mixer: Mixer, steps: Sequence[Step]) -> list[object]:
    """All that a relay on such a store answers, delivers, keeps and counts."""
    trace: list[object] = []
    async with (
        opened(kind, folder) as store,
        serving(store, Policy([ORIGIN], limits=LIMITS), Still()) as world,
        AsyncExitStack() as stack,
    ):
        clients = {
            who.name: await stack.enter_async_context(world.open(who)) for who in mixer.people.values()
        }
        for step in steps:
            try:
                trace.append(await done(world, clients, step))
                await trio.sleep(1)
            except LinkEnded as ended:
                trace.append(ended.code)
            if isinstance(step, Stops) and not step.suspended:
                who = mixer.people[step.who]
                clients[who.name] = await stack.enter_async_context(world.open(who))
        await trio.sleep(1)
        trace.append(await kept(world, mixer))
    return trace


async def done(world: World, clients: dict[str, RelayClient], step: Step) -> object:
    """What comes of a step."""
    match step:
        case Sends(batches):
            pending: list[Pending] = []
            for parcels in batches:
                begun = 0
                while begun < len(parcels):
                    pending.append(await clients["alice"].submit(parcels[begun:]))
                    begun += pending[-1].count
            return [await batch.wait() for batch in pending]
        case Asks(who, call):
            try:
                return await clients[who].call(call)
            except CallRefused as refused:
                return str(refused)
        case Fetches(who):
            entries: list[Entry] = []
            with trio.move_on_after(1):
                while True:
                    found = await clients[who].deliveries()
                    await clients[who].ack(found[-1].offset)
                    entries.extend(found)
            return entries
        case Waits(ms):
            while ms:
                # Sessions have a clock, too.
                some = min(ms, 1_000)
                world.clock.ahead_ms += some
                await trio.sleep(some / 1_000)
                ms -= some
            return None
        case Stops(who, suspended):
            office = AccountOffice(world.store, world.clock.now, "command line")
            await (office.suspend(who, "a test") if suspended else office.release(who))
            await world.relay.suspensions.refresh()
            return None


async def kept(world: World, mixer: Mixer) -> object:
    """What the store has in the end, and what was counted."""
    store, people = world.store, list(mixer.people.values())
    flows = {Flow(a.agent, b.agent) for a in people for b in people if a is not b}
    return (
        await store.usage([who.keys.id for who in people]),
        [await store.mailbox(who.keys.id, Offset(0), 1_000, 10_000_000) for who in people],
        await store.rates(flows),
        await store.contacts(flows),
        [(e.kind, e.subject, e.first, e.second) for e in (await store.evidence(Place(0), 1_000)).items],
        await store.stats(),
        world.relay.taken(),
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_likeness_makes_no_difference(
    kind: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer, place, mailbox, rate, request and piece of evidence is the same.

    On one kind of store: on another, batches decided on at once meet a mailbox nearly full otherwise.
    """
    for way in ("quickly", "slowly"):
        (tmp_path / way).mkdir()
    mixer = Mixer(seed, START)
    steps = mixer.steps(STEPS)
    carried: list[int] = []
    carry = Lane.carry

    def counted(lane: Lane, *arguments):
        decided, rate = carry(lane, *arguments)
        carried.append(len(decided))
        return decided, rate

    monkeypatch.setattr(Lane, "carry", counted)
    quickly = run_world(Chance(seed), partial(told, kind, tmp_path / "quickly", mixer, steps))
    assert sum(carried) > 0
    carried.clear()
    monkeypatch.setattr(Lane, "of", lambda *_: None)
    monkeypatch.setattr(judge, "_likeness", lambda *_: None)
    slowly = run_world(Chance(seed), partial(told, kind, tmp_path / "slowly", mixer, steps))
    assert not carried
    for step, one, other in zip([*steps, "in the end"], quickly, slowly, strict=True):
        assert one == other, step
    outcomes = [outcome for batches in quickly if isinstance(batches, list) for outcome in batches]
    assert any(isinstance(outcome, ParcelAccepted) for batch in outcomes for outcome in batch)
