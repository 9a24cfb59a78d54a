"""The network between daemons and a relay: real in-memory transports, and what goes wrong between them.

A link keeps frames whole and in order, or breaks, as a transport promises; loss and duplication come out of
links that break and of what is sent again over the next one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Protocol

import attrs
import trio

from taskferry_transports.memory import MemoryPair, MemoryTransport, memory_pair
from taskferry_transports.port import Handler, LinkInfo, Transport, Unreachable

from .chance import Chance
from .power import Power
from .trace import Trace

__all__ = ["Carrier", "Link", "Network", "Weather"]


class Carrier(Protocol):
    """Sees every frame between two programs, and says what arrives in its place."""

    def up(self, machine: str, frame: bytes) -> Iterable[bytes]:
        """A frame from a machine to the relay."""

    def down(self, machine: str, frame: bytes) -> Iterable[bytes]:
        """A frame from the relay to a machine."""

    def closed(self, machine: str) -> None:
        """A link of the machine is over."""


@attrs.define
class Weather:
    """What the network does of itself: how long a frame takes, in seconds."""

    least_s: float = 0.001
    most_s: float = 0.05


@attrs.define(eq=False)
class Link:
    """One link, and its faults."""

    machine: str
    near: MemoryPair
    far: MemoryPair
    lost_up: bool = False
    """Frames to the relay vanish, and nobody is told."""
    lost_down: bool = False

    def cut(self) -> None:
        """Both ends see at once that it broke; what was under way is lost."""
        self.near.cut_losing_tail(self.near.left._inbox.max_frames)
        self.far.cut_losing_tail(self.far.right._inbox.max_frames)

    def fall_silent(self) -> None:
        """Nothing comes through any more, though both ends believe in it."""
        self.lost_up = self.lost_down = True


class PoweredTransport(MemoryTransport):
    """A transport as one life of a program sees it."""

    def __init__(self, inner: MemoryTransport, power: Power) -> None:
        self.__dict__.update(inner.__dict__)
        self._inner = inner
        self._power = power

    async def send(self, *frames: bytes) -> None:
        """Send, if there is power."""
        self._power.touch()
        await self._inner.send(*frames)

    async def receive(self) -> bytes:
        """Receive, if there is power."""
        frame = await self._inner.receive()
        self._power.touch()
        return frame

    def receive_nowait(self) -> bytes | None:
        """Receive what is there, if there is power."""
        self._power.touch()
        return self._inner.receive_nowait()

    async def aclose(self) -> None:
        """Close; without power the system does."""
        await self._inner.aclose()


@attrs.define(eq=False)
class Network:
    """All links of a world."""

    nursery: trio.Nursery
    trace: Trace
    chance: Chance
    carrier: Carrier
    weather: Weather = attrs.field(factory=Weather)
    links: list[Link] = attrs.field(factory=list)
    """Those that stand, oldest first."""
    cut_off: set[str] = attrs.field(factory=set)
    """Machines that reach nobody."""
    _befalls: dict[str, dict[int, Callable[[Link], None]]] = attrs.field(factory=dict)
    _frames: dict[str, int] = attrs.field(factory=dict)
    _delays: dict[str, random.Random] = attrs.field(factory=dict)
    _serving: tuple[trio.Nursery, Handler, Power] | None = None
    _draining: trio.Event = attrs.field(factory=trio.Event)

    def serve(self, nursery: trio.Nursery, handler: Handler, power: Power) -> None:
        """From now on `handler` serves what is dialled, until its power is cut."""
        self._serving = (nursery, handler, power)
        power.when_cut(lambda: self.hang_up(silently=power.lost_all))

    def hang_up(self, *, silently: bool) -> None:
        """Nobody serves any more, and all links are cut, or lead nowhere."""
        self._serving = None
        for link in tuple(self.links):
            if silently:
                link.fall_silent()
            else:
                link.cut()

    def frames(self, machine: str) -> int:
        """How many frames its links have carried so far, both ways."""
        return self._frames.get(machine, 0)

    def befalls(self, machine: str, frames: int, happens: Callable[[Link], None]) -> None:
        """Have something happen to the machine's link with the n-th frame from now on."""
        self._befalls.setdefault(machine, {})[self.frames(machine) + frames] = happens

    def heal(self) -> None:
        """Nothing more is lost; links that were silent stay so until their ends notice."""
        self._befalls.clear()
        self.cut_off.clear()
        self.weather = Weather(0.001, 0.02)

    def of(self, machine: str) -> list[Link]:
        """The links of a machine."""
        return [link for link in self.links if link.machine == machine]

    async def dial(self, machine: str, power: Power) -> Transport:
        """A link from a machine to the relay."""
        power.touch()
        await trio.sleep(self._delay(machine))
        if machine in self.cut_off or self._serving is None:
            raise Unreachable("the network does not lead there now")
        nursery, handler, served_by = self._serving
        link = Link(machine, memory_pair(), memory_pair())
        self.links.append(link)
        self.trace.tell(machine, "dialled", fine=True)
        power.when_cut(lambda: link.fall_silent() if power.lost_all else link.cut())
        self.nursery.start_soon(self._carry, link, link.near.right, link.far.left, True)
        self.nursery.start_soon(self._carry, link, link.far.left, link.near.right, False)
        nursery.start_soon(self._handle, handler, PoweredTransport(link.far.right, served_by))
        return PoweredTransport(link.near.left, power)

    async def _handle(self, handler: Handler, transport: MemoryTransport) -> None:
        try:
            await handler(transport, LinkInfo(transport.peer, "/", {}, self._draining))
        finally:
            with trio.CancelScope(shield=True):
                await transport.aclose()

    def _delay(self, machine: str) -> float:
        stream = self._delays.get(machine)
        if stream is None:
            stream = self._delays[machine] = self.chance.stream("delay", machine)
        return stream.uniform(self.weather.least_s, self.weather.most_s)

    async def _carry(self, link: Link, source: MemoryTransport, sink: MemoryTransport, up: bool) -> None:
        """Carry one direction of a link to its end."""
        machine = link.machine
        try:
            while True:
                frame = await source.receive()
                await trio.sleep(self._delay(machine))
                number = self._frames[machine] = self._frames.get(machine, 0) + 1
                befalls = self._befalls.get(machine, {}).pop(number, None)
                if befalls is not None:
                    befalls(link)
                if link.lost_up if up else link.lost_down:
                    continue
                # Links that stood before a relay began to lie are its links, too.
                pass_on = self.carrier.up if up else self.carrier.down
                for passed in pass_on(machine, frame):
                    await sink.send(passed)
        except (trio.EndOfChannel, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            with trio.CancelScope(shield=True):
                await sink.aclose()
            if link in self.links:
                self.links.remove(link)
                self.carrier.closed(machine)
                self.trace.tell(machine, "hung up", fine=True)
