"""The programs of a world: they start, are killed, and start again from what their disk holds."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import attrs
import trio

from taskferry_apps.daemon.link import Route
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.relay.core import Policy, Relay
from taskferry_protocol.breakers import DEFAULT_LIMITS, BreakerLimits
from taskferry_protocol.ids import Instant, sha256
from taskferry_stores.port import StoreError
from taskferry_transports.port import Transport
from tests.daemon.worlds import SECRET, URL, MemoryVault

from .chance import Chance
from .disks import Disk
from .network import Network
from .power import Meter, Power, PowerCut, PoweredVault
from .trace import Trace

__all__ = ["Clock", "DaemonMachine", "Machine", "RelayMachine", "Surroundings"]

T = TypeVar("T")

#: What a world's clocks show when it begins: some day in November 2023.
BEGINNING_MS = 1_700_000_000_000


@attrs.define
class Clock:
    """One machine's idea of the time: the world's, and how far it is off."""

    off_ms: int = 0

    def now(self) -> Instant:
        """UTC milliseconds, as this machine has them."""
        return Instant(BEGINNING_MS + round(trio.current_time() * 1000) + self.off_ms)


@attrs.frozen
class Surroundings:
    """What all programs of a world have in common."""

    nursery: trio.Nursery
    network: Network
    trace: Trace
    chance: Chance
    crashes: list[str]
    """What programs ended of that nobody had in mind."""


@attrs.define(eq=False)
class Machine:
    """A machine with one program that is started again whenever it ends."""

    name: str
    disk: Disk
    around: Surroundings
    clock: Clock = attrs.field(factory=Clock)
    meter: Meter = attrs.field(factory=Meter)
    power: Power | None = None
    lives: int = 0
    held_down: bool = False
    """Not started again before this is over."""
    down_s: float = 1.0
    """How long it takes to come back."""
    before_start: list[Callable[[], Coroutine[Any, Any, None]]] = attrs.field(factory=list)
    """Done once before the next start, while nothing is open."""
    _up: trio.Event = attrs.field(factory=trio.Event)

    @property
    def is_up(self) -> bool:
        """Whether its program works."""
        return self._up.is_set() and self.power is not None and self.power.is_on

    async def run(self) -> None:
        """One life after another until cancelled."""
        while True:
            while self.held_down:
                await trio.sleep(0.1)
            while self.before_start:
                try:
                    await self.before_start[0]()
                except StoreError as error:
                    # The disk fails whoever puts an older copy there, too: they try again.
                    self.around.trace.tell(self.name, f"cannot be made ready: {type(error).__name__}")
                    await trio.sleep(self.down_s)
                else:
                    del self.before_start[0]
            power = self.power = Power(self.meter)
            self.lives += 1
            self.around.trace.tell(self.name, f"starts, life {self.lives}")
            try:
                with power.feeding():
                    async with self.disk.opened(power) as store:
                        await self._live(store, power)
            except BaseException as error:
                if not _is_expected(error, power):
                    raise
                self._note_end(error, power)
            finally:
                self._up = trio.Event()
            power.cut()
            await trio.sleep(self.down_s)

    def _note_end(self, error: BaseException, power: Power) -> None:
        if not power.is_on:
            return
        first = error
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        if isinstance(first, StoreError):
            self.around.trace.tell(self.name, f"ends: {type(first).__name__}")
            return
        self.around.trace.tell(self.name, f"crashes: {first!r}")
        self.around.crashes.append(f"{self.name} crashed: {first!r}")

    async def _live(self, store: Any, power: Power) -> None:
        raise NotImplementedError

    def kill(self, down_s: float) -> None:
        """End the program now, as `kill -9` does."""
        self.down_s = down_s
        if self.power is not None and self.power.is_on:
            self.around.trace.tell(self.name, "is killed")
            self.power.cut()

    async def until_up(self) -> None:
        """Wait for the program."""
        await self._up.wait()


@attrs.define(eq=False)
class RelayMachine(Machine):
    """The relay's."""

    relay: Relay | None = None
    policy: Policy = attrs.field(factory=lambda: Policy([URL]))

    async def _live(self, store: Any, power: Power) -> None:
        entropy = self.around.chance.entropy(self.name, self.lives)
        relay = Relay(store, self.policy, now=self.clock.now, entropy=entropy)
        async with trio.open_nursery() as nursery:
            await nursery.start(relay.run)
            self.around.network.serve(nursery, relay.handle, power)
            self.relay = relay
            self._up.set()
            try:
                await trio.sleep_forever()
            finally:
                # Where its store failed it ends by itself, and takes no more links from then on.
                self.around.network.hang_up(silently=power.lost_all)


@attrs.define(eq=False)
class DaemonMachine(Machine):
    """A daemon's."""

    daemon: Daemon | None = None
    vault: MemoryVault = attrs.field(factory=MemoryVault)
    limits: BreakerLimits = DEFAULT_LIMITS

    async def _live(self, store: Any, power: Power) -> None:
        chance = self.around.chance
        jitter = chance.stream("jitter", self.name, self.lives)
        dialer = _Dialer(self.around.network, self.name, power)
        daemon = await Daemon.open(
            store,
            PoweredVault(self.vault, power),
            lambda url: Route(dialer, url, ("memory",)),
            owner_digest=sha256(SECRET.encode()),
            now=self.clock.now,
            entropy=chance.entropy(self.name, self.lives),
            jitter=jitter.random,
            limits=self.limits,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(daemon.run)
            self.daemon = daemon
            self._up.set()
            await trio.sleep_forever()

    async def ask(self, what: Callable[[Daemon], Coroutine[Any, Any, T]]) -> T | None:
        """Have the daemon that runs now do something; None if it is down, or dies before it has answered."""
        power, daemon = self.power, self.daemon
        if power is None or daemon is None or not self.is_up:
            return None
        answer: T | None = None
        with power.feeding():
            try:
                answer = await what(daemon)
            except* PowerCut:
                pass
        return answer


@attrs.frozen
class _Dialer:
    network: Network
    machine: str
    power: Power

    async def dial(self) -> Transport:
        return await self.network.dial(self.machine, self.power)


def _is_expected(error: BaseException, power: Power) -> bool:
    """Whether the supervisor goes on after this: everything but being cancelled itself."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_expected(inner, power) for inner in error.exceptions)
    return isinstance(error, Exception | PowerCut)
