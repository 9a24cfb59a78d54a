"""Daemons and a relay in this process, over memory links: the real parts, on stores of the test's choice."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import attrs
import trio
import trio.testing

from taskferry_apps import system
from taskferry_apps.daemon.beginning import Beginning
from taskferry_apps.daemon.instance import open_instance
from taskferry_apps.daemon.keys import KeyRing
from taskferry_apps.daemon.link import Route
from taskferry_apps.daemon.port import Caller, GrantChange, NewAgent, NewTask, TaskAction
from taskferry_apps.daemon.service import Daemon
from taskferry_apps.daemon.views import Sent
from taskferry_apps.relay.core import Policy, Relay
from taskferry_protocol.breakers import DEFAULT_LIMITS, BreakerLimits
from taskferry_protocol.frames import Frame, encode_frame, open_frame, read_frame
from taskferry_protocol.ids import Hash, Instant, sha256
from taskferry_protocol.records import Generation
from taskferry_stores.memory import MemoryDaemonStore, MemoryRelayStore
from taskferry_stores.port import DaemonStore, RelayStore
from taskferry_transports.memory import MemoryNetwork, MemoryTransport
from taskferry_transports.port import Transport

T = TypeVar("T")

OWNER = Caller(None)
URL = "ws://relay.test:80"
SECRET = "the owner's secret"
GENERATION = Generation(bytes(range(16)))
PATIENCE_S = 20.0


class MemoryVault:
    """Keys that outlive a daemon, but not the test."""

    kind = "files"

    def __init__(self) -> None:
        self.ring: KeyRing | None = None
        self.beginning: Beginning | None = None

    async def load_beginning(self) -> Beginning | None:
        """A set-up under way."""
        await trio.lowlevel.checkpoint()
        return self.beginning

    async def save_beginning(self, beginning: Beginning | None) -> None:
        """Keep or forget it."""
        await trio.lowlevel.checkpoint()
        self.beginning = beginning

    async def load(self) -> KeyRing | None:
        """The keys."""
        await trio.lowlevel.checkpoint()
        return self.ring

    async def save(self, ring: KeyRing) -> None:
        """Keep the keys."""
        await trio.lowlevel.checkpoint()
        self.ring = ring


@attrs.define
class Clock:
    """Trio's time, and what a test adds to it: time that passes, and steps of the clock in which none does.

    With `autojump_clock`, where nothing runs in a thread, whoever waits for a deadline waits for nothing.
    """

    ahead_ms: int = 0
    stepped_ms: int = 0
    """By how much the clock was set, or the machines slept."""
    _offset_ms: float | None = attrs.field(default=None, init=False)
    """From trio's time to that of the world, from the first look on."""

    def now(self) -> Instant:
        """The time as everybody in a test sees it."""
        trio_ms = trio.current_time() * 1000
        if self._offset_ms is None:
            self._offset_ms = system.now() - trio_ms
        return Instant(round(trio_ms + self._offset_ms) + self.ahead_ms + self.stepped_ms)

    def uptime(self) -> float:
        """Seconds that have passed for those who run."""
        return trio.current_time() + self.ahead_ms / 1000


@attrs.define
class Machine:
    """What survives a daemon's crash: its store and its keys."""

    name: str
    store: DaemonStore = attrs.field(factory=MemoryDaemonStore)
    vault: MemoryVault = attrs.field(factory=MemoryVault)
    limits: BreakerLimits = DEFAULT_LIMITS
    folder: Path | None = None
    """Where its starts are marked, for tests of copies."""
    take_over: bool = False
    """Whether its owner starts it with `--take-over`."""
    clock: Clock | None = None
    """Where it has another one than the rest of the world."""

    async def is_new(self) -> bool:
        """Whether it is like any other on which no daemon has begun."""
        return (
            type(self.store) is MemoryDaemonStore
            and await self.store.own_account() is None
            and not any((self.vault.ring, self.vault.beginning, self.folder, self.clock))
        )


class Tampering(MemoryTransport):
    """A transport whose frames from the relay pass through the world's `tamper`."""

    def __init__(self, inner: MemoryTransport, world: World) -> None:
        self.__dict__.update(inner.__dict__)
        self._inner = inner
        self._world = world

    async def receive(self) -> bytes:
        """The next frame, as the liar has it."""
        data = await self._inner.receive()
        tamper = self._world.tamper
        if tamper is None:
            return data
        return encode_frame(tamper(read_frame(*open_frame(data))))

    def receive_nowait(self) -> bytes | None:
        """None: every frame goes through the liar's hands."""
        return None

    async def send(self, *frames: bytes) -> None:
        """Pass frames on."""
        await self._inner.send(*frames)

    async def aclose(self) -> None:
        """Close."""
        await self._inner.aclose()


