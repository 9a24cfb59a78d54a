"""How the faults of a plan come about, and how they all end."""

from __future__ import annotations

import trio

from taskferry_protocol.records import Generation

from .liar import Liar
from .network import Link
from .plan import Fault, Kind
from .programs import Machine
from .town import Town

__all__ = ["arm", "heal"]

#: A disk that is slow takes so long for each commit.
SLOW_S = 0.4
#: How old the copy is that a relay goes on from.
COPY_AGE_S = 5.0
_NEVER = 10**9


def arm(town: Town, nursery: trio.Nursery, faults: tuple[Fault, ...], liar: Liar) -> None:
    """Have all these happen when their time comes."""
    base = town.now
    for fault in faults:
        match fault.kind:
            case Kind.KILL:
                _arm_kill(town, fault)
            case Kind.POWER:
                _arm_power(town, fault)
            case Kind.CUT | Kind.SILENCE | Kind.DEAF | Kind.MUTE:
                _arm_link(town, fault)
            case Kind.LIE:
                liar.arm(fault.who, int(fault.at), int(fault.amount))
            case _:
                nursery.start_soon(_later, town, fault, base)


def machine_of(town: Town, name: str) -> Machine:
    """The machine of a name."""
    return town.relay if name == town.relay.name else town.machines[name]


def _arm_kill(town: Town, fault: Fault) -> None:
    machine = machine_of(town, fault.who)

    def happens() -> None:
        _note(town, fault, f"is killed at touch {machine.meter.touches}")
        machine.down_s = fault.amount

    machine.meter.kills[machine.meter.touches + int(fault.at)] = happens


def _arm_power(town: Town, fault: Fault) -> None:
    machine = machine_of(town, fault.who)

    def happens() -> None:
        _note(town, fault, "loses its power")
        machine.down_s = fault.amount

    machine.disk.die_at(int(fault.at), happens)


def _arm_link(town: Town, fault: Fault) -> None:
    def happens(link: Link) -> None:
        _note(town, fault, fault.kind.value)
        match fault.kind:
            case Kind.CUT:
                link.cut()
            case Kind.SILENCE:
                link.fall_silent()
            case Kind.DEAF:
                link.lost_down = True
            case _:
                link.lost_up = True

    town.network.befalls(fault.who, int(fault.at), happens)


async def _later(town: Town, fault: Fault, base: float) -> None:
    copy_at = max(0.0, fault.at - COPY_AGE_S) if fault.kind in (Kind.RESTORE, Kind.ROLLBACK) else fault.at
    await trio.sleep_until(base + copy_at)
    machine = machine_of(town, fault.who)
    match fault.kind:
        case Kind.PARTITION:
            _note(town, fault, f"is cut off for {fault.amount:g} s")
            town.network.cut_off.add(fault.who)
            for link in town.network.of(fault.who):
                link.fall_silent()
            await trio.sleep(fault.amount)
            town.network.cut_off.discard(fault.who)
        case Kind.JUMP:
            _note(town, fault, f"clock jumps by {fault.amount:+g} s")
            machine.clock.off_ms += round(fault.amount * 1000)
        case Kind.FULL:
            _note(town, fault, f"disk is full for {fault.amount:g} s")
            machine.disk.trouble.full = True
            await trio.sleep(fault.amount)
            machine.disk.trouble.full = False
        case Kind.SYNC:
            _note(town, fault, "next commit fails")
            machine.disk.trouble.keeps = fault.amount > 1
            machine.disk.trouble.loses_sync = True
        case Kind.SLOW:
            _note(town, fault, f"disk is slow for {fault.amount:g} s")
            machine.disk.trouble.slow_s = SLOW_S
            await trio.sleep(fault.amount)
            machine.disk.trouble.slow_s = 0.0
        case Kind.RESTORE | Kind.ROLLBACK:
            await _go_back(town, fault, base)
        case _:
            raise AssertionError(fault)


async def _go_back(town: Town, fault: Fault, base: float) -> None:
    relay = town.relay
    copy = await relay.disk.copy()
    await trio.sleep_until(base + fault.at)
    honest = fault.kind is Kind.RESTORE
    _note(
        town, fault, "goes on from an older copy" + ("" if honest else ", and says nothing"), who=relay.name
    )

    async def put_back() -> None:
        await relay.disk.put_back(copy)
        if honest:
            await _renew(town, fault.at)

    relay.before_start.append(put_back)
    relay.kill(1.0)


async def _renew(town: Town, when: object) -> None:
    await town.relay.disk.renew(Generation(town.chance.entropy("generation", when)(16)))


def _note(town: Town, fault: Fault, text: str, who: str = "") -> None:
    town.ledger.befell[fault.kind.value] += 1
    town.trace.tell(who or fault.who, f"* {text}")


def _nothing() -> None:
    """Nothing happens."""


def heal(town: Town, liar: Liar) -> None:
    """All trouble is over: everything works from now on, and nobody lies."""
    town.trace.tell("world", "heals")
    liar.stop()
    town.network.heal()
    if town.ledger.befell[Kind.ROLLBACK.value]:
        # Its operator says at last that what it has is an older copy.
        town.relay.before_start.append(lambda: _renew(town, "healed"))
        town.relay.kill(1.0)
    for machine in (town.relay, *town.machines.values()):
        machine.meter.kills.clear()
        machine.disk.die_at(_NEVER, _nothing)
        machine.disk.trouble.full = machine.disk.trouble.loses_sync = False
        machine.disk.trouble.slow_s = 0.0
        machine.clock.off_ms = 0
        machine.down_s = min(machine.down_s, 1.0)
