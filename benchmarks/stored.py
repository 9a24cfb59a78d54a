"""What one more message costs as the relay's backlog grows.

The store is filled through its own `commit`, which is faster, by other owners than those who then send
through the relay.
"""

from __future__ import annotations

import os
import statistics
from functools import partial
from pathlib import Path

import trio

from taskferry_protocol.ids import AccountId, AgentRef, DeviceId, Instant, message_id, sha256
from taskferry_protocol.records import Generation, StoreEnvelope
from taskferry_stores.sqlite import open_relay_store

from .processes import Kind, serving
from .results import Bar, Figure, Way
from .traffic import Flow, Run, Workshop, carry, enrol

__all__ = ["measure_stored"]

FLOW = Flow("stored", 50, 4, 8)
GROWTH = Bar(Way.AT_MOST, 1.2)
ENVELOPE_BYTES = 1_500
DEVICES = 1_000
#: Agents that each of them writes to.
PARTNERS = 4
GROUP = 1_000
DAY_MS = 86_400_000


async def fill(path: Path, count: int, now: Instant) -> None:
    """Put so many envelopes into the mailboxes of devices that are never online."""
    devices = [DeviceId(sha256(b"device %d" % n)) for n in range(DEVICES)]
    agents = [AgentRef(AccountId(sha256(b"account %d" % n)), "agent") for n in range(DEVICES)]
    async with open_relay_store(path, generation=Generation(os.urandom(16))) as store:
        for start in range(0, count, GROUP):
            await store.commit([_envelope(n, devices, agents, now) for n in range(start, start + GROUP)])


def _envelope(n: int, devices: list[DeviceId], agents: list[AgentRef], now: Instant) -> StoreEnvelope:
    sender = n % DEVICES
    rounds, partner = divmod(n // DEVICES, PARTNERS)
    recipient = (sender * 7 + 1 + partner) % DEVICES
    raw = os.urandom(ENVELOPE_BYTES)
    return StoreEnvelope(
        devices[sender],
        message_id(now, os.urandom),
        agents[recipient],
        rounds + 1,
        sha256(raw),
        now,
        Instant(now + DAY_MS),
        now,
        raw,
        ((devices[recipient], os.urandom(80)),),
    )


def measure_stored(shop: Workshop) -> list[Figure]:
    """Time and processor time of a message with few and with many envelopes stored before, in turns.

    Each turn starts a relay on the same two databases.
    """
    each = max(FLOW.frame, shop.scale.messages // FLOW.pairs // FLOW.frame * FLOW.frame)
    # Each turn has messages of its own: the databases remember those of the turns before.
    parcels = shop.parcels(FLOW.pairs, each * shop.scale.repeats)
    runs: dict[int, list[Run]] = {count: [] for count in shop.scale.stored}
    with shop.fresh() as few_folder, shop.fresh() as many_folder:
        folders = dict(zip(shop.scale.stored, (few_folder, many_folder), strict=True))
        for count, folder in folders.items():
            shop.tell(f"storing {count:,} envelopes")
            trio.run(partial(fill, folder / "relay.db", count, shop.now))
        for turn in range(shop.scale.repeats):
            for count, folder in folders.items():
                shop.tell(f"on {count:,} stored, run {turn + 1} of {shop.scale.repeats}")
                with serving(Kind.RELAY, folder) as server:
                    enrol(shop, server, Kind.RELAY, FLOW.pairs)
                    runs[count].append(carry(shop, server, FLOW, parcels, each, turn * each))
    few, many = shop.scale.stored
    figures = []
    for count in shop.scale.stored:
        times = [1e6 / run.rate for run in runs[count]]
        cpu = [run.cpu_us for run in runs[count]]
        for what, values in (("time", times), ("CPU", cpu)):
            label = f"{count:,} stored: {what} a message"
            spread = (min(values), max(values))
            figures.append(Figure("stored", label, statistics.median(values), "us", None, spread))
    for what, of in (("time", lambda run: 1 / run.rate), ("CPU", lambda run: run.cpu_us)):
        growth = statistics.median(map(of, runs[many])) / statistics.median(map(of, runs[few]))
        figures.append(Figure("stored", f"{what} at {many:,} over {few:,} stored", growth, "x", GROWTH))
    return figures
