"""A daemon that polls goes over to a WebSocket that gets through, in the midst of work."""

from __future__ import annotations

import attrs
import trio

from taskferry_apps.daemon import link
from taskferry_apps.daemon.route import Route
from taskferry_stores.memory import MemoryRelayStore
from taskferry_transports.fallback import FallbackDialer
from taskferry_transports.port import UpgradeRefused
from taskferry_transports.websocket_again import WebSocketAgain

from .worlds import GENERATION, OWNER, Machine, Tampering, World, introduce, texts, until

TEXTS = [f"number {number}" for number in range(40)]


class Polled(Tampering):
    """As a link that polls."""

    def __init__(self, inner, world):
        super().__init__(inner, world)
        self.over = trio.Event()

    async def wait_quiet(self):
        """It is left in the midst of everything."""

    async def leave(self, reason):
        """Close it."""
        await self.aclose()

    async def aclose(self):
        """Close it."""
        self.over.set()
        await super().aclose()


@attrs.define
class Office(World):
    """A world in which no WebSocket gets through at first."""

    let_through: trio.Event = attrs.field(factory=trio.Event)
    polled: list[Polled] = attrs.field(factory=list)
    upgraded: int = 0
    _route: Route | None = None

    async def dial(self):
        """Poll."""
        self.is_untouched = False
        self.polled.append(Polled(await self.network.dial(), self))
        return self.polled[-1]

    async def tried(self):
        """A WebSocket, once they are let through."""
        await self.let_through.wait()
        self.upgraded += 1
        return Tampering(await self.network.dial(), self)

    def route_to(self, url):
        """By what gets through."""
        if self._route is None:
            again = WebSocketAgain(self.nursery, self.tried, pause=0.05)
            dialer = FallbackDialer(Shut(), self, again=again)
            self._route = Route(dialer, url, ("memory",), stands=lambda: again.stands)
        return self._route


class Shut:
    """Where no upgrade gets through."""

    async def dial(self):
        """Never."""
        raise UpgradeRefused("403", status=403)


async def test_what_is_under_way_as_a_daemon_goes_over_to_a_websocket_arrives_once(monkeypatch):
    """Each message in its place, none lost and none doubled, and nobody waits before the new session."""
    waits = []

    def delay(*attempt, **asked):
        waits.append(attempt)
        return 0.0

    monkeypatch.setattr(link, "delay", delay)
    async with trio.open_nursery() as nursery:
        world = Office(nursery, MemoryRelayStore(GENERATION))
        await world.start_relay()
        async with world.running(Machine("alice")) as alice, world.running(Machine("bob")) as bob:
            await introduce(alice, bob)

            async def talk():
                for number, text in enumerate(TEXTS):
                    if number == len(TEXTS) // 3:
                        world.let_through.set()
                    await alice.send_message(OWNER, "requester", "@bob/writer", text, (), "", "")

            async def are_over():
                states = [(await daemon.status()).relay for daemon in (alice, bob)]
                return all(state and state.connected for state in states) and all(
                    polled.over.is_set() for polled in world.polled
                )

            assert not await are_over()
            waits.clear()
            await talk()
            await until(are_over)

            async def all_there():
                return len(await texts(bob)) >= len(TEXTS)

            await until(all_there)
            assert await texts(bob) == TEXTS
            assert world.upgraded >= 2
            assert waits == []
        nursery.cancel_scope.cancel()
