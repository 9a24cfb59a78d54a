"""A client process: `python -m benchmarks.client` reads a plan from standard input and follows it.

It answers with a JSON object a line: first that it is ready, and, told to go, what came of it. Times are
`time.monotonic()`, which all processes of a machine share. Only the real client and protocol code are used.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import trio

from benchmarks.cast import Owner, connect, make_owner, read_parcels
from benchmarks.processes import raise_descriptor_limit
from taskferry_apps.origins import origin_of
from taskferry_apps.relay_client import LinkEnded, RelayClient, open_relay
from taskferry_protocol.envelope import parse_envelope
from taskferry_protocol.frame_items import Mail, Outcome, ParcelAccepted
from taskferry_protocol.ids import Instant
from taskferry_transports.port import DialRefused, Liveness
from taskferry_transports.websocket_client import WebSocketDialer, WebSocketSettings

#: An idle crowd would otherwise ping more than it costs to hold it; the relay's own pings go on.
QUIET = Liveness(ping_interval=60.0)
DIALS_AT_ONCE = 4
#: Times that an opening is tried: on a busy machine a crowd may keep one waiting past its deadline.
OPENINGS = 5


@attrs.frozen
class Plan:
    """What a client is to do, as the benchmark says it."""

    role: str
    url: str
    now: int
    owners: list[int]
    """The numbers of the owners to play."""
    count: int = 0
    """Messages for each owner to receive or send."""
    parcels: str = ""
    """The file with what to send, a list for each owner."""
    skip: int = 0
    """How many of each list were sent before."""
    frame: int = 1
    """Parcels in a frame."""
    depth: int = 1
    """Frames of one sender under way at once."""
    interval_s: float = 0.0
    """Between two messages, for those who send at a steady pace."""


class Crowd:
    """Sessions of the owners of a plan."""

    def __init__(self, plan: Plan, nursery: trio.Nursery, liveness: Liveness | None = None) -> None:
        self._origin = origin_of(plan.url)
        settings = WebSocketSettings(plan.url, liveness=liveness or Liveness())
        self._dialer = WebSocketDialer(nursery, settings)

    @asynccontextmanager
    async def session(self, owner: Owner) -> AsyncIterator[RelayClient]:
        """A session of an owner's device."""
        transport = await self._dialer.dial()
        async with open_relay(transport, owner.identity, origin=self._origin, log=owner.extension) as client:
            yield client


def say(**what: object) -> None:
    """Tell the benchmark."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def ready() -> None:
    """Say that all is prepared, and wait for the word."""
    say(ready=True)
    await trio.to_thread.run_sync(sys.stdin.readline)


def check_accepted(outcomes: tuple[Outcome, ...]) -> None:
    """What is refused was not carried, and may not be counted."""
    for outcome in outcomes:
        if not isinstance(outcome, ParcelAccepted):
            raise SystemExit(f"the relay refused a parcel: {outcome}")


async def enrol(plan: Plan, crowd: Crowd) -> None:
    """Let the owners join the relay; each two, in the plan's order, are connected."""
    owners = [make_owner(number, Instant(plan.now)) for number in plan.owners]
    await ready()
    for one, other in zip(owners[::2], owners[1::2], strict=True):
        async with crowd.session(other), crowd.session(one) as client:
            await client.call(connect(one, other, Instant(plan.now)))
    say(enrolled=len(owners))


async def send(plan: Plan, crowd: Crowd) -> None:
    """Each owner sends its parcels, `depth` frames ahead of the relay's results."""
    owners = [make_owner(number, Instant(plan.now)) for number in plan.owners]
    parcels = read_parcels(Path(plan.parcels))

    async def one(client: RelayClient, mine: list[bytes]) -> None:
        room = trio.Semaphore(plan.depth)
        async with trio.open_nursery() as nursery:
            for start in range(0, len(mine), plan.frame):
                await room.acquire()
                nursery.start_soon(settle, await client.submit(mine[start : start + plan.frame]), room)

    async def settle(pending: Any, room: trio.Semaphore) -> None:
        check_accepted(await pending.wait())
        room.release()

    async with AsyncExitStack() as stack:
        open_now = [await stack.enter_async_context(crowd.session(owner)) for owner in owners]
        await ready()
        began = time.monotonic()
        async with trio.open_nursery() as nursery:
            for client, mine in zip(open_now, parcels, strict=True):
                nursery.start_soon(one, client, mine[plan.skip : plan.skip + plan.count])
        say(began=began, ended=time.monotonic())


