"""A process that plays many devices: `python -m benchmarks.load.people` reads its plan from standard input.

Devices hold sessions, go away and come back; pairs of them tell stories, one message after the other has
arrived. A line of JSON says each few seconds what came of it, and the last one what never arrived.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress

import attrs
import trio

from benchmarks.cast import CONVERSATION, DAY_MS, Owner, connect, make_owner
from benchmarks.client import DIALS_AT_ONCE, QUIET, Crowd, Plan, say
from benchmarks.processes import raise_descriptor_limit
from taskferry_apps import system
from taskferry_apps.relay_client import LinkEnded, RelayClient
from taskferry_protocol.envelope import Parcel, encode_parcel
from taskferry_protocol.frame_items import Mail, ParcelAccepted
from taskferry_protocol.ids import Hash, Instant, sha256
from taskferry_protocol.links import TaskLink
from taskferry_protocol.messages import Body, Content, MessageClass
from taskferry_protocol.sealing import Address, seal_envelope, wrap_for
from taskferry_transports.port import DialRefused

from .story import Chains, Line, story

CLASSES = frozenset({MessageClass.MESSAGE, MessageClass.TASK, MessageClass.ARTIFACT})
#: A mean of so many messages makes a story; stories begin at the rate of messages over this.
LINES = 5.0
AWAY_S, LONGEST_AWAY_S = 20.0, 120.0
CALM_S = 120.0
AGAIN_S = 1.0
TOLD_JOINED = 50
"""Devices that are connected, between two words about it."""


@attrs.define(eq=False)
class Device:
    """One owner's machine; `client` is its session, None while it is away."""

    owner: Owner
    client: RelayClient | None = None
    online: trio.Event = attrs.field(factory=trio.Event)
    scope: trio.CancelScope | None = None
    sent: int = 0

    async def session(self) -> RelayClient:
        """The session, once there is one."""
        while self.client is None:
            await self.online.wait()
        return self.client

    def seal(self, body: Body, link: TaskLink | None, other: Device) -> tuple[Hash, bytes]:
        """A parcel for the other device, and its envelope's hash."""
        self.sent += 1
        mine, now = self.owner, system.now()
        theirs = other.owner
        address = Address(mine.agent, theirs.agent, self.sent, mine.log.position, theirs.log.position)
        sealed = seal_envelope(
            Content(body, conv=CONVERSATION, link=link),
            address,
            created_at=now,
            expires_at=Instant(now + DAY_MS),
            device_key=mine.keys.signing,
            entropy=mine.entropy,
        )
        wraps = wrap_for(sealed.key, [theirs.keys.encryption.public], mine.entropy)
        return sealed.envelope.hash, encode_parcel(Parcel(sealed.envelope.raw, wraps))


@attrs.define(eq=False)
class Underway:
    """A message that its relay has, or may have; `at` is when it was sent to a device that was there."""

    at: float | None
    arrived: trio.Event = attrs.field(factory=trio.Event)


