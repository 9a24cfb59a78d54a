"""How many envelopes a second a relay's store commits, and what a million stored ones cost.

`python -m benchmarks.store_bench [--fill 1000000] [--folder PATH]`. Prints one line a measurement.
The senders take turns, so neighbours in a commit never share a page: busy relays, whose frames bring many
envelopes of one sender, do better.
"""

import argparse
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import trio

from taskferry_protocol.ids import AccountId, AgentRef, DeviceId, Instant, message_id, sha256
from taskferry_protocol.records import (
    AckMailbox,
    Counted,
    Generation,
    Offset,
    PurgeSeen,
    StoreEnvelope,
    Sweep,
)
from taskferry_stores.port import RelayStore
from taskferry_stores.sqlite import open_relay_store

ENVELOPE_BYTES = 1_300
DEVICES = 200
PARTNERS = 4
NOW = Instant(1_700_000_000_000)
LIFETIME_MS = 7 * 24 * 3_600_000


class Traffic:
    """Envelopes between devices that take turns, each with the next number of its sender."""

    def __init__(self, devices: int = DEVICES) -> None:
        self._devices = [DeviceId(sha256(b"device %d" % n)) for n in range(devices)]
        accounts = [AccountId(sha256(b"account %d" % n)) for n in range(devices)]
        self._agents = [AgentRef(account, "agent") for account in accounts]
        self.sent = 0

    def next(self) -> StoreEnvelope:
        """One more envelope."""
        n = self.sent
        self.sent += 1
        sender = n % len(self._devices)
        to = (sender * 7 + 1 + n // len(self._devices) % PARTNERS) % len(self._devices)
        raw = os.urandom(ENVELOPE_BYTES)
        at = Instant(NOW + n)
        return StoreEnvelope(
            self._devices[sender],
            message_id(at, os.urandom),
            self._agents[to],
            n,
            sha256(raw),
            at,
            Instant(at + LIFETIME_MS),
            at,
            raw,
            ((self._devices[to], os.urandom(80)),),
        )

    def acks(self) -> list[AckMailbox]:
        """Every device acknowledges all that it has."""
        return [AckMailbox(device, Offset(1 << 40)) for device in self._devices]


async def fill(store: RelayStore, traffic: Traffic, count: int) -> None:
    """Store `count` envelopes as fast as may be."""
    for _ in range(count // 1_000):
        await store.commit([traffic.next() for _ in range(1_000)])


async def one_caller(store: RelayStore, traffic: Traffic, group: int, groups: int) -> tuple[float, float]:
    """Microseconds of time and of CPU for each envelope when one task commits groups one after another."""
    batches = [[traffic.next() for _ in range(group)] for _ in range(groups)]
    start, busy = time.perf_counter(), time.process_time()
    for batch in batches:
        await store.commit(batch)
    took, used = time.perf_counter() - start, time.process_time() - busy
    return took * 1e6 / (group * groups), used * 1e6 / (group * groups)


async def many_callers(
    store: RelayStore, traffic: Traffic, callers: int, each: int, size: int
) -> tuple[float, float, float]:
    """Envelopes a second when tasks commit `size` at a time, and the 50th and 99th percentile in ms."""
    work = [[[traffic.next() for _ in range(size)] for _ in range(each)] for _ in range(callers)]
    delays: list[float] = []

    async def call(batches: list[list[StoreEnvelope]]) -> None:
        for batch in batches:
            begun = time.perf_counter()
            await store.commit(batch)
            delays.append((time.perf_counter() - begun) * 1_000)

    start = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for batches in work:
            nursery.start_soon(call, batches)
    rate = callers * each * size / (time.perf_counter() - start)
    cuts = statistics.quantiles(delays, n=100)
    return rate, cuts[49], cuts[98]


async def measure(store: RelayStore, traffic: Traffic, label: str) -> None:
    """Print what this store does now."""
    for group, groups in ((1, 200), (16, 100), (64, 100), (256, 30)):
        runs = [await one_caller(store, traffic, group, groups) for _ in range(5)]
        took, used = (statistics.median(column) for column in zip(*runs, strict=True))
        speed = f"{1e6 / took:>8,.0f}/s  {took:>6.1f} us each, {used:.1f} of CPU"
        print(f"{label:>10}  one caller, {group:>3} a commit   {speed}")
    for callers, size in ((4, 1), (64, 1), (64, 8)):
        rate, p50, p99 = await many_callers(store, traffic, callers, 60, size)
        speed = f"{rate:>8,.0f}/s  p50 {p50:.1f} p99 {p99:.1f} ms"
        print(f"{label:>10}  {callers:>2} callers, {size} a commit     {speed}")


async def measure_whole_life(store: RelayStore, traffic: Traffic) -> None:
    """Print what an envelope costs from its acceptance until it is acknowledged and deleted."""
    await store.commit(traffic.acks())
    while (await store.commit([Sweep(4_000)]))[0] == Counted(4_000):
        pass
    groups = [[traffic.next() for _ in range(64)] for _ in range(320)]
    start, busy = time.perf_counter(), time.process_time()
    for number, group in enumerate(groups):
        await store.commit(group)
        if number % 16 == 15:
            await store.commit(traffic.acks())
            await store.commit([Sweep(1_024)])
    took, used = time.perf_counter() - start, time.process_time() - busy
    count = 64 * len(groups)
    print(f"accepted, acknowledged, swept: {count / took:,.0f}/s, {used * 1e6 / count:.1f} us of CPU each")


async def measure_clean_up(store: RelayStore, traffic: Traffic) -> None:
    """Print what acknowledging and deleting cost."""
    start = time.perf_counter()
    await store.commit(traffic.acks())
    print(f"acknowledge everything: {time.perf_counter() - start:.2f} s")
    longest, count, start = 0.0, 0, time.perf_counter()
    while True:
        begun = time.perf_counter()
        (swept,) = await store.commit([Sweep(1_000)])
        longest = max(longest, time.perf_counter() - begun)
        count += getattr(swept, "count", 0)
        if getattr(swept, "count", 0) < 1_000:
            break
    took = time.perf_counter() - start
    print(f"sweep {count:,} entries by 1,000: {count / took:,.0f}/s, longest step {longest * 1_000:.0f} ms")
    begun = time.perf_counter()
    await store.commit([PurgeSeen(Instant(NOW + 10_000), 1_000)])
    print(f"purge 1,000 seen: {(time.perf_counter() - begun) * 1_000:.1f} ms")


async def cost_of_64(store: RelayStore, traffic: Traffic) -> tuple[float, float]:
    """Time and CPU of an envelope in groups of 64, in so few groups that the store hardly grows."""
    runs = [await one_caller(store, traffic, 64, 5) for _ in range(7)]
    took, used = (statistics.median(column) for column in zip(*runs, strict=True))
    return took, used


async def main(folder: Path, filled: int) -> None:
    """Measure an almost empty store, then a full one."""
    async with open_relay_store(folder / "relay.db", generation=Generation(b"g" * 16)) as store:
        traffic = Traffic()
        await fill(store, traffic, 1_000)
        small = await cost_of_64(store, traffic)
        await measure(store, traffic, "few")
        start = time.perf_counter()
        await fill(store, traffic, filled)
        print(f"filled in {time.perf_counter() - start:.0f} s")
        large = await cost_of_64(store, traffic)
        await measure(store, traffic, f"{filled:,}")
        times = f"{large[0] / small[0]:.2f} in time, {large[1] / small[1]:.2f} in CPU"
        print(f"an envelope among {filled:,}: {large[0]:.1f} us, among 1,000: {small[0]:.1f} us; {times}")
        await measure_clean_up(store, traffic)
        await measure_whole_life(store, traffic)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fill", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as made:
        trio.run(partial(main, Path(made), arguments.fill))