async def send_paced(plan: Plan, crowd: Crowd) -> None:
    """One owner sends a message every `interval_s`, and says when it sent each."""
    owner = make_owner(plan.owners[0], Instant(plan.now))
    mine = read_parcels(Path(plan.parcels))[0][: plan.count]
    times: list[float] = []
    async with crowd.session(owner) as client, trio.open_nursery() as nursery:

        async def settle(parcel: bytes) -> None:
            check_accepted(await client.send([parcel]))

        await ready()
        start = trio.current_time()
        for index, parcel in enumerate(mine):
            await trio.sleep_until(start + index * plan.interval_s)
            times.append(time.monotonic())
            nursery.start_soon(settle, parcel)
    say(times=times)


async def receive(plan: Plan, crowd: Crowd) -> None:
    """Each owner takes `count` messages, acknowledging every delivery; when the last was acknowledged."""
    owners = [make_owner(number, Instant(plan.now)) for number in plan.owners]
    arrivals: list[float] = []

    async def one(client: RelayClient) -> None:
        taken = 0
        while taken < plan.count:
            entries = await client.deliveries()
            arrivals.extend([time.monotonic()] * len(entries))
            await client.ack(entries[-1].offset)
            taken += len(entries)

    async with AsyncExitStack() as stack:
        open_now = [await stack.enter_async_context(crowd.session(owner)) for owner in owners]
        await ready()
        async with trio.open_nursery() as nursery:
            for client in open_now:
                nursery.start_soon(one, client)
        # The last acknowledgement is on its way when its session is asked to close.
        ended = time.monotonic()
    say(ended=ended, times=arrivals if len(owners) == 1 else [])


async def drain(plan: Plan, crowd: Crowd) -> None:
    """A device that was offline comes back and takes everything; how long, and whether in order."""
    owner = make_owner(plan.owners[0], Instant(plan.now))
    entries: list[Mail] = []
    await ready()
    began = time.monotonic()
    async with crowd.session(owner) as client:
        while len(entries) < plan.count:
            delivered = await client.deliveries()
            entries.extend(entry for entry in delivered if isinstance(entry, Mail))
            await client.ack(delivered[-1].offset)
        ended = time.monotonic()
    numbers = [parse_envelope(entry.envelope).header.seq for entry in entries]
    say(began=began, ended=ended, in_order=numbers == list(range(1, plan.count + 1)))


async def idle(plan: Plan, crowd: Crowd) -> None:
    """Every owner opens a session and holds it, opening another when it is lost, until told otherwise."""
    owners = [make_owner(number, Instant(plan.now)) for number in plan.owners]
    limit = trio.CapacityLimiter(DIALS_AT_ONCE)
    opened: set[bytes] = set()
    all_open = trio.Event()

    async def hold(owner: Owner) -> None:
        while True:
            async with AsyncExitStack() as stack:
                async with limit:
                    client = await open_patiently(stack, owner)
                opened.add(owner.keys.id)
                if len(opened) == len(owners):
                    all_open.set()
                await client.wait_ended()

    async def open_patiently(stack: AsyncExitStack, owner: Owner) -> RelayClient:
        for _ in range(OPENINGS - 1):
            with suppress(LinkEnded, DialRefused):
                return await stack.enter_async_context(crowd.session(owner))
        return await stack.enter_async_context(crowd.session(owner))

    async with trio.open_nursery() as nursery:
        for owner in owners:
            nursery.start_soon(hold, owner)
        await all_open.wait()
        await ready()
        nursery.cancel_scope.cancel()


ROLES: dict[str, Callable[[Plan, Crowd], Any]] = {
    "enrol": enrol,
    "send": send,
    "send-paced": send_paced,
    "receive": receive,
    "drain": drain,
    "idle": idle,
}


async def main() -> None:
    """Follow the plan."""
    plan = Plan(**json.loads(sys.stdin.readline()))
    async with trio.open_nursery() as nursery:
        crowd = Crowd(plan, nursery, QUIET if plan.role == "idle" else None)
        await ROLES[plan.role](plan, crowd)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    raise_descriptor_limit()
    trio.run(main)