@attrs.define
class World:
    """A relay that can be stopped and started, and the way to it."""

    nursery: trio.Nursery
    relay_store: RelayStore
    clock: Clock = attrs.field(factory=Clock)
    network: MemoryNetwork = attrs.field(factory=MemoryNetwork)
    policy: Policy = attrs.field(factory=lambda: Policy([URL]))
    tamper: Callable[[Frame], Frame] | None = None
    """What a lying relay makes of each frame that it should have sent."""
    is_untouched: bool = False
    """Whether its relay is as usual, and nobody has called there yet."""
    _scope: trio.CancelScope | None = None

    async def start_relay(self) -> None:
        """Serve, from whatever stands in the relay's store."""
        self.network = MemoryNetwork()
        await self.nursery.start(self._serve)

    async def _serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        relay = Relay(self.relay_store, self.policy, now=self.clock.now)
        with trio.CancelScope() as self._scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(relay.run)
                await nursery.start(self.network.serve, relay.handle)
                task_status.started()

    def stop_relay(self) -> None:
        """Pull its plug."""
        if self._scope is not None:
            self._scope.cancel()

    def is_new(self) -> bool:
        """Whether it is like any other at its beginning."""
        moved_ms = self.clock.ahead_ms or self.clock.stepped_ms
        return self.is_untouched and self.tamper is None and not moved_ms

    async def restore(self, alice: Machine, bob: Machine) -> None:
        """Give the relay and both machines what they would hold if Alice and Bob had been introduced here."""
        relay, *machines = pickle.loads(_introduced())
        self.stop_relay()
        self.relay_store = relay
        await self.start_relay()
        for machine, held in zip((alice, bob), machines, strict=True):
            vars(machine.store).update(vars(held.store))
            machine.vault.ring = held.vault.ring

    async def dial(self) -> Transport:
        """A transport to the relay of now."""
        self.is_untouched = False
        return Tampering(await self.network.dial(), self)

    def route_to(self, url: str) -> Route:
        """The route that daemons take."""
        assert url in self.policy.origins
        return Route(self, url, ("memory",))

    async def open_daemon(self, machine: Machine, relay_token: str = "", relay: str | None = None) -> Daemon:
        """A daemon on what a machine holds; it does not run yet."""
        return await Daemon.open(
            machine.store,
            machine.vault,
            self.route_to,
            owner_digest=sha256(SECRET.encode()),
            now=(machine.clock or self.clock).now,
            entropy=system.entropy,
            jitter=lambda: 0.0,
            uptime=(machine.clock or self.clock).uptime,
            relay=relay,
            relay_token=relay_token,
            limits=machine.limits,
            instance=None
            if machine.folder is None
            else open_instance(machine.folder, system.entropy, take_over=machine.take_over),
        )

    @asynccontextmanager
    async def running(
        self, machine: Machine, relay_token: str = "", relay: str | None = None
    ) -> AsyncIterator[Daemon]:
        """A daemon while the block lasts; its end is as sudden as a crash."""
        daemon = await self.open_daemon(machine, relay_token, relay)
        async with trio.open_nursery() as nursery:
            await nursery.start(daemon.run)
            yield daemon
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def a_world(
    relay_store: RelayStore | None = None, policy: Policy | None = None
) -> AsyncIterator[World]:
    """A world with its relay running."""
    async with trio.open_nursery() as nursery:
        world = World(nursery, relay_store or MemoryRelayStore(GENERATION), policy=policy or Policy([URL]))
        await world.start_relay()
        world.is_untouched = not (relay_store or policy)
        yield world
        nursery.cancel_scope.cancel()


async def until(found: Callable[[], Awaitable[T | None]], patience_s: float = PATIENCE_S) -> T:
    """What `found` gives as soon as it gives something; fails when it takes too long."""
    with trio.fail_after(patience_s):
        while True:
            value = await found()
            if value:
                return value
            await trio.sleep(0.01)


async def until_in(daemon: Daemon) -> None:
    """Wait until a daemon with an account has a session with the relay."""

    async def is_in() -> bool:
        relay = (await daemon.status()).relay
        return relay is not None and relay.connected

    await until(is_in)


