"""A world: owners, devices, a relay and a network in one process, all of it made from one seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ..accounts import DeviceKeys
from ..errors import LocalProtocolError
from ..ids import AgentRef, Instant, is_name
from .chance import Chance
from .device import Device
from .device_store import DeviceStore
from .faults import Crash, Lies, Network, Stalled
from .machine import Machine
from .owners import Allowance, Owner, connect
from .relay import Relay
from .timeline import Timeline

__all__ = ["World"]

#: An hour of simulated time is long enough for whatever is going to happen.
_PATIENCE_MS: Final = 3_600_000
_CALM: Final = Network()
_HONEST: Final = Lies()
_USUAL: Final = Allowance()


class World:
    """Everything that happens, happens within `run`, `run_until` and `settle`, in simulated time.

    The same seed and the same calls give the same `trace`, byte for byte.
    """

    def __init__(self, seed: int, network: Network = _CALM, lies: Lies = _HONEST) -> None:
        self._chance = Chance(seed)
        self._timeline = Timeline()
        self._network = network
        self._owners: dict[str, Owner] = {}
        self._machines: dict[str, Machine] = {}
        self._owner_of: dict[str, str] = {}
        self.relay = Relay(self._timeline, network, lies, self._chance.stream("relay"))

    @property
    def now(self) -> Instant:
        """The simulated time, in UTC milliseconds."""
        return self._timeline.now

    def trace(self) -> str:
        """All that has happened so far: a line each, with the time in ms since the world began."""
        return self._timeline.trace()

    # --- Who there is

    def device(self, name: str, *, agents: Iterable[str] = (), owner: str = "") -> Device:
        """A new device, running, that serves these agents of its owner; the owner's first makes the account.

        `owner` is the device's own name unless it is given. Raises LocalProtocolError for a name in use,
        and for an owner's or agent's that is none.
        """
        if name in self._machines:
            raise LocalProtocolError(f"there is a device {name} already")
        owner, agents = owner or name, tuple(agents)
        for named in (owner, *agents):
            if not is_name(named):
                raise LocalProtocolError(f"{named!r} is no name: 1 to 32 of a-z, 0-9, _ and -")
        chance = self._chance.stream(f"device {name}")
        keys = DeviceKeys.generate_managing(name, chance.entropy)
        account = self._owners.get(owner)
        if account is None:
            account = self._owners[owner] = Owner(owner, keys, chance, self.now)
        else:
            account.add(keys, self.now)
        account.let_serve(keys.id, agents, self.now)
        machine = Machine(
            name,
            keys,
            self._store_for(owner, account),
            timeline=self._timeline,
            network=self._network,
            chance=chance,
            listen=self.relay.accept,
        )
        self._machines[name], self._owner_of[name] = machine, owner
        for other in self._machines_of(owner):
            other.store.log = account.log
            other.redial()
        machine.start()
        return Device(machine)

    def _store_for(self, owner: str, account: Owner) -> DeviceStore:
        """What a new device begins with: its owner hands it what the others know of peers."""
        store = DeviceStore(account.log)
        for other in self._machines_of(owner):
            store.peers.update(other.store.peers)
            store.bonds.update(other.store.bonds)
        return store

    def _machines_of(self, owner: str) -> list[Machine]:
        return [machine for name, machine in self._machines.items() if self._owner_of[name] == owner]

    def connect(self, asker: AgentRef, asked: AgentRef, allowance: Allowance = _USUAL) -> None:
        """Connect two agents of two owners: one asked, the other accepted, the relay and all devices know.

        Raises LocalProtocolError for two agents of one owner, or of none.
        """
        (left, mine), (right, theirs) = self._owner(asker), self._owner(asked)
        if left == right:
            raise LocalProtocolError("these agents have one owner, and need no connection")
        made = connect((mine, asker), (theirs, asked), allowance, self._chance.stream("connect"), self.now)
        for machine in self._machines_of(left):
            machine.store.bonds[asker, asked] = made.of_asker
            machine.store.peers[asked.account] = theirs.log
        for machine in self._machines_of(right):
            machine.store.bonds[asked, asker] = made.of_asked
            machine.store.peers[asker.account] = mine.log
        kept = self.relay.store
        kept.accounts[asker.account], kept.accounts[asked.account] = mine.log, theirs.log
        kept.connections[asker, asked] = (made.of_asker.request, made.of_asker.given)
        kept.connections[asked, asker] = (made.of_asked.request, made.of_asked.given)

    def _owner(self, agent: AgentRef) -> tuple[str, Owner]:
        for name, owner in self._owners.items():
            if owner.log.account == agent.account:
                return name, owner
        raise LocalProtocolError("no owner of this world has that account")

    # --- What befalls them

    def crash(self, device: Device) -> None:
        """Cut a device's power now; it stays down until `restart`."""
        self._machines[device.name].lose_power()

    def restart(self, device: Device) -> None:
        """Let a device that is down come up again."""
        self._machines[device.name].start()

    def plan_crash(self, device: Device, *, at_commit: int, moment: Crash) -> None:
        """Have a device lose power at one of its next commits (1 is the very next), and come back by itself.

        If that commit is one of your own calls, the call raises DeviceDown.
        """
        if at_commit < 1:
            raise LocalProtocolError("the next commit is number 1")
        self._machines[device.name].plan(at_commit, moment)

    # --- Time

    def run(self, ms: int) -> None:
        """Let so much simulated time pass."""
        end = Instant(self.now + ms)
        while self._step(end):
            pass
        self._timeline.leap(end)

    def run_until(self, condition: Callable[[], bool], *, within_ms: int = _PATIENCE_MS) -> None:
        """Let time pass until the condition holds; it is asked again whenever something has happened.

        Raises Stalled if it does not hold within the simulated time.
        """
        end = Instant(self.now + within_ms)
        while not condition():
            if not self._step(end):
                raise Stalled(f"not within {within_ms} ms of simulated time")

    def settle(self, *, within_ms: int = _PATIENCE_MS) -> None:
        """Let time pass until nobody who is up has anything left to send, to take or to say.

        A device that crashed by chance or by plan comes back first; one that you crashed stays out of it.
        Raises Stalled.
        """
        self.run_until(self._is_settled, within_ms=within_ms)

    def _is_settled(self) -> bool:
        machines = self._machines.values()
        if not self.relay.is_up or not all(machine.is_idle() for machine in machines):
            return False
        return all(self.relay.is_done_with(machine.keys.id) for machine in machines if machine.is_up)

    def _step(self, end: Instant) -> bool:
        """Do what is due next, if it is due by `end`."""
        due = self._timeline.next_at
        if due is None or due > end:
            return False
        self._timeline.step()
        return True