class People:
    """The devices of a plan."""

    def __init__(self, plan: Plan, crowd: Crowd, rate: float, churn: float) -> None:
        self._crowd = crowd
        self._dice = random.Random(plan.owners[0])
        self._now = Instant(plan.now)
        self._devices = [Device(make_owner(number, self._now)) for number in plan.owners]
        self._pairs = list(zip(self._devices[::2], self._devices[1::2], strict=True))
        self._rate, self._churn = rate, churn
        self._dials = trio.CapacityLimiter(DIALS_AT_ONCE)
        self._underway: dict[Hash, Underway] = {}
        self._counts: Counter[str] = Counter()
        self._delays: list[float] = []
        self._telling = 0
        self._joined = 0
        self._over = trio.Event()

    async def run(self, seconds: float, every: float) -> None:
        """Join, connect, and then live for so long."""
        async with trio.open_nursery() as nursery:
            for device in self._devices:
                nursery.start_soon(self._hold, device)
            async with trio.open_nursery() as joining:
                for one, other in self._pairs:
                    joining.start_soon(self._connect, one, other)
            say(ready=True)
            await trio.to_thread.run_sync(sys.stdin.readline)
            with trio.move_on_after(seconds):
                async with trio.open_nursery() as living:
                    living.start_soon(self._begin_stories, nursery)
                    living.start_soon(self._send_away)
                    living.start_soon(self._report, every)
            self._over.set()
            with trio.move_on_after(CALM_S):
                while self._underway or self._telling:  # noqa: ASYNC110 - two conditions, looked at seldom
                    await trio.sleep(0.1)
            say(ended=True, never_arrived=len(self._underway), counts=self._counts)
            nursery.cancel_scope.cancel()

    async def _connect(self, one: Device, other: Device) -> None:
        await other.session()
        while True:
            with suppress(LinkEnded):
                await (await one.session()).call(connect(one.owner, other.owner, self._now, CLASSES))
                break
        self._joined += 2
        if self._joined % TOLD_JOINED == 0:
            say(joined=TOLD_JOINED)

    async def _hold(self, device: Device) -> None:
        while True:
            with trio.CancelScope() as device.scope:
                try:
                    async with AsyncExitStack() as stack:
                        async with self._dials:
                            opening = self._crowd.session(device.owner)
                            client = await stack.enter_async_context(opening)
                        await self._take(device, client)
                except* (LinkEnded, DialRefused) as group:
                    self._counts[f"link: {_code(group)}"] += 1
                    await trio.sleep(AGAIN_S)
            if device.scope.cancelled_caught:
                with trio.move_on_after(min(self._dice.expovariate(1 / AWAY_S), LONGEST_AWAY_S)):
                    await self._over.wait()

    async def _take(self, device: Device, client: RelayClient) -> None:
        device.client = client
        device.online.set()
        try:
            while True:
                entries = await client.deliveries()
                now = time.monotonic()
                for entry in entries:
                    if isinstance(entry, Mail):
                        self._came(sha256(entry.envelope), now)
                await client.ack(entries[-1].offset)
        finally:
            device.client, device.online = None, trio.Event()

    def _came(self, hash: Hash, now: float) -> None:
        found = self._underway.pop(hash, None)
        if found is None:
            self._counts["came again"] += 1
            return
        self._counts["arrived"] += 1
        if found.at is not None:
            self._delays.append(round((now - found.at) * 1e3, 2))
        found.arrived.set()

    async def _begin_stories(self, nursery: trio.Nursery) -> None:
        while True:
            await trio.sleep(self._dice.expovariate(self._rate / LINES))
            nursery.start_soon(self._tell, *self._dice.choice(self._pairs))

    async def _tell(self, requester: Device, worker: Device) -> None:
        self._telling += 1
        try:
            chains = Chains()
            for line in story(self._dice):
                if self._over.is_set() or not await self._say(line, chains, requester, worker):
                    return
        finally:
            self._telling -= 1

    async def _say(self, line: Line, chains: Chains, requester: Device, worker: Device) -> bool:
        by_requester, body = line
        sender, other = (requester, worker) if by_requester else (worker, requester)
        hash, parcel = sender.seal(body, chains.link(by_requester, body), other)
        chains.said(by_requester, hash)
        await sender.session()
        way = self._underway[hash] = Underway(time.monotonic() if other.client is not None else None)
        while True:
            try:
                (outcome,) = await (await sender.session()).send([parcel])
            except LinkEnded:
                # Nobody knows whether it was taken: say it again, as a daemon does.
                way.at = None
                continue
            break
        if not isinstance(outcome, ParcelAccepted):
            self._underway.pop(hash, None)
            self._counts[f"refused: {outcome.code.value}"] += 1
            return False
        self._counts["accepted"] += 1
        await way.arrived.wait()
        return True

    async def _send_away(self) -> None:
        while True:
            await trio.sleep(self._dice.expovariate(self._churn))
            device = self._dice.choice(self._devices)
            if device.client is not None and device.scope is not None:
                self._counts["went away"] += 1
                device.scope.cancel()

    async def _report(self, every: float) -> None:
        while True:
            await trio.sleep(every)
            online = sum(device.client is not None for device in self._devices)
            delays, self._delays = self._delays, []
            say(online=online, underway=len(self._underway), delays=delays, counts=self._counts)


def _code(group: BaseExceptionGroup[Exception]) -> str:
    """Why a session ended, in a word."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return _code(error)
        code = getattr(error, "code", None)
        if code is not None:
            return str(code.value)
    return "broken"


async def main() -> None:
    """Follow the plan."""
    asked = json.loads(sys.stdin.readline())
    rate, churn, seconds, every = (asked.pop(name) for name in ("rate", "churn", "seconds", "every"))
    plan = Plan(**asked)
    async with trio.open_nursery() as nursery:
        await People(plan, Crowd(plan, nursery, QUIET), rate, churn).run(seconds, every)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    raise_descriptor_limit()
    trio.run(main)