async def set_up(daemon: Daemon, owner: str, agent: str) -> str:
    """An account with one agent, its name claimed; its recovery key in words."""
    done = await daemon.set_up(OWNER, owner, URL, "laptop")
    assert done.name_claimed
    await daemon.create_agent(OWNER, NewAgent(agent))
    return done.recovery_key


async def connect(asking: Daemon, answering: Daemon, mine: str, peer: str) -> None:
    """Two agents connected, and the asking side knows it."""

    async def requested():
        return await answering.connections(OWNER, "requested_in", "")

    async def accepted():
        return await asking.connections(OWNER, "accepted", "")

    await asking.request_connection(OWNER, mine, peer, "hello")
    (request,) = await until(requested)
    await answering.accept_connection(OWNER, request.id.hex(), GrantChange(human_gate=False))
    await until(accepted)


async def introduce(alice: Daemon, bob: Daemon) -> None:
    """Both set up, Alice with the agent `requester` and Bob with `writer`, and these connected."""
    await set_up(alice, "alice", "requester")
    await set_up(bob, "bob", "writer")
    await connect(alice, bob, "requester", "@bob/writer")


@asynccontextmanager
async def connected(
    world: World, alice: Machine | None = None, bob: Machine | None = None
) -> AsyncIterator[tuple[Daemon, Daemon]]:
    """The daemons of Alice and Bob, who have just been introduced, while the block lasts."""
    alice, bob = alice or Machine("alice"), bob or Machine("bob")
    are_new = world.is_new() and await alice.is_new() and await bob.is_new()
    if are_new:
        await world.restore(alice, bob)
    async with world.running(alice) as a, world.running(bob) as b:
        if are_new:
            await until_in(a)
            await until_in(b)
        else:
            await introduce(a, b)
        yield a, b


@cache
def _introduced() -> bytes:
    """A relay's store and the machines of Alice and Bob once these have been introduced, pickled.

    Hundreds of tests begin there, and what they read costs less than half of what was done.
    """

    async def made() -> bytes:
        alice, bob = Machine("alice"), Machine("bob")
        async with a_world() as world, world.running(alice) as a, world.running(bob) as b:
            await introduce(a, b)
            # Whatever the introduction is followed by has been said and heard.
            await trio.testing.wait_all_tasks_blocked()
            return pickle.dumps((world.relay_store, alice, bob))

    # In a thread of its own, since this one has an event loop that runs, and maybe a clock that jumps.
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(trio.run, made).result()


async def allow_tasks(granting: Daemon, mine: str, asking: Daemon, peer: str, most: int = 20) -> None:
    """An agent of `granting` takes so many open tasks of the peer, one of `asking`, which knows it."""
    await granting.set_permissions(OWNER, (mine, peer), GrantChange(task_budget=most))

    async def known():
        found = await asking.connections(OWNER, "accepted", peer.partition("/")[2])
        return any(
            one.peer.endswith(f"/{mine}") and one.received is not None and one.received.task_budget == most
            for one in found
        )

    await until(known)


async def in_state(daemon: Daemon, task: bytes, state: str):
    """Wait until a task is in a state there."""

    async def there():
        found = (await daemon.tasks(OWNER, "", "", "", "", 50))[0]
        return next((row for row in found if row.id == task and row.state == state), None)

    return await until(there)


async def on_rung(daemon: Daemon, message: bytes, rung: str) -> Any:
    """The delivery of a message of this daemon's once it is on a rung, which it must not have passed."""

    async def there():
        delivery = (await daemon.message(OWNER, message.hex())).delivery
        return delivery if delivery is not None and delivery.rung == rung else None

    return await until(there)


async def texts(daemon: Daemon, agent: str = "writer") -> list[str]:
    """The plain messages in an agent's inbox, processed ones too."""
    page = await daemon.inbox(OWNER, agent, False, "", 200, 0)
    return [str(item.payload.get("text")) for item in page.messages if item.type == "message"]


async def ask(daemon: Daemon, mine: str, peer: str, **more: Any) -> Hash:
    """A task asked for; its id."""
    sent = await daemon.create_task(OWNER, attrs.evolve(NewTask(mine, peer, "Report", "Write it."), **more))
    assert sent.task is not None
    return sent.task


async def act(daemon: Daemon, task: Hash, kind: str, **more: Any) -> Sent:
    """An action on a task, done by this daemon itself."""
    sent = await daemon.act(OWNER, task.hex(), attrs.evolve(TaskAction(kind), **more))
    assert isinstance(sent, Sent)
    return sent
