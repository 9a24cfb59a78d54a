"""A world put together from its plan: its programs run, its people know each other, nothing has failed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import attrs
import trio

from taskferry_apps.daemon.grants import DEFAULT_RATE
from taskferry_apps.daemon.port import GrantChange, NewAgent
from taskferry_apps.daemon.service import Daemon
from taskferry_protocol.breakers import DEFAULT_LIMITS, BreakerLimits
from taskferry_protocol.records import Generation
from tests.daemon.worlds import OWNER, URL

from .acting import Actor
from .chance import Chance
from .disks import Disk, MemoryDisk, make_disk
from .joining import link_second
from .ledger import Ledger
from .network import Network, Weather
from .observer import Observer
from .plan import Owner, Plan
from .programs import Clock, DaemonMachine, RelayMachine, Surroundings
from .trace import Trace

__all__ = ["Town", "founded"]

RELAY = "relay"
#: Virtual seconds within which anything that is going to happen in calm weather has happened.
PATIENCE_S = 120.0
#: So much that nothing stops it.
LAX = BreakerLimits(talk=100_000, talk_a_day=100_000)
ROOMY_RATE = 60_000


@attrs.define(eq=False)
class Town:
    """All that there is."""

    plan: Plan
    chance: Chance
    trace: Trace
    ledger: Ledger
    observer: Observer
    network: Network
    relay: RelayMachine
    machines: dict[str, DaemonMachine]
    actors: dict[str, Actor]
    crashes: list[str]

    @property
    def now(self) -> float:
        """Seconds since the world began."""
        return trio.current_time()

    @property
    def usual_rate(self) -> int:
        """How many envelopes a minute each owner allows the other at first."""
        return ROOMY_RATE if self.plan.roomy else DEFAULT_RATE

    def owner_of(self, machine: str) -> Owner:
        """Whose machine it is."""
        return next(one for one in self.plan.owners if machine in one.machines)


def ordered(items: list[str]) -> list[tuple[str, str]]:
    """Every pair once."""
    return [(a, b) for i, a in enumerate(items) for b in items[i + 1 :]]


@asynccontextmanager
async def founded(plan: Plan, folder: Path) -> AsyncIterator[Town]:
    """A town whose owners have their accounts and connections; everything is cancelled at the end."""
    chance = Chance(plan.seed)
    trace = Trace(trio.current_time)
    ledger = Ledger()
    crashes: list[str] = []
    machines: dict[str, DaemonMachine] = {}
    relays: list[RelayMachine] = []

    def durable_offset(machine: str) -> int | None:
        return held_up_to(machines[machine], relays[0])

    observer = Observer(trace, ledger, durable_offset)
    with ExitStack() as under:
        async with trio.open_nursery() as nursery:
            network = Network(nursery, trace, chance, observer, Weather(0.001, 0.02))
            around = Surroundings(nursery, network, trace, chance, crashes)
            generation = Generation(chance.entropy("generation")(16))

            def disk_of(kind: str, program: str, name: str) -> Disk:
                seed = chance.stream("disk", name).getrandbits(32)
                return make_disk(kind, program, name, folder, generation, under, seed)

            relay = RelayMachine(RELAY, disk_of(plan.relay_store, "relay", RELAY), around)
            relays.append(relay)
            for owner in plan.owners:
                for name in owner.machines:
                    disk = disk_of(owner.store, "daemon", name)
                    machine = DaemonMachine(name, disk, around, Clock(round(owner.skew_s * 1000)))
                    machine.limits = LAX if owner.lax else DEFAULT_LIMITS
                    machines[name] = machine
            actors = {}
            for owner in plan.owners:
                for name in owner.machines:
                    actors[name] = Actor(machines[name], owner, ledger, trace, _linker(owner, machines))
            town = Town(plan, chance, trace, ledger, observer, network, relay, machines, actors, crashes)
            nursery.start_soon(relay.run)
            await relay.until_up()
            for owner in plan.owners:
                nursery.start_soon(machines[owner.machines[0]].run)
            await _settle_in(town)
            network.weather = Weather(*plan.delay_s)
            try:
                yield town
            finally:
                nursery.cancel_scope.cancel()


def _linker(owner: Owner, machines: dict[str, DaemonMachine]):
    async def link(daemon: Daemon) -> str:
        if owner.devices < 2:
            return ""
        return await link_second(daemon, machines[owner.machines[1]])

    return link


async def _settle_in(town: Town) -> None:
    for owner in town.plan.owners:
        machine = town.machines[owner.machines[0]]
        await machine.until_up()
        assert machine.daemon is not None
        done = await machine.daemon.set_up(OWNER, owner.name, URL, "first")
        assert done.name_claimed
        await machine.daemon.create_agent(OWNER, NewAgent(owner.agent))
    storm = [one.name for one in town.plan.owners if not one.quiet]
    quiet = [one.name for one in town.plan.owners if one.quiet]
    for a, b in (*ordered(storm), *ordered(quiet)):
        await _connect(town, a, b)


async def _connect(town: Town, asking: str, answering: str) -> None:
    owners = {one.name: one for one in town.plan.owners}
    first = town.machines[owners[asking].machines[0]].daemon
    second = town.machines[owners[answering].machines[0]].daemon
    assert first is not None
    assert second is not None
    await first.request_connection(OWNER, owners[asking].agent, f"@{answering}/{owners[answering].agent}", "")
    with trio.fail_after(PATIENCE_S):
        while not (waiting := await second.connections(OWNER, "requested_in", "")):
            await trio.sleep(0.25)
        connection = waiting[0].id
        allowed = GrantChange(human_gate=False, rate_per_minute=town.usual_rate)
        await second.accept_connection(OWNER, connection.hex(), allowed)
        while all(one.id != connection for one in await first.connections(OWNER, "accepted", "")):
            await trio.sleep(0.25)
        # Whoever asked for the connection lets the other side ask for work, too.
        allowed = attrs.evolve(allowed, task_budget=20)
        await first.set_permissions(OWNER, connection.hex(), allowed)


def held_up_to(machine: DaemonMachine, relay: RelayMachine) -> int | None:
    """The offset that a machine has committed, in the generation that the relay has now; None if unknown."""
    disk = machine.disk
    if not isinstance(disk, MemoryDisk) or not isinstance(relay.disk, MemoryDisk):
        return None
    cursor = disk.read()._state.cursors.get(URL)
    if cursor is None or cursor.generation != relay.disk.read().generation:
        return None
    return int(cursor.offset)
